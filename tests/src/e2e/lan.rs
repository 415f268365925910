//! A local network: one switch, and a cable to each device.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU8, Ordering};

use super::Namespace;

/// A switch without a way to the internet.
pub struct Lan {
    switch: Namespace,
    ports: AtomicU8,
}

impl Lan {
    /// A switch that nothing is plugged into.
    pub fn new() -> Self {
        let switch = Namespace::new();
        switch.ip("link add switch type bridge forward_delay 0 mcast_snooping 0");
        // A switch has no address of its own, and asks nobody for one.
        switch.ip("link set switch addrgenmode none");
        switch.ip("link set switch up");
        Self {
            switch,
            ports: AtomicU8::new(0),
        }
    }

    /// A new machine on a cable of its own: network card `eth0`, address 10.77.0.N/24.
    pub fn join(&self) -> (Namespace, Cable<'_>) {
        let namespace = self.switch.beside();
        let number = self.ports.fetch_add(1, Ordering::Relaxed) + 1;
        let cable = Cable {
            lan: self,
            port: format!("port{number}"),
            address: Ipv4Addr::new(10, 77, 0, number),
        };
        let (port, address) = (&cable.port, cable.address);
        self.switch.ip(&format!(
            "link add {port} type veth peer name eth0 netns {}",
            namespace.id()
        ));
        self.switch.ip(&format!("link set {port} addrgenmode none"));
        self.switch.ip(&format!("link set {port} master switch"));
        namespace.ip(&format!("address add {address}/24 dev eth0"));
        namespace.ip("link set eth0 up");
        cable.plug();
        (namespace, cable)
    }
}

impl Default for Lan {
    fn default() -> Self {
        Self::new()
    }
}

/// A cable from a machine to the switch. Pulling it is what it is in life: the machine's card loses its carrier,
/// keeps its address, and no one is told that a connection is gone.
pub struct Cable<'a> {
    lan: &'a Lan,
    port: String,
    address: Ipv4Addr,
}

impl Cable<'_> {
    /// The address of the machine on this cable.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Pulls the cable out of the switch.
    pub fn pull(&self) {
        self.lan.switch.ip(&format!("link set {} down", self.port));
    }

    /// Plugs it in again.
    pub fn plug(&self) {
        self.lan.switch.ip(&format!("link set {} up", self.port));
    }
}
