//! What really happened: every acknowledged op, and every device that a person admitted. The ops are opened here with
//! keys taken from the grants, so that what a vault says of itself is not what it is measured by.

use std::collections::{BTreeMap, BTreeSet};

use twin_identity::aead::DataKey;
use twin_identity::id::DeviceId;
use twin_identity::seal::SealingKey;
use twin_ops::change::Change;
use twin_ops::epoch::{EpochId, EpochKey};
use twin_ops::grant::{Grant, GrantId, GrantedKey, Recipient};
use twin_ops::op::{Link, LogId, Op, Part};
use twin_ops::seal::{PartPlace, open_part};
use twin_ops::space::{Audience, SpaceName};
use twin_ops::store::{LogHead, OpStore};
use twin_vault::{Vault, WriteChange};

use super::asked::says;
use super::erasing::Erased;
use super::fault::{Fault, Held, fault, hold};
use super::reference::{RecordName, Write};

/// In every name, id and value that people write: must never be seen in clear.
pub const CANARY: &str = "Quokka";

/// An acknowledged op.
pub struct Acknowledged {
    /// Its link: what it is known by. A device that was set back writes another op at the same place of its log.
    pub link: Link,
    /// The log that it is in.
    pub log: LogId,
    /// Its place there.
    pub seq: u64,
    /// The op before it.
    pub prev: Option<Link>,
    /// The epoch that it is sealed in.
    pub epoch: EpochId,
    /// What it changes; nothing if it only says again what was said before.
    pub writes: Vec<Write>,
    /// Who wrote it.
    pub author: DeviceId,
    /// How many rotations its author knew of.
    pub rotations: usize,
    /// Who was out, as far as its author knew.
    pub out: BTreeSet<DeviceId>,
}

impl Acknowledged {
    /// The write in the part with this index.
    pub fn write(&self, index: u64) -> Option<&Write> {
        self.writes.iter().find(|write| write.order.4 == index)
    }
}

/// What really happened.
#[derive(Default)]
pub struct Truth {
    ops: BTreeMap<Link, Acknowledged>,
    /// Who writes each log.
    authors: BTreeMap<LogId, DeviceId>,
    /// The places in logs that are taken.
    places: BTreeSet<(LogId, u64)>,
    /// Devices that went on from an old copy of their files.
    set_back: BTreeSet<DeviceId>,
    /// Those of them whose file was set back where it was, so that they cannot know it by themselves.
    unnoticed: BTreeSet<DeviceId>,
    /// Ops that nobody had any more when a device was set back.
    forgotten: BTreeSet<Link>,
    /// The devices of each twin: the first, and those whose code a person has typed, with the device on which they did.
    pub admitted: BTreeMap<(usize, DeviceId), Option<DeviceId>>,
    /// How far the logs of devices that were removed or suspended went, where that was said.
    lines: BTreeMap<LogId, u64>,
    /// Whether anybody was ever suspended.
    pub suspensions: bool,
    /// Devices that were out for somebody and came back, by a resumption or a rotation that keeps them: they are given
    /// what was written until then, by devices that knew of no more than so many rotations.
    back: BTreeMap<DeviceId, usize>,
    /// Who has removed or suspended each device.
    removers: BTreeMap<DeviceId, BTreeSet<DeviceId>>,
    /// The devices that the last rotation keeps.
    pub kept: BTreeSet<DeviceId>,
    /// Devices that somebody made an admin.
    pub promoted: BTreeSet<DeviceId>,
    /// What people have erased.
    pub erased: Erased,
    keys: BTreeMap<EpochId, Opened>,
    /// What devices have learned from words.
    learned: BTreeMap<DeviceId, BTreeSet<EpochId>>,
    grants: BTreeMap<GrantId, Granted>,
}

/// The key of an epoch.
pub struct Opened {
    /// The space that it is for.
    pub space: SpaceName,
    /// The key.
    pub key: EpochKey,
    /// What seals parts.
    pub parts: DataKey,
}

