//! A relay as people write it down: `KEY@HOST:PORT`.
//!
//! The key is the relay's libp2p peer id (`12D3Koo…`, base58), so that nobody can pose as it; the port is that of TCP and
//! of QUIC alike.

use std::{fmt, str::FromStr};

use libp2p::PeerId;
use twin_sync::TransportKey;

use crate::{
    Address, Error, Place,
    address::shortened,
    keys::{key_of, peer_of},
};

/// Where a relay is, and the key that it must prove.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelayAddress {
    peer: PeerId,
    key: TransportKey,
    place: Place,
}

impl RelayAddress {
    /// The relay with this key at an IP address; `None` if the bytes are nobody's key.
    pub fn new(key: TransportKey, address: Address) -> Option<Self> {
        Some(Self {
            peer: peer_of(&key)?,
            key,
            place: Place::of(address)?,
        })
    }

    /// The key that the relay must prove.
    pub fn key(&self) -> TransportKey {
        self.key
    }

    /// Every address that the relay's host stands for now, each over QUIC and over TCP.
    pub async fn resolve(&self) -> Result<Vec<Address>, Error> {
        self.place.resolve().await
    }

    /// Its host and port, without its key.
    pub const fn place(&self) -> &Place {
        &self.place
    }
}

impl FromStr for RelayAddress {
    type Err = Error;

    /// Reads `12D3Koo…@relay.example.org:4001`.
    fn from_str(text: &str) -> Result<Self, Error> {
        let read = || {
            let (peer, place) = text.trim().split_once('@')?;
            let peer: PeerId = peer.parse().ok()?;
            Some(Self {
                key: key_of(&peer)?,
                peer,
                place: place.parse().ok()?,
            })
        };
        read().ok_or_else(|| Error::BadRelay(shortened(text)))
    }
}

impl fmt::Display for RelayAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.peer, self.place)
    }
}

impl fmt::Debug for RelayAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PEER: &str = "12D3KooWQYV9dGMFoRzNStwpXztXaBUjtPqi6aU76ZgUriHhKust";

    #[tokio::test]
    async fn what_a_person_writes_is_read_and_written_back() {
        for place in [
            "relay.example.org:4001",
            "192.0.2.7:4001",
            "[2001:db8::7]:4001",
            "localhost:1",
        ] {
            let text = format!("{PEER}@{place}");
            let relay: RelayAddress = format!(" {text}\n").parse().unwrap();
            assert_eq!(relay.to_string(), text);
        }
        let relay: RelayAddress = format!("{PEER}@192.0.2.7:4001").parse().unwrap();
        let texts: Vec<_> = relay.resolve().await.unwrap();
        let texts: Vec<_> = texts.iter().map(Address::to_string).collect();
        assert_eq!(texts, ["quic://192.0.2.7:4001", "192.0.2.7:4001"]);
        let address = "quic://192.0.2.7:4001".parse().unwrap();
        assert_eq!(RelayAddress::new(relay.key(), address), Some(relay));
        let v6: Address = "[2001:db8::7]:9".parse().unwrap();
        let key = RelayAddress::from_str(&format!("{PEER}@a:1"))
            .unwrap()
            .key();
        let written = RelayAddress::new(key, v6).unwrap().to_string();
        assert_eq!(written, format!("{PEER}@[2001:db8::7]:9"));
    }

    #[test]
    fn what_is_no_relay_is_refused() {
        for text in [
            "",
            "192.0.2.7:4001",
            "@192.0.2.7:4001",
            "nobody@192.0.2.7:4001",
            &format!("{PEER}@"),
            &format!("{PEER}@host"),
            &format!("{PEER}@host:0"),
            &format!("{PEER}@quic://192.0.2.7:4001"),
            &format!("{PEER}@2001:db8::7:1"),
            // An RSA key's id is a hash: no key of ours.
            "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N@192.0.2.7:4001",
        ] {
            let refused = text.parse::<RelayAddress>();
            assert!(matches!(refused, Err(Error::BadRelay(_))), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,60}") {
            if let Ok(relay) = text.parse::<RelayAddress>() {
                prop_assert_eq!(relay.to_string().parse::<RelayAddress>().unwrap(), relay);
            }
        }
    }
}
