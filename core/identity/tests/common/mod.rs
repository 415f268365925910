//! What the tests of the identity log share. Entries are encoded here by hand, so that a test can also make those
//! that the library would never make.

#![allow(dead_code, reason = "each test takes what it needs")]

use chacha20_rng::ChaCha20Rng;
use chacha20_rng::rand_core::SeedableRng;
use minicbor::Encoder;
use twin_identity::birth::Birth;
use twin_identity::context;
use twin_identity::device::{DeviceKeys, Role};
use twin_identity::entry::Entry;
use twin_identity::id::{DeviceId, EntryId, TwinId};
use twin_identity::log::IdentityLog;
use twin_identity::secret::Secret;
use twin_identity::sign::Use;
use twin_identity::words::RecoverySecret;

pub const ROTATE: u8 = 1;
pub const ADD_DEVICE: u8 = 2;

/// The same keys for the same number.
pub fn device(number: u8) -> DeviceKeys {
    DeviceKeys::from_secret(&Secret::new([number; 64])).unwrap()
}

/// A twin with one device, `phone`.
pub struct Twin {
    pub recovery: RecoverySecret,
    pub phone: DeviceKeys,
    pub log: IdentityLog,
}

pub fn twin(seed: u8) -> Twin {
    let recovery = RecoverySecret::from_bytes([seed; 32]);
    let birth = Birth::new(&recovery, &mut ChaCha20Rng::from_seed([seed; 32])).unwrap();
    let mut log = IdentityLog::new(birth.genesis);
    log.insert(birth.entry).unwrap();
    Twin {
        recovery,
        phone: birth.device,
        log,
    }
}

impl Twin {
    pub fn id(&self) -> TwinId {
        *self.log.twin()
    }

    /// The entry by which `signer` adds `new` after all heads.
    pub fn adds(&self, signer: &DeviceKeys, new: &DeviceKeys, role: Role) -> Entry {
        let statement = new.statement(&self.id(), role);
        let (heads, seq) = (self.log.heads(), self.log.next_seq());
        Entry::add_device(&self.id(), &heads, seq, &statement, signer).unwrap()
    }

    /// Adds a device to the log.
    pub fn add(&mut self, new: &DeviceKeys, role: Role) {
        let entry = self.adds(&self.phone, new, role);
        assert_eq!(self.log.insert(entry), Ok(true));
    }

    /// An entry of the phone's after all heads, to be altered.
    pub fn raw(&self, kind: u8, body: Vec<u8>) -> RawEntry {
        RawEntry {
            version: 1,
            suite: 1,
            kind,
            prevs: self.log.heads(),
            seq: self.log.next_seq(),
            body,
            signer: Some(self.phone.id()),
        }
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
}

impl RawEntry {
    pub fn unsigned(&self) -> Vec<u8> {
        let mut e = Encoder::new(Vec::new());
        e.map(6 + u64::from(self.signer.is_some())).unwrap();
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
