//! Who is at the other end of a connection, as the transport has authenticated it.

use std::fmt;

/// The raw 32-byte Ed25519 public key under which a peer's transport authenticated itself.
///
/// It is fresh at each start and says nothing about a twin or a device. Protocol proofs are bound to both ends'
/// keys, so that a proof made for one connection is worth nothing on another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransportKey([u8; 32]);

impl TransportKey {
    /// Takes the key as the transport's handshake proved it.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes that proofs are bound to.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for TransportKey {
    /// The first four bytes in hexadecimal: enough to tell connections apart in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "TransportKey({a:02x}{b:02x}{c:02x}{d:02x}…)")
    }
}

#[cfg(test)]
mod tests {
    use super::TransportKey;

    #[test]
    fn debug_shows_only_the_beginning() {
        let key = TransportKey::from_bytes([0xab; 32]);
        assert_eq!(format!("{key:?}"), "TransportKey(abababab…)");
        assert_eq!(key.as_bytes(), &[0xab; 32]);
    }
}
