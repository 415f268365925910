//! What the node and its worker both see.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use libp2p::core::transport::ListenerId;
use tokio::sync::Notify;
use twin_sync::TransportKey;

use crate::{Address, Reach, traffic::Counters};

/// Peers that each discovery may tell of, and addresses of each.
const MAX_DISCOVERED: usize = 256;
pub(crate) const MAX_ADDRESSES: usize = 16;

pub(crate) struct Shared {
    pub(crate) reach: Reach,
    pub(crate) counters: Counters,
    /// Told when what failed may work now: the node has woken up, or the network is another.
    pub(crate) stirred: Notify,
    state: Mutex<State>,
}

/// How things are now; bounded by the limits on connections and on discovery.
pub(crate) struct State {
    /// The node's own key.
    pub(crate) key: TransportKey,
    /// The addresses asked for, with the ports that were given.
    pub(crate) listeners: Vec<(ListenerId, Address)>,
    pub(crate) connected: BTreeSet<TransportKey>,
    /// Those of them with a connection that needs no relay.
    pub(crate) direct: BTreeSet<TransportKey>,
    /// What mDNS tells.
    pub(crate) discovered: Announced,
    /// What the platform's own discovery tells.
    pub(crate) fed: Announced,
    /// Where this node has been reached from outside.
    pub(crate) external: BTreeSet<Address>,
    /// The relays through which it can be reached.
    pub(crate) relays: BTreeSet<TransportKey>,
}

/// Peers and what they, or others, say are their addresses; so many and no more.
#[derive(Default)]
pub(crate) struct Announced(BTreeMap<TransportKey, BTreeSet<Address>>);

impl Shared {
    pub(crate) fn new(reach: Reach, key: TransportKey) -> Self {
        Self {
            reach,
            counters: Counters::default(),
            stirred: Notify::new(),
            state: Mutex::new(State::new(key)),
        }
    }

    /// Never held across an await.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while holding it, and each change is whole by itself.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Of a node that has just come up.
    pub(crate) fn new(key: TransportKey) -> Self {
        Self {
            key,
            listeners: Vec::new(),
            connected: BTreeSet::new(),
            direct: BTreeSet::new(),
            discovered: Announced::default(),
            fed: Announced::default(),
            external: BTreeSet::new(),
            relays: BTreeSet::new(),
        }
    }

    /// All that is known of who is near, from either discovery.
    pub(crate) fn near(&self) -> BTreeMap<TransportKey, BTreeSet<Address>> {
        let mut all = self.discovered.0.clone();
        for (peer, addresses) in &self.fed.0 {
            all.entry(*peer).or_default().extend(addresses);
        }
        all
    }
}

impl Announced {
    /// Takes down that a peer was announced here; whether that is news.
    pub(crate) fn remember(&mut self, peer: TransportKey, address: Address) -> bool {
        let full = self.0.len() >= MAX_DISCOVERED && !self.0.contains_key(&peer);
        if full || !address.is_dialable() {
            return false;
        }
        let addresses = self.0.entry(peer).or_default();
        addresses.len() < MAX_ADDRESSES && addresses.insert(address)
    }

    /// Strikes out an address; whether it was the peer's last.
    pub(crate) fn forget(&mut self, peer: &TransportKey, address: &Address) -> bool {
        let Some(addresses) = self.0.get_mut(peer) else {
            return false;
        };
        addresses.remove(address);
        addresses.is_empty() && self.0.remove(peer).is_some()
    }

    /// Strikes out a peer; whether it was known.
    pub(crate) fn forget_all_of(&mut self, peer: &TransportKey) -> bool {
        self.0.remove(peer).is_some()
    }

    /// All of it, by peer.
    pub(crate) fn into_peers(self) -> impl Iterator<Item = (TransportKey, BTreeSet<Address>)> {
        self.0.into_iter()
    }

    /// Strikes out everybody, and says who that was.
    pub(crate) fn take(&mut self) -> impl Iterator<Item = TransportKey> + use<> {
        std::mem::take(&mut self.0).into_keys()
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
        let mut state = Announced::default();
        let key = |n: u16| {
            let [a, b] = n.to_be_bytes();
            TransportKey::from_bytes(std::array::from_fn(|i| if i == 0 { a } else { b }))
        };
        let at = |port| Address::new([192, 168, 0, 1].into(), port);
        for peer in 0..1000 {
            state.remember(key(peer), at(1));
        }
        assert_eq!(state.0.len(), MAX_DISCOVERED);
        for port in 0..100 {
            state.remember(key(0), at(port));
        }
        assert_eq!(state.0[&key(0)].len(), MAX_ADDRESSES);
        assert!(!state.remember(key(1), at(1)), "known already");
        assert!(state.forget(&key(1), &at(1)));
        assert!(!state.forget(&key(1), &at(1)));
        assert!(state.remember(key(999), at(1)), "there is room again");
    }
}
