//! Which mailboxes of a relay are this twin's, and what the vault keeps of them.

use std::collections::BTreeSet;

use twin_ops::store::OpStore;
use twin_sync::machine::Millis;
use twin_sync::mailbox::{Address, Day, Desk, DeskError, Mailbox, Memory, RelayKey, Terms};
use twin_vault::Vault;
use twin_vault::relays::RelayUse;

use crate::error::Result;

/// Of how many earlier epochs the mailboxes are looked at: a device that was away while somebody was removed writes to
/// those that it knows, and finds there what brings it up to date.
const EARLIER: usize = 4;

/// The mailboxes that are open.
#[derive(Default)]
pub struct Shelves {
    open: BTreeSet<Address>,
    /// Where this device writes; `None` while it has no key that excludes everybody who is out.
    pub current: Option<Address>,
    /// Where devices look that know of an earlier epoch only.
    pub earlier: Vec<Address>,
}

impl Shelves {
    /// Opens what is to be read by a device that was here at `visited`, closes what is not any more, and finds where to
    /// write today.
    pub fn open(
        &mut self,
        desk: &mut Desk,
        vault: &Vault,
        relay: RelayKey,
        now: Millis,
        visited: Option<Millis>,
        terms: &Terms,
    ) -> std::result::Result<(), DeskError> {
        let today = Day::of(now);
        let watched: BTreeSet<Day> = Day::to_watch(now).collect();
        let before = std::mem::take(self);
        let read: BTreeSet<Address> = desk.memory().addresses().collect();
        let earlier = vault.other_discovery_keys();
        let keys = vault.discovery_key().map(|key| (key, true)).into_iter();
        let keys = keys.chain(earlier.iter().take(EARLIER).map(|key| (key, false)));
        for (key, is_current) in keys {
            // An epoch that was learnt since is read from its beginning.
            let at_visit = |visit: &Millis| Mailbox::new(key, relay, Day::of(*visit)).address();
            let visited = visited.filter(|visit| read.contains(&at_visit(visit)));
            for day in Day::to_read(now, visited, terms.post_life) {
                let address = desk.open(Mailbox::new(key, relay, day), watched.contains(&day))?;
                self.open.insert(address);
                match (day == today, is_current) {
                    (true, true) => self.current = Some(address),
                    (true, false) => self.earlier.push(address),
                    (false, _) => {}
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
pub fn load(vault: &Vault, relay: RelayKey) -> Result<(RelayUse, Memory)> {
    let mut memory = Memory::default();
    for (mailbox, page) in vault.relay_pages(relay.as_bytes())? {
        // What cannot be read is read anew from the relay.
        if let Err(error) = memory.load(Address::from_bytes(mailbox), &page) {
            log::info!("what was remembered of a mailbox is not used: {error}");
        }
    }
    Ok((vault.relay_use(relay.as_bytes())?, memory))
}

/// Keeps how a relay was used, and what has changed of one mailbox.
pub fn keep(
    vault: &mut Vault,
    relay: RelayKey,
    used: &RelayUse,
    desk: &Desk,
    mailbox: &Address,
) -> Result<()> {
    let page = (*mailbox.as_bytes(), desk.memory().page(mailbox));
    Ok(vault.keep_relay_use(relay.as_bytes(), used, vec![page])?)
}

/// Keeps both, and forgets the mailboxes of days before `oldest`.
pub fn keep_all(
    vault: &mut Vault,
    relay: RelayKey,
    used: &RelayUse,
    desk: &mut Desk,
    oldest: Day,
) -> Result<()> {
    let gone = desk.memory_mut().forget_before(oldest).into_iter();
    let gone = gone.map(|address| (*address.as_bytes(), None));
    let memory = desk.memory();
    let kept = memory.addresses();
    let kept = kept.map(|address| (*address.as_bytes(), memory.page(&address)));
    Ok(vault.keep_relay_use(relay.as_bytes(), used, gone.chain(kept).collect())?)
}
