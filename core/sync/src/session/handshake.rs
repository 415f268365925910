//! The first three to five frames each way: strangers learn nothing, devices prove themselves.
//!
//! ```text
//! both   Hello   nonce
//! both   Proof   MAC(discovery key, role ‖ both transport keys ‖ both nonces)
//! both   Tags    64 tags, MAC(secret of the pair, the same)      only if the other's Proof is not by our current key
//! both   Device  device id, signature over the same              only after a valid Proof, or a tag that we know
//! both   Name    the same, sealed under our discovery key        only if no tag is known: see [`super::naming`]
//! both   Answer  the same, sealed under the older key of ours that the other's Name is sealed under; or chance
//! ```
//!
//! Two devices of one twin may hold different discovery keys: one has been away while a device was removed, or each
//! knows of another removal. They recognise each other by a secret that every pair of devices can make: a tag for each
//! device that this one still takes for one of the twin, filled up with chance to the same number always. Who was
//! removed is not among them, and learns no more than a stranger. A device that was set back to before the other was
//! linked does not know it, and makes no tag for it: it names itself under the key that it has, and the other answers.

use rand_core::CryptoRng;
use subtle::ConstantTimeEq;
use twin_identity::context;
use twin_identity::id::{DeviceId, TwinId};
use twin_identity::log::MAX_DEVICES;
use twin_identity::secret::Secret;
use twin_identity::sign::{self, Signature, Use};
use twin_ops::epoch::DiscoveryKey;

use super::naming::Said;
use crate::transport::TransportKey;

/// Which side of the connection a device is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// It has dialled.
    Initiator,
    /// It was dialled.
    Responder,
}

impl Side {
    pub(super) const fn other(self) -> Self {
        match self {
            Self::Initiator => Self::Responder,
            Self::Responder => Self::Initiator,
        }
    }
}

/// What both sides' proofs are bound to.
pub(super) struct Handshake {
    side: Side,
    me: TransportKey,
    peer: TransportKey,
    my_nonce: [u8; 32],
    peer_nonce: Option<[u8; 32]>,
    /// What the peer's proof must be: by the key that our own was made with, whatever became known since. Otherwise one
    /// side could go on with tags and the other without.
    expected: Option<Secret<32>>,
    /// Chance, for what there is nothing true to say.
    chance: Secret<32>,
}

/// Length of a tag, in bytes.
const TAG: usize = 16;
/// How many tags there are always.
const TAGS: usize = MAX_DEVICES;

impl Handshake {
    pub fn new(side: Side, me: TransportKey, peer: TransportKey, rng: &mut impl CryptoRng) -> Self {
        let mut my_nonce = [0; 32];
        rng.fill_bytes(&mut my_nonce);
        Self {
            side,
            me,
            peer,
            my_nonce,
            peer_nonce: None,
            expected: None,
            chance: Secret::random(rng),
        }
    }

    pub const fn side(&self) -> Side {
        self.side
    }

    pub const fn my_nonce(&self) -> [u8; 32] {
        self.my_nonce
    }

    /// Takes the peer's nonce. One equal to ours is our own frame sent back.
    pub fn set_peer_nonce(&mut self, nonce: [u8; 32]) -> bool {
        let fresh = self.peer_nonce.is_none() && nonce != self.my_nonce;
        self.peer_nonce = Some(nonce);
        fresh
    }

    /// The transcript as `by` says it: role, initiator's and responder's transport keys, their nonces.
    pub(super) fn transcript(&self, by: Side) -> [u8; 1 + 4 * 32] {
        let (mine, theirs) = (
            (self.me.as_bytes(), &self.my_nonce),
            (self.peer.as_bytes(), &self.peer_nonce.unwrap_or_default()),
        );
        let (first, second) = match self.side {
            Side::Initiator => (mine, theirs),
            Side::Responder => (theirs, mine),
        };
        let role = match by {
            Side::Initiator => 0,
            Side::Responder => 1,
        };
        let fields = [first.0, second.0, first.1, second.1];
        let mut transcript = [role; 1 + 4 * 32];
        transcript
            .iter_mut()
            .skip(1)
            .zip(fields.into_iter().flatten())
            .for_each(|(to, from)| *to = *from);
        transcript
    }

    /// Our proof; chance if we have no key.
    pub fn prove(&mut self, key: Option<&DiscoveryKey>) -> Secret<32> {
        let theirs = self.transcript(self.side.other());
        self.expected = key.map(|key| key.mac([theirs.as_slice()]));
        match key {
            Some(key) => key.mac([self.transcript(self.side).as_slice()]),
            None => Secret::new(*keyed(&self.chance, b"proof").as_bytes()),
        }
    }

    /// Whether the peer's proof is by the discovery key that we have proved.
    pub fn check(&self, proof: &[u8; 32]) -> bool {
        #[cfg(twin_break)]
        if twin_identity::broken::is("sync_proof_unchecked") {
            return true;
        }
        let expected = self.expected.as_ref();
        expected.is_some_and(|expected| expected.expose().ct_eq(proof).into())
    }