/// What a grant gives to whom.
struct Granted {
    recipients: BTreeSet<Recipient>,
    /// Those of them that are given the admins' keys too.
    admins: BTreeSet<Recipient>,
    epochs: BTreeSet<EpochId>,
    for_admins: BTreeSet<EpochId>,
}

impl Granted {
    /// What it gives to somebody.
    fn gives(&self, to: &Recipient) -> impl Iterator<Item = EpochId> {
        let members = self.epochs.iter().filter(|_| self.recipients.contains(to));
        let admins = self.for_admins.iter().filter(|_| self.admins.contains(to));
        members.chain(admins).copied()
    }
}

impl Truth {
    /// An acknowledged op.
    pub fn op(&self, link: &Link) -> Option<&Acknowledged> {
        self.ops.get(link)
    }

    /// Every acknowledged write.
    pub fn writes(&self) -> impl Iterator<Item = &Write> {
        self.ops.values().flat_map(|op| &op.writes)
    }

    /// Every acknowledged op.
    pub fn ops(&self) -> impl Iterator<Item = &Acknowledged> {
        self.ops.values()
    }

    /// The ops of a log that an op comes after, itself included, the first one first.
    pub fn history(&self, tip: &Link) -> Vec<&Acknowledged> {
        let before = |op: &&Acknowledged| self.op(&op.prev?);
        let mut history: Vec<_> = std::iter::successors(self.op(tip), before).collect();
        history.reverse();
        history
    }

    /// Whether an op is among those that another comes after, or is that one.
    pub fn comes_before(&self, op: &Link, tip: &Link) -> bool {
        self.history(tip).iter().any(|before| before.link == *op)
    }

    /// Who writes a log.
    pub fn author(&self, log: &LogId) -> Option<DeviceId> {
        self.authors.get(log).copied()
    }

    /// The epochs that a device has written in.
    pub fn written_by(&self, device: &DeviceId) -> BTreeSet<EpochId> {
        let ops = self.ops.values();
        let by_device = ops.filter(|op| op.author == *device);
        by_device.map(|op| op.epoch).collect()
    }

    /// A device goes on from an old copy of its files, perhaps where its own were: what it had written since is lost as
    /// far as nobody has it.
    pub fn is_set_back(&mut self, device: DeviceId, in_place: bool) {
        self.set_back.insert(device);
        if in_place {
            self.unnoticed.insert(device);
        }
    }

    /// Whether a device ever went on from an old copy of its files.
    pub fn was_set_back(&self, device: &DeviceId) -> bool {
        self.set_back.contains(device)
    }

    /// Whether it did so without being able to know.
    pub fn was_set_back_unnoticed(&self, device: &DeviceId) -> bool {
        self.unnoticed.contains(device)
    }

    /// Whether any device ever went on from an old copy of its files.
    pub fn anybody_is_set_back(&self) -> bool {
        !self.set_back.is_empty()
    }

    /// What nobody has any more is lost.
    pub fn forget(&mut self, is_held: impl Fn(&Link) -> bool) {
        let lost = self.ops.keys().filter(|link| !is_held(link));
        self.forgotten.extend(lost);
    }

    /// Whether nobody had an op any more when a device was set back.
    pub fn is_forgotten(&self, link: &Link) -> bool {
        self.forgotten.contains(link)
    }

    /// Whether a device was ever removed or suspended by anybody, or left out of a rotation.
    pub fn was_ever_out(&self, device: &DeviceId) -> bool {
        let mut ops = self.ops.values();
        self.removers.contains_key(device)
            || self.back.contains_key(device)
            || ops.any(|op| op.out.contains(device))
    }

    /// Whether all that an op says is said again by other ops of its device, of those that count.
    pub fn is_said_again(&self, op: &Acknowledged, counts: impl Fn(&Link) -> bool) -> bool {
        let others = self.ops.values().filter(|other| {
            other.author == op.author && other.log != op.log && counts(&other.link)
        });
        let others: Vec<&Write> = others.flat_map(|other| &other.writes).collect();
        op.writes
            .iter()
            .all(|write| others.iter().any(|other| write.is_said_by(other)))
    }

