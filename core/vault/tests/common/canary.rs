//! Words that are looked for wherever they must not be, in every spelling.
#![allow(dead_code, clippy::unwrap_used, clippy::indexing_slicing)]

use std::fs;
use std::path::Path;
use std::sync::{Mutex, Once};

use data_encoding::{BASE64_NOPAD, BASE64URL_NOPAD, HEXLOWER, HEXUPPER};

/// A word, and how it is spelt.
pub type Found<'w> = (&'w str, &'static str);

/// The ways in which a word may stand in a file.
pub fn spellings(word: &str) -> Vec<(&'static str, Vec<u8>)> {
    let bytes = word.as_bytes();
    let utf16 = |order: fn(u16) -> [u8; 2]| word.encode_utf16().flat_map(order).collect();
    let mut spellings = vec![
        ("UTF-8", bytes.to_vec()),
        ("UTF-16LE", utf16(u16::to_le_bytes)),
        ("UTF-16BE", utf16(u16::to_be_bytes)),
        ("hex", HEXLOWER.encode(bytes).into_bytes()),
        ("HEX", HEXUPPER.encode(bytes).into_bytes()),
    ];
    for (name, base64) in [("base64", BASE64_NOPAD), ("base64url", BASE64URL_NOPAD)] {
        for before in 0..3 {
            // Without the characters that neighbouring bytes have a part in.
            let text = base64.encode(&[&vec![0; before], bytes].concat());
            let first = [0, 2, 3][before];
            let last = (before + bytes.len()) * 8 / 6;
            spellings.push((name, text.as_bytes()[first..last].to_vec()));
        }
    }
    spellings
}

/// Which of the words are in these bytes, and how.
pub fn search_bytes<'w>(content: &[u8], words: &[&'w str]) -> Vec<Found<'w>> {
    let mut found = Vec::new();
    for word in words {
        for (how, spelling) in spellings(word) {
            if content
                .windows(spelling.len())
                .any(|window| window == spelling)
            {
                found.push((*word, how));
            }
        }
    }
    found
}

/// Which of the words are in the names and contents of all that is in a folder, and how; and how many bytes were
/// searched.
pub fn search<'w>(dir: &Path, words: &[&'w str]) -> (Vec<Found<'w>>, usize) {
    let (mut found, mut searched) = (Vec::new(), 0);
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        found.extend(search_bytes(name.as_encoded_bytes(), words));
        if entry.file_type().unwrap().is_dir() {
            let (more, many) = search(&entry.path(), words);
            found.extend(more);
            searched += many;
        } else {
            let content = fs::read(entry.path()).unwrap();
            searched += content.len();
            found.extend(search_bytes(&content, words));
        }
    }
    (found, searched)
}

/// All that anything in this process has logged.
struct Logged(Mutex<Vec<u8>>);

static LOGGED: Logged = Logged(Mutex::new(Vec::new()));

impl log::Log for Logged {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let line = format!("{} {} {}\n", record.level(), record.target(), record.args());
        self.0.lock().unwrap().extend(line.into_bytes());
    }

    fn flush(&self) {}
}

/// Records from now on whatever is logged, down to the last trace.
pub fn record_log() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&LOGGED).unwrap();
        log::set_max_level(log::LevelFilter::Trace);
    });
    log::trace!("the log is recorded");
}

/// What was logged since then.
pub fn logged() -> Vec<u8> {
    let logged = LOGGED.0.lock().unwrap().clone();
    assert!(!logged.is_empty(), "nothing is recorded");
    logged
}
