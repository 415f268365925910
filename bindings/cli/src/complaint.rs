//! The line in which a command says why it failed.

use std::borrow::Cow;
use std::io::{self, Write};

/// The most characters of an error: more than any has that does not repeat what was typed.
const MAX_ERROR: usize = 600;

/// Prints one line of error. Where that cannot be shown either, there is nobody left to tell.
pub fn complain(sentence: &str) {
    let _ = writeln!(io::stderr(), "twin: {}", cut(sentence));
}

/// An error as it is, but for one that repeats something long that was typed: its beginning says what it is about, its
/// end what is wrong with it.
fn cut(sentence: &str) -> Cow<'_, str> {
    let count = sentence.chars().count();
    if count <= MAX_ERROR {
        return sentence.into();
    }
    let left_out = count - MAX_ERROR;
    let start: String = sentence.chars().take(MAX_ERROR / 2).collect();
    let end: String = sentence.chars().skip(MAX_ERROR / 2 + left_out).collect();
    format!("{start}… ({left_out} characters left out) …{end}").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_error_keeps_its_beginning_and_its_end() {
        assert_eq!(cut("short"), "short");
        let just = "ä".repeat(MAX_ERROR);
        assert_eq!(cut(&just), just);
        let long = format!("“{}” is wrong", "ä".repeat(1 << 20));
        let said = cut(&long);
        assert!(said.starts_with("“ää") && said.ends_with("ää” is wrong"));
        assert!(said.contains(" characters left out") && said.chars().count() < MAX_ERROR + 50);
    }
}
