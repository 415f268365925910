//! Sync sessions between two vaults.

use twin_sync::TransportKey;
use twin_sync::machine::Machine;
use twin_sync::session::{Session, Side, Stay, SyncEvent};
use twin_vault::Vault;

use crate::common::rng;

/// Two sessions that stay open.
pub struct Talk {
    pub sessions: [Session<Vault>; 2],
    /// How many bytes they have sent each other.
    pub bytes: usize,
    /// The number of each message, and how many bytes it had.
    pub frames: Vec<(u8, usize)>,
    now: u64,
}

impl Talk {
    pub fn new(now: u64) -> Self {
        let keys = [[1; 32], [2; 32]].map(TransportKey::from_bytes);
        let begin = |side, me: usize| {
            let rng = &mut rng(now + me as u64);
            Session::<Vault>::new(side, keys[me], keys[1 - me], Stay::Online, now, rng)
        };
        let sessions = [begin(Side::Initiator, 0), begin(Side::Responder, 1)];
        Self {
            sessions,
            bytes: 0,
            frames: Vec::new(),
            now,
        }
    }

    /// Lets them talk until neither has anything more to say, or so many frames have passed.
    pub fn go_on(&mut self, one: &mut Vault, two: &mut Vault, frames: usize) {
        let now = self.now;
        for vault in [&mut *one, &mut *two] {
            vault.merge_due(now).unwrap();
        }
        let vaults = [one, two];
        let mut passed = 0;
        loop {
            let mut quiet = true;
            for from in [0, 1] {
                while passed < frames
                    && let Some(frame) = self.sessions[from].next_frame(now, vaults[from]).unwrap()
                {
                    quiet = false;
                    passed += 1;
                    self.bytes += frame.len();
                    self.frames.push((frame[1], frame.len()));
                    self.sessions[1 - from]
                        .receive(now, &frame, vaults[1 - from])
                        .unwrap();
                }
            }
            if quiet {
                return;
            }
        }
    }

    /// What each was told.
    pub fn events(self) -> [Vec<SyncEvent>; 2] {
        self.sessions
            .map(|mut session| std::iter::from_fn(|| session.next_event()).collect())
    }
}

/// Lets two vaults talk until neither has anything more to say. Returns what each was told.
pub fn sync(one: &mut Vault, two: &mut Vault, now: u64) -> [Vec<SyncEvent>; 2] {
    sync_counted(one, two, now).0
}

/// The same, and how many bytes they have sent each other.
pub fn sync_counted(one: &mut Vault, two: &mut Vault, now: u64) -> ([Vec<SyncEvent>; 2], usize) {
    let mut talk = Talk::new(now);
    talk.go_on(one, two, usize::MAX);
    let bytes = talk.bytes;
    (talk.events(), bytes)
}
