//! Words of a text, alike for all who spell them alike: without marks, in small letters, in any script.
//!
//! Where words are set apart they are taken as UAX #29 has them. Where they are not (Han, Kana, Thai, Lao, Khmer,
//! Burmese), and of pictures, every two neighbours are a word, and so is the last one by itself: what begins anywhere
//! in such a text is found.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::ops::ControlFlow;

use twin_ops::value::{Fields, Value};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::{canonical_combining_class, is_combining_mark};
use unicode_segmentation::UnicodeSegmentation;

/// The most bytes of a word; what is longer is cut.
pub(crate) const MAX_WORD: usize = 64;
/// The most words of a record that are kept; what comes after them is not found.
const MAX_WORDS: usize = 1 << 15;

/// A piece of a folded text.
enum Piece<'t> {
    Word(String),
    /// What stands before or after an apostrophe, of the word that was shown before: people look for "amour", too.
    Part(String),
    /// Characters of a script without spaces.
    Run(&'t [char]),
}

/// What is looked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Term {
    pub word: String,
    /// Whether words that only begin so are meant, too.
    pub prefix: bool,
}

/// The words of a record.
#[derive(Debug, Default)]
pub(crate) struct Words {
    pub counts: HashMap<String, u32>,
    /// How many there are, each as often as it comes.
    pub total: usize,
}

impl Words {
    /// The words of all texts among these fields, those in sets included.
    pub fn of(fields: &Fields) -> Self {
        let mut words = Self::default();
        fields.0.values().for_each(|value| words.add_value(value));
        words
    }

    fn add_value(&mut self, value: &Value) {
        match value {
            Value::Text(text) => self.add_text(text),
            Value::Set(set) => set.iter().for_each(|element| self.add_value(element)),
            _ => {}
        }
    }

    fn add_text(&mut self, text: &str) {
        each_piece(&fold(text), |piece| {
            match piece {
                Piece::Word(word) => self.add(word),
                Piece::Part(part) => self.add(part),
                Piece::Run(run) => {
                    for at in 0..run.len() {
                        let two = run.iter().skip(at).take(2);
                        self.add(two.collect());
                    }
                }
            }
            if self.total < MAX_WORDS {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        });
    }

    fn add(&mut self, word: String) {
        if self.total < MAX_WORDS {
            self.total += 1;
            *self.counts.entry(word).or_default() += 1;
        }
    }

    /// Whether a term is among them.
    pub fn have(&self, term: &Term) -> bool {
        self.counts.contains_key(&term.word)
            || (term.prefix && self.counts.keys().any(|word| word.starts_with(&term.word)))
    }
}

/// What a query asks for, each once: all of it must be in a record. The last word may be the beginning of one, and so
/// may a single character of a script without spaces. `None` if there are more than `most` words; what stands together
/// in such a script is one.
pub(crate) fn terms(query: &str, most: usize) -> Option<Vec<Term>> {
    let mut terms = Vec::new();
    let mut pieces = 0;
    let mut last_is_word = false;
    each_piece(&fold(query), |piece| {
        match piece {
            // With the word itself it is in the record anyway.
            Piece::Part(_) => {}
            Piece::Word(word) => {
                pieces += 1;
                last_is_word = true;
                terms.push(Term {
                    word,
                    prefix: false,
                });
            }
            Piece::Run(run) => {
                pieces += 1;
                last_is_word = false;
                let pairs = run.windows(2).map(|pair| pair.iter().collect());
                let single = run.first().filter(|_| run.len() == 1);
                terms.extend(pairs.map(|word| Term {
                    word,
                    prefix: false,
                }));
                terms.extend(single.map(|one| Term {
                    word: one.to_string(),
                    prefix: true,
                }));
            }
        }
        ControlFlow::Continue(())
    });
    if let Some(last) = terms.last_mut().filter(|_| last_is_word) {
        last.prefix = true;
    }
    terms.sort();
    terms.dedup();
    (pieces <= most).then_some(terms)
}

/// A text without marks, in small letters: NFKD, marks away, small letters, NFC.
pub(crate) fn fold(text: &str) -> String {
    let small = text
        .nfkd()
        .filter(|c| !is_dropped(*c))
        .flat_map(char::to_lowercase);
    let mut folded = String::with_capacity(text.len());
    for c in small {
        match plain(c) {
            Some(letters) => folded.push_str(letters),
            // What only the small letter is made with: the dot of a Turkish I.
            None if is_dropped(c) => {}
            None => folded.push(c),
        }
    }
    folded.nfc().collect()
}

/// Marks that a search looks past, and what is not seen at all. Not the vowels of a script that writes them as marks.
fn is_dropped(c: char) -> bool {
    let unseen = matches!(c,
        '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}' | '\u{fe00}'..='\u{fe0f}'
        // Only makes an Arabic word longer; colours of skin.
        | '\u{640}' | '\u{1f3fb}'..='\u{1f3ff}');
    // Overlays, nuktas, points of Hebrew, vowels of Arabic and Syriac; all that is above, below or around a letter.
    // Not viramas (9), sounds of Kana (8), vowels and tones of Telugu, Thai, Lao and Tibetan (84 to 132).
    unseen || matches!(canonical_combining_class(c), 1 | 7 | 10..=36 | 202..=240)
}

/// Small letters that no rule of Unicode takes apart, as people without them on the keyboard write them.
const fn plain(c: char) -> Option<&'static str> {
    Some(match c {
        'ß' => "ss",
        'æ' => "ae",
        'œ' => "oe",
        'ø' => "o",
        'ł' => "l",
        'đ' | 'ð' => "d",
        'ħ' => "h",
        'ı' => "i",
        'þ' => "th",
        'ς' => "σ",
        _ => return None,
    })
}

