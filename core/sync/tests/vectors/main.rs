//! `tests/vectors/{bundle,link,link-afar,mailbox,sync}.json`, made anew and compared.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod afar;
mod bundle;
#[path = "../../../../tests/vectors/golden.rs"]
mod golden;
mod link;
mod mailbox;
mod replica;
mod sync;

use golden::Counter;
use twin_identity::birth::Birth;
use twin_identity::body::Body;
use twin_identity::device::{DeviceKeys, Role};
use twin_identity::log::IdentityLog;
use twin_identity::secret::Secret;
use twin_identity::words::RecoverySecret;
use twin_sync::TransportKey;

/// Of whoever dials: the phone.
const PHONE: TransportKey = TransportKey::from_bytes([0x11; 32]);
/// Of whoever is dialled: the laptop.
const LAPTOP: TransportKey = TransportKey::from_bytes([0x22; 32]);

fn derived(name: &str, fields: &[&[u8]]) -> [u8; 32] {
    blake3::derive_key(&format!("digital-twin v1 {name}"), &fields.concat())
}

/// The laptop of `identity.json`.
fn laptop() -> DeviceKeys {
    DeviceKeys::from_secret(&Secret::new([2; 64])).unwrap()
}

/// The twin of `identity.json` before its entry 2.
fn twin() -> (IdentityLog, DeviceKeys) {
    let words = RecoverySecret::from_bytes([0; 32]);
    let birth = Birth::new(&words, &mut Counter::default()).unwrap();
    let mut log = IdentityLog::new(birth.genesis);
    log.insert(birth.entry).unwrap();
    (log, birth.device)
}

/// Its entry 2, which adds the laptop.
fn add_laptop(log: &mut IdentityLog, phone: &DeviceKeys) {
    let statement = laptop().statement(log.twin(), Role::Member);
    let entry = log.sign(&Body::AddDevice(Box::new(statement)), phone);
    log.insert(entry.unwrap()).unwrap();
}
