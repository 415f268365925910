//! The messages of twin-sync. Whatever is accepted is written back as it was.

/// A parser's name, and the function that feeds it.
#[allow(dead_code, reason = "for the corpus alone")]
pub type Target = (&'static str, fn(&[u8]) -> bool);

/// Every parser here.
#[allow(dead_code, reason = "for the corpus alone")]
pub const TARGETS: &[Target] = &[("sync_message", sync_message)];

/// Inputs that no golden vector holds in one piece.
#[allow(dead_code, reason = "for the corpus alone")]
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    // A question about a log of the asker's own that goes on differently at the peer, and an answer.
    let log = [&[3, 0x58, 32][..], &[1; 32]].concat();
    let ask = [&[0x82, 14, 0x81, 0xa3], &log[..], &[4, 4, 5, 0x18, 100]].concat();
    let place = [&[0x82, 5, 0x58, 32][..], &[2; 32]].concat();
    let links = [&[0x82, 15, 0x81, 0xa2], &log[..], &[4, 0x81], &place[..]].concat();
    vec![("sync_message", ask), ("sync_message", links)]
}

/// A frame of a sync session, before and after the handshake.
pub fn sync_message(bytes: &[u8]) -> bool {
    twin_sync::session::is_message(bytes)
}
