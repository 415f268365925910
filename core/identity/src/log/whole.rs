//! A log as one: its bytes, and the digest by which two replicas see that they have the same.

use std::sync::Arc;

use minicbor::{Decode, Encode};

use crate::cbor;
use crate::context;
use crate::entry::{Entry, Genesis, MAX_ENTRY_LEN};
use crate::id::TwinId;

use super::{IdentityLog, LogError, MAX_ENTRIES, MAX_ROTATIONS};

/// The most bytes of a whole log as [`IdentityLog::to_bytes`] writes it.
pub const MAX_LOG_LEN: usize = (MAX_ENTRIES + MAX_ROTATIONS) * (MAX_ENTRY_LEN + 16);

impl IdentityLog {
    /// A digest over the entries that make this log mean what it does: equal digests, equal logs. What other rotations
    /// than those that count have begun, what a rotation has cut off, and what cannot be verified is passed on but not
    /// counted: it can be more than a replica keeps.
    pub fn digest(&self) -> [u8; 32] {
        let live = self.standing();
        let counted = self.entries.values().filter(|entry| {
            let Some(number) = self.graph.number(&entry.id).filter(|_| entry.known_suite) else {
                return false;
            };
            let base = self.graph.node(number).and_then(|node| node.base);
            let lives = live.contains(&number)
                || (entry.rotation().is_none() && base.is_some_and(|base| live.contains(&base)));
            lives
                || live
                    .iter()
                    .any(|rotation| self.graph.precedes(number, *rotation))
        });
        context::LOG_DIGEST.hash(counted.map(|entry| entry.id.as_bytes().as_slice()))
    }

    /// The whole log in one piece: genesis and entries in an order that can be verified as it is read.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut entries: Vec<&Arc<Entry>> = self.entries.values().collect();
        entries.sort_by_key(|entry| (entry.place.seq, entry.id));
        cbor::encode(&RawLog {
            genesis: self.genesis.to_bytes(),
            entries: entries
                .into_iter()
                .map(|entry| RawBytes(entry.to_bytes().to_vec()))
                .collect(),
        })
    }

    /// Verifies a whole log from its bytes, for the twin that is expected.
    pub fn from_bytes(twin: &TwinId, bytes: &[u8]) -> Result<Self, LogError> {
        let raw: RawLog = cbor::decode(bytes, MAX_LOG_LEN)?;
        let mut log = Self::new(Genesis::from_bytes(&raw.genesis)?);
        if log.twin != *twin {
            return Err(LogError::OtherTwin);
        }
        for entry in &raw.entries {
            let entry = Entry::from_bytes(&entry.0)?;
            let rotates = entry.rotation().is_some();
            log.admit(entry)?;
            // What a log has room for depends on the rotation that counts.
            if rotates {
                log.settle();
            }
        }
        if log.entries.is_empty() {
            return Err(LogError::Rule);
        }
        log.settle();
        Ok(log)
    }
}

#[derive(Encode, Decode)]
#[cbor(array)]
struct RawLog {
    #[cbor(n(0), with = "minicbor::bytes")]
    genesis: Vec<u8>,
    #[n(1)]
    entries: Vec<RawBytes>,
}

#[derive(Encode, Decode)]
#[cbor(transparent)]
struct RawBytes(#[cbor(n(0), with = "minicbor::bytes")] Vec<u8>);
