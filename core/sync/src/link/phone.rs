//! The phone's side of a link: each step consumes the one before.

use rand_core::CryptoRng;
use subtle::ConstantTimeEq;
use twin_identity::body::Removal;
use twin_identity::context;
use twin_identity::device::{DeviceStatement, Role};
use twin_identity::entry::Entry;
use twin_identity::id::{DeviceId, TwinId};
use twin_identity::log::IdentityLog;

use super::code::Code;
use super::message::{Abort, Hello, Keys, MAX_TWIN_NAME, Message};
use super::offer::Offer;
use super::proving::{Proving, Side};
use super::{BATCH, LINK_VERSION, LinkError};
use crate::transport::TransportKey;

/// How many devices' lines go into one frame: each has at most a few hundred.
const LINES: usize = 16;

/// Who invites.
pub struct Inviter {
    /// The twin to be joined.
    pub twin: TwinId,
    /// Its name, which the new device shows; cut to [`MAX_TWIN_NAME`] bytes.
    pub name: String,
    /// The phone.
    pub device: DeviceId,
}

/// The phone has said who invites and waits for the new device's keys.
pub struct Greeted {
    proving: Proving,
    twin: TwinId,
    context: Vec<u8>,
    hello: Vec<u8>,
}

/// The phone knows the new device's keys and its commitment, and has sent its nonce.
pub struct Committed {
    greeted: Greeted,
    keys: Box<Keys>,
    keys_frame: Vec<u8>,
    nonce_frame: Vec<u8>,
}

/// A link that nobody has confirmed: nothing can be sent over it but the end.
pub struct Unconfirmed {
    keys: Box<Keys>,
    code: Code,
}

/// The person has typed the code that the new device shows.
pub struct Confirmed {
    keys: Box<Keys>,
}

/// Begins a link over a connection from `me` to `peer`. Returns the first frame to send.
pub fn invite(
    offer: Offer,
    me: &TransportKey,
    peer: &TransportKey,
    inviter: Inviter,
) -> Result<(Vec<u8>, Greeted), LinkError> {
    if !offer.is_from(peer) {
        return Err(LinkError::OtherDevice);
    }
    Ok(greet(offer.into_proving(), me, peer, inviter))
}

/// Says who invites, to a device that knows the secret of `proving`. Returns the frame to send.
pub(super) fn greet(
    proving: Proving,
    me: &TransportKey,
    peer: &TransportKey,
    inviter: Inviter,
) -> (Vec<u8>, Greeted) {
    let mut name = inviter.name;
    while name.len() > MAX_TWIN_NAME {
        name.pop();
    }
    let context = proof_context(me, peer, &inviter.twin, &inviter.device, &name);
    let proof = proving.prove(Side::Phone, &[&context]);
    let hello = Message::Hello(Hello {
        version: LINK_VERSION,
        twin: inviter.twin,
        name,
        phone: inviter.device,
        proof: *proof.expose(),
    })
    .to_frame();
    let greeted = Greeted {
        proving,
        twin: inviter.twin,
        context,
        hello: hello.clone(),
    };
    (hello, greeted)
}

/// What both proofs cover besides the offer.
pub(super) fn proof_context(
    phone: &TransportKey,
    new: &TransportKey,
    twin: &TwinId,
    device: &DeviceId,
    name: &str,
) -> Vec<u8> {
    let fields = [
        phone.as_bytes().as_slice(),
        new.as_bytes(),
        twin.as_bytes(),
        device.as_bytes(),
        name.as_bytes(),
    ];
    fields.concat()
}

/// What the new device's proof covers besides that.
pub(super) fn keys_context(keys: &Keys) -> Vec<u8> {
    let fields = [
        keys.device.id.as_bytes().as_slice(),
        keys.device.sealing.as_bytes(),
        &keys.commitment,
    ];
    fields.concat()
}

impl Greeted {
    /// Takes the new device's keys and returns the phone's nonce to send.
    pub fn receive_keys(
        self,
        frame: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Result<(Vec<u8>, Committed), LinkError> {
        let Message::Keys(keys) = Message::from_frame(frame)? else {
            return Err(LinkError::Unexpected);
        };
        let proof = self
            .proving
            .prove(Side::New, &[&self.context, &keys_context(&keys)]);
        if !bool::from(proof.expose().ct_eq(&keys.proof)) {
            return Err(LinkError::NotProven);
        }
        statement(&keys, Role::Member, None)
            .verify(&self.twin)
            .map_err(|_| LinkError::NotProven)?;
        let mut nonce = [0; 32];
        rng.fill_bytes(&mut nonce);
        let nonce_frame = Message::PhoneNonce(nonce).to_frame();
        let committed = Committed {
            greeted: self,
            keys,
            keys_frame: frame.to_vec(),
            nonce_frame: nonce_frame.clone(),
        };
        Ok((nonce_frame, committed))
    }
}

impl Committed {
    /// Takes the nonce that the new device had committed to.
    pub fn receive_nonce(self, frame: &[u8]) -> Result<Unconfirmed, LinkError> {
        let Message::NewNonce(nonce) = Message::from_frame(frame)? else {
            return Err(LinkError::Unexpected);
        };
        let commitment = context::LINK_COMMITMENT.hash([nonce.as_slice()]);
        #[cfg(twin_break)]
        let commitment = if twin_identity::broken::is("link_commitment_unchecked") {
            self.keys.commitment
        } else {
            commitment
        };
        if commitment != self.keys.commitment {
            return Err(LinkError::NotProven);
        }
        let code = Code::of(&[
            &self.greeted.context,
            &self.greeted.hello,
            &self.keys_frame,
            &self.nonce_frame,
            frame,
        ]);
        Ok(Unconfirmed {
            keys: self.keys,
            code,
        })
    }
}

impl Unconfirmed {
    /// What a frame means that comes before the code was typed: the new device has nothing to say but that it is over.
    pub fn receive(&self, frame: &[u8]) -> LinkError {
        match Message::from_frame(frame) {
            Ok(_) => LinkError::Unexpected,
            Err(error) => error,
        }
    }