    /// Our tags: one for each secret that we share with a device, and chance.
    pub fn tags(&self, secrets: impl IntoIterator<Item = Secret<32>>) -> Vec<u8> {
        let transcript = self.transcript(self.side);
        let known = secrets.into_iter().map(|secret| tag(&secret, &transcript));
        let chance = (0u8..).map(|number| tag(&self.chance, &[number]));
        let mut tags: Vec<[u8; TAG]> = known.chain(chance).take(TAGS).collect();
        // In an order that says nothing.
        tags.sort_unstable();
        tags.concat()
    }

    /// Whether the peer's tags have one for the secret that we share with a device; `None` if they are no tags.
    pub fn is_tagged(&self, secret: &Secret<32>, tags: &[u8]) -> Option<bool> {
        let (tags, rest) = tags.as_chunks::<TAG>();
        if tags.len() != TAGS || !rest.is_empty() {
            return None;
        }
        let expected = tag(secret, &self.transcript(self.side.other()));
        Some(tags.iter().any(|tag| tag.ct_eq(&expected).into()))
    }

    /// As many bytes of chance: the same for the same thing said.
    pub fn noise(&self, said: Said, len: usize) -> Vec<u8> {
        let mut noise = vec![0; len];
        let mut hasher = blake3::Hasher::new_keyed(self.chance.expose());
        hasher.update(&[b'n', said as u8]);
        hasher.finalize_xof().fill(&mut noise);
        noise
    }

    /// What our device signs.
    pub fn to_sign(&self) -> [u8; 32] {
        context::SESSION.hash([self.transcript(self.side).as_slice()])
    }

    /// Whether the peer's device signed this session.
    pub fn check_device(&self, twin: &TwinId, device: &DeviceId, signature: &Signature) -> bool {
        #[cfg(twin_break)]
        if twin_identity::broken::is("sync_device_unchecked") {
            return true;
        }
        let id = context::SESSION.hash([self.transcript(self.side.other()).as_slice()]);
        sign::verify(device, Use::Session, twin, &id, signature).is_ok()
    }
}

fn keyed(key: &Secret<32>, message: &[u8]) -> blake3::Hash {
    blake3::keyed_hash(key.expose(), message)
}

fn tag(key: &Secret<32>, message: &[u8]) -> [u8; TAG] {
    let mut tag = [0; TAG];
    let hash = keyed(key, message);
    tag.iter_mut()
        .zip(hash.as_bytes())
        .for_each(|(to, from)| *to = *from);
    tag
}

#[cfg(test)]
mod tests {
    use chacha20_rng::ChaCha20Rng;
    use chacha20_rng::rand_core::SeedableRng;
    use twin_ops::epoch::EpochKey;

    use super::*;

    #[test]
    fn a_proof_is_worth_nothing_elsewhere() {
        let rng = &mut ChaCha20Rng::seed_from_u64(1);
        let key = EpochKey::random(rng).discovery();
        let [a, b, c] = [1, 2, 3].map(|byte| TransportKey::from_bytes([byte; 32]));
        let mut at_a = Handshake::new(Side::Initiator, a, b, rng);
        let mut at_b = Handshake::new(Side::Responder, b, a, rng);
        let mut relayed = Handshake::new(Side::Responder, c, a, rng);
        assert!(at_a.set_peer_nonce(at_b.my_nonce()));
        assert!(at_b.set_peer_nonce(at_a.my_nonce()));
        relayed.set_peer_nonce(at_a.my_nonce());
        let proof = at_a.prove(Some(&key));
        assert!(!at_b.check(proof.expose()), "before anything was proved");
        at_b.prove(Some(&key));
        assert!(at_b.check(proof.expose()));
        relayed.prove(Some(&key));
        assert!(!relayed.check(proof.expose()), "another connection");
        assert!(!at_a.check(proof.expose()), "sent back");
        assert!(!at_b.check(at_a.prove(None).expose()), "chance");
        at_b.prove(Some(&EpochKey::random(rng).discovery()));
        assert!(!at_b.check(proof.expose()), "another twin");
        at_b.prove(None);
        assert!(!at_b.check(proof.expose()), "no key at all");
    }

    #[test]
    fn tags_are_known_to_the_pair_and_to_nobody_else() {
        let rng = &mut ChaCha20Rng::seed_from_u64(2);
        let [a, b] = [1, 2].map(|byte| TransportKey::from_bytes([byte; 32]));
        let mut at_a = Handshake::new(Side::Initiator, a, b, rng);
        let mut at_b = Handshake::new(Side::Responder, b, a, rng);
        at_a.set_peer_nonce(at_b.my_nonce());
        at_b.set_peer_nonce(at_a.my_nonce());
        let [ours, other] = [(); 2].map(|()| Secret::<32>::random(rng));
        let again = || Secret::new(*ours.expose());
        let tags = at_a.tags([again()]);
        assert_eq!(tags.len(), TAG * TAGS);
        assert_eq!(at_a.tags([]).len(), tags.len());
        assert_eq!(at_b.is_tagged(&ours, &tags), Some(true));
        assert_eq!(at_b.is_tagged(&other, &tags), Some(false));
        assert_eq!(at_a.is_tagged(&ours, &tags), Some(false), "sent back");
        let short: Vec<u8> = tags.iter().skip(1).copied().collect();
        assert_eq!(at_b.is_tagged(&ours, &short), None);
    }
}
