//! When the node's key is renewed, so that nobody on the way can tell by it that a device is the same as yesterday, or the
//! same as in another network: once a day, and as soon as the device is in another network.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

/// For how long one key is used at most.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long after the first address of another network: they seldom come alone.
const SETTLING: Duration = Duration::from_secs(1);

/// When it is next due.
pub(super) struct Renewal {
    due: Instant,
    /// Whether it is because the network is another.
    has_moved: bool,
    /// Where this device is, or was when it was last anywhere.
    networks: BTreeSet<IpAddr>,
}

impl Renewal {
    /// After a start with these addresses.
    pub fn new(now: Instant, addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        Self {
            due: now + DAY,
            has_moved: false,
            networks: networks(addresses),
        }
    }

    /// These are the addresses now. Whoever was nowhere and comes back to where it was has not moved.
    pub fn saw(&mut self, now: Instant, addresses: impl IntoIterator<Item = IpAddr>) {
        let here = networks(addresses);
        if here.is_empty() {
            return;
        }
        let is_new = !here.is_subset(&self.networks);
        let was_anywhere = !self.networks.is_empty();
        self.networks = here;
        if is_new && was_anywhere && !self.has_moved {
            self.moved(now + SETTLING);
        }
    }

    /// The network is another, as whoever knows it says: it is due then.
    pub fn moved(&mut self, when: Instant) {
        self.due = self.due.min(when);
        self.has_moved = true;
    }

    /// When it is due.
    pub const fn due(&self) -> Instant {
        self.due
    }

    /// It is done. Whether the ports may be the same as before: nobody is to know a device by them elsewhere.
    pub fn begin(&mut self, now: Instant) -> bool {
        self.due = now + DAY;
        !std::mem::take(&mut self.has_moved)
    }
}

/// The networks of addresses by which others can tell where a device is.
fn networks(addresses: impl IntoIterator<Item = IpAddr>) -> BTreeSet<IpAddr> {
    let network = |ip: IpAddr| match ip.to_canonical() {
        IpAddr::V4(ip) if ip.is_loopback() || ip.is_link_local() => None,
        IpAddr::V4(ip) => Some(IpAddr::V4((ip.to_bits() & 0xffff_ff00).into())),
        IpAddr::V6(ip) if ip.is_loopback() || ip.is_unicast_link_local() => None,
        IpAddr::V6(ip) => Some(IpAddr::V6((ip.to_bits() >> 64 << 64).into())),
    };
    addresses.into_iter().filter_map(network).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn at(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn a_key_lasts_a_day_at_most() {
        let start = Instant::now();
        let mut renewal = Renewal::new(start, at(&["192.168.1.7"]));
        assert_eq!(renewal.due(), start + DAY);
        let later = start + DAY;
        assert!(renewal.begin(later), "the ports stay");
        assert_eq!(renewal.due(), later + DAY);
    }

    #[test]
    fn another_network_wants_another_key_at_once() {
        let now = Instant::now();
        let home = at(&["127.0.0.1", "192.168.1.7", "fe80::1", "2001:db8:1::7"]);
        let mut renewal = Renewal::new(now, home.clone());
        // Another address in the same network, the network gone and back: nothing has changed.
        renewal.saw(now, at(&["192.168.1.8", "2001:db8:1::99:1"]));
        renewal.saw(now, at(&["127.0.0.1", "::1", "fe80::2"]));
        renewal.saw(now, home.clone());
        assert_eq!(renewal.due(), now + DAY);
        // One address after the other: once.
        renewal.saw(now, at(&["10.1.2.3"]));
        let then = now + Duration::from_millis(300);
        renewal.saw(then, at(&["10.1.2.3", "2001:db8:2::7"]));
        assert_eq!(renewal.due(), now + SETTLING);
        assert!(!renewal.begin(now + SETTLING), "on other ports");
        assert_eq!(renewal.due(), now + SETTLING + DAY);
        // And once more at home again.
        renewal.saw(then, home);
        assert_eq!(renewal.due(), then + SETTLING);
    }

    #[test]
    fn who_starts_without_a_network_has_a_key_that_nobody_has_seen() {
        let now = Instant::now();
        let mut renewal = Renewal::new(now, at(&["127.0.0.1"]));
        renewal.saw(now, at(&["192.168.1.7"]));
        assert_eq!(renewal.due(), now + DAY);
        // Unless somebody says that the network is another, with the same numbers.
        renewal.moved(now);
        assert_eq!(renewal.due(), now);
        assert!(!renewal.begin(now));
    }
}
