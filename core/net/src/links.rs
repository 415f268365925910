//! This machine's own networks: what it can be dialled at, and which addresses lie on the same link.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket},
};

use libp2p::core::ConnectedPoint;

use crate::{
    Address,
    address::{Transport, is_link_local},
};

/// With whom a node may exchange packets at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Anybody who can be reached: for sync.
    Any,
    /// Only machines on the same Wi-Fi, cable or hotspot, for linking: IPv4 within the prefixes of this machine's
    /// interfaces and with TTL 1 (no router forwards it), IPv6 by link-local addresses only, and this machine
    /// itself. Never through a tunnel or a cellular interface, and never over QUIC, whose packets libp2p cannot keep
    /// on the link; nor has such a node anything to do with relays.
    OnLinkOnly,
}

/// One address of one interface.
#[derive(Clone, Debug)]
struct Link {
    ip: IpAddr,
    prefix: u8,
    index: u32,
}

/// The addresses of this machine's interfaces, without tunnels and cellular ones.
#[derive(Clone, Debug, Default)]
pub(crate) struct Links(Vec<Link>);

/// How the names of tunnels, VPNs and cellular modems begin on Linux, Android, macOS and iOS.
const FAR: [&str; 21] = [
    "tun",
    "tap",
    "utun",
    "wg",
    "wireguard",
    "tailscale",
    "zt",
    "ppp",
    "ipsec",
    "gre",
    "gif",
    "stf",
    "sit",
    "ip6tnl",
    "nordlynx",
    "proton",
    "mullvad",
    "rmnet",
    "ccmni",
    "wwan",
    "pdp_ip",
];

fn leads_far(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    FAR.iter().any(|start| name.starts_with(start))
}

impl Links {
    /// Reads the interfaces as they are now; none if the system does not tell.
    pub(crate) fn now() -> Self {
        let interfaces = if_addrs::get_if_addrs().unwrap_or_else(|error| {
            log::warn!("cannot read the network interfaces: {error}");
            Vec::new()
        });
        let near = interfaces
            .into_iter()
            .filter(|i| i.is_loopback() || !(i.is_p2p() || leads_far(&i.name)));
        Self(
            near.map(|interface| Link {
                ip: interface.ip(),
                prefix: match &interface.addr {
                    if_addrs::IfAddr::V4(v4) => v4.prefixlen,
                    if_addrs::IfAddr::V6(v6) => v6.prefixlen,
                },
                index: interface.index.unwrap_or(0),
            })
            .collect(),
        )
    }

    /// Whether a packet to or from `ip` stays on a link of this machine.
    pub(crate) fn is_on_link(&self, ip: IpAddr) -> bool {
        match ip.to_canonical() {
            ip if ip.is_loopback() => true,
            IpAddr::V4(ip) => self.0.iter().any(|link| match link.ip {
                IpAddr::V4(own) => same_network(own, ip, link.prefix),
                IpAddr::V6(_) => false,
            }),
            IpAddr::V6(ip) => is_link_local(ip) && self.link_local_scopes().next().is_some(),
        }
    }

    /// What to dial so as to reach `address` within `reach`: itself, nothing, or, for an IPv6 link-local address
    /// that came without a scope (from a QR code), the same address through each interface.
    pub(crate) fn routes(&self, address: Address, reach: Reach) -> Vec<Address> {
        let off_link = || address.transport() != Transport::Tcp || !self.is_on_link(address.ip());
        if !address.is_dialable()
            || !address.is_supported()
            || (reach == Reach::OnLinkOnly && off_link())
        {
            Vec::new()
        } else if address.is_link_local_v6() {
            let known = |scope: &u32| address.scope() == 0 || address.scope() == *scope;
            self.link_local_scopes()
                .filter(known)
                .map(|scope| address.with_scope(scope))
                .collect()
        } else {
            vec![address]
        }
    }

