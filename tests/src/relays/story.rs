//! What happens, by chance.

use twin_ops::value::{Fields, Value};
use twin_sync::mailbox::Limits;
use twin_vault::WriteChange;

use super::relay::Mood;
use super::world::{DAY, HOUR, World, space};
use crate::sim::fault::Held;

const COLLECTIONS: [&str; 2] = ["a", "b"];
/// How many records are written to again and again, by collection.
const RECORDS: u64 = 4;

/// How much of each kind happens in a run.
struct Tone {
    relays_lie: bool,
    lines_break: bool,
    clocks_are_wrong: bool,
    devices_crash: bool,
    large: bool,
    members_change: bool,
}

impl World {
    /// Everything that happens before all is well again.
    pub fn live(&mut self) -> Held {
        let tone = Tone {
            relays_lie: self.dice.chance(50),
            lines_break: self.dice.chance(60),
            clocks_are_wrong: self.dice.chance(50),
            devices_crash: self.dice.chance(50),
            large: self.dice.chance(15),
            members_change: self.dice.chance(30),
        };
        for _ in 0..self.dice.between(15, 60) {
            self.act(&tone)?;
        }
        Ok(())
    }

    fn act(&mut self, tone: &Tone) -> Held {
        let here = self.here();
        let member = *self.dice.pick(&here);
        let relay = self.dice.index(self.relays.len());
        match self.dice.below(100) {
            0..30 => self.write_something(member, tone.large),
            30..65 => self.go(member, tone),
            65..71 => self.erase_something(member),
            71..79 => self.pass(),
            79..85 if tone.clocks_are_wrong => {
                self.set_clock(member);
                Ok(())
            }
            85..88 if tone.devices_crash => self.crash(member),
            88..96 if tone.relays_lie => {
                self.mislead(relay);
                Ok(())
            }
            88..92 => {
                self.fill(relay);
                Ok(())
            }
            96..98 if tone.members_change && self.members.len() < 6 => self.link(),
            98 if tone.members_change => self.revoke(),
            _ => self.pass(),
        }
    }

    /// Time goes by, seldom much of it.
    fn pass(&mut self) -> Held {
        let most = *self
            .dice
            .pick(&[HOUR / 10, 2 * HOUR, 12 * HOUR, DAY, 3 * DAY, 12 * DAY]);
        let wait = self.dice.below(most);
        self.say(|| format!("{} minutes go by", wait / 60_000));
        self.run(self.now + wait)
    }

    fn write_something(&mut self, member: usize, large: bool) -> Held {
        let mut changes = Vec::new();
        for _ in 0..self.dice.between(1, 3) {
            let collection = *self.dice.pick(&COLLECTIONS);
            let id = self.dice.below(RECORDS).to_string();
            let number = self.acknowledged.len() as u64;
            let len = if large && self.dice.chance(50) {
                self.dice.below(90_000)
            } else {
                self.dice.below(200)
            };
            let text = "x".repeat(usize::try_from(len).unwrap());
            let value = Value::Text(format!("{number} {text}"));
            let field = self.dice.below(3).to_string();
            let fields = Fields([(field, value)].into());
            changes.push(match self.dice.below(10) {
                0..5 => WriteChange::put(collection, &id, fields),
                5..9 => WriteChange::patch(collection, &id, fields),
                _ => WriteChange::delete(collection, &id),
            });
        }
        self.write(member, changes)
    }

    fn erase_something(&mut self, member: usize) -> Held {
        let collection = *self.dice.pick(&COLLECTIONS);
        let id = self.dice.below(RECORDS).to_string();
        self.tell_time(member)?;
        let vault = self.members[member].device.vault();
        let asked = vault.erasure_requests(&space())?;
        if let Some(asked) = asked.first()
            && self.members[member].device.is_admin()
        {
            return self.erase(member, &asked.collection, &asked.id);
        }
        self.erase(member, collection, &id)
    }

    /// One device or some go to relays, and most are let do what they want there.
    fn go(&mut self, first: usize, tone: &Tone) -> Held {
        let here = self.here();
        let mut going = vec![first];
        while self.dice.chance(30) {
            let other = *self.dice.pick(&here);
            if !going.contains(&other) {
                going.push(other);
            }
        }
        for member in going {
            for relay in 0..self.relays.len() {
                if self
                    .calls
                    .values()
                    .any(|call| (call.member, call.relay) == (member, relay))
                    || self.dice.chance(25)
                {
                    continue;
                }
                let stays = self.dice.chance(25);
                let cut = (tone.lines_break && self.dice.chance(35)).then(|| self.dice.below(120));
                let id = self.visit(member, relay, stays)?;
                if let Some(call) = self.calls.get_mut(&id) {
                    call.cut_after = cut;
                    call.ends_at = self.now + self.dice.between(HOUR / 10, HOUR);
                }
            }
        }
        if tone.devices_crash && self.dice.chance(15) {
            let moment = self.dice.below(1000);
            self.run(self.now + moment)?;
            return self.crash(first);
        }
        if self.dice.chance(20) {
            let moment = self.dice.below(2000);
            return self.run(self.now + moment);
        }
        self.run_until_done()
    }

    fn set_clock(&mut self, member: usize) {
        let days = i64::try_from(DAY).unwrap();
        let skew = match self.dice.below(4) {
            0 => i64::try_from(self.dice.below(5 * DAY)).unwrap() + days / 4,
            1 => -i64::try_from(self.dice.below(5 * DAY)).unwrap() - days / 4,
            _ => 0,
        };
        self.say(|| {
            format!(
                "the clock of device {member} is wrong by {} hours",
                skew / (days / 24)
            )
        });
        self.members[member].device.skew = skew;
        self.clocks_were_wrong |= skew != 0;
        if skew.unsigned_abs() > DAY / 2 {
            for relay in &mut self.relays {
                relay.is_seen_by_wrong_clocks = true;
            }
        }
    }

    /// A relay has no room for a while, or its disk does not work.
    fn fill(&mut self, relay: usize) {
        let mood = *self
            .dice
            .pick(&[Mood::Full, Mood::Full, Mood::Fails, Mood::Honest]);
        self.say(|| format!("relay {relay} is {mood:?}"));
        self.relays[relay].mood = mood;
    }

    fn mislead(&mut self, number: usize) {
        let (dice, relay) = (&mut self.dice, &mut self.relays[number]);
        let what = match dice.below(9) {
            0 => {
                relay.forget(dice, 40, false);
                "forgets posts"
            }
            1 => {
                relay.forget(dice, 50, true);
                "forgets mailboxes"
            }
            2 => {
                relay.forget(dice, 100, true);
                "forgets all"
            }
            3 => {
                relay.lied = true;
                relay.mood = Mood::Hides(u8::try_from(dice.below(256)).unwrap());
                "hides posts"
            }
            4 => {
                relay.replay(dice);
                "shows something old again"
            }
            5 | 6 => {
                if relay.copy_or_set_back() {
                    "is set back"
                } else {
                    "is copied"
                }
            }
            7 => {
                relay.lied = true;
                let mut says = Limits::default();
                let lives = [1, 60_000, DAY, 300 * DAY, u64::MAX];
                says.terms.post_life = *dice.pick(&lives);
                says.terms.presence_life = *dice.pick(&lives);
                relay.says = Some(says);
                "lies about its terms"
            }
            _ => {
                relay.mood = Mood::Honest;
                relay.says = None;
                "is honest"
            }
        };
        self.say(|| format!("relay {number} {what}"));
    }
}
