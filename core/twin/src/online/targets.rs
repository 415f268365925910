//! Whom to dial, and when.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;
use twin_net::{Address, Place, RelayAddress, TransportKey};

/// The first and the longest pause before an address is dialled again.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// The longest pause where nobody waits for an answer. Whoever is off for a while is dialled as rarely as it has been off, and
/// a device that has nothing to say says nothing.
const RARELY: Duration = Duration::from_secs(15 * 60);
/// How long to leave the dialling of a discovered peer to the other side, when it is its turn.
const COURTESY: Duration = Duration::from_millis(500);
/// How many peers are kept in mind.
const MAX_PEERS: usize = 256;
/// How many addresses of a peer are kept in mind.
const MAX_ADDRESSES: usize = 16;

/// A target's number.
pub type TargetId = usize;

/// Everybody to dial.
#[derive(Default)]
pub struct Targets {
    targets: BTreeMap<TargetId, Target>,
    next: TargetId,
    /// Peers that turned out not to be of this twin: other software announces itself on the network too.
    strangers: BTreeSet<TransportKey>,
}

struct Target {
    addresses: Vec<Address>,
    /// Where a person has said that a device always is, in place of addresses.
    place: Option<Place>,
    /// The key that discovery named; anybody at an address that a person gave.
    expected: Option<TransportKey>,
    /// A relay that lets others through to it.
    through: Option<RelayAddress>,
    /// Who answered last. A device has another key after each start.
    met: Option<TransportKey>,
    /// Whether a person gave it, who wants to hear that it does not work; once.
    by_hand: bool,
    /// Whether a person gave it, and waits until it answers.
    is_awaited: bool,
    /// Whether it was tried, and when it has answered if what came of that goes on.
    tried: bool,
    answered: Option<Instant>,
    due: Instant,
    pause: Duration,
    busy: bool,
}

/// A call to make.
pub struct Call {
    pub target: TargetId,
    pub addresses: Vec<Address>,
    pub place: Option<Place>,
    pub expected: Option<TransportKey>,
    pub through: Option<RelayAddress>,
}

impl Targets {
    /// An address that a person gave.
    pub fn add_by_hand(&mut self, address: Address, now: Instant) {
        self.add(vec![address], None, true, now);
    }

    /// Addresses at which a device was reached before.
    pub fn add_remembered(&mut self, addresses: Vec<Address>, now: Instant) {
        self.add(addresses, None, false, now);
    }

    /// Where devices are that are always on; those that were named before and are not any more are forgotten.
    pub fn set_places(&mut self, mut places: BTreeSet<Place>, now: Instant) {
        self.targets.retain(|_, target| {
            target
                .place
                .as_ref()
                .is_none_or(|place| places.remove(place))
        });
        for place in places {
            let id = self.next;
            self.add(Vec::new(), None, false, now);
            if let Some(target) = self.targets.get_mut(&id) {
                target.place = Some(place);
            }
        }
    }

    /// Both sides discover each other; the one with the lower key dials, the other only if that did not happen.
    pub fn discovered(
        &mut self,
        me: TransportKey,
        peer: TransportKey,
        addresses: Vec<Address>,
        now: Instant,
    ) {
        if self.strangers.contains(&peer) {
            return;
        }
        let mut targets = self.targets.values_mut();
        match targets.find(|target| target.expected == Some(peer)) {
            // Each announcement may name other addresses: the newest first, the old ones not forgotten.
            Some(target) => {
                if addresses.iter().any(|new| !target.addresses.contains(new)) && !target.busy {
                    (target.due, target.pause) = (target.due.min(now + COURTESY), RETRY.0);
                }
                let known = std::mem::replace(&mut target.addresses, addresses);
                for address in known {
                    if !target.addresses.contains(&address) {
                        target.addresses.push(address);
                    }
                }
                target.addresses.truncate(MAX_ADDRESSES);
            }
            None => {
                let due = if me < peer { now } else { now + COURTESY };
                self.add(addresses, Some(peer), false, due);
            }
        }
    }

