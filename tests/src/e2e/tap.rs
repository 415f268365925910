//! Packets as they pass a machine's network card.

use std::collections::BTreeMap;
use std::fmt::{self, Debug, Formatter};

use super::{Namespace, Program};

/// Ethernet's header, up to what it carries.
const ETHERNET: usize = 14;

/// Listens in on a machine until it is dropped.
pub struct Tap(Program);

/// What a packet is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Which hardware has an address, as IPv4 asks.
    Arp,
    /// Neighbours, routers and groups, as IPv6 asks, and which groups IPv4 listens to.
    Control,
    /// Who is there.
    Mdns,
    /// Any other UDP: QUIC.
    Udp,
    /// TCP.
    Tcp,
    /// Nothing that these tests know.
    Other,
}

/// One packet.
#[derive(Clone, PartialEq, Eq)]
pub struct Packet(Vec<u8>);

impl Tap {
    /// Begins to listen, with the program `tap` of these tests.
    pub fn on(machine: &Namespace, tap: &str) -> Self {
        let program = Program::in_pipes(machine.command(tap));
        program.expect("ready\n");
        Self(program)
    }

    /// All that has passed so far.
    pub fn packets(&self) -> Vec<Packet> {
        let text = self.0.text();
        // The last line may be half printed.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().filter_map(Packet::read).collect()
    }
}

/// How many there are of each kind.
pub fn kinds(packets: &[Packet]) -> BTreeMap<Kind, usize> {
    let mut all = BTreeMap::new();
    for packet in packets {
        *all.entry(packet.kind()).or_default() += 1;
    }
    all
}

impl Packet {
    fn read(line: &str) -> Option<Self> {
        let (_, hex) = line.split_once(' ')?;
        let digits = hex.as_bytes().chunks(2);
        let bytes = digits.map(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok());
        bytes.collect::<Option<_>>().map(Self)
    }

    /// Its bytes, from the Ethernet header on.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// What it is for.
    pub fn kind(&self) -> Kind {
        let above = &self.0[ETHERNET..];
        let (protocol, ports) = match (self.0[12], self.0[13]) {
            (0x08, 0x06) => return Kind::Arp,
            (0x08, 0x00) => (above[9], &above[usize::from(above[0] & 15) * 4..]),
            // Options of groups come first.
            (0x86, 0xdd) if above[6] == 0 => return Kind::Control,
            (0x86, 0xdd) => (above[6], &above[40..]),
            _ => return Kind::Other,
        };
        match protocol {
            1 | 2 | 58 => Kind::Control,
            6 => Kind::Tcp,
            17 if [0, 2]
                .map(|at| u16::from_be_bytes([ports[at], ports[at + 1]]))
                .contains(&5353) =>
            {
                Kind::Mdns
            }
            17 => Kind::Udp,
            _ => Kind::Other,
        }
    }

    /// Puts something else into its last bytes.
    pub fn overwrite_end(&mut self, bytes: &[u8]) {
        let at = self.0.len() - bytes.len();
        self.0[at..].copy_from_slice(bytes);
    }

    /// What UDP or TCP carries in it; nothing if it is neither.
    pub fn content(&self) -> &[u8] {
        let above = &self.0[ETHERNET..];
        let (start, end) = match (self.0[12], self.0[13]) {
            (0x08, 0x00) => (
                usize::from(above[0] & 15) * 4,
                usize::from(u16::from_be_bytes([above[2], above[3]])),
            ),
            (0x86, 0xdd) => (
                40,
                40 + usize::from(u16::from_be_bytes([above[4], above[5]])),
            ),
            _ => return &[],
        };
        // Short packets are filled up on the way; of long ones the system may not tell the length.
        let end = if end == start { above.len() } else { end };
        let inner = &above[start..end.min(above.len())];
        match self.kind() {
            Kind::Tcp => &inner[usize::from(inner[12] >> 4) * 4..],
            Kind::Udp | Kind::Mdns => &inner[8..],
            _ => &[],
        }
    }
}

impl Debug for Packet {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        write!(out, "{:?} of {} bytes", self.kind(), self.0.len())
    }
}
