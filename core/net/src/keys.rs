//! Between libp2p's names for a peer and the raw key that our protocols bind their proofs to.

use libp2p::{
    PeerId,
    identity::{Keypair, PublicKey, ed25519},
};
use twin_sync::TransportKey;
use zeroize::Zeroizing;

use crate::Error;

/// The multihash code of a peer id that *is* its public key (libp2p peer-ids specification, "identity").
const IDENTITY: u64 = 0;

/// A new key pair from the operating system's randomness, held in memory only.
pub(crate) fn fresh() -> Result<Keypair, Error> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(seed.as_mut_slice()).map_err(|_| Error::Random)?;
    from_seed(&mut seed)
}

/// The key pair of a secret key of Ed25519, which is taken out of `seed`.
pub(crate) fn from_seed(seed: &mut [u8; 32]) -> Result<Keypair, Error> {
    Keypair::ed25519_from_bytes(seed.as_mut_slice()).map_err(|_| Error::Random)
}

/// The public half, as our protocols name it.
pub(crate) fn key(pair: &Keypair) -> Result<TransportKey, Error> {
    key_of(&pair.public().to_peer_id()).ok_or(Error::Random)
}

/// The Ed25519 key that a peer id carries; `None` for any other kind, with which we do not speak.
pub(crate) fn key_of(peer: &PeerId) -> Option<TransportKey> {
    let hash = peer.as_ref();
    let public = PublicKey::try_decode_protobuf(hash.digest())
        .ok()
        .filter(|_| hash.code() == IDENTITY)?;
    Some(TransportKey::from_bytes(
        public.try_into_ed25519().ok()?.to_bytes(),
    ))
}

/// The peer id of a key; `None` if the bytes are no point of the curve.
pub(crate) fn peer_of(key: &TransportKey) -> Option<PeerId> {
    let public = ed25519::PublicKey::try_from_bytes(key.as_bytes()).ok()?;
    Some(PublicKey::from(public).to_peer_id())
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_peer_ids_name_the_same_peer() {
        let pair = fresh().unwrap();
        let key = key(&pair).unwrap();
        assert_eq!(
            key.as_bytes(),
            &pair.clone().try_into_ed25519().unwrap().public().to_bytes()
        );
        assert_eq!(peer_of(&key), Some(pair.public().to_peer_id()));
        assert_ne!(super::key(&fresh().unwrap()).unwrap(), key);
    }

    #[test]
    fn other_peer_ids_are_no_keys() {
        assert_eq!(key_of(&PeerId::random()), None);
    }
}
