//! Where a device can be dialled: an IP address and a TCP port.
//!
//! Compact form, for QR codes: the address's 4 or 16 bytes, then the port as 2 bytes, most significant first
//! (6 bytes for IPv4, 18 for IPv6). An IPv6 scope id means something on one machine only and is never part of it.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6},
    str::FromStr,
};

use libp2p::{Multiaddr, multiaddr::Protocol};

use crate::Error;

/// An IP address and a TCP port; the scope id (the interface's index) is kept for IPv6 link-local addresses only.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    ip: IpAddr,
    port: u16,
    scope: u32,
}

impl Address {
    /// An address without a scope. An IPv4 address written as IPv6 (`::ffff:1.2.3.4`) becomes the IPv4 address it is.
    pub fn new(ip: IpAddr, port: u16) -> Self {
        Self {
            ip: ip.to_canonical(),
            port,
            scope: 0,
        }
    }

    /// The same address as seen through the interface with this index; ignored unless it is IPv6 link-local.
    pub fn with_scope(self, scope: u32) -> Self {
        let scope = if self.is_link_local_v6() { scope } else { 0 };
        Self { scope, ..self }
    }

    /// The IP address.
    pub fn ip(&self) -> IpAddr {
        self.ip
    }

    /// The TCP port; 0 asks the system for a free one when listening.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The index of the interface that an IPv6 link-local address belongs to; 0 where unknown or meaningless.
    pub fn scope(&self) -> u32 {
        self.scope
    }

    /// Whether this is `fe80::/10`.
    pub fn is_link_local_v6(&self) -> bool {
        matches!(self.ip, IpAddr::V6(ip) if is_link_local(ip))
    }

    /// Every address that `host:port` stands for, by this machine's resolver; plain `ip:port` needs none.
    pub async fn resolve(text: &str) -> Result<Vec<Self>, Error> {
        if let Ok(address) = text.parse::<Self>() {
            return Ok(vec![address]);
        }
        let bad = || Error::BadAddress(shortened(text));
        let (host, port) = text.trim().rsplit_once(':').ok_or_else(bad)?;
        let port = port
            .parse::<u16>()
            .ok()
            .filter(|port| *port != 0)
            .ok_or_else(bad)?;
        if !is_host_name(host) {
            return Err(bad());
        }
        let unknown = || Error::UnknownHost(shortened(host));
        let found: Vec<_> = tokio::net::lookup_host((host, port))
            .await
            .map_err(|_| unknown())?
            .map(Self::from)
            .collect();
        if found.is_empty() {
            Err(unknown())
        } else {
            Ok(found)
        }
    }

    /// The compact form: 6 bytes for IPv4, 18 for IPv6, without scope.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = match self.ip {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        bytes.extend_from_slice(&self.port.to_be_bytes());
        bytes
    }

    /// Reads the compact form; any other length, port 0, an unspecified or multicast address, and an IPv4 address
    /// dressed as IPv6 are refused.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let (ip, port) = bytes
            .split_last_chunk::<2>()
            .ok_or(Error::BadAddressBytes)?;
        let ip = if let Ok(v4) = <[u8; 4]>::try_from(ip) {
            IpAddr::from(v4)
        } else if let Ok(v6) = <[u8; 16]>::try_from(ip) {
            IpAddr::from(v6)
        } else {
            return Err(Error::BadAddressBytes);
        };
        let address = Self::new(ip, u16::from_be_bytes(*port));
        if address.is_dialable() && address.ip == ip {
            Ok(address)
        } else {
            Err(Error::BadAddressBytes)
        }
    }

    /// Whether one can connect to it at all.
    pub fn is_dialable(&self) -> bool {
        self.port != 0 && !self.ip.is_unspecified() && !self.ip.is_multicast()
    }

    /// As libp2p writes it; a scoped link-local address begins with `/ip6zone/<index>`.
    pub fn to_multiaddr(&self) -> Multiaddr {
        let address = match self.scope {
            0 => Multiaddr::empty(),
            scope => Multiaddr::empty().with(Protocol::Ip6zone(scope.to_string().into())),
        };
        address.with(self.ip.into()).with(Protocol::Tcp(self.port))
    }

    /// Takes back what [`Address::to_multiaddr`] made, with or without a trailing `/p2p/<peer>`; `None` for any
    /// other kind of address.
    pub fn from_multiaddr(address: &Multiaddr) -> Option<Self> {
        let mut parts = address.iter().peekable();
        let scope = match parts.peek() {
            Some(Protocol::Ip6zone(zone)) => {
                let scope = zone.parse().ok()?;
                parts.next();
                scope
            }
            _ => 0,
        };
        let ip = match parts.next()? {
            Protocol::Ip4(ip) => IpAddr::V4(ip),
            Protocol::Ip6(ip) => IpAddr::V6(ip),
            _ => return None,
        };
        let Protocol::Tcp(port) = parts.next()? else {
            return None;
        };
        match (parts.next(), parts.next()) {
            (None | Some(Protocol::P2p(_)), None) => Some(Self::new(ip, port).with_scope(scope)),
            _ => None,
        }
    }

    pub(crate) fn to_socket(self) -> SocketAddr {
        match self.ip {
            IpAddr::V4(ip) => SocketAddr::from((ip, self.port)),
            IpAddr::V6(ip) => SocketAddrV6::new(ip, self.port, 0, self.scope).into(),
        }
    }
}

pub(crate) fn is_link_local(ip: Ipv6Addr) -> bool {
    ip.is_unicast_link_local()
}