    /// How far a log of a device that is out may count at most.
    pub fn line(&self, log: &LogId) -> u64 {
        self.lines.get(log).copied().unwrap_or(0)
    }

    /// A person removes or suspends a device on another: what is there of its logs is to count.
    pub fn draw_lines(&mut self, vault: &Vault, device: &DeviceId) -> Held {
        for LogHead { log, head } in vault.heads()? {
            if self.author(&log) == Some(*device) {
                let line = self.lines.entry(log).or_default();
                *line = (*line).max(head.height);
            }
        }
        Ok(())
    }

    /// A device that is out for those who know of `rotations` comes back.
    pub fn comes_back(&mut self, device: DeviceId, rotations: usize) {
        let known = self.back.entry(device).or_default();
        *known = (*known).max(rotations);
    }

    /// A person removes or suspends a device on another.
    pub fn goes(&mut self, device: DeviceId, by: DeviceId) {
        self.removers.entry(device).or_default().insert(by);
    }

    /// Whether a device may have been given what was written by one that knew it to be out, and of `rotations`. Where
    /// its remover was suspended at the same time, or whoever had admitted that one, the removal waits, and the device
    /// is in for all who know of both.
    pub fn is_back(&self, device: &DeviceId, rotations: usize) -> bool {
        let removers = |device: &DeviceId| self.removers.get(device).cloned().unwrap_or_default();
        let admitters = |by: DeviceId| {
            let mut admitted = self.admitted.iter();
            let (_, before) = admitted.find(|((_, device), _)| *device == by)?;
            *before
        };
        let stopped = |by: DeviceId| {
            let mut line = std::iter::successors(Some(by), |by| admitters(*by));
            by != *device && line.any(|by| removers(&by).into_iter().any(|other| other != by))
        };
        self.back.get(device).is_some_and(|back| rotations <= *back)
            || removers(device).into_iter().any(stopped)
    }

    /// How many ops were acknowledged.
    pub fn count(&self) -> usize {
        self.ops.len()
    }

    /// Notes the op that a vault has just acknowledged, and checks that it says what it was asked to say. Returns what
    /// it changes.
    pub fn acknowledge(
        &mut self,
        twin: usize,
        vault: &Vault,
        space: &SpaceName,
        asked: &[WriteChange],
        head: LogHead,
    ) -> Held<Vec<Write>> {
        let LogHead { log, head } = head;
        let run = vault.read_run(&log, head.height - 1, usize::MAX)?;
        let [bytes] = run.as_slice() else {
            return Err(fault!("an acknowledged op cannot be read back"));
        };
        let op = self.read(twin, vault, bytes)?;
        hold!(
            op.link == head.link,
            "an acknowledged op is not the one that was stored"
        );
        let writes = op.writes.clone();
        hold!(
            writes.len() == asked.len(),
            "an op has more or fewer changes than were asked for"
        );
        for (write, asked) in writes.iter().zip(asked) {
            let name = &write.record;
            let same = name.space == space.as_str()
                && name.collection == asked.collection
                && name.id == asked.id;
            hold!(
                same && says(write, asked),
                "an op says something else than was asked for"
            );
        }
        self.note(op)?;
        Ok(writes)
    }

    /// Notes the ops that a vault has written by itself: by those with which it lets go of what is superseded it changes
    /// nothing, and by those in which it writes again what it has given up it says what it had said. Returns whether
    /// there are any.
    pub fn acknowledge_own(&mut self, twin: usize, vault: &Vault) -> Held<bool> {
        let mut any = false;
        for LogHead { log, head } in vault.heads()? {
            let author = vault.origin(&log)?.map(|origin| origin.device);
            if author != Some(vault.device()) {
                continue;
            }
            let mut known = head.height;
            while known > 0 && !self.knows(vault, &log, known)? {
                known -= 1;
            }
            for seq in known + 1..=head.height {
                let run = vault.read_run(&log, seq - 1, 0)?;
                let bytes = run
                    .first()
                    .ok_or_else(|| fault!("an own op is not there"))?;
                let op = self.read(twin, vault, bytes)?;
                self.note(op)?;
                any = true;
            }
        }
        Ok(any)
    }

