//! The first three frames each way: strangers learn nothing, devices prove themselves.
//!
//! ```text
//! both   Hello   nonce
//! both   Proof   MAC(discovery key, role ‖ both transport keys ‖ both nonces)
//! both   Device  device id, signature over the same      only after a valid Proof
//! ```

use rand_core::CryptoRng;
use subtle::ConstantTimeEq;
use twin_identity::context;
use twin_identity::id::{DeviceId, TwinId};
use twin_identity::secret::Secret;
use twin_identity::sign::{self, Signature, Use};
use twin_ops::epoch::DiscoveryKey;

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
    const fn other(self) -> Self {
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
}

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
        }
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
    fn transcript(&self, by: Side) -> [u8; 1 + 4 * 32] {
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

    /// Our proof.
    pub fn prove(&self, key: &DiscoveryKey) -> Secret<32> {
        key.mac([self.transcript(self.side).as_slice()])
    }

    /// Whether the peer's proof is by one of our discovery keys.
    pub fn check(&self, keys: &[DiscoveryKey], proof: &[u8; 32]) -> bool {
        #[cfg(twin_break)]
        if twin_identity::broken::is("sync_proof_unchecked") {
            return true;
        }
        let transcript = self.transcript(self.side.other());
        keys.iter()
            .any(|key| bool::from(key.mac([transcript.as_slice()]).expose().ct_eq(proof)))
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
        let proof = at_a.prove(&key);
        let keys = std::slice::from_ref(&key);
        assert!(at_b.check(keys, proof.expose()));
        assert!(!relayed.check(keys, proof.expose()), "another connection");
        assert!(!at_a.check(keys, proof.expose()), "sent back");
        let other = [EpochKey::random(rng).discovery()];
        assert!(!at_b.check(&other, proof.expose()), "another twin");
    }
}