    /// What others can dial when this machine listens on `listener`: best first, loopback last.
    pub(crate) fn dialable(&self, listener: Address, reach: Reach) -> Vec<Address> {
        if !listener.ip().is_unspecified() {
            return vec![listener];
        }
        let mut own: Vec<Address> = self
            .0
            .iter()
            .filter(|link| link.ip.is_ipv4() == listener.ip().is_ipv4())
            .map(|link| {
                Address::new(link.ip, listener.port())
                    .with_scope(link.index)
                    .over(listener.transport())
            })
            .filter(|own| reach == Reach::Any || self.is_on_link(own.ip()))
            .filter(Address::is_supported)
            .collect();
        own.sort_by_key(preference);
        own.dedup();
        own
    }

    fn link_local_scopes(&self) -> impl Iterator<Item = u32> + '_ {
        let link_local = |link: &&Link| matches!(link.ip, IpAddr::V6(ip) if is_link_local(ip));
        self.0
            .iter()
            .filter(link_local)
            .map(|link| link.index)
            .filter(|index| *index != 0)
    }
}

/// The order in which addresses are offered and dialled: private IPv4, other IPv4, link-local IPv6, other IPv6
/// (rotating privacy addresses among them), self-assigned IPv4, loopback.
pub(crate) fn preference(address: &Address) -> (u8, Address) {
    let rank = match address.ip() {
        ip if ip.is_loopback() => 5,
        IpAddr::V4(ip) if ip.is_private() => 0,
        IpAddr::V4(ip) if ip.is_link_local() => 4,
        IpAddr::V4(_) => 1,
        IpAddr::V6(ip) if is_link_local(ip) => 2,
        IpAddr::V6(_) => 3,
    };
    (rank, *address)
}

/// Every address of every interface of this machine, tunnels and cellular ones among them.
pub(crate) fn own_addresses() -> BTreeSet<IpAddr> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    interfaces.iter().map(if_addrs::Interface::ip).collect()
}

