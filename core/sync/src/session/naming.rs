//! How a device that has been away for long, or was set back to an older state, is recognised by one that it does not
//! know: it names itself under the discovery key that it has, and only who has that key can read it.
//!
//! Whoever was removed can have that key, too, and learns who names itself; the answer it cannot tell from chance. All
//! that is said here looks like chance to everybody else, and has one length.

use twin_identity::aead::{AeadError, DATA_OVERHEAD, DataKey};
use twin_identity::id::DeviceId;
use twin_ops::epoch::DiscoveryKey;

use super::handshake::{Handshake, Side};
use super::message::Device;

/// A device id and a signature.
const NAME: usize = 32 + 64;
/// Bytes of a name as it is sent.
const SEALED: usize = NAME + DATA_OVERHEAD;

/// What is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    /// Which device this is, to whoever has the key that this one has.
    Name = 0,
    /// Which device this is, to the one whose name could be opened, under the key that it has.
    Answer = 1,
}

impl Handshake {
    /// Our device, sealed for whoever has `key`; chance if there is no such key.
    pub fn name(
        &self,
        key: Option<&DiscoveryKey>,
        said: Said,
        device: &Device,
    ) -> Result<Vec<u8>, AeadError> {
        let Some(key) = key else {
            return Ok(self.noise(said, SEALED));
        };
        let plain = [device.device.as_bytes().as_slice(), &device.signature].concat();
        self.name_key(key, said, self.side())
            .seal_synthetic(&[], &plain)
    }

    /// The device that the peer has named under `key`. Whether it has signed is not checked.
    pub fn open_name(&self, key: &DiscoveryKey, said: Said, sealed: &[u8]) -> Option<Device> {
        let key = self.name_key(key, said, self.side().other());
        let plain = key.open(&[], sealed).ok()?;
        let (device, signature) = plain.split_first_chunk::<32>()?;
        Some(Device {
            device: DeviceId::from_bytes(*device),
            signature: signature.try_into().ok()?,
        })
    }

    /// Each frame has a key of its own: used once.
    fn name_key(&self, key: &DiscoveryKey, said: Said, by: Side) -> DataKey {
        let transcript = self.transcript(by);
        DataKey::new(key.mac([b"name".as_slice(), &[said as u8], &transcript]))
    }
}
