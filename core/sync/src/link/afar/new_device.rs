//! The new device's side of a link from afar: the passcode is typed on it.

use rand_core::CryptoRng;
use subtle::ConstantTimeEq;
use twin_identity::device::DeviceKeys;

use super::AFAR_VERSION;
use super::message::{Agree, Answer, MAX_DEVICE_NAME, Message, Start};
use super::pake::{Pake, Role};
use super::passcode::Passcode;
use crate::link::LinkError;
use crate::link::message::Message as LinkMessage;
use crate::link::new_device::{Committed, answer, check_proof};
use crate::link::proving::{Proving, Side};
use crate::transport::TransportKey;

/// The new device has sent its element and waits for the phone's proof.
pub struct Started {
    pake: Pake,
    keys: DeviceKeys,
    me: TransportKey,
    peer: TransportKey,
    start: Vec<u8>,
}

/// Both have proved the passcode; the phone is to say who invites.
pub struct Agreed {
    proving: Proving,
    keys: DeviceKeys,
    me: TransportKey,
    peer: TransportKey,
}

/// Begins a link over a connection from `me` to `peer`, a device with fresh keys, with what was typed. Returns the first
/// frame to send. There is one attempt: what was typed is used up.
pub fn start(
    passcode: Passcode,
    keys: DeviceKeys,
    me: TransportKey,
    peer: TransportKey,
    rng: &mut impl CryptoRng,
) -> Result<(Vec<u8>, Started), LinkError> {
    let pake = Pake::new(Role::New, &passcode, [peer, me], rng)?;
    let start = Message::Start(Start {
        version: AFAR_VERSION,
        element: pake.element(),
    })
    .to_frame();
    let started = Started {
        pake,
        keys,
        me,
        peer,
        start: start.clone(),
    };
    Ok((start, started))
}

impl Started {
    /// Takes the phone's proof that it shows this passcode, and returns the frame to send. Only now does this device say
    /// anything of itself: what it is called, cut to [`MAX_DEVICE_NAME`] bytes.
    pub fn receive_answer(self, frame: &[u8], name: &str) -> Result<(Vec<u8>, Agreed), LinkError> {
        let Message::Answer(Answer { element, proof }) = Message::from_frame(frame)? else {
            return Err(LinkError::Unexpected);
        };
        let proving = self.pake.finish(&element, &self.start)?;
        let expected = proving.prove(Side::PhoneAgrees, &[]);
        let is_right = bool::from(expected.expose().ct_eq(&proof));
        #[cfg(twin_break)]
        let is_right = is_right || twin_identity::broken::is("afar_new_device_checks_no_proof");
        if !is_right {
            return Err(LinkError::OtherPasscode);
        }
        let mut name = name.to_owned();
        while name.len() > MAX_DEVICE_NAME {
            name.pop();
        }
        let proof = proving.prove(Side::NewAgrees, &[name.as_bytes()]);
        let agree = Message::Agree(Agree {
            name,
            proof: *proof.expose(),
        });
        let agreed = Agreed {
            proving,
            keys: self.keys,
            me: self.me,
            peer: self.peer,
        };
        Ok((agree.to_frame(), agreed))
    }
}

impl Agreed {
    /// Takes the frame that says who invites, and goes on as a link by a QR code does. Returns the frame to send.
    pub fn receive_hello(
        self,
        frame: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Result<(Vec<u8>, Committed), LinkError> {
        let LinkMessage::Hello(hello) = LinkMessage::from_frame(frame)? else {
            return Err(LinkError::Unexpected);
        };
        let transports = [&self.peer, &self.me];
        check_proof(&self.proving, transports, &hello)?;
        Ok(answer(
            &self.proving,
            self.keys,
            transports,
            (hello, frame),
            rng,
        ))
    }
}
