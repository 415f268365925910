//! Which connection wants to hear of which mailbox: a change wakes those, and nobody else.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use twin_sync::mailbox::Address;

/// The number of a connection.
pub(super) type Id = u64;

type Bell = watch::Sender<u64>;

#[derive(Debug, Default)]
pub(super) struct Watchers {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    next: Id,
    watched: HashMap<Address, HashMap<Id, Bell>>,
}

/// One connection; its watches end when it is dropped.
#[derive(Debug)]
pub(super) struct Watcher<'w> {
    all: &'w Watchers,
    id: Id,
    bell: Bell,
    addresses: Vec<Address>,
}

impl Watchers {
    /// A new connection, and what rings for it.
    pub fn join(&self) -> (Watcher<'_>, watch::Receiver<u64>) {
        let (bell, rings) = watch::channel(0);
        let mut state = self.state();
        state.next += 1;
        let watcher = Watcher {
            all: self,
            id: state.next,
            bell,
            addresses: Vec::new(),
        };
        (watcher, rings)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while holding it, and each change is whole by itself.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    fn count(&self) -> usize {
        self.state().watched.values().map(HashMap::len).sum()
    }
}

impl Watcher<'_> {
    /// Wants to hear of a mailbox from now on. Rings once at once: it may have changed since this was asked.
    pub fn watch(&mut self, address: Address) {
        let mut state = self.all.state();
        let watching = state.watched.entry(address).or_default();
        if watching.insert(self.id, self.bell.clone()).is_none() {
            self.addresses.push(address);
        }
        ring(&self.bell);
    }

    /// This connection has changed a mailbox: all others that watch it are woken.
    pub fn changed(&self, address: &Address) {
        let state = self.all.state();
        let watching = state.watched.get(address).into_iter().flatten();
        for (_, bell) in watching.filter(|(id, _)| **id != self.id) {
            ring(bell);
        }
    }
}

impl Drop for Watcher<'_> {
    fn drop(&mut self) {
        let mut state = self.all.state();
        for address in &self.addresses {
            if let Some(watching) = state.watched.get_mut(address) {
                watching.remove(&self.id);
                if watching.is_empty() {
                    state.watched.remove(address);
                }
            }
        }
    }
}

fn ring(bell: &Bell) {
    bell.send_modify(|rings| *rings = rings.wrapping_add(1));
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_others_who_watch_it_are_woken() {
        let watchers = Watchers::default();
        let [here, elsewhere] = [1, 2].map(|byte| Address::from_bytes([byte; 32]));
        let (mut one, mut at_one) = watchers.join();
        let (mut two, mut at_two) = watchers.join();
        let (mut three, mut at_three) = watchers.join();
        one.watch(here);
        two.watch(here);
        three.watch(elsewhere);
        let rung = |rings: &mut watch::Receiver<u64>| {
            let rung = rings.has_changed().unwrap();
            rings.mark_unchanged();
            rung
        };
        assert!(rung(&mut at_one) && rung(&mut at_two) && rung(&mut at_three));
        one.changed(&here);
        assert!(!rung(&mut at_one) && rung(&mut at_two) && !rung(&mut at_three));
        assert_eq!(watchers.count(), 3);
        drop(two);
        one.changed(&here);
        assert!(at_two.has_changed().is_err());
        drop((one, three));
        assert_eq!(watchers.count(), 0);
        assert!(watchers.state().watched.is_empty());
    }
}
