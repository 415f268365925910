//! Which mailboxes of a relay are this twin's, and what the store keeps of them.

use std::collections::BTreeSet;

use twin_ops::relays::{RelayStore, RelayUse};

use crate::machine::Millis;
use crate::mailbox::{Address, Day, Desk, DeskError, Mailbox, Memory, RelayKey, Terms};

/// Of how many earlier epochs the mailboxes are looked at: a device that was away while somebody was removed writes to
/// those that it knows, and finds there what brings it up to date.
const EARLIER: usize = 4;

/// The mailboxes that are open.
#[derive(Default)]
pub struct Shelves {
    /// All of them.
    pub open: BTreeSet<Address>,
    /// Those that were opened to be looked through.
    audited: BTreeSet<Address>,
    /// Where devices that take part now say where they are.
    pub here: BTreeSet<Address>,
    /// Where this device writes; `None` while it has no key that excludes everybody who is out.
    pub current: Option<Address>,
    /// Where devices look that know of an earlier epoch only.
    pub earlier: Vec<Address>,
}

impl Shelves {
    /// Opens what is to be read by a device that was here at `visited`, closes what is not any more, and finds where to
    /// write today. Also those that are to be looked through for what the relay has promised to keep, and
    /// those of which something is to be taken back.
    pub fn open<S: RelayStore>(
        &mut self,
        desk: &mut Desk,
        store: &S,
        (relay, terms): (RelayKey, &Terms),
        now: Millis,
        visited: Option<Millis>,
        taking_back: &BTreeSet<Address>,
    ) -> Result<(), DeskError> {
        let today = Day::of(now);
        let ahead = desk.memory().days_after(Day(today.0.saturating_add(1)));
        let watched: BTreeSet<Day> = Day::to_watch(now).collect();
        let before = std::mem::take(self);
        let read: BTreeSet<Address> = desk.memory().addresses().collect();
        // One that is being looked through stays open until it is closed with the others.
        let mut to_audit = desk.memory().to_audit(now);
        to_audit.extend(before.audited.iter().copied());
        self.audited.clone_from(&to_audit);
        let earlier = store.other_discovery_keys();
        let keys = store.discovery_key().map(|key| (key, 0)).into_iter();
        for (key, age) in keys.chain(earlier.iter().zip(1..)) {
            // An epoch that was learnt since is read from its beginning.
            let at_visit = |visit: &Millis| Mailbox::new(key, relay, Day::of(*visit)).address();
            let visited = visited.filter(|visit| read.contains(&at_visit(visit)));
            let usual = Day::to_read(now, visited, terms.post_life).filter(|_| age <= EARLIER);
            let usual: BTreeSet<Day> = usual.collect();
            let all = Day::to_read(now, None, terms.post_life);
            let all = all.chain(ahead.iter().copied());
            let all = all.filter(|_| !taking_back.is_empty() || !to_audit.is_empty());
            for day in all.chain(usual.iter().copied()) {
                let mailbox = Mailbox::new(key, relay, day);
                let address = mailbox.address();
                let is_wanted = to_audit.contains(&address) || taking_back.contains(&address);
                if !usual.contains(&day) && !is_wanted {
                    continue;
                }
                desk.open(mailbox, watched.contains(&day))?;
                if age == 0 && watched.contains(&day) {
                    self.here.insert(address);
                }
                if self.open.insert(address) && day == today {
                    match age {
                        0 => self.current = Some(address),
                        1..=EARLIER => self.earlier.push(address),
                        _ => {}
                    }
                }
            }
        }
        for address in before.open.difference(&self.open) {
            desk.close(address);
        }
        Ok(())
    }
}

/// How a relay was used before, and what is remembered of its mailboxes.
pub fn load<S: RelayStore>(store: &S, relay: RelayKey) -> Result<(RelayUse, Memory), S::Error> {
    let mut memory = Memory::default();
    for (mailbox, page) in store.relay_pages(relay.as_bytes())? {
        // What cannot be read is read anew from the relay.
        if let Err(error) = memory.load(Address::from_bytes(mailbox), &page) {
            log::info!("what was remembered of a mailbox is not used: {error}");
        }
    }
    Ok((store.relay_use(relay.as_bytes())?, memory))
}

/// Keeps how a relay was used, and what has changed of one mailbox.
pub fn keep<S: RelayStore>(
    store: &mut S,
    relay: RelayKey,
    used: &RelayUse,
    desk: &Desk,
    mailbox: &Address,
) -> Result<(), S::Error> {
    let page = (*mailbox.as_bytes(), desk.memory().page(mailbox));
    store.keep_relay_use(relay.as_bytes(), used, vec![page])
}

/// Keeps how a relay was used.
pub fn keep_use<S: RelayStore>(
    store: &mut S,
    relay: RelayKey,
    used: &RelayUse,
) -> Result<(), S::Error> {
    store.keep_relay_use(relay.as_bytes(), used, Vec::new())
}

/// Keeps both, and forgets the mailboxes of days before `oldest`.
pub fn keep_all<S: RelayStore>(
    store: &mut S,
    relay: RelayKey,
    used: &RelayUse,
    desk: &mut Desk,
    oldest: Day,
) -> Result<(), S::Error> {
    let gone = desk.memory_mut().forget_before(oldest).into_iter();
    let gone = gone.map(|address| (*address.as_bytes(), None));
    let memory = desk.memory();
    let kept = memory.addresses();
    let kept = kept.map(|address| (*address.as_bytes(), memory.page(&address)));
    store.keep_relay_use(relay.as_bytes(), used, gone.chain(kept).collect())
}
