//! What the tests of the identity log share. Entries are encoded here by hand, so that a test can also make those
//! that the library would never make.

#![allow(dead_code, reason = "each test takes what it needs")]

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use chacha20_rng::ChaCha20Rng;
use chacha20_rng::rand_core::SeedableRng;
use minicbor::Encoder;
use twin_identity::birth::Birth;
use twin_identity::body::{Body, Guardians, Kept, Line, Removal, Rotate};
use twin_identity::context;
use twin_identity::device::{DEVICE_KEYS_LEN, DeviceKeys, Role};
use twin_identity::entry::{Entry, Place};
use twin_identity::id::{DeviceId, EntryId, TwinId};
use twin_identity::log::{IdentityLog, LogError};
use twin_identity::secret::Secret;
use twin_identity::sign::Use;
use twin_identity::words::RecoverySecret;

pub const ROTATE: u8 = 1;
pub const ADD_DEVICE: u8 = 2;
pub const RAISE: u8 = 8;

/// The same keys for the same number.
pub fn device(number: u8) -> DeviceKeys {
    DeviceKeys::from_secret(&Secret::new([number; 64])).unwrap()
}

/// The same words for the same number.
pub fn words(number: u8) -> RecoverySecret {
    RecoverySecret::from_bytes([number; 32])
}

/// A twin with one device, `phone`.
pub struct Twin {
    pub recovery: RecoverySecret,
    pub phone: DeviceKeys,
    pub log: IdentityLog,
}

/// The same twin for the same seed. It is born once for all tests of a program: that takes longer than most of them.
pub fn twin(seed: u8) -> Twin {
    static BORN: Mutex<BTreeMap<u8, (IdentityLog, Secret<DEVICE_KEYS_LEN>)>> =
        Mutex::new(BTreeMap::new());
    let mut born = BORN.lock().unwrap_or_else(PoisonError::into_inner);
    let (log, phone) = born.entry(seed).or_insert_with(|| {
        let rng = &mut ChaCha20Rng::from_seed([seed; 32]);
        let birth = Birth::new(&words(seed), rng).unwrap();
        let mut log = IdentityLog::new(birth.genesis);
        log.insert(birth.entry).unwrap();
        (log, birth.device.to_secret())
    });
    Twin {
        recovery: words(seed),
        phone: DeviceKeys::from_secret(phone).unwrap(),
        log: log.clone(),
    }
}

impl Twin {
    pub fn id(&self) -> TwinId {
        *self.log.twin()
    }

    /// The entry by which `signer` adds `new` after all heads.
    pub fn adds(&self, signer: &DeviceKeys, new: &DeviceKeys, role: Role) -> Entry {
        let body = self.add_device(new, role);
        self.log.sign(&body, signer).unwrap()
    }

    pub fn add_device(&self, new: &DeviceKeys, role: Role) -> Body {
        Body::AddDevice(Box::new(new.statement(&self.id(), role)))
    }

    /// The phone adds a device to the log.
    pub fn add(&mut self, new: &DeviceKeys, role: Role) -> EntryId {
        let entry = self.adds(&self.phone, new, role);
        take(&mut self.log, entry).unwrap()
    }

    /// Somebody says something after all heads.
    pub fn says(&mut self, signer: &DeviceKeys, body: &Body) -> Result<EntryId, LogError> {
        let heads = self.log.heads();
        self.after(&heads, signer, body)
    }

    /// Somebody says something, and knows only of `prevs`.
    pub fn after(
        &mut self,
        prevs: &[EntryId],
        signer: &DeviceKeys,
        body: &Body,
    ) -> Result<EntryId, LogError> {
        let place = place(&self.log, prevs, self.log.rotation().unwrap().id);
        let entry = Entry::by_device(&self.id(), place, body, signer).unwrap();
        take(&mut self.log, entry)
    }

    /// A rotation after all heads, signed.
    pub fn rotates(
        &mut self,
        rotate: Rotate,
        words: &RecoverySecret,
        index: u32,
    ) -> Result<EntryId, LogError> {
        let entry = self.log.rotate(rotate, &words.authority(index)).unwrap();
        take(&mut self.log, entry)
    }

    /// A rotation that reveals key `index` of the twin's first words, commits to key `index + 1` of `next`, and keeps
    /// everybody who is in.
    pub fn rotation(&self, index: u32, next: &RecoverySecret) -> Rotate {
        let devices = self.log.devices().values();
        let keeps = devices.map(|device| Kept {
            device: device.public.id,
            role: device.role,
            suspended: device.suspended,
        });
        Rotate {
            authority: self.recovery.authority(index).public(),
            next: next.authority(index + 1).public().hash(),
            recovery: next.sealing().public().unwrap(),
            generation: self.log.generation(),
            devices: Vec::new(),
            keeps: keeps.collect(),
            guardians: None,
            removals: Vec::new(),
            roots: None,
        }
    }

    /// A rotation by key `index` of the words 1 names guardians who wait three days; the words 7 stand for their key.
    pub fn names_guardians(&mut self, index: u32) {
        let rotate = Rotate {
            guardians: Some(Guardians {
                authority: words(7).authority(0).public().hash(),
                delay_days: 3,
                sealing: None,
            }),
            ..self.rotation(index, &words(1))
        };
        self.rotates(rotate, &words(1), index).unwrap();
    }

    /// The devices that are in, each with its role and whether it is suspended.
    pub fn roles(&self) -> Vec<(DeviceId, Role, bool)> {
        let devices = self.log.devices().values();
        devices
            .map(|device| (device.public.id, device.role, device.suspended))
            .collect()
    }

