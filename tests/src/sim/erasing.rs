//! People erase records, also where others have not heard of much yet; and what must be left of them then.
//!
//! What an erased record is in between depends on who has heard of what. In the end it is the same everywhere, and it is
//! nowhere if nobody has changed it without knowing.

use std::collections::{BTreeMap, BTreeSet};

use twin_ops::op::{Link, Op, Part};
use twin_ops::space::SpaceName;
use twin_ops::store::OpStore;
use twin_vault::Erasure;

use super::cast::{Cast, may_refuse};
use super::device::Instant;
use super::fault::{Held, fault, hold};
use super::reference::{RecordName, Write};
use super::story::{some_change, some_space};
use super::view::PartName;
use super::world::World;
use crate::dice::Dice;

/// Where members ask for erasures, in every space.
const REQUESTS: &str = "~erase";

/// What people have erased.
#[derive(Default)]
pub struct Erased {
    records: BTreeMap<RecordName, Vec<Done>>,
}

/// A record was erased.
struct Done {
    /// The ops that say so.
    says: BTreeSet<Link>,
    /// The changes of it that whoever did it had.
    known: BTreeSet<PartName>,
}

impl Erased {
    /// Whether what a record is cannot be told from the changes alone.
    pub fn blurs(&self, record: &RecordName) -> bool {
        record.collection == REQUESTS || self.records.contains_key(record)
    }
}

impl World {
    /// A person erases a record, or asks for it.
    pub fn erase_something(&mut self, device: usize) -> Held {
        let space = some_space(&mut self.dice, self.cast.devices[device].is_admin());
        let asked = self.cast.devices[device].vault().erasure_requests(&space)?;
        let (collection, id) = match asked.into_iter().next() {
            Some(asked) => (asked.collection, asked.id),
            None => {
                let change = some_change(&mut self.dice);
                (change.collection, change.id)
            }
        };
        let name = RecordName {
            twin: self.cast.devices[device].twin,
            space: space.to_string(),
            collection,
            id,
        };
        self.cast
            .erase(device, self.now, &mut self.dice, &space, name)
    }

    /// What was erased is the same everywhere, and gone where nobody changed it without knowing.
    pub(super) fn check_erased(&mut self, group: &[usize]) -> Held {
        let views: Vec<_> = { group.iter() }
            .map(|device| &self.cast.devices[*device].view)
            .collect();
        // Of who is out, or has lost what it wrote, it may count no more.
        let counts = |done: &&Done| {
            let mut says = done.says.iter();
            says.all(|op| views.iter().all(|view| view.counts_op(op)))
        };
        let mut records = Vec::new();
        for (name, done) in &self.cast.truth.erased.records {
            let known: BTreeSet<PartName> = { done.iter().filter(counts) }
                .flat_map(|done| done.known.iter().copied())
                .collect();
            if done.iter().all(|done| counts(&done)) {
                records.push((name.clone(), known));
            }
        }
        for (name, known) in records {
            self.check_erased_record(group, &name, &known)?;
        }
        Ok(())
    }

    fn check_erased_record(
        &mut self,
        group: &[usize],
        name: &RecordName,
        known: &BTreeSet<PartName>,
    ) -> Held {
        let space = SpaceName::any(&name.space).map_err(|error| fault!("{error}"))?;
        let truth = &self.cast.truth;
        let of_record = || truth.writes().filter(|write| write.record == *name);
        let is_gone = of_record().all(|write| known.contains(&(write.op, write.order.4)));
        let unclear: BTreeSet<usize> = { group.iter().copied() }
            .filter(|device| {
                let view = &self.cast.devices[*device].view;
                let mut unread = view.unread();
                unread.any(|(op, _)| of_record().any(|write| write.op == *op))
            })
            .collect();
        let places: Vec<Write> = { of_record() }
            .filter(|write| known.contains(&(write.op, write.order.4)))
            .cloned()
            .collect();
        let mut first = None;
        for device in group.iter().filter(|device| !unclear.contains(device)) {
            if self.cast.overtaken(*device)?.contains(name) {
                continue;
            }
            let vault = self.cast.devices[*device].vault();
            let shown = vault.get(&space, &name.collection, &name.id)?;
            let shown = shown.map(|record| record.fields);
            hold!(
                !is_gone || shown.is_none(),
                "device {device} shows {shown:?} of {name:?}, which was erased"
            );
            let same = *first.get_or_insert_with(|| shown.clone()) == shown;
            hold!(same, "what is left of {name:?} is not the same everywhere");
            let history = vault.history(&space, &name.collection, &name.id, None, 100)?;
            hold!(
                !is_gone || history.is_empty(),
                "device {device} has a history of {name:?}, which was erased"
            );
            for write in &places {
                let (_, _, log, seq, index) = write.order;
                if vault.link_at(&log, seq)? != Some(write.op) {
                    continue;
                }
                let run = vault.read_run(&log, seq - 1, 0)?;
                let Some(bytes) = run.first() else { continue };
                let op = Op::from_bytes(bytes).map_err(|error| fault!("{error}"))?;
                let part = usize::try_from(index).ok();
                let part = part.and_then(|index| op.parts().get(index));
                hold!(
                    op.header().seq != seq || matches!(part, Some(Part::Dropped(_))),
                    "device {device} has the content of what was erased: {name:?}"
                );
            }
        }
        Ok(())
    }
}

impl Cast {
    /// A person erases a record on a device, or asks for it.
    pub fn erase(
        &mut self,
        device: usize,
        at: Instant,
        dice: &mut Dice,
        space: &SpaceName,
        name: RecordName,
    ) -> Held {
        let now = self.tell_time(device, at)?;
        self.inspect(device, at)?;
        let author = &mut self.devices[device];
        let before = author.vault().heads()?;
        let erased = { author.vault() }.erase(now, dice.rng(), space, &name.collection, &name.id);
        let erased = match erased {
            Err(error) if may_refuse(author, space, &error) => return Ok(()),
            erased => erased?,
        };
        self.trace.say(at, || {
            format!("device {device} erases {name:?}: {erased:?}")
        });
        let author = &self.devices[device];
        let truth = &mut self.truth;
        truth.acknowledge_own(author.twin, author.vault_ref())?;
        if erased == Erasure::Done {
            let heads = author.vault_ref().heads()?.into_iter();
            let says = heads.filter(|head| !before.contains(head));
            let writes = truth.writes().filter(|write| write.record == name);
            let here = writes.filter(|write| author.view.holds(&write.op));
            let done = Done {
                says: says.map(|head| head.head.link).collect(),
                known: here.map(|write| (write.op, write.order.4)).collect(),
            };
            truth.erased.records.entry(name).or_default().push(done);
        }
        self.inspect(device, at)
    }
}