    /// Compares what the person typed with the code. There is one attempt: a wrong code gives back the last frame to
    /// send, and the link is over.
    pub fn confirm(self, typed: &str) -> Result<Confirmed, Vec<u8>> {
        #[cfg(twin_break)]
        if twin_identity::broken::is("link_code_unchecked") {
            return Ok(Confirmed { keys: self.keys });
        }
        if self.code.matches(typed) {
            Ok(Confirmed { keys: self.keys })
        } else {
            Err(Message::Abort(Abort::WrongCode).to_frame())
        }
    }
}

impl Confirmed {
    /// The statement to put into the identity log, with the role that the person chose, and until when it may take part
    /// (milliseconds since the Unix epoch) if not for good.
    pub fn statement(&self, role: Role, expires: Option<u64>) -> DeviceStatement {
        statement(&self.keys, role, expires)
    }

    /// The frames that admit the new device: a log that names it, and grants to it.
    pub fn admit(&self, log: &IdentityLog, grants: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let messages = entries(log)
            .chain(batched_grants(grants))
            .chain([stands(log), Message::Admit(log.genesis().to_bytes())]);
        messages.map(|message| message.to_frame()).collect()
    }

    /// The frames with which a new device can make the rotation by which it comes in: the log, and how far the logs of
    /// each device go. No keys: those come after the rotation, so that nobody has them without words or guardians.
    pub fn help(&self, log: &IdentityLog, lines: &[Removal]) -> Vec<Vec<u8>> {
        let lines = lines
            .chunks(LINES)
            .map(|some| Message::Lines(some.to_vec()));
        let last = Message::Material(log.genesis().to_bytes());
        let messages = entries(log).chain([stands(log)]).chain(lines).chain([last]);
        messages.map(|message| message.to_frame()).collect()
    }

    /// Takes the rotation by which the new device comes in. Whether it holds is for the log to judge.
    pub fn receive_rotation(&self, frame: &[u8]) -> Result<Entry, LinkError> {
        let Message::Rotation(entry) = Message::from_frame(frame)? else {
            return Err(LinkError::Unexpected);
        };
        let entry = Entry::from_bytes(&entry)?;
        let named = entry.rotation().map(|rotate| rotate.devices.as_slice());
        let mut named = named.unwrap_or_default().iter();
        if named.any(|named| named.device == self.keys.device) {
            Ok(entry)
        } else {
            Err(LinkError::NotAdmitted)
        }
    }

    /// The frames that tell the new device that its rotation was taken, and give it all grants.
    pub fn provide(&self, grants: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let messages = batched_grants(grants).chain([Message::Done]);
        messages.map(|message| message.to_frame()).collect()
    }

    /// Takes the new device's word that it has stored everything.
    pub fn receive_done(self, frame: &[u8]) -> Result<(), LinkError> {
        match Message::from_frame(frame)? {
            Message::Done => Ok(()),
            _ => Err(LinkError::Unexpected),
        }
    }
}

fn entries(log: &IdentityLog) -> impl Iterator<Item = Message> {
    let mut entries: Vec<_> = log.entries().values().collect();
    entries.sort_by_key(|entry| (entry.place.seq, entry.id));
    batches(entries.into_iter().map(|entry| entry.to_bytes())).map(Message::Entries)
}

fn batched_grants(grants: &[Vec<u8>]) -> impl Iterator<Item = Message> {
    batches(grants.iter().map(Vec::as_slice)).map(Message::Grants)
}

fn stands(log: &IdentityLog) -> Message {
    Message::Stands(log.base())
}

fn statement(keys: &Keys, role: Role, expires: Option<u64>) -> DeviceStatement {
    DeviceStatement {
        device: keys.device.clone(),
        role,
        proof: keys.statement,
        expires,
    }
}

/// Cuts a list of byte strings so that each piece fits into a frame.
fn batches<'a>(
    items: impl Iterator<Item = &'a [u8]>,
) -> impl Iterator<Item = Vec<minicbor::bytes::ByteVec>> {
    let mut batches = Vec::new();
    let (mut batch, mut len) = (Vec::new(), 0);
    for item in items {
        len += item.len();
        batch.push(item.to_vec().into());
        if len > BATCH {
            batches.push(std::mem::take(&mut batch));
            len = 0;
        }
    }
    batches.push(batch);
    batches.into_iter()
}
