//! Where a device can be dialled: an IP address, a port, and whether that is TCP or QUIC.
//!
//! Text: `192.0.2.7:4001` is TCP, `quic://192.0.2.7:4001` is QUIC.
//!
//! Compact form, for QR codes: the address's 4 or 16 bytes, then the port as 2 bytes, most significant first
//! (6 bytes for IPv4, 18 for IPv6). It is always TCP: devices are linked over TCP only, whose packets can be kept from
//! leaving the link. An IPv6 scope id means something on one machine only and is never part of it.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6},
    str::FromStr,
};

use libp2p::{Multiaddr, multiaddr::Protocol};

use crate::Error;

/// How an address of QUIC begins in text; one of TCP may begin with `tcp://`.
const QUIC: &str = "quic://";
const TCP: &str = "tcp://";

/// What carries a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// TCP, with TLS 1.3 and yamux on it.
    Tcp,
    /// QUIC version 1, over UDP.
    Quic,
}

/// An IP address and a port of TCP or QUIC; the scope id (the interface's index) is kept for IPv6 link-local addresses
/// only.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    ip: IpAddr,
    port: u16,
    scope: u32,
    transport: Transport,
}

impl Address {
    /// An address of TCP without a scope. An IPv4 address written as IPv6 (`::ffff:1.2.3.4`) becomes the IPv4 address
    /// it is.
    pub fn new(ip: IpAddr, port: u16) -> Self {
        Self {
            ip: ip.to_canonical(),
            port,
            scope: 0,
            transport: Transport::Tcp,
        }
    }

    /// The same, of QUIC.
    pub fn quic(ip: IpAddr, port: u16) -> Self {
        Self::new(ip, port).over(Transport::Quic)
    }

    /// The same address and port over this transport.
    pub fn over(self, transport: Transport) -> Self {
        Self { transport, ..self }
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

    /// The port, of TCP or of UDP; 0 asks the system for a free one when listening.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What carries a connection to it.
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// The index of the interface that an IPv6 link-local address belongs to; 0 where unknown or meaningless.
    pub fn scope(&self) -> u32 {
        self.scope
    }

    /// Whether this is `fe80::/10`.
    pub fn is_link_local_v6(&self) -> bool {
        matches!(self.ip, IpAddr::V6(ip) if is_link_local(ip))
    }

    /// Every address that `host:port` or `quic://host:port` stands for, by this machine's resolver; with an IP address
    /// in the host's place none is asked.
    pub async fn resolve(text: &str) -> Result<Vec<Self>, Error> {
        if let Ok(address) = text.parse::<Self>() {
            return Ok(vec![address]);
        }
        let bad = || Error::BadAddress(shortened(text));
        let (transport, rest) = split_transport(text);
        let (host, port) = rest.rsplit_once(':').ok_or_else(bad)?;
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
            .map(|socket| Self::from(socket).over(transport))
            .collect();
        if found.is_empty() {
            Err(unknown())
        } else {
            Ok(found)
        }
    }

    /// The compact form: 6 bytes for IPv4, 18 for IPv6, without scope; read back, it is an address of TCP.
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
        let address = address.with(self.ip.into());
        match self.transport {
            Transport::Tcp => address.with(Protocol::Tcp(self.port)),
            Transport::Quic => address
                .with(Protocol::Udp(self.port))
                .with(Protocol::QuicV1),
        }
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
        let address = match parts.next()? {
            Protocol::Tcp(port) => Self::new(ip, port),
            Protocol::Udp(port) if parts.next()? == Protocol::QuicV1 => Self::quic(ip, port),
            _ => return None,
        };
        match (parts.next(), parts.next()) {
            (None | Some(Protocol::P2p(_)), None) => Some(address.with_scope(scope)),
            _ => None,
        }
    }

    /// Whether this machine can open a connection to it: libp2p's QUIC knows no scopes, so that IPv6 link-local
    /// addresses are TCP's alone.
    pub(crate) fn is_supported(&self) -> bool {
        !(self.transport == Transport::Quic && self.is_link_local_v6())
    }

    pub(crate) fn to_socket(self) -> SocketAddr {
        match self.ip {
            IpAddr::V4(ip) => SocketAddr::from((ip, self.port)),
            IpAddr::V6(ip) => SocketAddrV6::new(ip, self.port, 0, self.scope).into(),
        }
    }
}

/// The transport that a text names, TCP if it names none, and the rest of it.
fn split_transport(text: &str) -> (Transport, &str) {
    let text = text.trim();
    match text.strip_prefix(QUIC) {
        Some(rest) => (Transport::Quic, rest),
        None => (Transport::Tcp, text.strip_prefix(TCP).unwrap_or(text)),
    }
}

pub(crate) fn is_link_local(ip: Ipv6Addr) -> bool {
    ip.is_unicast_link_local()
}

/// Whether this leads through a relay.
pub(crate) fn is_relayed(address: &Multiaddr) -> bool {
    address.iter().any(|part| part == Protocol::P2pCircuit)
}

/// Letters, digits, dots and hyphens, at most the 253 characters of RFC 1035.
pub(crate) fn is_host_name(host: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    !host.is_empty() && host.len() <= 253 && host.chars().all(allowed)
}

/// What somebody typed, cut to what fits an error message.
pub(crate) fn shortened(text: &str) -> String {
    text.trim()
        .chars()
        .filter(|c| !c.is_control())
        .take(64)
        .collect()
}

impl From<SocketAddr> for Address {
    /// Of TCP.
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

    /// Reads `1.2.3.4:5`, `[2001:db8::1]:5` or `[fe80::1%3]:5`, with `quic://` before it for QUIC.
    fn from_str(text: &str) -> Result<Self, Error> {
        let (transport, rest) = split_transport(text);
        let socket: SocketAddr = rest
            .parse()
            .map_err(|_| Error::BadAddress(shortened(text)))?;
        Ok(Self::from(socket).over(transport))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.transport == Transport::Quic {
            f.write_str(QUIC)?;
        }
        self.to_socket().fmt(f)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What of an IP address its owner cannot choose freely: of IPv6 the network, 64 bits.
pub(crate) fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
        ip => ip,
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
        let transport = prop_oneof![Just(Transport::Tcp), Just(Transport::Quic)];
        (any::<IpAddr>(), any::<u16>(), any::<u32>(), transport).prop_map(
            |(ip, port, scope, transport)| Address::new(ip, port).with_scope(scope).over(transport),
        )
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
        let quic: Address = "quic://192.0.2.7:4001".parse().unwrap();
        assert_eq!(quic, Address::quic(v4.ip(), 4001));
        assert_eq!(quic.to_string(), "quic://192.0.2.7:4001");
        assert_eq!(
            quic.to_multiaddr().to_string(),
            "/ip4/192.0.2.7/udp/4001/quic-v1"
        );
        assert_eq!(Address::from_bytes(&quic.to_bytes()).unwrap(), v4);
        assert_eq!("tcp://192.0.2.7:4001".parse::<Address>().unwrap(), v4);
        assert!(quic.is_supported() && !v6.over(Transport::Quic).is_supported());
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
        let found = Address::resolve(" quic://localhost:4001").await.unwrap();
        assert!(
            found
                .iter()
                .all(|address| address.transport() == Transport::Quic)
        );
        for text in [
            "",
            "quic://",
            "quic://tcp://1.2.3.4:5",
            "udp://1.2.3.4:5",
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
