//! The messages of twin-sync. Whatever is accepted is written back as it was.

use twin_sync::bundle::frames::{Frames, Gathering, Seen};
use twin_sync::bundle::{is_bundle, is_content};

/// A parser's name, and the function that feeds it.
#[allow(dead_code, reason = "for the corpus alone")]
pub type Target = (&'static str, fn(&[u8]) -> bool);

/// Every parser here.
#[allow(dead_code, reason = "for the corpus alone")]
pub const TARGETS: &[Target] = &[
    ("bundle", bundle),
    ("bundle_content", bundle_content),
    ("bundle_frames", bundle_frames),
    ("sync_message", sync_message),
];

/// Inputs that no golden vector holds in one piece.
#[allow(dead_code, reason = "for the corpus alone")]
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let small = Frames::new(b"a bundle of a few bytes");
    let large = Frames::new(&[7; 5000]);
    // All source symbols but one, then others.
    let texts = |frames: &Frames, from| -> Vec<String> {
        (from..from + frames.least())
            .map(|number| frames.text(number))
            .collect()
    };
    let gathered = [
        small.map(|frames| texts(&frames, 0)),
        large.map(|frames| texts(&frames, 1)),
    ];
    let seeds = gathered.into_iter().flatten();
    seeds
        .map(|texts| ("bundle_frames", texts.join("\n").into_bytes()))
        .collect()
}

/// A frame of a sync session, before and after the handshake.
pub fn sync_message(bytes: &[u8]) -> bool {
    twin_sync::session::is_message(bytes)
}

/// A bundle from outside.
pub fn bundle(bytes: &[u8]) -> bool {
    is_bundle(bytes)
}

/// What is in a piece of a bundle.
pub fn bundle_content(bytes: &[u8]) -> bool {
    is_content(bytes)
}

/// Pictures of a bundle, one a line. What comes whole is what its frames were made of.
pub fn bundle_frames(bytes: &[u8]) -> bool {
    let mut gathering = Gathering::default();
    let text = String::from_utf8_lossy(bytes);
    let mut whole = false;
    for line in text.lines().take(256) {
        match gathering.take(line) {
            Seen::Whole(object) => {
                let again = Frames::new(&object);
                // Whoever shows it shows the same frames again, but for what was made up.
                whole |= again.is_ok_and(|frames| frames.least() > 0);
            }
            Seen::Some { have, need } => assert!(have <= need + 64, "it keeps too many"),
            Seen::Foreign | Seen::Newer => {}
        }
    }
    whole
}
