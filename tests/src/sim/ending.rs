//! The end of a run: the network heals, everybody syncs until there is nothing left to say, and then everything must
//! be true that was promised.

use std::collections::BTreeSet;

use twin_ops::op::Link;
use twin_ops::space::SpaceName;
use twin_ops::store::OpStore;
use twin_sync::session::Stay;

use super::cable::Quality;
use super::fault::{Held, fault, hold};
use super::reference;
use super::world::World;

/// How long devices may take to become equal on good cables, in virtual milliseconds.
const REST: u64 = 120_000;
/// How many times more they may have to meet, because who was out for one is in again by what another has heard.
const MOST_ROUNDS: usize = 3;

impl World {
    /// Heals, syncs and checks.
    pub fn end(&mut self) -> Held {
        self.heal()?;
        for device in self.cast.of_twin(0) {
            self.cast.devices[device].skew = self.dice.below(4000).cast_signed() - 2000;
        }
        self.sync_all()?;
        // Everybody keeps everything again, and everything comes.
        self.choose_all()?;
        self.settle()?;
        // What is written now is written by devices that know all that they can know.
        for device in self.cast.of_twin(0) {
            self.write_something(device)?;
        }
        self.settle()?;
        let meet = self.sync_all()?;
        for device in self.cast.of_twin(0) {
            self.cast.check_records(device, self.now)?;
        }
        if !meet {
            self.check_secrets()?;
            return self.check_strangers();
        }
        self.check_whole()?;
        for group in self.groups() {
            self.check_replicas(&group)?;
            self.check_nothing_lost(&group)?;
            self.check_words(&group)?;
        }
        let truth = &self.cast.truth;
        hold!(
            truth.suspensions || !self.groups().is_empty(),
            "nobody is left"
        );
        self.wait_for_the_clock()?;
        for group in self.groups() {
            self.check_all_merged(&group)?;
            self.check_erased(&group)?;
        }
        self.check_unreadable()?;
        self.check_secrets()?;
        self.check_strangers()
    }

    /// The devices that take each other for devices of their twin. Mostly there is one group; a device that was
    /// removed and has not heard of it is left behind in another.
    pub(super) fn groups(&self) -> Vec<Vec<usize>> {
        let mut groups: Vec<Vec<usize>> = Vec::new();
        let all = self.cast.of_twin(0).into_iter();
        for device in all.filter(|device| self.cast.are_mutual([*device; 2])) {
            let fits = |group: &&mut Vec<usize>| self.cast.are_mutual([group[0], device]);
            match groups.iter_mut().find(fits) {
                Some(group) => group.push(device),
                None => groups.push(vec![device]),
            }
        }
        groups
    }

    /// Everybody meets everybody who takes it for a device of the twin, until nobody has anything to say. `false` if some
    /// cannot become equal: see [`Self::is_gone_for_good`].
    fn sync_all(&mut self) -> Held<bool> {
        // A device that goes online does first what has become its to do, whether it meets anybody or not.
        for device in self.cast.of_twin(0) {
            self.cast.tend(device, self.now, &mut self.dice)?;
        }
        for round in 0.. {
            let mut cables = Vec::new();
            for pair in self.pairs(|pair| self.may_meet(pair)) {
                let quality = Quality::good(&mut self.dice);
                let cable = self.meet(pair, [Stay::Online; 2], quality)?;
                cables.push((cable, pair));
            }
            let end = self.now + REST;
            self.run_until_quiet(end)?;
            let in_sync = cables.iter().filter(|(cable, _)| self.is_in_sync(*cable));
            let in_sync: BTreeSet<[usize; 2]> = in_sync.map(|(_, pair)| *pair).collect();
            let pairs = self.pairs(|pair| self.cast.are_mutual(pair));
            let mut pairs = pairs.into_iter();
            let apart = pairs.find(|pair| !in_sync.contains(pair));
            self.heal()?;
            match apart {
                None => return Ok(true),
                // Somebody was resumed or came back only now: those two have to begin anew, and what they hear from each
                // other brings others together.
                Some(_) if round < MOST_ROUNDS => {}
                Some(_) if self.is_gone_for_good()? => return Ok(false),
                Some(pair) => {
                    return Err(fault!(
                        "devices {pair:?} have nothing more to say and are not in sync"
                    ));
                }
            }
        }
        Ok(true)
    }

