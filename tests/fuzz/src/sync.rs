//! The messages of twin-sync, and what is typed to link from afar. Whatever is accepted is written back as it was.

use twin_sync::link::afar::{self, Passcode};

/// A parser's name, and the function that feeds it.
#[allow(dead_code, reason = "for the corpus alone")]
pub type Target = (&'static str, fn(&[u8]) -> bool);

/// Every parser here.
#[allow(dead_code, reason = "for the corpus alone")]
pub const TARGETS: &[Target] = &[
    ("sync_message", sync_message),
    ("afar_message", afar_message),
    ("passcode", passcode),
];

/// Inputs that no golden vector holds in one piece.
#[allow(dead_code, reason = "for the corpus alone")]
pub const fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    Vec::new()
}

/// A frame of a sync session, before and after the handshake.
pub fn sync_message(bytes: &[u8]) -> bool {
    twin_sync::session::is_message(bytes)
}

/// A frame of a link from afar, until the passcode is proved.
pub fn afar_message(bytes: &[u8]) -> bool {
    afar::is_message(bytes)
}

/// A passcode, as it was typed.
pub fn passcode(bytes: &[u8]) -> bool {
    let Ok(typed) = std::str::from_utf8(bytes) else {
        return false;
    };
    let Ok(passcode) = Passcode::parse(typed) else {
        return false;
    };
    let shown = passcode.to_string();
    let again = Passcode::parse(&shown).map(|again| again.to_string());
    assert_eq!(again.as_deref(), Ok(shown.as_str()));
    true
}
