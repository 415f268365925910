//! The messages of twin-sync. Whatever is accepted is written back as it was.

/// A parser's name, and the function that feeds it.
#[allow(dead_code, reason = "for the corpus alone")]
pub type Target = (&'static str, fn(&[u8]) -> bool);

/// Every parser here.
#[allow(dead_code, reason = "for the corpus alone")]
pub const TARGETS: &[Target] = &[("sync_message", sync_message)];

/// Inputs that no golden vector holds in one piece.
#[allow(dead_code, reason = "for the corpus alone")]
pub const fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    Vec::new()
}

/// A frame of a sync session, before and after the handshake.
pub fn sync_message(bytes: &[u8]) -> bool {
    twin_sync::session::is_message(bytes)
}
