//! The readers of what people have already, and of where devices and relays are. Whatever is accepted is read the same each
//! time.

use front_door::readers;

/// A reader's name, and the function that feeds it.
pub type Target = (&'static str, fn(&[u8]) -> bool);

/// Every reader here.
pub const TARGETS: &[Target] = &[
    ("import_cards", import_cards),
    ("import_lines", import_lines),
    ("import_list", import_list),
    ("import_records", import_records),
    ("import_table", import_table),
    ("presence", presence),
    ("relay_address", relay_address),
];

/// What people have: the golden vectors hold none of it.
#[allow(dead_code, reason = "for the corpus alone")]
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    readers::samples()
}

pub fn import_cards(bytes: &[u8]) -> bool {
    readers::cards(bytes)
}

pub fn import_lines(bytes: &[u8]) -> bool {
    readers::lines(bytes)
}

pub fn import_list(bytes: &[u8]) -> bool {
    readers::list(bytes)
}

pub fn import_records(bytes: &[u8]) -> bool {
    readers::records(bytes)
}

pub fn import_table(bytes: &[u8]) -> bool {
    readers::table(bytes)
}

pub fn presence(bytes: &[u8]) -> bool {
    readers::presence(bytes)
}

pub fn relay_address(bytes: &[u8]) -> bool {
    readers::relay_address(bytes)
}
