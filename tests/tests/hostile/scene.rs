//! A phone, a laptop that does as it should, and a tablet that is linked and does not.

use std::sync::{Mutex, MutexGuard, PoisonError};

use peak_alloc::PeakAlloc;
use tempfile::TempDir;
use twin_identity::device::Role;
use twin_ops::store::OpStore;
use twin_sync::TransportKey;
use twin_sync::machine::Machine;
use twin_sync::session::{Session, Side, Stay, SyncError, SyncEvent};
use twin_vault::Vault;

use crate::common::*;
use crate::twins::*;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;
static ALONE: Mutex<()> = Mutex::new(());

pub const KEYS: [TransportKey; 2] = [
    TransportKey::from_bytes([1; 32]),
    TransportKey::from_bytes([2; 32]),
];

/// Everybody, all in sync.
pub struct Scene {
    _alone: MutexGuard<'static, ()>,
    _dirs: Vec<TempDir>,
    pub phone: Vault,
    pub laptop: Vault,
    pub tablet: Vault,
    now: u64,
}

/// What everybody has of a vault, and its own records.
#[derive(Debug, PartialEq)]
pub struct Held(Vec<String>);

pub fn held(vault: &mut Vault) -> Held {
    let digest = format!("{:?}", vault.identity().digest());
    let grants = format!("{:?}", vault.grants().unwrap());
    let heads = format!("{:?}", vault.heads().unwrap());
    Held(vec![digest, grants, heads, format!("{:?}", ids(vault))])
}

/// A session of the phone with the tablet, right after both have proved who they are. The tablet's own software says no
/// more.
pub struct Opened {
    pub session: Session<Vault>,
    now: u64,
}

impl Scene {
    pub fn new() -> Self {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let (dirs, mut phone, [mut laptop, mut tablet]) = family([Role::Member, Role::Member]);
        put(&mut laptop, NOON, "notes", "1", &[("x", "1")]);
        put(&mut tablet, NOON, "notes", "2", &[("x", "2")]);
        meet(&mut [&mut phone, &mut laptop, &mut tablet], NOON);
        Self {
            _alone: alone,
            _dirs: dirs,
            phone,
            laptop,
            tablet,
            now: NOON,
        }
    }

    /// The tablet has dialled the phone, which has taken it for what it is.
    pub fn opened(&mut self) -> Opened {
        self.now += 1000;
        let now = self.now;
        let mut sessions = sessions(now);
        while sessions[1].device().is_none() || sessions[0].device().is_none() {
            let mut quiet = true;
            for from in [0, 1] {
                let vaults = [&mut self.tablet, &mut self.phone];
                let Some(frame) = sessions[from].next_frame(now, vaults[from]).unwrap() else {
                    continue;
                };
                quiet = false;
                let vaults = [&mut self.tablet, &mut self.phone];
                sessions[1 - from]
                    .receive(now, &frame, vaults[1 - from])
                    .unwrap();
            }
            assert!(!quiet, "they do not meet");
        }
        let [_, mut session] = sessions;
        while session.next_frame(now, &mut self.phone).unwrap().is_some() {}
        Opened { session, now }
    }

    /// A note of the laptop's reaches the phone, and what is on the phone the laptop: both are equal then.
    pub fn others_sync(&mut self) {
        self.now += 1000;
        let now = self.now;
        let note = format!("note {now}");
        put(&mut self.laptop, now, "notes", &note, &[("x", "y")]);
        let mut sessions = sessions(now);
        let mut events = [Vec::new(), Vec::new()];
        for round in 0.. {
            assert!(round < 8, "there is no end of it");
            let mut vaults = [&mut self.laptop, &mut self.phone];
            loop {
                let mut quiet = true;
                for from in [0, 1] {
                    while let Some(frame) = sessions[from].next_frame(now, vaults[from]).unwrap() {
                        quiet = false;
                        sessions[1 - from]
                            .receive(now, &frame, vaults[1 - from])
                            .unwrap();
                    }
                }
                if quiet {
                    break;
                }
            }
            for (events, session) in events.iter_mut().zip(&mut sessions) {
                events.extend(std::iter::from_fn(|| session.next_event()));
            }
            let mut busy = false;
            for vault in &mut vaults {
                busy |= vault.tend(now, &mut rng(now + round)).unwrap();
            }
            if !busy {
                break;
            }
            for (session, vault) in sessions.iter_mut().zip(vaults) {
                session.store_changed(vault).unwrap();
            }
        }
        for events in events {
            assert_eq!(events.last(), Some(&SyncEvent::InSync), "{events:?}");
        }
        assert!(ids(&mut self.phone).contains(&note));
        assert_eq!(held(&mut self.phone), held(&mut self.laptop));
        let report = self.phone.check().unwrap();
        assert!(report.is_whole(), "{report:?}");
    }
}

fn sessions(now: u64) -> [Session<Vault>; 2] {
    let begin = |side, me: usize| {
        let rng = &mut rng(now + me as u64);
        Session::<Vault>::new(side, KEYS[me], KEYS[1 - me], Stay::Online, now, rng)
    };
    [begin(Side::Initiator, 0), begin(Side::Responder, 1)]
}

impl Opened {
    /// The tablet says this. Returns what the phone makes of it.
    pub fn say(&mut self, phone: &mut Vault, frame: &[u8]) -> Result<(), SyncError> {
        self.session.receive(self.now, frame, phone)
    }

    /// What the phone says now, all of it: the tablet reads everything.
    pub fn hear(&mut self, phone: &mut Vault) -> Vec<Vec<u8>> {
        let said = std::iter::from_fn(|| self.session.next_frame(self.now, phone).unwrap());
        said.take(10_000).collect()
    }

    /// What the phone's app was told.
    pub fn events(&mut self) -> Vec<SyncEvent> {
        std::iter::from_fn(|| self.session.next_event()).collect()
    }
}

/// How many bytes more than before a deed takes in memory at most, and how many of them stay.
pub fn heap<T>(deed: impl FnOnce() -> T) -> (T, usize, usize) {
    HEAP.reset_peak_usage();
    let before = HEAP.current_usage();
    let done = deed();
    let peak = HEAP.peak_usage().saturating_sub(before);
    (done, peak, HEAP.current_usage().saturating_sub(before))
}
