//! Keys that are the same in every run: making them, and signing with ML-DSA, is most of the work, and nothing depends
//! on which they are.

use std::sync::OnceLock;

use twin_identity::authority::{AuthorityHash, AuthorityKey, AuthorityPublic};
use twin_identity::body::Rotate;
use twin_identity::device::{DeviceKeys, Role};
use twin_identity::entry::{Entry, Genesis, Place};
use twin_identity::seal::SealingPublic;
use twin_identity::secret::Secret;
use twin_identity::words::RecoverySecret;

/// How many devices a run can have.
pub const DEVICES: usize = 160;
/// The thief's own devices begin here.
pub const THIEFS: usize = 40;
/// Sets of words: twins are born with one of the first few; the owner's new ones follow; then the thief's and the
/// guardians'.
pub const WORDS: usize = 24;
/// How many twins there are to choose from.
pub const BIRTHS: usize = 4;
/// The thief's own words begin here.
pub const THIEFS_WORDS: usize = 20;
/// What the guardians can rebuild.
pub const GUARDIANS: usize = 23;
/// Authority keys of each set of words.
pub const KEYS: usize = 10;

/// One authority key.
pub struct Authority {
    pub key: AuthorityKey,
    pub public: AuthorityPublic,
    pub hash: AuthorityHash,
}

fn words(number: usize) -> RecoverySecret {
    RecoverySecret::from_bytes([u8::try_from(number).unwrap() + 1; 32])
}

/// The keys of a device.
pub fn device(number: usize) -> &'static DeviceKeys {
    static MADE: [OnceLock<DeviceKeys>; DEVICES] = [const { OnceLock::new() }; DEVICES];
    MADE[number].get_or_init(|| {
        let secret = Secret::new([u8::try_from(number).unwrap() + 1; 64]);
        DeviceKeys::from_secret(&secret).unwrap()
    })
}

/// Authority key `index` of a set of words.
pub fn authority(number: usize, index: usize) -> &'static Authority {
    static MADE: [[OnceLock<Authority>; KEYS]; WORDS] =
        [const { [const { OnceLock::new() }; KEYS] }; WORDS];
    MADE[number][index].get_or_init(|| {
        let key = words(number).authority(u32::try_from(index).unwrap());
        let public = key.public();
        let hash = public.hash();
        Authority { key, public, hash }
    })
}

/// The key among these words whose hash is `committed`, with the number of the words and its own.
pub fn key_to(committed: &AuthorityHash, words: &[usize]) -> Option<(usize, usize)> {
    words.iter().find_map(|words| {
        let index = (0..KEYS).find(|index| authority(*words, *index).hash == *committed)?;
        Some((*words, index))
    })
}

/// The recovery sealing key of a set of words.
pub fn sealing(number: usize) -> SealingPublic {
    static MADE: [OnceLock<SealingPublic>; WORDS] = [const { OnceLock::new() }; WORDS];
    let made = MADE[number].get_or_init(|| words(number).sealing().public().unwrap());
    made.clone()
}

/// The genesis of one of the twins and its entry 1, which names device 0.
pub fn birth(number: usize) -> &'static (Genesis, Entry) {
    static MADE: [OnceLock<(Genesis, Entry)>; BIRTHS] = [const { OnceLock::new() }; BIRTHS];
    MADE[number].get_or_init(|| {
        let first = authority(number, 0);
        let genesis = Genesis::new(first.hash);
        let twin = genesis.twin_id();
        let rotate = Rotate {
            authority: first.public.clone(),
            next: authority(number, 1).hash,
            recovery: sealing(number),
            generation: 0,
            devices: vec![device(0).statement(&twin, Role::Admin)],
            keeps: Vec::new(),
            guardians: None,
            removals: Vec::new(),
            roots: None,
        };
        let place = Place {
            prevs: vec![genesis.entry_id()],
            seq: 1,
            base: genesis.entry_id(),
        };
        let entry = Entry::by_authority(&twin, place, rotate, &first.key).unwrap();
        (genesis, entry)
    })
}