/// The address of this machine that a direct connection is from: the one that packets to its other end leave by.
pub(crate) fn local_end(endpoint: &ConnectedPoint) -> Option<IpAddr> {
    let other = Address::from_multiaddr(endpoint.get_remote_address())?;
    let any: IpAddr = if other.ip().is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    // Connecting a socket of UDP sends nothing; it asks the routing table.
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(other.to_socket()).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

fn same_network(own: Ipv4Addr, other: Ipv4Addr, prefix: u8) -> bool {
    // A /0 would make the whole internet one's own network, a /32 has nobody else in it.
    let mask = match prefix {
        0 => return false,
        prefix => u32::MAX
            .checked_shl(32 - u32::from(prefix.min(32)))
            .unwrap_or(u32::MAX),
    };
    own.to_bits() & mask == other.to_bits() & mask
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

    fn links(all: &[(&str, u8, u32)]) -> Links {
        Links(
            all.iter()
                .map(|(ip, prefix, index)| Link {
                    ip: ip.parse().unwrap(),
                    prefix: *prefix,
                    index: *index,
                })
                .collect(),
        )
    }

    fn home() -> Links {
        links(&[
            ("127.0.0.1", 8, 1),
            ("192.168.7.20", 24, 2),
            ("fe80::20", 64, 2),
            ("2001:db8::20", 64, 2),
            ("169.254.9.9", 16, 3),
            ("fe80::33", 64, 3),
            ("::1", 128, 1),
        ])
    }

    #[test]
    fn only_the_same_network_is_on_link() {
        for (ip, on_link) in [
            ("192.168.7.1", true),
            ("192.168.7.254", true),
            ("::ffff:192.168.7.254", true),
            ("192.168.8.1", false),
            ("10.0.0.1", false),
            ("8.8.8.8", false),
            ("127.0.0.1", true),
            ("127.9.9.9", true),
            ("::1", true),
            ("fe80::99", true),
            ("169.254.1.1", true),
            ("2001:db8::21", false),
        ] {
            assert_eq!(home().is_on_link(ip.parse().unwrap()), on_link, "{ip}");
        }
        assert!(!links(&[("10.0.0.1", 0, 1)]).is_on_link("8.8.8.8".parse().unwrap()));
        assert!(links(&[("10.0.0.1", 32, 1)]).is_on_link("10.0.0.1".parse().unwrap()));
        assert!(!links(&[("10.0.0.1", 32, 1)]).is_on_link("10.0.0.2".parse().unwrap()));
        assert!(!links(&[("127.0.0.1", 8, 1)]).is_on_link("fe80::1".parse().unwrap()));
    }

    #[test]
    fn a_link_local_address_is_dialled_through_each_interface() {
        let bare: Address = "[fe80::7]:4001".parse().unwrap();
        let scopes: Vec<u32> = home()
            .routes(bare, Reach::OnLinkOnly)
            .iter()
            .map(Address::scope)
            .collect();
        assert_eq!(scopes, [2, 3]);
        assert_eq!(
            home().routes(bare.with_scope(3), Reach::Any),
            [bare.with_scope(3)]
        );
        assert!(home().routes(bare.with_scope(9), Reach::Any).is_empty());
    }

    #[test]
    fn reach_decides_about_far_addresses() {
        let far: Address = "198.51.100.1:4001".parse().unwrap();
        assert_eq!(home().routes(far, Reach::Any), [far]);
        assert!(home().routes(far, Reach::OnLinkOnly).is_empty());
        let near: Address = "192.168.7.9:4001".parse().unwrap();
        assert_eq!(home().routes(near, Reach::OnLinkOnly), [near]);
        let quic = near.over(Transport::Quic);
        assert_eq!(home().routes(quic, Reach::Any), [quic]);
        assert!(home().routes(quic, Reach::OnLinkOnly).is_empty());
        assert!(
            home()
                .routes("192.168.7.9:0".parse().unwrap(), Reach::Any)
                .is_empty()
        );
    }

    #[test]
    fn addresses_are_offered_best_first() {
        let offered = |listener: &str, reach| -> Vec<String> {
            home()
                .dialable(listener.parse().unwrap(), reach)
                .iter()
                .map(Address::to_string)
                .collect()
        };
        assert_eq!(
            offered("0.0.0.0:9", Reach::Any),
            ["192.168.7.20:9", "169.254.9.9:9", "127.0.0.1:9"]
        );
        assert_eq!(
            offered("[::]:9", Reach::Any),
            [
                "[fe80::20%2]:9",
                "[fe80::33%3]:9",
                "[2001:db8::20]:9",
                "[::1]:9"
            ]
        );
        assert_eq!(
            offered("quic://[::]:9", Reach::Any),
            ["quic://[2001:db8::20]:9", "quic://[::1]:9"]
        );
        assert_eq!(
            offered("[::]:9", Reach::OnLinkOnly),
            ["[fe80::20%2]:9", "[fe80::33%3]:9", "[::1]:9"]
        );
        assert_eq!(offered("192.168.7.20:9", Reach::Any), ["192.168.7.20:9"]);
    }

    #[test]
    fn tunnels_and_cellular_interfaces_are_known_by_name() {
        for name in [
            "tun0",
            "wg0",
            "wg-home",
            "tailscale0",
            "utun4",
            "rmnet_data1",
            "wwan0",
            "ppp0",
            "ccmni1",
            "pdp_ip0",
            "ztabcdef12",
        ] {
            assert!(leads_far(name), "{name}");
        }
        for name in [
            "eth0",
            "en0",
            "wlan0",
            "wlp3s0",
            "enp0s31f6",
            "veth0",
            "br-lan",
            "swlan0",
            "ap0",
            "bridge100",
            "lo",
            "tsn",
        ] {
            assert!(!leads_far(name), "{name}");
        }
    }

    #[test]
    fn this_machine_has_a_loopback() {
        assert!(Links::now().is_on_link("127.0.0.1".parse().unwrap()));
        assert!(!Links::now().0.is_empty());
    }
}