/// Letters, digits, dots and hyphens, at most the 253 characters of RFC 1035.
fn is_host_name(host: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    !host.is_empty() && host.len() <= 253 && host.chars().all(allowed)
}

/// What somebody typed, cut to what fits an error message.
fn shortened(text: &str) -> String {
    text.trim()
        .chars()
        .filter(|c| !c.is_control())
        .take(64)
        .collect()
}

impl From<SocketAddr> for Address {
    fn from(socket: SocketAddr) -> Self {
        let scope = match socket {
            SocketAddr::V4(_) => 0,
            SocketAddr::V6(v6) => v6.scope_id(),
        };
        Self::new(socket.ip(), socket.port()).with_scope(scope)
    }
}

impl FromStr for Address {
    type Err = Error;

    /// Reads `1.2.3.4:5`, `[2001:db8::1]:5` or `[fe80::1%3]:5`.
    fn from_str(text: &str) -> Result<Self, Error> {
        let socket: SocketAddr = text
            .trim()
            .parse()
            .map_err(|_| Error::BadAddress(shortened(text)))?;
        Ok(socket.into())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_socket().fmt(f)
    }
}

impl fmt::Debug for Address {
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

    fn any_address() -> impl Strategy<Value = Address> {
        (any::<IpAddr>(), any::<u16>(), any::<u32>())
            .prop_map(|(ip, port, scope)| Address::new(ip, port).with_scope(scope))
    }

    fn link_local() -> impl Strategy<Value = Address> {
        (any::<u64>(), any::<u16>(), any::<u32>()).prop_map(|(host, port, scope)| {
            let ip = Ipv6Addr::from((0xfe80_u128 << 112) | u128::from(host));
            Address::new(ip.into(), port).with_scope(scope)
        })
    }

    proptest! {
        #[test]
        fn text_and_multiaddr_round_trip(address in prop_oneof![any_address(), link_local()]) {
            prop_assert_eq!(address.to_string().parse::<Address>().unwrap(), address);
            prop_assert_eq!(Address::from_multiaddr(&address.to_multiaddr()), Some(address));
            let named = address.to_multiaddr().with(Protocol::P2p(libp2p::PeerId::random()));
            prop_assert_eq!(Address::from_multiaddr(&named), Some(address));
        }

        #[test]
        fn bytes_round_trip_without_scope(address in prop_oneof![any_address(), link_local()]) {
            let bytes = address.to_bytes();
            prop_assert_eq!(bytes.len(), if address.ip().is_ipv4() { 6 } else { 18 });
            match Address::from_bytes(&bytes) {
                Ok(read) => prop_assert_eq!(read, Address::new(address.ip(), address.port())),
                Err(_) => prop_assert!(!address.is_dialable()),
            }
        }

        #[test]
        fn any_bytes_are_read_one_way_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..24)) {
            if let Ok(address) = Address::from_bytes(&bytes) {
                prop_assert_eq!(address.to_bytes(), bytes);
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,40}") {
            if let Ok(address) = text.parse::<Address>() {
                prop_assert_eq!(address.to_string().parse::<Address>().unwrap(), address);
            }
        }
    }

    #[test]
    fn forms_are_as_documented() {
        let v4: Address = "192.0.2.7:4001".parse().unwrap();
        assert_eq!(v4.to_bytes(), [192, 0, 2, 7, 0x0f, 0xa1]);
        assert_eq!(v4.to_multiaddr().to_string(), "/ip4/192.0.2.7/tcp/4001");
        let v6: Address = "[fe80::1%3]:4001".parse().unwrap();
        assert_eq!(
            (v6.scope(), v6.to_string().as_str()),
            (3, "[fe80::1%3]:4001")
        );
        assert_eq!(
            v6.to_multiaddr().to_string(),
            "/ip6zone/3/ip6/fe80::1/tcp/4001"
        );
        assert_eq!(v6.to_bytes().len(), 18);
        let mapped: Address = "[::ffff:192.0.2.7]:4001".parse().unwrap();
        assert_eq!(mapped, v4);
    }

    #[test]
    fn what_cannot_be_dialled_is_refused_in_a_code() {
        for text in [
            "0.0.0.0:1",
            "192.0.2.1:0",
            "224.0.0.251:5353",
            "[::]:1",
            "[ff02::fb]:1",
        ] {
            let address: Address = text.parse().unwrap();
            assert!(
                matches!(
                    Address::from_bytes(&address.to_bytes()),
                    Err(Error::BadAddressBytes)
                ),
                "{text}"
            );
        }
        let mut mapped = Ipv6Addr::from([0, 0, 0, 0, 0, 0xffff, 0xc000, 0x0207])
            .octets()
            .to_vec();
        mapped.extend([1, 1]);
        assert!(Address::from_bytes(&mapped).is_err());
    }

    #[tokio::test]
    async fn names_are_resolved_and_nonsense_refused() {
        let found = Address::resolve("localhost:4001").await.unwrap();
        assert!(
            found
                .iter()
                .all(|address| address.ip().is_loopback() && address.port() == 4001)
        );
        for text in [
            "",
            "nonsense",
            "host:",
            "host:0",
            "host:99999",
            "a b:1",
            "1.2.3.4",
            "/ip4/1.2.3.4/tcp/1",
        ] {
            assert!(
                matches!(Address::resolve(text).await, Err(Error::BadAddress(_))),
                "{text}"
            );
        }
    }
}