    /// A device of this twin says at a relay where it is, and that it can be reached through the relay if not there.
    pub fn found(
        &mut self,
        me: TransportKey,
        peer: TransportKey,
        addresses: Vec<Address>,
        relay: RelayAddress,
        now: Instant,
    ) {
        self.discovered(me, peer, addresses, now);
        let mut targets = self.targets.values_mut();
        if let Some(target) = targets.find(|target| target.expected == Some(peer)) {
            target.through = Some(relay);
        }
    }

    /// What failed may work now.
    pub fn all_at_once(&mut self, now: Instant) {
        for target in self.targets.values_mut() {
            (target.due, target.pause) = (now, RETRY.0);
        }
    }

    /// Discovery does not hear of a peer any more.
    pub fn gone(&mut self, peer: TransportKey) {
        self.targets
            .retain(|_, target| target.expected != Some(peer));
    }

    fn add(
        &mut self,
        addresses: Vec<Address>,
        expected: Option<TransportKey>,
        by_hand: bool,
        due: Instant,
    ) {
        if self.targets.len() >= MAX_PEERS {
            return;
        }
        let target = Target {
            addresses,
            place: None,
            expected,
            through: None,
            met: expected,
            by_hand,
            is_awaited: by_hand,
            tried: false,
            answered: None,
            due,
            pause: RETRY.0,
            busy: false,
        };
        self.targets.insert(self.next, target);
        self.next += 1;
    }

    /// When the next call is due, if any is: nobody who is `connected` needs one.
    pub fn next_due(&self, connected: impl Fn(&TransportKey) -> bool) -> Option<Instant> {
        let waits = |target: &&Target| !target.busy && !target.met.as_ref().is_some_and(&connected);
        let waiting = self.targets.values().filter(waits);
        waiting.map(|target| target.due).min()
    }

    /// Whether anybody may still answer: who was not tried yet, or whom a person waits for.
    pub fn may_answer(&self) -> bool {
        let mut targets = self.targets.values();
        targets.any(|target| target.is_awaited || !target.tried)
    }

    /// The calls to make now, to nobody who is `connected` already.
    pub fn due(&mut self, now: Instant, connected: impl Fn(&TransportKey) -> bool) -> Vec<Call> {
        let mut calls = Vec::new();
        for (id, target) in &mut self.targets {
            if target.busy || target.due > now {
                continue;
            }
            if target.met.as_ref().is_some_and(&connected) {
                target.due = now + RETRY.1;
                continue;
            }
            target.busy = true;
            calls.push(Call {
                target: *id,
                addresses: target.addresses.clone(),
                place: target.place.clone(),
                expected: target.expected,
                through: target.through.clone(),
            });
        }
        calls
    }

    /// `peer` answered a call. Returns the address, if it is one worth remembering: discovery finds its own way again.
    pub fn answered(&mut self, id: TargetId, peer: TransportKey, now: Instant) -> Option<Address> {
        let target = self.targets.get_mut(&id)?;
        target.busy = false;
        (target.is_awaited, target.tried) = (false, true);
        target.due = now + RETRY.1;
        target.met = Some(peer);
        target.answered = Some(now);
        match target.expected {
            None => target.addresses.first().copied(),
            Some(_) => None,
        }
    }

    /// The target at which `peer` answered last.
    pub fn of(&self, peer: TransportKey) -> Option<TargetId> {
        let mut targets = self.targets.iter();
        targets
            .find(|(_, target)| target.met == Some(peer))
            .map(|(id, _)| *id)
    }

    /// Tries again after a pause, each longer than the one before, unless it was good for something for a while: who
    /// answers and hangs up is not called for ever every second, nor who ends because there is nothing to say.
    pub fn retry(&mut self, id: TargetId, now: Instant) {
        if let Some(target) = self.targets.get_mut(&id) {
            target.busy = false;
            target.tried = true;
            let answered = target.answered.take();
            if answered.is_some_and(|answered| now >= answered + RETRY.1) {
                target.pause = RETRY.0;
            }
            target.due = now + target.pause;
            let longest = if target.is_awaited { RETRY.1 } else { RARELY };
            target.pause = (target.pause * 2).min(longest);
        }
    }

