//! The new device's side of a link.

use minicbor::bytes::ByteVec;
use rand_core::CryptoRng;
use subtle::ConstantTimeEq;
use twin_identity::body::Removal;
use twin_identity::context;
use twin_identity::device::{DeviceKeys, Role};
use twin_identity::entry::{Entry, Genesis};
use twin_identity::id::{DeviceId, EntryId, TwinId};
use twin_identity::log::{IdentityLog, MAX_ENTRIES, MAX_ROTATIONS};
use twin_ops::grant::Grant;
use twin_ops::store::MAX_LOGS;

use super::code::Code;
use super::message::{Abort, Hello, Keys, MAX_TWIN_NAME, Message};
use super::offer::Offer;
use super::phone::{keys_context, proof_context};
use super::proving::{Proving, Side};
use super::recovering::Material;
use super::{LINK_VERSION, LinkError, MAX_GRANTS};
use crate::machine::Millis;
use crate::transport::TransportKey;

/// A new device that shows its offer and waits.
pub struct Waiting {
    offer: Offer,
    keys: DeviceKeys,
    me: TransportKey,
}

/// Somebody came who cannot prove to have seen the QR code. The offer still stands.
pub struct Refused {
    /// The device, as it was.
    pub waiting: Waiting,
    /// Why.
    pub error: LinkError,
}

/// The new device has given its keys and the commitment to its nonce.
pub struct Committed {
    keys: DeviceKeys,
    hello: Hello,
    nonce: [u8; 32],
    context: Vec<u8>,
    hello_frame: Vec<u8>,
    keys_frame: Vec<u8>,
}

/// The new device shows code and twin, and waits to be admitted.
pub struct Joining {
    keys: DeviceKeys,
    hello: Hello,
    code: Code,
    entries: Vec<Entry>,
    grants: Vec<Grant>,
    lines: Vec<Removal>,
    /// The rotation that counts for the other side.
    rotation: Option<EntryId>,
}

/// What a new device begins its life with.
pub struct Admitted {
    /// Its keys.
    pub keys: DeviceKeys,
    /// The identity log, verified, in which it stands.
    pub log: IdentityLog,
    /// The grants of keys to it, verified.
    pub grants: Vec<Grant>,
}

/// What came of a frame while joining.
pub enum Progress {
    /// There is more to come.
    More(Box<Joining>),
    /// All is there and verified.
    Admitted(Box<Admitted>),
    /// Nobody has admitted this device, but it got all that it needs to come in by itself.
    Material(Box<Material>),
}

impl Waiting {
    /// A device with fresh keys that listens as `me` and shows `offer`.
    pub const fn new(offer: Offer, keys: DeviceKeys, me: TransportKey) -> Self {
        Self { offer, keys, me }
    }

    /// The offer to show.
    pub const fn offer(&self) -> &Offer {
        &self.offer
    }

    /// Takes the first frame of whoever has connected. With a valid proof the offer is used up; returns the frame to
    /// send.
    pub fn receive_hello(
        self,
        now: Millis,
        peer: &TransportKey,
        frame: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Result<(Vec<u8>, Committed), Box<Refused>> {
        let hello = match self.check_hello(now, peer, frame) {
            Ok(hello) => hello,
            Err(error) => {
                return Err(Box::new(Refused {
                    waiting: self,
                    error,
                }));
            }
        };
        Ok(answer(
            self.offer.proving(),
            self.keys,
            [peer, &self.me],
            (hello, frame),
            rng,
        ))
    }

    fn check_hello(
        &self,
        now: Millis,
        peer: &TransportKey,
        frame: &[u8],
    ) -> Result<Hello, LinkError> {
        let Message::Hello(hello) = Message::from_frame(frame)? else {
            return Err(LinkError::Unexpected);
        };
        #[cfg(twin_break)]
        let now = if twin_identity::broken::is("link_never_expires") {
            0
        } else {
            now
        };
        if now > self.offer.expires() {
            return Err(LinkError::Expired);
        }
        check_proof(self.offer.proving(), [peer, &self.me], &hello)?;
        Ok(hello)
    }
}

/// Whether a hello is by somebody who knows the secret of `proving`; `transports` are the phone's and ours.
pub(super) fn check_proof(
    proving: &Proving,
    transports: [&TransportKey; 2],
    hello: &Hello,
) -> Result<(), LinkError> {
    if hello.version != LINK_VERSION || hello.name.len() > MAX_TWIN_NAME {
        return Err(LinkError::Unexpected);
    }
    let [phone, me] = transports;
    let context = proof_context(phone, me, &hello.twin, &hello.phone, &hello.name);
    let proof = proving.prove(Side::Phone, &[&context]);
    #[cfg(twin_break)]
    if twin_identity::broken::is("link_proof_unchecked") {
        return Ok(());
    }
    if bool::from(proof.expose().ct_eq(&hello.proof)) {
        Ok(())
    } else {
        Err(LinkError::NotProven)
    }
}

/// Answers a hello that was proven with the device's keys and a commitment. Returns the frame to send.
pub(super) fn answer(
    proving: &Proving,
    device: DeviceKeys,
    transports: [&TransportKey; 2],
    (hello, frame): (Hello, &[u8]),
    rng: &mut impl CryptoRng,
) -> (Vec<u8>, Committed) {
    let [phone, me] = transports;
    let mut nonce = [0; 32];
    rng.fill_bytes(&mut nonce);
    let context = proof_context(phone, me, &hello.twin, &hello.phone, &hello.name);
    let mut keys = Keys {
        device: device.public().clone(),
        statement: device.statement(&hello.twin, Role::Member).proof,
        commitment: context::LINK_COMMITMENT.hash([nonce.as_slice()]),
        proof: [0; 32],
    };
    let proof = proving.prove(Side::New, &[&context, &keys_context(&keys)]);
    keys.proof = *proof.expose();
    let keys_frame = Message::Keys(Box::new(keys)).to_frame();
    let committed = Committed {
        keys: device,
        hello,
        nonce,
        context,
        hello_frame: frame.to_vec(),
        keys_frame: keys_frame.clone(),
    };
    (keys_frame, committed)
}

impl Committed {
    /// Takes the phone's nonce and returns the frame to send and the code to show.
    pub fn receive_nonce(self, frame: &[u8]) -> Result<(Vec<u8>, Joining), LinkError> {
        let Message::PhoneNonce(_) = Message::from_frame(frame)? else {
            return Err(LinkError::Unexpected);
        };
        let nonce_frame = Message::NewNonce(self.nonce).to_frame();
        let code = Code::of(&[
            &self.context,
            &self.hello_frame,
            &self.keys_frame,
            frame,
            &nonce_frame,
        ]);
        let joining = Joining {
            keys: self.keys,
            hello: self.hello,
            code,
            entries: Vec::new(),
            grants: Vec::new(),
            lines: Vec::new(),
            rotation: None,
        };
        Ok((nonce_frame, joining))
    }
}

impl Joining {
    /// The code to show.
    pub const fn code(&self) -> &Code {
        &self.code
    }

