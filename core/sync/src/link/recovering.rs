//! The device that recovers its twin: it comes in by a rotation of its own, and then gets the keys.

use twin_identity::body::Removal;
use twin_identity::device::DeviceKeys;
use twin_identity::entry::Entry;
use twin_identity::log::IdentityLog;
use twin_ops::grant::Grant;

use super::LinkError;
use super::message::Message;
use super::new_device::take_grants;

/// What a device needs to make the rotation by which it comes in, beside its words or guardians.
pub struct Material {
    /// Its keys.
    pub keys: DeviceKeys,
    /// The identity log, verified. This device is not in it.
    pub log: IdentityLog,
    /// How far the logs of each device go, as far as the helper knows.
    pub lines: Vec<Removal>,
}

/// The device has sent its rotation and waits for the keys.
#[derive(Default)]
pub struct Recovering {
    grants: Vec<Grant>,
}

/// What came of a frame after the rotation.
pub enum Answer {
    /// There is more to come.
    More(Recovering),
    /// The helper has stored the rotation, and these are all grants that it has, verified.
    Grants(Vec<Grant>),
}

/// The frame by which the device comes in.
pub fn rotation(entry: &Entry) -> Vec<u8> {
    Message::Rotation(entry.to_bytes().to_vec()).to_frame()
}

impl Recovering {
    /// Takes a frame of the helper's; `log` is the one that it has sent.
    pub fn receive(mut self, log: &IdentityLog, frame: &[u8]) -> Result<Answer, LinkError> {
        match Message::from_frame(frame)? {
            Message::Grants(grants) => {
                take_grants(&mut self.grants, &grants)?;
                Ok(Answer::More(self))
            }
            Message::Done => {
                self.grants.retain(|grant| grant.verify(log).is_ok());
                Ok(Answer::Grants(self.grants))
            }
            _ => Err(LinkError::Unexpected),
        }
    }
}
