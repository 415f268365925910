//! How much of a relay anybody gets.

use std::{num::NonZeroU32, time::Duration};

use libp2p::relay::Config;

/// Limits of a relay. The defaults let a device's first sync of some hundred thousand records through in one circuit, and
/// leave a small machine standing whoever calls.
///
/// libp2p's own defaults (128 KiB and 2 minutes a circuit) are for finding each other only; here a whole sync may go
/// through, because behind some routers no hole can be punched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections in all.
    pub connections: u32,
    /// Connections from one IPv4 address, or from one IPv6 network of 64 bits.
    pub connections_per_ip: u32,
    /// Devices that can be reached through the relay at a time.
    pub places: usize,
    /// For how long a place is given; it is renewed before.
    pub place_time: Duration,
    /// Circuits at a time, in all and from one device.
    pub circuits: usize,
    /// The same of one device.
    pub circuits_per_peer: usize,
    /// How long one circuit lasts at most.
    pub circuit_time: Duration,
    /// How many bytes go through one circuit, each way.
    pub circuit_bytes: u64,
    /// How many places, and as many circuits, one device may ask for in an hour.
    pub requests_per_peer: NonZeroU32,
    /// The same of one IP address, behind which many devices may be.
    pub requests_per_ip: NonZeroU32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            connections_per_ip: 64,
            places: 2048,
            place_time: Duration::from_secs(3600),
            circuits: 512,
            circuits_per_peer: 8,
            circuit_time: Duration::from_secs(3600),
            circuit_bytes: 512 << 20,
            requests_per_peer: NonZeroU32::new(60).unwrap_or(NonZeroU32::MIN),
            requests_per_ip: NonZeroU32::new(600).unwrap_or(NonZeroU32::MIN),
        }
    }
}

/// Over which time requests are counted.
const HOUR: Duration = Duration::from_secs(3600);

/// Places of one device: it may come back before its old connection is found dead.
const PLACES_PER_PEER: usize = 2;

impl Limits {
    /// Of connections: in all, made by others, and being set up.
    pub(crate) fn connections(&self) -> (u32, u32, u32) {
        let pending = (self.connections / 8).max(8);
        (self.connections, self.connections, pending)
    }

    /// As libp2p's relay wants them.
    pub(crate) fn of_circuits(&self) -> Config {
        let config = Config {
            max_reservations: self.places,
            max_reservations_per_peer: PLACES_PER_PEER,
            reservation_duration: self.place_time,
            reservation_rate_limiters: Vec::new(),
            max_circuits: self.circuits,
            max_circuits_per_peer: self.circuits_per_peer,
            max_circuit_duration: self.circuit_time,
            max_circuit_bytes: self.circuit_bytes,
            circuit_src_rate_limiters: Vec::new(),
        };
        // A bucket of so many, and one more each so often.
        let every = |limit: NonZeroU32| HOUR / limit.get();
        let (peer, ip) = (self.requests_per_peer, self.requests_per_ip);
        config
            .reservation_rate_per_peer(peer, every(peer))
            .reservation_rate_per_ip(ip, every(ip))
            .circuit_src_per_peer(peer, every(peer))
            .circuit_src_per_ip(ip, every(ip))
    }
}
