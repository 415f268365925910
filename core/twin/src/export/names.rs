//! Names of files outside the vault. What a record calls a file may come from anybody who could write to the space: it
//! must lead nowhere, be a plain name on every system, and not look like another.

/// The most bytes of a name, so that a number still fits: file systems allow 255.
const MAX_NAME: usize = 200;
/// The longest end of a name that is kept when it is cut.
const MAX_END: usize = 16;
/// What Windows takes for a device, with any end.
const DEVICES: [&str; 4] = ["con", "prn", "aux", "nul"];
const PORTS: [&str; 2] = ["com", "lpt"];

/// A name made safe: `number` tells apart what has the same one.
pub(super) fn safe(name: &str, number: u32) -> String {
    let plain: String = name.chars().map(plain).collect();
    // Not "..", nor hidden, nor what Windows would cut off.
    let plain = plain.trim_matches([' ', '.']);
    let (stem, end) = match plain.rsplit_once('.') {
        Some((stem, end)) if end.len() <= MAX_END => (stem, format!(".{end}")),
        _ => (plain, String::new()),
    };
    let cut = stem.floor_char_boundary(MAX_NAME);
    let stem = stem.get(..cut).unwrap_or_default();
    let mut stem = match end.as_str() {
        // Being cut may have bared another.
        "" => stem.trim_end_matches([' ', '.']),
        _ => stem,
    }
    .to_owned();
    if stem.is_empty() || is_device(&stem) {
        stem.insert_str(0, "file");
    }
    match number {
        1 => format!("{stem}{end}"),
        number => format!("{stem} ({number}){end}"),
    }
}

fn plain(c: char) -> char {
    let forbidden = matches!(c, '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|');
    // Marks that turn text around, that nobody sees, or that end a line.
    let unseen = matches!(
        c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff0}'..='\u{ffff}' | '\u{e0000}'..='\u{e007f}'
    );
    if forbidden || unseen || c.is_control() {
        '_'
    } else {
        c
    }
}

fn is_device(stem: &str) -> bool {
    // Up to the first dot: "con.tar.gz" is one, too.
    let first = stem.split('.').next().unwrap_or_default().trim_end();
    let first = first.to_lowercase();
    let port = PORTS.iter().any(|port| {
        let number = first.strip_prefix(port);
        number.is_some_and(|number| number.chars().count() == 1 && number != "0")
    });
    port || DEVICES.contains(&first.as_str())
}

#[cfg(test)]
mod tests {
    use std::path::{Component, Path};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_lead_nowhere() {
        for (name, becomes) in [
            ("photo.jpg", "photo.jpg"),
            ("Grüße 東京.txt", "Grüße 東京.txt"),
            ("../../etc/passwd", "_.._etc_passwd"),
            ("..", "file"),
            ("", "file"),
            (" . ", "file"),
            (".bashrc", "bashrc"),
            ("a/b\\c:d", "a_b_c_d"),
            ("line\nbreak\u{0}", "line_break_"),
            ("gpj.\u{202e}exe", "gpj._exe"),
            ("CON", "fileCON"),
            ("nul.txt", "filenul.txt"),
            ("com1.tar.gz", "filecom1.tar.gz"),
            ("com10.txt", "com10.txt"),
            ("console.txt", "console.txt"),
            ("dots...", "dots"),
        ] {
            assert_eq!(safe(name, 1), becomes, "{name:?}");
        }
        let cut = format!("{}.{}", "x".repeat(199), "y".repeat(50));
        assert_eq!(safe(&cut, 1), "x".repeat(199));
        assert_eq!(safe("photo.jpg", 2), "photo (2).jpg");
        assert_eq!(safe("nul", 3), "filenul (3)");
    }

    proptest! {
        #[test]
        fn any_name_is_one_plain_name(name: String, number in 1u32..100_000) {
            let safe = safe(&name, number);
            prop_assert!((1..=250).contains(&safe.len()));
            let mut parts = Path::new(&safe).components();
            prop_assert!(matches!(parts.next(), Some(Component::Normal(_))));
            prop_assert_eq!(parts.next(), None);
            prop_assert!(!safe.contains(['\\', ':', '\0', '\n']));
            prop_assert!(!safe.starts_with('.') && !safe.ends_with(['.', ' ']));
        }
    }
}
