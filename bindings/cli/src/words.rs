//! The 24 words: shown to be written down, and typed unseen.

use twin::{RecoverySecret, Twin, WORD_COUNT};
use zeroize::Zeroizing;

use crate::error::Result;
use crate::output::Context;

/// Which words a person is asked for, counted from 1.
const ASKED: [usize; 3] = [4, 11, 22];
/// The longest word has 8 letters.
const ROOM: usize = WORD_COUNT * 9;

/// Asks for the words, one or several a line, and says at once which one is misspelled. They are not shown.
pub fn ask(cx: &Context, what: &str) -> Result<RecoverySecret> {
    cx.say(format!(
        "Type {what}, one or several at a time. They are not shown."
    ));
    let mut words = Zeroizing::new(String::with_capacity(ROOM));
    let mut count = 0;
    while count < WORD_COUNT {
        let line = cx.ask_unseen(&format!("Word {} of {WORD_COUNT}:", count + 1))?;
        let typed = line.split_whitespace();
        for word in typed {
            count += 1;
            if count > WORD_COUNT || !twin::is_word(word) {
                // Somebody at a terminal can type it again; a program cannot.
                if count <= WORD_COUNT && cx.is_interactive() {
                    cx.say(format!(
                        "Word {count} is not in the list: type it again, and what came after it."
                    ));
                    count -= 1;
                    break;
                }
                return Err(twin::Error::from(wrong(count)).into());
            }
            if !words.is_empty() {
                words.push(' ');
            }
            words.push_str(word);
        }
    }
    Ok(RecoverySecret::from_words(&words).map_err(twin::Error::from)?)
}

const fn wrong(count: usize) -> twin::WordsError {
    if count > WORD_COUNT {
        twin::WordsError::Count(count)
    } else {
        twin::WordsError::Unknown(count)
    }
}

/// New words, shown to be written down and, where a person sits there, asked for once more. A program gets them in JSON.
pub fn new(cx: &Context) -> Result<RecoverySecret> {
    let words = Twin::new_words();
    let text = Twin::words_text(&words);
    cx.event(serde_json::json!({"event": "words", "words": *text}));
    show(cx, &text)?;
    Ok(words)
}

/// Shows the words and, where a person sits there, asks for three of them.
pub fn show(cx: &Context, text: &str) -> Result<()> {
    cx.say(
        "These 24 words are your twin. Write them down on paper and keep them where nobody else looks:\n\
         with them you get everything back when every device is lost, and so would anybody else.\n",
    );
    cx.say(grid(text));
    if !cx.is_interactive() {
        return Ok(());
    }
    for number in ASKED {
        let word = text.split(' ').nth(number - 1).unwrap_or_default();
        while !cx
            .ask(&format!("To be sure, type word number {number}:"))?
            .eq_ignore_ascii_case(word)
        {
            cx.say("That is not it. Look at your paper, or at the list above.");
        }
    }
    Ok(())
}

/// The words in four columns, numbered.
fn grid(words: &str) -> String {
    let words: Vec<&str> = words.split(' ').collect();
    let mut text = String::new();
    for row in 0..6 {
        for column in 0..4 {
            let index = column * 6 + row;
            if let Some(word) = words.get(index) {
                text.push_str(&format!("  {:>2}. {word:<10}", index + 1));
            }
        }
        text.push('\n');
    }
    text
}