    fn knows(&self, vault: &Vault, log: &LogId, seq: u64) -> Held<bool> {
        let link = vault.link_at(log, seq)?;
        Ok(link.is_none_or(|link| self.ops.contains_key(&link)))
    }

    /// Reads what a vault has just written.
    fn read(&mut self, twin: usize, vault: &Vault, bytes: &[u8]) -> Held<Acknowledged> {
        hold!(
            !contains(bytes, CANARY),
            "an op shows in clear what a person wrote"
        );
        let op =
            Op::from_bytes(bytes).map_err(|error| fault!("an own op cannot be read: {error}"))?;
        let (log, seq, epoch) = (op.header().log, op.header().seq, op.header().epoch);
        let opened = self.opened(vault, epoch)?;
        let mut writes = Vec::new();
        for (index, part) in (0..).zip(op.parts()) {
            let place = PartPlace {
                log: &log,
                seq,
                epoch: &epoch,
                salt: op.salt(),
                index,
            };
            let Part::Sealed(sealed) = part else {
                return Err(fault!("an own op has a part missing"));
            };
            let plain = open_part(&opened.parts, place, sealed)
                .map_err(|error| fault!("an own part: {error}"))?;
            match Change::from_bytes(&plain).map_err(|error| fault!("an own part: {error}"))? {
                Change::Record(change) => writes.push(Write {
                    op: op.link(),
                    order: (change.stamp, vault.device(), log, seq, index),
                    record: RecordName {
                        twin,
                        space: opened.space.to_string(),
                        collection: change.collection,
                        id: change.id,
                    },
                    kind: change.kind,
                    fields: change.fields,
                    edits: change.edits,
                }),
                Change::Seen(_) if index == 0 => {}
                Change::Checkpoint(_)
                | Change::Snapshot(_)
                | Change::Copy(..)
                | Change::Erase(_) => {}
                _ => return Err(fault!("an own op says what nobody asked for")),
            }
        }
        let identity = vault.identity();
        let suspended = identity.devices().values();
        let suspended = suspended.filter(|device| device.suspended);
        Ok(Acknowledged {
            link: op.link(),
            log,
            seq,
            prev: op.header().prev,
            epoch,
            writes,
            author: vault.device(),
            rotations: identity.rotations(),
            out: identity
                .gone()
                .copied()
                .chain(suspended.map(|device| device.public.id))
                .collect(),
        })
    }

    fn note(&mut self, op: Acknowledged) -> Held {
        let before = op.prev.map(|prev| {
            let op = self.op(&prev);
            op.map(|op| (op.log, op.seq))
        });
        let follows = match before {
            None => op.seq == 1,
            Some(before) => before == Some((op.log, op.seq - 1)),
        };
        let is_free = self.places.insert((op.log, op.seq));
        hold!(
            follows && (is_free || self.was_set_back_unnoticed(&op.author)),
            "an own log has a hole or was written twice"
        );
        for device in &op.out {
            hold!(
                self.is_back(device, op.rotations) || !self.epochs_of(device).contains(&op.epoch),
                "something was written in an epoch whose key a device has that its writer knew to be out"
            );
        }
        self.authors.insert(op.log, op.author);
        self.ops.insert(op.link, op);
        Ok(())
    }

    /// The keys of an epoch that this vault's device has been granted.
    pub fn opened(&mut self, vault: &Vault, epoch: EpochId) -> Held<&Opened> {
        if !self.keys.contains_key(&epoch) {
            self.epochs(vault)?;
        }
        let known = self.keys.get(&epoch);
        known.ok_or_else(|| fault!("an op is sealed in an epoch that its author was not granted"))
    }