    /// Whether what went by a checkpoint is on no device that is left, and the checkpoint counts no more: one that was
    /// linked after it, and had never synced, has put its writer out. Who has the snapshot keeps what is in it; others
    /// cannot be given that, nor the logs that it should have begun.
    fn is_gone_for_good(&self) -> Held<bool> {
        let ours = self.cast.of_twin(0);
        for device in &ours {
            let vault = self.cast.devices[*device].vault_ref();
            for hole in vault.holes()? {
                let base = vault.base(&hole.log)?;
                if base.is_none_or(|base| base.height < hole.seq) {
                    continue;
                }
                let others = ours
                    .iter()
                    .filter(|other| self.cast.are_mutual([*device, **other]));
                let mut anybody = false;
                for other in others {
                    let other = self.cast.devices[*other].vault_ref();
                    let base = other.base(&hole.log)?.map_or(0, |base| base.height);
                    let mut heads = other.heads()?.into_iter();
                    let head = heads.find(|head| head.log == hole.log);
                    let height = head.map_or(0, |head| head.head.height);
                    anybody |= (base + 1..=height).contains(&hole.seq);
                }
                if !anybody {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Whether two devices have reason to meet: at least one takes the other for one of its twin, and neither knows that
    /// the other is out. Who has admitted a device may be back from a backup, and hear of it from that device itself.
    fn may_meet(&self, [one, two]: [usize; 2]) -> bool {
        let admits = self.cast.admits(one, two) || self.cast.admits(two, one);
        admits && !self.cast.shuns(one, two) && !self.cast.shuns(two, one)
    }

    /// Those pairs of devices of our twin.
    fn pairs(&self, which: impl Fn([usize; 2]) -> bool) -> Vec<[usize; 2]> {
        let ours = self.cast.of_twin(0);
        let pairs = ours.iter().enumerate();
        let pairs = pairs.flat_map(|(index, one)| ours[..index].iter().map(|two| [*one, *two]));
        pairs.filter(|pair| which(*pair)).collect()
    }

    /// Who is in the twin, by all that anybody knows, meets all others that are; unless somebody was suspended, and those
    /// who know of its resumption are out themselves.
    ///
    /// A device that was linked by one that does not know it any more, for it was set back, and has removed somebody since,
    /// has to be linked again: it could be that one.
    ///
    /// A rotation can come too late: where all who know of it were removed on others before those could hear of it, or
    /// never were known there, nobody lets them in. Its person finds on any device that is left who is out there, and
    /// brings the words to one that is in.
    fn check_whole(&self) -> Held {
        let ours = self.cast.of_twin(0);
        if self.cast.truth.suspensions {
            return Ok(());
        }
        let logs = ours.iter().map(|device| {
            let vault = self.cast.devices[*device].vault_ref();
            vault.identity()
        });
        let all = logs.reduce(|one, two| match one.rotations() < two.rotations() {
            true => two,
            false => one,
        });
        let Some(newest) = all else { return Ok(()) };
        let mut all = newest.clone();
        for device in &ours {
            let log = self.cast.devices[*device].vault_ref().identity();
            let mut entries: Vec<_> = log.entries().values().collect();
            entries.sort_by_key(|entry| entry.place.seq);
            for entry in entries {
                // What one device refuses, all refuse.
                let _ = all.insert((**entry).clone());
            }
        }
        let is_lost = |device: usize| ours.iter().any(|other| self.cast.has_lost(*other, device));
        let is_in = |device: &usize| {
            all.device(&self.cast.devices[*device].id).is_some() && !is_lost(*device)
        };
        let knows = |device: &usize| {
            let vault = self.cast.devices[*device].vault_ref();
            vault.identity().rotations() == all.rotations()
        };
        let ours = ours.iter().copied().filter(is_in);
        let (know, others): (Vec<usize>, Vec<usize>) = ours.partition(knows);
        let groups = self.groups();
        let whole = |group: &Vec<usize>| know.iter().all(|device| group.contains(device));
        hold!(
            groups.iter().any(whole),
            "devices that are in the twin do not find each other"
        );
        for other in others {
            let met = know.iter().find(|known| self.cast.admits(other, **known));
            hold!(
                met.is_none(),
                "device {other} takes {met:?} for one of its twin and does not hear of a rotation from it"
            );
        }
        Ok(())
    }

    /// Identity log, grants and heads are the same everywhere, and what one can read, all can who may.
    fn check_replicas(&mut self, group: &[usize]) -> Held {
        let mut first = None;
        let keys = SpaceName::keys().to_string();
        let mut held = BTreeSet::new();
        for number in group {
            let device = &self.cast.devices[*number];
            let vault = device.vault_ref();
            let replica = (vault.identity().digest(), vault.grants()?, vault.heads()?);
            let same = *first.get_or_insert_with(|| replica.clone()) == replica;
            hold!(same, "replicas differ after everybody has synced");
            // Admins give what they have to all, and others what they have written under.
            if device.is_admin() {
                held.extend(self.cast.truth.epochs(vault)?);
            } else {
                held.extend(self.cast.truth.written_by(&device.id));
            }
        }
        for number in group {
            let device = &self.cast.devices[*number];
            for (op, _) in device.view.unread() {
                let Some(op) = self.cast.truth.op(op) else {
                    continue;
                };
                let for_admins = op.writes.iter().any(|write| write.record.space == keys);
                // Who wrote it may be out, without having met anybody long enough to give them the key: then the words
                // bring it back (see `check_words`).
                let given = held.contains(&op.epoch) && (device.is_admin() || !for_admins);
                hold!(
                    !given,
                    "device {number} has ops and was not given their key, that of {:?}",
                    op.epoch
                );
            }
        }
        Ok(())
    }

    /// Every op that a device of the group has acknowledged counts on all of them, or what it says is said again by ops
    /// that do: but for what was gone from everywhere when a device was set back.
    fn check_nothing_lost(&mut self, group: &[usize]) -> Held {
        let device = |number: &usize| &self.cast.devices[*number];
        let authors: BTreeSet<_> = group.iter().map(|number| device(number).id).collect();
        let truth = &self.cast.truth;
        let ops = truth.ops().filter(|op| authors.contains(&op.author));
        for op in ops.filter(|op| !truth.is_forgotten(&op.link)) {
            if truth.was_set_back(&op.author) {
                // Who was out has no say in which of two histories counts. And what only somebody has who does not belong
                // to these, they cannot get.
                let is_here = |number: &usize| device(number).view.holds(&op.link);
                let is_elsewhere = self.cast.of_twin(0).iter().any(is_here);
                if truth.was_ever_out(&op.author) || is_elsewhere && !group.iter().any(is_here) {
                    continue;
                }
            }
            for number in group {
                let view = &device(number).view;
                let counts = |link: &Link| view.counts_op(link);
                hold!(
                    counts(&op.link) || truth.is_said_again(op, counts),
                    "an acknowledged op is lost: op {} of {:?}, on device {number}",
                    op.seq,
                    op.log
                );
            }
        }
        Ok(())
    }

    /// Time goes on until nothing waits any more.
    fn wait_for_the_clock(&mut self) -> Held {
        let ours = self.cast.of_twin(0);
        let latest = ours
            .iter()
            .filter_map(|device| self.cast.devices[*device].view.last_waiting())
            .max();
        let Some(latest) = latest else { return Ok(()) };
        let now = self.cast.devices[ours[0]].clock(self.now);
        let wait = latest.millis().saturating_sub(now) + 10_000;
        self.run_until(self.now + wait)?;
        for device in ours {
            self.cast.check_records(device, self.now)?;
            hold!(
                self.cast.devices[device].view.last_waiting().is_none(),
                "something waits for a time that has come"
            );
        }
        Ok(())
    }

    /// Every record is on every device what the reference makes of all writes that count and that it has the keys of.
    fn check_all_merged(&mut self, group: &[usize]) -> Held {
        let truth = &self.cast.truth;
        let names: BTreeSet<_> = truth.writes().map(|write| write.record.clone()).collect();
        let names: Vec<_> = names.into_iter().filter(|name| name.twin == 0).collect();
        for device in group {
            let unsettled = self.cast.unsettled(*device)?;
            let device = &mut self.cast.devices[*device];
            let keys = self.cast.truth.epochs(device.vault_ref())?;
            for name in names.iter().filter(|name| !unsettled.contains(name)) {
                let counting = self
                    .cast
                    .truth
                    .ops()
                    .filter(|op| keys.contains(&op.epoch) && device.view.counts_op(&op.link));
                let writes = counting.flat_map(|op| &op.writes);
                let expected = reference::fields(writes.filter(|write| write.record == *name));
                let space = SpaceName::any(&name.space).map_err(|error| fault!("{error}"))?;
                let shown = device.vault().get(&space, &name.collection, &name.id)?;
                let shown = shown.map(|record| record.fields);
                hold!(
                    shown == expected,
                    "{name:?} is {shown:?} on a device, and not {expected:?}"
                );
            }
        }
        Ok(())
    }
}
