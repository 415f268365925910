//! When all is well again: relays are honest, lines hold, clocks are right. And what must then be true.

use std::collections::BTreeMap;

use twin_ops::store::{LogHead, OpStore};

use super::held::check_erased;
use super::relay::Mood;
use super::world::{DAY, HOUR, World, space};
use crate::sim::fault::{Held, fault, hold};

/// Within how many days devices that visit their relays three times a day are the same.
const EQUAL_WITHIN: u64 = 3;
/// How many days later they have nothing to say any more.
const QUIET_WITHIN: u64 = 3;

/// The fields of each record that a device shows.
type Shown = BTreeMap<(String, String), String>;

impl World {
    /// Heals everything, lets days go by, and looks.
    pub fn end(&mut self) -> Held {
        self.say(|| "all is well again".to_owned());
        self.calls.clear();
        let members = self.here();
        for relay in &mut self.relays {
            relay.mood = Mood::Honest;
            relay.says = None;
        }
        for member in &members {
            self.members[*member].device.skew = 0;
            // Whoever is online looks at the clock every minute.
            self.tell_time(*member)?;
        }
        let begun = self.now;
        while !self.are_equal(&members)? {
            if self.now >= begun + EQUAL_WITHIN * DAY {
                return Err(self.differ(&members)?);
            }
            self.round(&members, 6 * HOUR)?;
        }
        self.say(|| "all are equal".to_owned());
        self.check_nothing_lost(&members)?;
        // What was left by a clock that was ahead is read once its day has come, and what it says of its writer is old.
        let ahead = if self.clocks_were_wrong { 8 * DAY } else { 0 };
        let quiet = (self.now + QUIET_WITHIN * DAY).max(begun + ahead);
        while self.now < quiet {
            self.round(&members, 20 * HOUR)?;
        }
        let before = self.puts();
        for _ in 0..4 {
            self.round(&members, 40 * HOUR)?;
        }
        // A word that was lost with a line is made up for by what others leave again after weeks, once each. Whoever goes on
        // for ever does it in each round.
        let few = (members.len() * self.relays.len()) as u64;
        let more = self.puts() - before;
        hold!(
            more <= few,
            "devices that are equal leave things for each other: {more} envelopes more"
        );
        self.check_erased(&members)?;
        self.check_shown(&members)
    }

    fn puts(&self) -> u64 {
        self.relays.iter().map(|relay| relay.puts).sum()
    }

    /// Each device visits each relay once, in any order; then so much time goes by, or a little more.
    fn round(&mut self, members: &[usize], pause: u64) -> Held {
        let mut left: Vec<(usize, usize)> = members
            .iter()
            .flat_map(|member| (0..self.relays.len()).map(|relay| (*member, relay)))
            .collect();
        while !left.is_empty() {
            let (member, relay) = left.swap_remove(self.dice.index(left.len()));
            let before = self.puts();
            self.visit(member, relay, false)?;
            self.run_until_done()?;
            let posts = self.puts() - before;
            self.say(|| format!("{posts} posts"));
        }
        let wait = self.dice.below(3 * HOUR);
        self.run(self.now + pause + wait)?;
        members
            .iter()
            .try_for_each(|member| self.tell_time(*member).map(drop))
    }

    fn are_equal(&mut self, members: &[usize]) -> Held<bool> {
        let mut all = Vec::new();
        for member in members {
            let heads = self.members[*member].device.vault_ref();
            all.push((
                heads.identity().digest(),
                heads.heads()?,
                heads.holes()?.is_empty(),
            ));
        }
        Ok(all.iter().all(|one| *one == all[0] && one.2))
    }

    /// All show the same.
    fn check_shown(&mut self, members: &[usize]) -> Held {
        let mut first = None;
        for member in members {
            let shown = self.shown_by(*member)?;
            let same = *first.get_or_insert_with(|| shown.clone()) == shown;
            hold!(same, "device {member} shows other records than another");
        }
        Ok(())
    }

    fn shown_by(&mut self, member: usize) -> Held<Shown> {
        let vault = self.members[member].device.vault();
        let mut shown = BTreeMap::new();
        for collection in ["a", "b"] {
            for record in vault.list(&space(), collection, None, 1000)? {
                let fields = format!("{:?}", record.fields);
                shown.insert((collection.to_owned(), record.id), fields);
            }
        }
        Ok(shown)
    }

    /// In which way they differ.
    fn differ(&mut self, members: &[usize]) -> Held<crate::sim::Fault> {
        let mut all = Vec::new();
        for member in members {
            let vault = self.members[*member].device.vault_ref();
            let heads: Vec<u64> = vault.heads()?.iter().map(|row| row.head.height).collect();
            let holes = vault.holes()?.len();
            let entries = vault.identity().entries().len();
            all.push(format!(
                "device {member}: heights {heads:?}, {holes} holes, {entries} entries"
            ));
        }
        Ok(fault!(
            "devices are not equal after {EQUAL_WITHIN} days: {}",
            all.join("; ")
        ))
    }

    /// Everything that was acknowledged by a device that is still in is everywhere.
    fn check_nothing_lost(&mut self, members: &[usize]) -> Held {
        let ids: Vec<_> = members
            .iter()
            .map(|member| self.members[*member].device.id)
            .collect();
        for LogHead { log, head } in &self.acknowledged {
            for member in members {
                let vault = self.members[*member].device.vault_ref();
                let by = vault.origin(log)?.map(|origin| origin.device);
                // Of who is out only those ops count that were known when it was removed.
                if by.is_some_and(|by| !ids.contains(&by))
                    || by.is_none() && members.len() < self.members.len()
                {
                    continue;
                }
                hold!(
                    vault.link_at(log, head.height)? == Some(head.link),
                    "an acknowledged op is lost: {} of {log:?}, on device {member}",
                    head.height
                );
            }
        }
        Ok(())
    }

    /// What is erased lies at no relay any more that was always honest.
    fn check_erased(&self, members: &[usize]) -> Held {
        let vault = self.members[members[0]].device.vault_ref();
        let honest = self.relays.iter().filter(|relay| !relay.lied);
        honest
            .into_iter()
            .try_for_each(|relay| check_erased(self.now, relay, vault))
    }
}