    pub fn has(&self, keys: &DeviceKeys) -> bool {
        self.log.device(&keys.id()).is_some()
    }

    pub fn is_gone(&self, keys: &DeviceKeys) -> bool {
        self.log.gone().any(|gone| *gone == keys.id())
    }

    pub fn is_suspended(&self, keys: &DeviceKeys) -> bool {
        let device = self.log.device(&keys.id());
        device.is_some_and(|device| device.suspended)
    }

    pub fn is_waiting(&self, keys: &DeviceKeys) -> bool {
        self.log
            .waiting()
            .any(|device| device.public.id == keys.id())
    }

    /// An entry of the phone's after all heads, to be altered.
    pub fn raw(&self, kind: u8, body: Vec<u8>) -> RawEntry {
        let place = self.log.place();
        RawEntry {
            version: 1,
            suite: 1,
            kind,
            prevs: place.prevs,
            seq: place.seq,
            body,
            signer: Some(self.phone.id()),
            base: place.base,
        }
    }
}

/// Inserts, and shows that what is refused leaves no trace.
pub fn take(log: &mut IdentityLog, entry: Entry) -> Result<EntryId, LogError> {
    let (id, before) = (entry.id, log.clone());
    match log.insert(entry) {
        Ok(new) => {
            assert!(new, "an entry that was there already");
            Ok(id)
        }
        Err(error) => {
            assert_eq!(state(log), state(&before));
            Err(error)
        }
    }
}

/// A place after these entries.
pub fn place(log: &IdentityLog, prevs: &[EntryId], base: EntryId) -> Place {
    let mut prevs = prevs.to_vec();
    prevs.sort();
    let seqs = prevs.iter().filter_map(|prev| log.entries().get(prev));
    let seq = seqs.map(|entry| entry.place.seq).max().unwrap_or(0) + 1;
    Place { prevs, seq, base }
}

/// All that a log says, to be compared.
pub fn state(log: &IdentityLog) -> String {
    let devices: Vec<_> = log.devices().values().collect();
    let waiting: Vec<_> = log.waiting().collect();
    let gone: Vec<_> = log.gone().map(|id| (id, log.role_once(id))).collect();
    let path: Vec<_> = log.path().map(|entry| entry.id).collect();
    let place = log.place();
    let (pending, contested) = (log.pending(), log.is_contested());
    let (digest, bytes, update) = (log.digest(), log.to_bytes(), log.needs_update());
    let (next, generation) = (log.next_authority(), log.generation());
    let bytes = context::OP.hash([bytes.as_slice()]);
    format!(
        "{devices:?} {waiting:?} {gone:?} {path:?} {place:?} {pending:?} {contested} {digest:?} {bytes:?} {update} \
        {next:?} {generation} {}",
        log.height()
    )
}

pub fn removal(device: &DeviceKeys) -> Box<Removal> {
    up_to(device, &[])
}

/// A removal after which so much of each log still counts.
pub fn up_to(device: &DeviceKeys, heights: &[(u8, u64)]) -> Box<Removal> {
    let lines = heights.iter().map(|(log, height)| line(*log, *height, 0));
    Box::new(Removal {
        device: device.id(),
        lines: lines.collect(),
    })
}

pub fn line(log: u8, height: u64, head: u8) -> Line {
    Line {
        log: [log; 32],
        height,
        head: [head; 32],
    }
}

/// An unsigned entry, field by field.
#[derive(Clone)]
pub struct RawEntry {
    pub version: u8,
    pub suite: u8,
    pub kind: u8,
    pub prevs: Vec<EntryId>,
    pub seq: u64,
    pub body: Vec<u8>,
    pub signer: Option<DeviceId>,
    pub base: EntryId,
}

impl RawEntry {
    pub fn unsigned(&self) -> Vec<u8> {
        let mut e = Encoder::new(Vec::new());
        e.map(7 + u64::from(self.signer.is_some())).unwrap();
        e.u8(0).unwrap().u8(self.version).unwrap();
        e.u8(1).unwrap().u8(self.suite).unwrap();
        e.u8(2).unwrap().u8(self.kind).unwrap();
        e.u8(3).unwrap().array(self.prevs.len() as u64).unwrap();
        for prev in &self.prevs {
            e.bytes(prev.as_bytes()).unwrap();
        }
        e.u8(4).unwrap().u64(self.seq).unwrap();
        e.u8(5).unwrap().bytes(&self.body).unwrap();
        if let Some(signer) = &self.signer {
            e.u8(6).unwrap().bytes(signer.as_bytes()).unwrap();
        }
        e.u8(7).unwrap().bytes(self.base.as_bytes()).unwrap();
        e.into_writer()
    }

    pub fn id(&self) -> [u8; 32] {
        context::ENTRY.hash([self.unsigned().as_slice()])
    }

    pub fn with_signature(&self, signature: &[u8]) -> Vec<u8> {
        let mut e = Encoder::new(Vec::new());
        e.array(2).unwrap();
        e.bytes(&self.unsigned()).unwrap();
        e.bytes(signature).unwrap();
        e.into_writer()
    }

    pub fn signed(&self, twin: &TwinId, keys: &DeviceKeys) -> Vec<u8> {
        self.with_signature(&keys.sign(Use::Entry, twin, &self.id()))
    }

    pub fn signed_by_authority(&self, twin: &Twin, index: u32) -> Vec<u8> {
        let signature = twin
            .recovery
            .authority(index)
            .sign_entry(&twin.id(), &self.id());
        self.with_signature(&signature)
    }
}