    /// The twin that this device is about to join.
    pub const fn twin(&self) -> &TwinId {
        &self.hello.twin
    }

    /// The twin's name, as the phone gives it.
    pub fn twin_name(&self) -> &str {
        &self.hello.name
    }

    /// The device that invites, or helps.
    pub const fn phone(&self) -> &DeviceId {
        &self.hello.phone
    }

    /// The frame that ends the link because the person said no.
    pub fn decline(self) -> Vec<u8> {
        Message::Abort(Abort::Declined).to_frame()
    }

    /// Takes a frame of the phone's after it has got the right code.
    pub fn receive(mut self, frame: &[u8]) -> Result<Progress, LinkError> {
        match Message::from_frame(frame)? {
            Message::Entries(entries) => {
                if self.entries.len() + entries.len() > MAX_ENTRIES + MAX_ROTATIONS {
                    return Err(LinkError::Unexpected);
                }
                for entry in entries {
                    self.entries.push(Entry::from_bytes(&entry)?);
                }
                Ok(Progress::More(Box::new(self)))
            }
            Message::Grants(grants) => {
                take_grants(&mut self.grants, &grants)?;
                Ok(Progress::More(Box::new(self)))
            }
            Message::Stands(rotation) => {
                self.rotation = Some(rotation);
                Ok(Progress::More(Box::new(self)))
            }
            Message::Lines(lines) => {
                self.lines.extend(lines);
                let count: usize = self.lines.iter().map(|removal| removal.lines.len()).sum();
                if count > MAX_LOGS || self.lines.len() > MAX_LOGS {
                    return Err(LinkError::Unexpected);
                }
                Ok(Progress::More(Box::new(self)))
            }
            Message::Material(genesis) => {
                let log = self.read_log(&genesis)?;
                Ok(Progress::Material(Box::new(Material {
                    keys: self.keys,
                    log,
                    lines: self.lines,
                })))
            }
            Message::Admit(genesis) => {
                let log = self.verify_log(&genesis)?;
                for grant in &self.grants {
                    grant.verify(&log)?;
                }
                Ok(Progress::Admitted(Box::new(Admitted {
                    keys: self.keys,
                    log,
                    grants: self.grants,
                })))
            }
            _ => Err(LinkError::Unexpected),
        }
    }

    fn read_log(&mut self, genesis: &[u8]) -> Result<IdentityLog, LinkError> {
        let mut log = IdentityLog::new(Genesis::from_bytes(genesis)?);
        if log.twin() != self.twin() {
            return Err(LinkError::OtherTwin);
        }
        for entry in self.entries.drain(..) {
            log.insert(entry)?;
        }
        // The person has confirmed that this is their own device: what counts for it counts here.
        if let Some(rotation) = &self.rotation {
            log.trust(rotation);
        }
        Ok(log)
    }

    fn verify_log(&mut self, genesis: &[u8]) -> Result<IdentityLog, LinkError> {
        let log = self.read_log(genesis)?;
        let phone_is_admin = log.is_admin(&self.hello.phone);
        let here = log.device(&self.keys.id()).map(|device| &device.public);
        if here == Some(self.keys.public()) && phone_is_admin {
            Ok(log)
        } else {
            Err(LinkError::NotAdmitted)
        }
    }
}

/// Takes grants of a frame, as many as a twin can have.
pub(super) fn take_grants(taken: &mut Vec<Grant>, grants: &[ByteVec]) -> Result<(), LinkError> {
    if taken.len() + grants.len() > MAX_GRANTS {
        return Err(LinkError::Unexpected);
    }
    for grant in grants {
        taken.push(Grant::from_bytes(grant)?);
    }
    Ok(())
}

impl Admitted {
    /// The frame that tells the phone that everything is stored.
    pub fn done(&self) -> Vec<u8> {
        Message::Done.to_frame()
    }
}