    /// Whether a person gave this target and has not heard yet that it does not work.
    pub fn should_complain(&mut self, id: TargetId) -> bool {
        let target = self.targets.get_mut(&id);
        target.is_some_and(|target| std::mem::take(&mut target.by_hand))
    }

    /// `peer` is not of this twin: it is left alone from now on.
    pub fn is_stranger(&mut self, id: TargetId, peer: TransportKey) {
        self.targets.remove(&id);
        if self.strangers.len() < MAX_PEERS {
            self.strangers.insert(peer);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    const ME: TransportKey = TransportKey::from_bytes([1; 32]);
    const PEER: TransportKey = TransportKey::from_bytes([2; 32]);

    fn nobody(_: &TransportKey) -> bool {
        false
    }

    #[test]
    fn of_two_that_discover_each_other_one_dials_first() {
        let now = Instant::now();
        let (mut lower, mut higher) = (Targets::default(), Targets::default());
        lower.discovered(ME, PEER, Vec::new(), now);
        higher.discovered(PEER, ME, Vec::new(), now);
        assert_eq!(lower.due(now, nobody).len(), 1);
        assert!(higher.due(now, nobody).is_empty());
        assert_eq!(higher.due(now + COURTESY, nobody).len(), 1);
    }

    #[test]
    fn an_address_is_tried_ever_more_rarely_and_its_owner_told_once() {
        let mut now = Instant::now();
        let mut targets = Targets::default();
        targets.add_by_hand("127.0.0.1:9".parse().unwrap(), now);
        let mut complaints = 0;
        for pause in [1, 2, 4, 8, 16, 30, 30] {
            let id = targets.due(now, nobody).pop().unwrap().target;
            complaints += usize::from(targets.should_complain(id));
            targets.retry(id, now);
            let next = targets.next_due(nobody);
            assert_eq!(next, Some(now + Duration::from_secs(pause)));
            assert!(targets.may_answer(), "a person waits for it");
            assert_eq!(
                targets.next_due(|_| true),
                next,
                "nobody knows who would answer"
            );
            now += Duration::from_secs(pause);
        }
        assert_eq!(complaints, 1);
    }

    #[test]
    fn who_is_off_is_dialled_as_rarely_as_it_has_been_off() {
        let begin = Instant::now();
        let mut now = begin;
        let mut targets = Targets::default();
        targets.add_remembered(vec!["127.0.0.1:9".parse().unwrap()], now);
        let mut calls = 0;
        while now < begin + Duration::from_secs(24 * 60 * 60) {
            let id = targets.due(now, nobody).pop().unwrap().target;
            targets.retry(id, now);
            calls += 1;
            let next = targets.next_due(nobody).unwrap();
            assert!(next - now <= RARELY);
            // Never longer than it takes to be no news that it is off.
            assert!(next - now <= (now - begin) + RETRY.0);
            now = next;
        }
        assert!((100..120).contains(&calls), "{calls}");
        // Another network, and it may answer at once.
        targets.all_at_once(now);
        let id = targets.due(now, nobody).pop().unwrap().target;
        targets.retry(id, now);
        assert_eq!(targets.next_due(nobody), Some(now + RETRY.0));
    }

    #[test]
    fn a_new_address_of_who_did_not_answer_is_tried_soon() {
        let mut now = Instant::now();
        let mut targets = Targets::default();
        let at = |port: u16| vec![format!("127.0.0.1:{port}").parse().unwrap()];
        targets.discovered(ME, PEER, at(9), now);
        for _ in 0..12 {
            let id = targets.due(now, nobody).pop().unwrap().target;
            targets.retry(id, now);
            now = targets.next_due(nobody).unwrap();
        }
        let id = targets.due(now, nobody).pop().unwrap().target;
        targets.retry(id, now);
        // Announced once more as it was: nothing is new.
        targets.discovered(ME, PEER, at(9), now);
        assert_eq!(targets.next_due(nobody), Some(now + RARELY));
        targets.discovered(ME, PEER, at(10), now);
        assert_eq!(targets.next_due(nobody), Some(now + COURTESY));
        assert_eq!(targets.due(now + COURTESY, nobody)[0].addresses.len(), 2);
    }

    #[test]
    fn who_was_tried_in_vain_is_not_waited_for() {
        let now = Instant::now();
        let mut targets = Targets::default();
        assert!(!targets.may_answer());
        targets.add_remembered(Vec::new(), now);
        let id = targets.due(now, nobody).pop().unwrap().target;
        assert!(targets.may_answer());
        targets.retry(id, now);
        assert!(!targets.may_answer());
        targets.add_by_hand("127.0.0.1:9".parse().unwrap(), now);
        let id = targets.due(now, nobody).pop().unwrap().target;
        targets.retry(id, now);
        assert!(targets.may_answer());
        targets.answered(id, PEER, now);
        assert!(!targets.may_answer());
    }

    #[test]
    fn nobody_is_woken_for_who_is_connected() {
        let now = Instant::now();
        let mut targets = Targets::default();
        targets.discovered(ME, PEER, Vec::new(), now);
        let id = targets.due(now, nobody).pop().unwrap().target;
        targets.answered(id, PEER, now);
        assert_eq!(targets.next_due(|peer| *peer == PEER), None);
        // Nor does it help to be called early, and later it is as before.
        let later = now + RETRY.1;
        assert!(targets.due(later, |peer| *peer == PEER).is_empty());
        assert_eq!(targets.next_due(nobody), Some(later + RETRY.1));
    }

    #[test]
    fn who_answers_and_hangs_up_is_called_ever_more_rarely() {
        let mut now = Instant::now();
        let mut targets = Targets::default();
        targets.discovered(ME, PEER, Vec::new(), now);
        for pause in [1, 2, 4, 8, 16, 32, 64] {
            let id = targets.due(now, nobody)[0].target;
            targets.answered(id, PEER, now);
            targets.retry(id, now);
            let next = now + Duration::from_secs(pause);
            assert_eq!(targets.next_due(nobody), Some(next));
            now = next;
        }
        // Unless it was there for a while.
        let id = targets.due(now, nobody)[0].target;
        targets.answered(id, PEER, now);
        now += RETRY.1;
        targets.retry(id, now);
        assert_eq!(targets.next_due(nobody), Some(now + RETRY.0));
    }

    #[test]
    fn places_are_tried_as_long_as_they_are_named() {
        let mut now = Instant::now();
        let places = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        let mut targets = Targets::default();
        targets.set_places(places(&["a.example:1", "b.example:1"]), now);
        assert_eq!(targets.due(now, nobody).len(), 2);
        // What goes on is not begun anew.
        targets.set_places(places(&["b.example:1", "c.example:1"]), now);
        let calls = targets.due(now, nobody);
        assert_eq!(calls.len(), 1);
        let id = calls[0].target;
        assert_eq!(calls[0].place, Some("c.example:1".parse().unwrap()));
        assert_eq!(targets.answered(id, PEER, now), None);
        now += RETRY.1;
        targets.set_places(BTreeSet::new(), now);
        assert!(targets.due(now, nobody).is_empty());
    }

    #[test]
    fn strangers_are_left_alone() {
        let now = Instant::now();
        let mut targets = Targets::default();
        targets.discovered(ME, PEER, Vec::new(), now);
        let id = targets.due(now, nobody).pop().unwrap().target;
        targets.answered(id, PEER, now);
        targets.is_stranger(id, PEER);
        targets.discovered(ME, PEER, Vec::new(), now);
        assert_eq!(targets.next_due(nobody), None);
    }
}
