//! Words that a site chose, made fit to be shown to a person.

/// At most `max` characters of `text` on one line: no control characters and no invisible marks
/// that reorder or hide what is read. `None` when nothing is left.
pub(crate) fn shown(text: &str, max: usize) -> Option<String> {
    let visible = text
        .chars()
        .map(|c| if c.is_whitespace() { ' ' } else { c });
    let clean: String = visible.filter(|c| !is_deceptive(*c)).collect();
    let mut words = String::new();
    for word in clean.split(' ').filter(|word| !word.is_empty()) {
        if !words.is_empty() {
            words.push(' ');
        }
        words.push_str(word);
    }
    let mut short: String = words.chars().take(max).collect();
    if short.len() < words.len() {
        short.push('…');
    }
    (!short.is_empty()).then_some(short)
}

/// Control characters, and the Unicode marks for direction, joining and width that Trojan-source
/// tricks are made of.
fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{00ad}' | '\u{061c}' | '\u{180e}' | '\u{feff}')
        || ('\u{200b}'..='\u{200f}').contains(&c)
        || ('\u{202a}'..='\u{202e}').contains(&c)
        || ('\u{2060}'..='\u{206f}').contains(&c)
        || ('\u{fff0}'..='\u{fffb}').contains(&c)
        || ('\u{e0000}'..='\u{e0fff}').contains(&c)
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn words_of_a_site_stay_on_one_line_and_read_as_written() {
        assert_eq!(
            shown("  Example \n\t Shop ", 40).as_deref(),
            Some("Example Shop")
        );
        assert_eq!(
            shown("a\u{202e}b\u{0007}c\u{200b}", 40).as_deref(),
            Some("abc")
        );
        assert_eq!(shown("naïve café ☕", 40).as_deref(), Some("naïve café ☕"));
        assert_eq!(shown("abcdef", 3).as_deref(), Some("abc…"));
        assert_eq!(shown("\u{200b}\n", 3), None);
    }
}
