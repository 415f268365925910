//! Listens in on a machine's network cards: every packet that comes and goes.
//!
//! Prints `ready`, and then each packet on a line: its length in bytes, then the packet in hexadecimal, from its
//! Ethernet header on. What a machine says to itself is left out.
#![allow(clippy::print_stdout, missing_docs)]

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read, Write};
use std::num::NonZeroU32;

use rustix::net::{AddressFamily, Protocol, SocketFlags, SocketType, socket_with};

/// `ETH_P_ALL`, every protocol.
const ALL: u16 = 3;
/// Longer than any packet: cards put several together, and the system does.
const LONGEST: usize = 1 << 17;

fn main() -> io::Result<()> {
    let all = NonZeroU32::new(u32::from(ALL.to_be())).map(Protocol::from_raw);
    let flags = SocketFlags::CLOEXEC;
    let mut socket = File::from(socket_with(
        AddressFamily::PACKET,
        SocketType::RAW,
        flags,
        all,
    )?);
    let mut out = io::stdout().lock();
    writeln!(out, "ready")?;
    out.flush()?;
    let mut packet = vec![0; LONGEST];
    loop {
        let length = socket.read(&mut packet)?;
        let packet = packet.get(..length).unwrap_or_default();
        // On a loopback there are no hardware addresses.
        if packet.iter().take(12).all(|byte| *byte == 0) {
            continue;
        }
        let mut line = format!("{length} ");
        for byte in packet {
            write!(line, "{byte:02x}").map_err(io::Error::other)?;
        }
        writeln!(out, "{line}")?;
        out.flush()?;
    }
}
