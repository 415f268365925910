//! The phone's side of a link from afar: it shows a passcode.

use rand_core::CryptoRng;
use subtle::ConstantTimeEq;

use super::message::{Answer, MAX_DEVICE_NAME, Message, Start};
use super::pake::{Pake, Role};
use super::passcode::Passcode;
use super::{AFAR_LIFE, AFAR_VERSION};
use crate::link::LinkError;
use crate::link::message::Abort;
use crate::link::phone::{Greeted, Inviter, greet};
use crate::link::proving::{Proving, Side};
use crate::machine::Millis;
use crate::transport::TransportKey;

/// A phone that shows a passcode and waits.
pub struct Showing {
    passcode: Passcode,
    expires: Millis,
}

/// Somebody came who has not begun a link, or came too late. The passcode has not been used.
pub struct Refused {
    /// The phone, as it was.
    pub showing: Showing,
    /// Why.
    pub error: LinkError,
}

/// The passcode is used up: the phone has sent its proof and waits for that of the new device.
pub struct Answered {
    proving: Proving,
    me: TransportKey,
    peer: TransportKey,
}

/// The new device has proved that the passcode was typed there.
pub struct Met {
    proving: Proving,
    me: TransportKey,
    peer: TransportKey,
    name: String,
}

impl Showing {
    /// Makes a passcode, which lives for ten minutes.
    pub fn new(now: Millis, rng: &mut impl CryptoRng) -> Self {
        Self::with(Passcode::random(rng), now)
    }

    /// The same with a passcode that is there.
    pub const fn with(passcode: Passcode, now: Millis) -> Self {
        Self {
            passcode,
            expires: now + AFAR_LIFE,
        }
    }

    /// What to show.
    pub const fn passcode(&self) -> &Passcode {
        &self.passcode
    }

    /// When it ends, by this phone's clock.
    pub const fn expires(&self) -> Millis {
        self.expires
    }

    /// Takes the first frame of whoever has connected from `peer` to `me`. If it begins a link, the passcode is used
    /// up; returns the frame to send.
    pub fn receive_start(
        self,
        now: Millis,
        me: TransportKey,
        peer: TransportKey,
        frame: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Result<(Vec<u8>, Answered), Box<Refused>> {
        match self.answer(now, [me, peer], frame, rng) {
            Ok(answered) => Ok(answered),
            Err(error) => Err(Box::new(Refused {
                showing: self,
                error,
            })),
        }
    }

    fn answer(
        &self,
        now: Millis,
        transports: [TransportKey; 2],
        frame: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Result<(Vec<u8>, Answered), LinkError> {
        let Message::Start(Start { version, element }) = Message::from_frame(frame)? else {
            return Err(LinkError::Unexpected);
        };
        #[cfg(twin_break)]
        let now = if twin_identity::broken::is("afar_never_expires") {
            0
        } else {
            now
        };
        if now > self.expires {
            return Err(LinkError::Expired);
        }
        if version != AFAR_VERSION {
            return Err(LinkError::Unexpected);
        }
        let pake = Pake::new(Role::Phone, &self.passcode, transports, rng)?;
        let ours = pake.element();
        let proving = pake.finish(&element, frame)?;
        let proof = proving.prove(Side::PhoneAgrees, &[]);
        let answer = Message::Answer(Answer {
            element: ours,
            proof: *proof.expose(),
        });
        let [me, peer] = transports;
        let answered = Answered { proving, me, peer };
        Ok((answer.to_frame(), answered))
    }
}

impl Answered {
    /// Takes the proof of the new device. Whoever has another passcode has had its one attempt.
    pub fn receive_agree(self, frame: &[u8]) -> Result<Met, LinkError> {
        let Message::Agree(agree) = Message::from_frame(frame)? else {
            return Err(LinkError::Unexpected);
        };
        if agree.name.len() > MAX_DEVICE_NAME {
            return Err(LinkError::Unexpected);
        }
        let proof = self
            .proving
            .prove(Side::NewAgrees, &[agree.name.as_bytes()]);
        let is_right = bool::from(proof.expose().ct_eq(&agree.proof));
        #[cfg(twin_break)]
        let is_right = is_right || twin_identity::broken::is("afar_phone_checks_no_proof");
        if !is_right {
            return Err(LinkError::OtherPasscode);
        }
        Ok(Met {
            proving: self.proving,
            me: self.me,
            peer: self.peer,
            name: agree.name,
        })
    }
}

impl Met {
    /// What the new device calls itself: to be shown when the person is asked.
    pub fn device_name(&self) -> &str {
        &self.name
    }

    /// Goes on as a link by a QR code does, from the frame that says who invites.
    pub fn greet(self, inviter: Inviter) -> (Vec<u8>, Greeted) {
        greet(self.proving, &self.me, &self.peer, inviter)
    }
}

/// The frame by which a phone ends a link whose passcode was not the one that it shows.
pub fn other_passcode() -> Vec<u8> {
    Message::Abort(Abort::OtherPasscode).to_frame()
}
