//! A home with a router: devices inside reach out, nobody outside reaches in.

use std::io::Write;
use std::net::Ipv4Addr;
use std::process::Stdio;

use super::{Cable, Lan, Namespace};

/// How a router gives out its ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ports {
    /// The device's own, as most routers at home do: whoever knows it can be met halfway.
    Kept,
    /// Another for every other end ("symmetric"), so that what one end has seen helps no other.
    Random,
}

/// What a router lets pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passing {
    /// TCP alone.
    Tcp,
    /// UDP alone.
    Udp,
    /// Both.
    Both,
    /// Both, but the first packet of TCP is lost.
    LateTcp,
    /// Both, but the first packets of UDP are lost.
    LateUdp,
}

/// A router on a network that stands for the internet, and one device behind it.
pub struct Home<'a> {
    router: Namespace,
    device: Namespace,
    /// What joins the router to the network outside.
    pub cable: Cable<'a>,
}

impl<'a> Home<'a> {
    /// A router joined to `internet`, with a device on its other side. Every home uses the same addresses inside.
    pub fn new(internet: &'a Lan, ports: Ports, passing: Passing) -> Self {
        let (router, cable) = internet.join();
        let device = router.beside();
        router.ip(&format!(
            "link add home type veth peer name eth0 netns {}",
            device.id()
        ));
        router.ip("address add 192.168.1.1/24 dev home");
        router.ip("link set home up");
        device.ip("address add 192.168.1.2/24 dev eth0");
        device.ip("link set eth0 up");
        device.ip("route add default via 192.168.1.1");
        let home = Self {
            router,
            device,
            cable,
        };
        home.route(ports, passing);
        home
    }

    /// The device.
    pub fn device(&self) -> &Namespace {
        &self.device
    }

    /// The router's address outside.
    pub fn address(&self) -> Ipv4Addr {
        self.cable.address()
    }

    /// Lets nothing through to this address outside until [`Home::unblock`].
    pub fn block(&self, address: Ipv4Addr) {
        let rules = format!(
            "table ip blocked {{
                chain through {{
                    type filter hook forward priority -1; policy accept
                    ip daddr {address} drop
                }}
            }}"
        );
        self.within("nft", &["-f", "-"], &rules);
    }

    /// Lets through again what was blocked.
    pub fn unblock(&self) {
        self.within("nft", &["delete", "table", "ip", "blocked"], "");
    }

    fn route(&self, ports: Ports, passing: Passing) {
        let masquerade = match ports {
            Ports::Kept => "masquerade",
            Ports::Random => "masquerade fully-random",
        };
        let passing = match passing {
            Passing::Tcp => "meta l4proto udp drop",
            Passing::Udp => "meta l4proto tcp drop",
            Passing::Both => "",
            // More than the first SYN has (60), or what QUIC sends at once at first (2 x 1228), and less than twice that.
            Passing::LateTcp => "meta l4proto tcp quota until 100 bytes drop",
            Passing::LateUdp => "meta l4proto udp quota until 4000 bytes drop",
        };
        // As routers come from the shop: what nobody inside has asked for is dropped without a word.
        let rules = format!(
            "table ip home {{
                chain out {{
                    type nat hook postrouting priority 100
                    oifname eth0 {masquerade}
                }}
                chain through {{
                    type filter hook forward priority 0; policy drop
                    {passing}
                    iifname home accept
                    ct state established,related accept
                }}
                chain in {{
                    type filter hook input priority 0; policy accept
                    iifname eth0 ct state new drop
                }}
            }}"
        );
        self.within("nft", &["-f", "-"], &rules);
        self.within("sh", &["-c", "cat >/proc/sys/net/ipv4/ip_forward"], "1");
    }

    /// Runs a program on the router.
    fn within(&self, program: &str, words: &[&str], input: &str) {
        let mut command = self.router.command(program);
        command.args(words);
        command.stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("nft is a program of nftables");
        let mut pipe = child.stdin.take().unwrap();
        pipe.write_all(input.as_bytes()).unwrap();
        drop(pipe);
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {words:?}: {said}");
    }
}
