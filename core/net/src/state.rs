//! What the node and its worker both see.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use libp2p::core::transport::ListenerId;
use twin_sync::TransportKey;

use crate::{Address, Reach, traffic::Counters};

/// Peers found by mDNS that are remembered, and addresses of each.
const MAX_DISCOVERED: usize = 256;
const MAX_ADDRESSES: usize = 16;

pub(crate) struct Shared {
    pub(crate) reach: Reach,
    pub(crate) counters: Counters,
    state: Mutex<State>,
}

/// How things are now; bounded by the limits on connections and on discovery.
#[derive(Default)]
pub(crate) struct State {
    /// The addresses asked for, with the ports that were given.
    pub(crate) listeners: Vec<(ListenerId, Address)>,
    pub(crate) connected: BTreeSet<TransportKey>,
    pub(crate) discovered: BTreeMap<TransportKey, BTreeSet<Address>>,
}

impl Shared {
    pub(crate) fn new(reach: Reach) -> Self {
        Self {
            reach,
            counters: Counters::default(),
            state: Mutex::default(),
        }
    }

    /// Never held across an await.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while holding it, and each change is whole by itself.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes down that mDNS has told of a peer; whether that is news.
    pub(crate) fn remember(&mut self, peer: TransportKey, address: Address) -> bool {
        let full = self.discovered.len() >= MAX_DISCOVERED && !self.discovered.contains_key(&peer);
        if full || !address.is_dialable() {
            return false;
        }
        let addresses = self.discovered.entry(peer).or_default();
        addresses.len() < MAX_ADDRESSES && addresses.insert(address)
    }

    /// Strikes out an address; whether it was the peer's last.
    pub(crate) fn forget(&mut self, peer: &TransportKey, address: &Address) -> bool {
        let Some(addresses) = self.discovered.get_mut(peer) else {
            return false;
        };
        addresses.remove(address);
        addresses.is_empty() && self.discovered.remove(peer).is_some()
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
    use super::*;

    #[test]
    fn a_flood_of_announcements_is_bounded() {
        let mut state = State::default();
        let key = |n: u16| {
            let [a, b] = n.to_be_bytes();
            TransportKey::from_bytes(std::array::from_fn(|i| if i == 0 { a } else { b }))
        };
        let at = |port| Address::new([192, 168, 0, 1].into(), port);
        for peer in 0..1000 {
            state.remember(key(peer), at(1));
        }
        assert_eq!(state.discovered.len(), MAX_DISCOVERED);
        for port in 0..100 {
            state.remember(key(0), at(port));
        }
        assert_eq!(state.discovered[&key(0)].len(), MAX_ADDRESSES);
        assert!(!state.remember(key(1), at(1)), "known already");
        assert!(state.forget(&key(1), &at(1)));
        assert!(!state.forget(&key(1), &at(1)));
        assert!(state.remember(key(999), at(1)), "there is room again");
    }
}