    /// The epochs that a device has the keys of: those in the grants that it holds and that are for it. Each grant is
    /// opened once, by the first device that has it and may.
    pub fn epochs(&mut self, vault: &Vault) -> Held<BTreeSet<EpochId>> {
        let me = Recipient::Device(vault.device());
        let mut epochs = self
            .learned
            .get(&vault.device())
            .cloned()
            .unwrap_or_default();
        for id in vault.held_grants() {
            if !self.grants.contains_key(&id) {
                self.open_grant(vault, id)?;
            }
            let known = self.grants.get(&id);
            epochs.extend(known.into_iter().flat_map(|known| known.gives(&me)));
        }
        Ok(epochs)
    }

    /// The epochs that a device has the keys of, or can get from all grants that there are.
    pub fn epochs_of(&self, device: &DeviceId) -> BTreeSet<EpochId> {
        let to = Recipient::Device(*device);
        let grants = self.grants.values();
        let granted = grants.flat_map(|granted| granted.gives(&to));
        let learned = self.learned.get(device).into_iter().flatten().copied();
        granted.chain(learned).collect()
    }

    /// The epochs whose keys a grant gives, with their spaces, as far as any recipient has opened it.
    pub fn given_by(&self, grant: &GrantId) -> Vec<(EpochId, &SpaceName)> {
        let granted = self.grants.get(grant).into_iter();
        let epochs = granted.flat_map(|granted| granted.epochs.iter().chain(&granted.for_admins));
        let opened = epochs.filter_map(|id| Some((*id, &self.keys.get(id)?.space)));
        opened.collect()
    }

    fn open_grant(&mut self, vault: &Vault, id: GrantId) -> Held {
        let refused = |error: &dyn std::error::Error| Fault(format!("a grant: {error}"));
        let bytes = vault
            .grant(&id)?
            .ok_or_else(|| fault!("a grant is listed and not there"))?;
        let grant = Grant::from_bytes(&bytes).map_err(|error| refused(&error))?;
        let recipients: BTreeSet<_> = grant.recipients().collect();
        if !recipients.contains(&Recipient::Device(vault.device())) {
            return Ok(());
        }
        let admins = grant.admin_recipients().collect();
        let (mut epochs, mut for_admins) = (BTreeSet::new(), BTreeSet::new());
        let keys = grant.open(vault.identity(), vault.device_keys());
        for (id, audience) in self.take(keys.map_err(|error| refused(&error))?) {
            match audience {
                Audience::Members => epochs.insert(id),
                Audience::Admins => for_admins.insert(id),
            };
        }
        let granted = Granted {
            recipients,
            admins,
            epochs,
            for_admins,
        };
        self.grants.insert(id, granted);
        Ok(())
    }

    /// Notes keys that are known now, and those of the epochs before them. Returns their epochs.
    fn take(&mut self, keys: Vec<GrantedKey>) -> Vec<(EpochId, Audience)> {
        let mut taken = Vec::new();
        for granted in keys {
            // Each epoch opens the one before it.
            let before = granted.predecessor.as_ref();
            let before = before.and_then(|sealed| granted.key.open_predecessor(sealed).ok());
            for key in [Some(granted.key), before].into_iter().flatten() {
                taken.push((key.id(), granted.space.audience()));
                let opened = Opened {
                    space: granted.space.clone(),
                    parts: key.part_key(),
                    key,
                };
                self.keys.insert(opened.key.id(), opened);
            }
        }
        taken
    }

    /// A device learns from its person's words what they open.
    pub fn learn(&mut self, vault: &Vault, words: &SealingKey) -> Held {
        for id in vault.held_grants() {
            let bytes = vault.grant(&id)?.unwrap_or_default();
            let grant = Grant::from_bytes(&bytes).map_err(|error| fault!("a grant: {error}"))?;
            // To other words: an error.
            let keys = grant.open_with(vault.identity(), Recipient::Words, words);
            let epochs = self.take(keys.unwrap_or_default()).into_iter();
            let learned = self.learned.entry(vault.device()).or_default();
            learned.extend(epochs.map(|(id, _)| id));
        }
        Ok(())
    }
}

/// Whether a text stands in clear among bytes.
pub fn contains(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}
