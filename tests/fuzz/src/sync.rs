//! The messages of twin-sync, and what is scanned or typed to link. Whatever is accepted is written back as it was.

use twin_sync::link::afar::{self, Passcode};
use twin_sync::link::offer::Offer;

use twin_sync::bundle::frames::{Frames, Gathering, Seen};
use twin_sync::bundle::{is_bundle, is_content};

/// A parser's name, and the function that feeds it.
#[allow(dead_code, reason = "for the corpus alone")]
pub type Target = (&'static str, fn(&[u8]) -> bool);

/// Every parser here.
#[allow(dead_code, reason = "for the corpus alone")]
pub const TARGETS: &[Target] = &[
    ("afar_message", afar_message),
    ("bundle", bundle),
    ("bundle_content", bundle_content),
    ("bundle_frames", bundle_frames),
    ("link_message", link_message),
    ("link_offer", link_offer),
    ("mailbox_message", mailbox_message),
    ("mailbox_page", mailbox_page),
    ("passcode", passcode),
    ("sync_message", sync_message),
];

/// Inputs that no golden vector holds in one piece.
#[allow(dead_code, reason = "for the corpus alone")]
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    // A question about a log of the asker's own that goes on differently at the peer, and an answer; a name, and an answer;
    // tables in whole; a space that is not kept.
    let log = [&[3, 0x58, 32][..], &[1; 32]].concat();
    let place = [&[0x82, 5, 0x58, 32][..], &[2; 32]].concat();
    let named = |number: u8| [&[0x82, number, 0x81, 0x58, 136][..], &[number; 136]].concat();
    let messages = [
        [&[0x82, 14, 0x81, 0xa3], &log[..], &[4, 4, 5, 0x18, 100]].concat(),
        [&[0x82, 15, 0x81, 0xa2], &log[..], &[4, 0x81], &place[..]].concat(),
        named(16),
        named(17),
        [&[0x82, 3, 0x81, 0x81, 0x58, 32][..], &[4; 32]].concat(),
        [
            &[0x82, 4, 0x81, 0xa2, 3, 0x81, 0x58, 32][..],
            &[5; 32],
            &[4, 0x81, 0x83, 0x58, 32],
            &[1; 32],
            &[0x19, 1, 0, 0x58, 32],
            &[2; 32],
        ]
        .concat(),
        [&[0x82, 22, 0x81, 0x81, 0x58, 32][..], &[6; 32]].concat(),
    ];
    // A page of a mailbox's memory: of a day, with a post that is shown, one that was put by this device, and a presence.
    let known = |state: u8| {
        let id = [vec![0xa3, 0, 0x58, 32], vec![state + 1; 32]].concat();
        [id, vec![1, 0x19, 0x4e, 0x20, 2, state]].concat()
    };
    let posts = [vec![0xa2, 1], known(0), vec![2], known(2)].concat();
    let presences = [vec![0xa1, 0x50], vec![3; 16], vec![0x19, 0x4e, 0x21]].concat();
    let page = [
        vec![0xa9, 0, 1, 3, 0x19, 0x4e, 0x20, 4, 2, 5, 2, 6],
        posts,
        vec![7, 0x80, 8],
        presences,
        vec![9, 0],
        // One post of which it is known which ops are in it.
        vec![10, 0xa1, 1, 0xa2, 0, 0x81, 0x83, 7, 1, 3, 1, 0],
    ];
    let page = ("mailbox_page", page.concat());
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
        .chain([page])
        .chain(messages.map(|message| ("sync_message", message)))
        .collect()
}

/// A frame between a device and a relay.
pub fn mailbox_message(bytes: &[u8]) -> bool {
    twin_sync::mailbox::is_message(bytes)
}

/// What a device has kept of a relay's mailbox. What is accepted is written back as it was.
pub fn mailbox_page(bytes: &[u8]) -> bool {
    let address = twin_sync::mailbox::Address::from_bytes([1; 32]);
    let mut memory = twin_sync::mailbox::Memory::default();
    let accepted = memory.load(address, bytes).is_ok();
    let kept = memory.page(&address);
    assert_eq!(kept.as_deref(), accepted.then_some(bytes));
    accepted
}

/// A frame of a sync session, before and after the handshake.
pub fn sync_message(bytes: &[u8]) -> bool {
    twin_sync::session::is_message(bytes)
}

/// A frame of a link by QR code.
pub fn link_message(bytes: &[u8]) -> bool {
    twin_sync::link::is_message(bytes)
}

/// The text of a QR code by which a device is linked.
pub fn link_offer(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return false;
    };
    let Ok(offer) = Offer::parse(text) else {
        return false;
    };
    assert_eq!(offer.to_text(), text.trim().to_ascii_uppercase());
    true
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
