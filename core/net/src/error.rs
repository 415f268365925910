//! What can go wrong between two devices, in words for the person in front of one.

use crate::Address;

/// Why a network call failed. No message names a twin, a device or a site.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// `SSLKEYLOGFILE` is set, and the TLS library would write every session's keys to that file.
    #[error(
        "The environment variable SSLKEYLOGFILE is set, which would write the keys of every connection to a file; unset it and start again."
    )]
    KeyLog,
    /// The operating system gave no random bytes.
    #[error("This machine's random generator does not answer; restart it and try again.")]
    Random,
    /// No listening socket could be opened at this address.
    #[error("Cannot listen on {address}: {reason}; choose another address or port.")]
    Listen {
        /// The address asked for.
        address: Address,
        /// The operating system's reason.
        reason: String,
    },
    /// Discovery on the local network could not be started.
    #[error("Cannot look for devices on the local network: {0}; give an address by hand.")]
    Discovery(String),
    /// The text is not `ip:port` (or `host:port` where names are allowed).
    #[error(
        "“{0}” is not an address; write it as 192.168.1.20:4001, [fe80::1]:4001 or quic://192.168.1.20:4001."
    )]
    BadAddress(String),
    /// The text is not `HOST:PORT`.
    #[error("“{0}” is not a place; write it as home.example.org:4001 or 192.0.2.7:4001.")]
    BadPlace(String),
    /// The text is not `KEY@HOST:PORT`.
    #[error(
        "“{0}” is not a relay; write it as the relay shows it: 12D3Koo…@relay.example.org:4001."
    )]
    BadRelay(String),
    /// The bytes are not the compact form of an address.
    #[error("An address in this code cannot be read; ask for a new code.")]
    BadAddressBytes,
    /// The name is unknown to the resolver.
    #[error("No address is known for “{0}”; check the name and the connection.")]
    UnknownHost(String),
    /// There was nothing to dial.
    #[error("No address of the other device is known; give one by hand.")]
    NoAddress,
    /// Every address lies outside this machine's own local networks.
    #[error(
        "The other device is not on this local network; bring both onto the same Wi-Fi or cable and try again."
    )]
    NotOnLink,
    /// The other machine answered that nobody listens there.
    #[error(
        "Nothing answers at {0}; check that the other device is running and the address is right."
    )]
    Refused(Address),
    /// No answer within the time allowed.
    #[error(
        "The other device did not answer in time; check that both are on and on the same network."
    )]
    TimedOut,
    /// No route, network down, or a similar reason of the operating system.
    #[error("The other device cannot be reached at {0}; check this machine's network connection.")]
    Unreachable(Address),
    /// Somebody answered, with another key than the one expected.
    #[error(
        "Another device answered at {0} than the one expected; ask for a fresh code or address."
    )]
    WrongKey(Address),
    /// Somebody answered who does not speak this transport.
    #[error("What answers at {0} is not a twin; check the address.")]
    NotATwin(Address),
    /// The connection was accepted and closed again before the handshake was done: the other end has a limit, or
    /// does not accept callers from here.
    #[error(
        "The device at {0} hung up; it may be busy or accept only its own network, so try again nearby."
    )]
    HungUp(Address),
    /// The address leads back to this very node.
    #[error("{0} is this device's own address; give the other device's.")]
    OwnAddress(Address),
    /// A limit on connections or streams is reached.
    #[error("Too many connections are open; close some or wait a minute and try again.")]
    TooMany,
    /// The connection to that peer is gone, or never was.
    #[error("The connection to the other device is gone; connect again.")]
    NotConnected,
    /// The relay does not know the other device, or did not get through to it.
    #[error(
        "The other device cannot be reached through this relay now; check that it is on and uses the same relay."
    )]
    NotAtRelay,
    /// The relay does not let others through to this device: it is full, or is no relay.
    #[error("This relay does not take this device in; try again later, or use another.")]
    RelayRefused,
    /// The peer runs a version without this protocol.
    #[error("The other device does not offer this function; update it and try again.")]
    Unsupported,
    /// The node is suspended.
    #[error("The network is asleep on this device; wake it up first.")]
    Asleep,
    /// The node was shut down.
    #[error("The network has been stopped on this device; start it again.")]
    Stopped,
}