fn each_piece(folded: &str, mut show: impl FnMut(Piece<'_>) -> ControlFlow<()>) {
    let mut words = String::new();
    let mut run: Vec<char> = Vec::new();
    for c in folded.chars() {
        let runs = has_no_spaces(c);
        let ended = if runs {
            show_words(&mut words, &mut show)
        } else {
            show_run(&mut run, &mut show)
        };
        if ended.is_break() {
            return;
        }
        if runs {
            run.push(c);
        } else {
            words.push(c);
        }
    }
    // One of them is empty.
    if show_words(&mut words, &mut show).is_continue() {
        let _ = show_run(&mut run, &mut show);
    }
}

fn show_run(
    run: &mut Vec<char>,
    show: &mut impl FnMut(Piece<'_>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    if run.is_empty() {
        return ControlFlow::Continue(());
    }
    let shown = show(Piece::Run(run));
    run.clear();
    shown
}

fn show_words(
    text: &mut String,
    show: &mut impl FnMut(Piece<'_>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let text = std::mem::take(text);
    for word in text.unicode_words() {
        // A host name or a number with a point is one word to UAX #29, and more to whoever looks for a part of it.
        for part in word.split(|c| !(is_of_word(c) || is_apostrophe(c))) {
            let sides = part.split(is_apostrophe);
            let word = cut(&sides.clone().collect::<String>());
            if !word.is_empty() {
                show(Piece::Word(word))?;
            }
            // Not the letter of "l'amour" or "Ada's".
            let is_part = |side: &&str| side.len() < part.len() && side.chars().nth(1).is_some();
            sides
                .filter(is_part)
                .try_for_each(|side| show(Piece::Part(cut(side))))?;
        }
    }
    ControlFlow::Continue(())
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || is_combining_mark(c)
}

const fn is_apostrophe(c: char) -> bool {
    matches!(c, '\'' | '’')
}

/// As much of a word as is kept.
fn cut(word: &str) -> String {
    let end = word.floor_char_boundary(MAX_WORD);
    word.get(..end).unwrap_or_default().to_owned()
}

/// Whether it is of a script that sets no spaces between words, or a picture.
fn has_no_spaces(c: char) -> bool {
    let script = matches!(c,
        // Thai, Lao, Burmese, Khmer
        '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}'
        // Han, Kana and their signs
        | '\u{2e80}'..='\u{2fdf}' | '\u{3005}'..='\u{3007}' | '\u{3021}'..='\u{3029}'
        | '\u{3040}'..='\u{30ff}' | '\u{3100}'..='\u{312f}' | '\u{31f0}'..='\u{31ff}'
        | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}'
        | '\u{20000}'..='\u{3ffff}');
    let picture = matches!(c,
        '\u{2600}'..='\u{27bf}' | '\u{1f1e6}'..='\u{1f1ff}' | '\u{1f300}'..='\u{1faff}');
    picture || (script && is_of_word(c))
}
