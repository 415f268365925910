//! Everybody in a run, and what really happened.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock};

use twin_identity::authority::AuthorityKey;
use twin_identity::birth::{Birth, BirthError};
use twin_identity::body::Body;
use twin_identity::id::{DeviceId, TwinId};
use twin_identity::words::RecoverySecret;
use twin_ops::epoch::DiscoveryKey;
use twin_ops::op::{Link, LogId};
use twin_ops::space::{SpaceId, SpaceName};
use twin_ops::store::OpStore;
use twin_ops::value::{Fields, Value};
use twin_vault::{Vault, VaultError, WriteChange};

use super::device::{Device, Instant};
use super::fault::{Held, fault, hold};
use super::linking::Newcomer;
use super::reference::{self, RecordName, Write};
use super::truth::Truth;
use crate::dice::Dice;

/// Everybody.
pub struct Cast {
    /// All devices that have a vault, of all twins.
    pub devices: Vec<Device>,
    /// All that were or are to be linked.
    pub newcomers: Vec<Newcomer>,
    /// The twins.
    pub twins: Vec<TwinId>,
    /// What really happened.
    pub truth: Truth,
    /// Which words each rotation of our twin has left its person with, the birth first.
    pub words: Vec<usize>,
    /// Everything worth telling, if somebody listens.
    pub trace: Trace,
    /// How often somebody has let go of what was overwritten.
    pub compactions: usize,
    /// Whether people use their words.
    pub words_are_used: bool,
    /// Whether people erase.
    pub things_are_erased: bool,
    root: PathBuf,
    homes: usize,
}

/// A story of the run, told only when it is wanted.
pub struct Trace {
    /// `None`: nobody listens.
    pub lines: Option<Vec<String>>,
}

impl Trace {
    /// Adds a line.
    pub fn say(&mut self, at: Instant, line: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            lines.push(format!("{:>9} {}", at, line()));
        }
    }
}

/// What a twin's name is on screens: the same for all, so that nobody is told apart by it.
pub const TWIN_NAME: &str = "Ada";

/// How many twins there are to choose from.
const BIRTHS: usize = 16;

/// Some of a few words.
pub fn recovery(which: usize) -> RecoverySecret {
    RecoverySecret::random(Dice::new(which as u64).rng())
}

/// An authority key of some words: made once in a process, because most of it is ML-DSA.
pub fn authority(which: usize, index: u32) -> &'static AuthorityKey {
    static KEYS: Mutex<BTreeMap<(usize, u32), &'static AuthorityKey>> = Mutex::new(BTreeMap::new());
    let mut keys = KEYS.lock().expect("nobody panics while holding it");
    keys.entry((which, index))
        .or_insert_with(|| Box::leak(Box::new(recovery(which).authority(index))))
}

/// One of a few twins, each born once in a process and the same in all: most of a birth is ML-DSA, whose keys and
/// signatures nothing in a run depends on.
pub fn born(which: usize) -> Held<&'static Birth> {
    static BORN: [OnceLock<Result<Birth, BirthError>>; BIRTHS] =
        [const { OnceLock::new() }; BIRTHS];
    let birth = BORN[which].get_or_init(|| {
        let mut dice = Dice::new(which as u64);
        let recovery = RecoverySecret::random(dice.rng());
        Birth::new(&recovery, dice.rng())
    });
    birth.as_ref().map_err(|error| fault!("{error}"))
}

/// Whether a device has reason to refuse what its person asks of it.
pub fn may_refuse(device: &Device, space: &SpaceName, error: &VaultError) -> bool {
    let identity = device.vault_ref().identity();
    let me = identity.device(&device.id);
    match error {
        VaultError::Removed | VaultError::Waiting => me.is_none(),
        VaultError::Suspended => me.is_some_and(|me| me.suspended),
        VaultError::NotSelected => {
            let vault = device.vault_ref();
            let unselected = vault.unselected(&device.id);
            unselected.contains(&space.id(vault.twin()))
        }
        VaultError::NoEpoch => space.as_str().starts_with('~') && !device.is_admin(),
        _ => false,
    }
}

impl Cast {
    /// Nobody yet, with a folder for everybody's files.
    pub fn new(root: PathBuf, traced: bool) -> Self {
        Self {
            devices: Vec::new(),
            newcomers: Vec::new(),
            twins: Vec::new(),
            truth: Truth::default(),
            words: Vec::new(),
            trace: Trace {
                lines: traced.then(Vec::new),
            },
            compactions: 0,
            words_are_used: false,
            things_are_erased: false,
            root,
            homes: 0,
        }
    }

    /// A folder for a new device.
    pub fn home(&mut self) -> PathBuf {
        self.homes += 1;
        let home = self.root.join(self.homes.to_string());
        std::fs::create_dir(&home).expect("a folder in the simulation's own folder");
        home
    }

    /// A twin is born, with its first device.
    pub fn birth(&mut self, dice: &mut Dice) -> Held<usize> {
        let (twin, home) = (self.twins.len(), self.home());
        let which = dice.index(BIRTHS / 2) + twin * BIRTHS / 2;
        if twin == 0 {
            self.words.push(which);
        }
        let birth = born(which)?;
        let device = Device::first(home, twin, birth, dice)?;
        self.twins.push(birth.genesis.twin_id());
        self.truth.admitted.insert((twin, device.id), None);
        Ok(self.join(device))
    }

    /// A device has got its vault.
    pub fn join(&mut self, device: Device) -> usize {
        self.devices.push(device);
        self.devices.len() - 1
    }

    /// The devices of a twin.
    pub fn of_twin(&self, twin: usize) -> Vec<usize> {
        let all = 0..self.devices.len();
        all.filter(|device| self.devices[*device].twin == twin)
            .collect()
    }

    /// Whether a device takes another for one of its twin.
    pub fn admits(&self, device: usize, other: usize) -> bool {
        self.devices[device].admits(&self.devices[other].id)
    }

    /// Whether a device knows that another is out.
    pub fn shuns(&self, device: usize, other: usize) -> bool {
        let (device, other) = (&self.devices[device], self.devices[other].id);
        device.is_up()
            && !device.admits(&other)
            && device.vault_ref().identity().role_once(&other).is_some()
    }

    /// Whether a device that knows another to be out and not yet that it is in again finds it by the same key, which
    /// that was given when it came back: so it is no stranger.
    pub fn has_its_key(&self, device: usize, other: usize) -> bool {
        let (device, other) = (&self.devices[device], &self.devices[other]);
        let (Some(here), Some(there)) = (&device.vault, &other.vault) else {
            return false;
        };
        let key = |vault: &Vault| vault.discovery_key().map(|key| key.mac([[].as_slice()]));
        let same = match (key(here), key(there)) {
            (Some(one), Some(two)) => one.expose() == two.expose(),
            _ => false,
        };
        let rotations = here.identity().rotations();
        same && self.truth.is_back(&other.id, rotations)
    }

    /// Whether a device does not know another and writes under keys that the other has not got.
    pub fn has_lost(&self, device: usize, other: usize) -> bool {
        let (device, other) = (&self.devices[device], &self.devices[other]);
        let (Some(here), Some(there)) = (&device.vault, &other.vault) else {
            return false;
        };
        let mark = |key: &DiscoveryKey| *key.mac([[].as_slice()]).expose();
        let past = there.other_discovery_keys();
        let mut keys = past.iter().chain(there.discovery_key()).map(mark);
        let ours = here.discovery_key().map(mark);
        here.identity().role_once(&other.id).is_none() && keys.all(|key| Some(key) != ours)
    }

    /// Whether both take each other for devices of their twin.
    pub fn are_mutual(&self, [one, two]: [usize; 2]) -> bool {
        self.admits(one, two) && self.admits(two, one)
    }

    /// Tells a device's vault what its clock shows, as every device does before it does anything.
    pub fn tell_time(&mut self, device: usize, at: Instant) -> Held<u64> {
        let device = &mut self.devices[device];
        let now = device.clock(at);
        device.vault().merge_due(now)?;
        device.view.pass(now);
        Ok(now)
    }

    /// Compares what a device holds with what it may hold.
    pub fn inspect(&mut self, device: usize, at: Instant) -> Held {
        let device = &mut self.devices[device];
        let now = device.clock(at);
        for id in device.vault_ref().identity().devices().keys() {
            let known = self.truth.admitted.contains_key(&(device.twin, *id));
            hold!(
                known,
                "a device is in an identity log that no person has admitted"
            );
        }
        let epochs = self.truth.epochs(device.vault_ref())?;
        let vault = device.vault.as_ref();
        let vault = vault.ok_or_else(|| fault!("a device that does not run is looked at"))?;
        let unselected = vault.unselected(&device.id);
        let still: BTreeSet<SpaceId> = { unselected.intersection(&device.unselected) }
            .copied()
            .collect();
        let before = (!still.is_empty()).then(|| device.view.clone());
        device.unselected = unselected;
        device.view.hold(now, vault, &epochs, &self.truth)?;
        let Some(before) = before else { return Ok(()) };
        for (log, tip) in device.view.tips() {
            let Some(origin) = vault.origin(log)? else {
                continue;
            };
            // What it has given up, a device may write again.
            let own = origin.device == device.id;
            hold!(
                own || before.holds(tip) || !still.contains(&origin.space),
                "something has come of a space that the device does not keep"
            );
        }
        Ok(())
    }

    /// A person lets a device keep a space again, or keep it no more.
    pub fn select(
        &mut self,
        device: usize,
        at: Instant,
        dice: &mut Dice,
        space: &SpaceName,
        keep: bool,
    ) -> Held {
        let now = self.tell_time(device, at)?;
        self.inspect(device, at)?;
        let author = &mut self.devices[device];
        let head = match author.vault().select(now, dice.rng(), space, keep) {
            Err(error) if may_refuse(author, &SpaceName::members(), &error) => return Ok(()),
            head => head?,
        };
        self.trace.say(at, || {
            let news = head.is_some();
            format!("device {device} keeps {space}: {keep} (news: {news})")
        });
        let Some(head) = head else { return Ok(()) };
        let fields = Fields([(space.to_string(), Value::Bool(keep))].into());
        let change = WriteChange::patch("~keeps", &author.id.to_string(), fields);
        let members = SpaceName::members();
        let writes =
            self.truth
                .acknowledge(author.twin, author.vault_ref(), &members, &[change], head)?;
        author.view.wrote(&head, &writes);
        self.inspect(device, at)
    }

    /// Which lines a device has raised, and of how many devices.
    fn raised(&self, device: usize) -> Vec<DeviceId> {
        let device = &self.devices[device];
        let entries = device.vault_ref().identity().entries().values();
        let own = entries.filter(|entry| entry.signer == Some(device.id));
        let raised = own.filter_map(|entry| match &entry.body {
            Body::Raise(removal) if !removal.lines.is_empty() => Some(removal.device),
            _ => None,
        });
        raised.collect()
    }

    /// Lets a device tend its vault. Who keeps a space draws the lines that a remover who does not could not draw.
    fn tend_vault(&mut self, device: usize, now: u64, dice: &mut Dice) -> Held {
        let before = self.raised(device);
        self.devices[device].vault().tend(now, dice.rng())?;
        let after = self.raised(device);
        if after.len() > before.len() {
            let chosen = self
                .devices
                .iter()
                .any(|device| !device.unselected.is_empty());
            hold!(chosen, "a line is raised though all keep everything");
            for other in after {
                let vault = self.devices[device].vault_ref();
                self.truth.draw_lines(vault, &other)?;
            }
        }
        Ok(())
    }

    /// A person writes on a device.
    pub fn write(
        &mut self,
        device: usize,
        at: Instant,
        dice: &mut Dice,
        space: &SpaceName,
        changes: &[WriteChange],
    ) -> Held {
        let now = self.tell_time(device, at)?;
        self.inspect(device, at)?;
        let author = &mut self.devices[device];
        let head = match author
            .vault()
            .commit(now, dice.rng(), space, changes.to_vec())
        {
            Err(error) if may_refuse(author, space, &error) => {
                self.trace
                    .say(at, || format!("device {device} may not write: {error}"));
                return Ok(());
            }
            head => head?,
        };
        let writes =
            self.truth
                .acknowledge(author.twin, author.vault_ref(), space, changes, head)?;
        // When what is erased was written, a device may not have seen.
        let blurred = |write: &&Write| self.truth.erased.blurs(&write.record);
        for write in writes.iter().filter(|write| !blurred(write)) {
            for seen in self.truth.writes() {
                let seen_here = seen.record == write.record && author.view.counts(seen);
                hold!(
                    !seen_here || seen.order < write.order,
                    "a write does not outrank what its writer saw"
                );
            }
        }
        author.view.wrote(&head, &writes);
        let unsettled = self.unsettled(device)?;
        let records = writes.iter().map(|write| &write.record);
        records
            .filter(|record| !unsettled.contains(*record))
            .try_for_each(|record| self.check_record(device, record))
    }

    /// A person lets a device forget what was overwritten in a space.
    pub fn compact(
        &mut self,
        device: usize,
        at: Instant,
        dice: &mut Dice,
        space: &SpaceName,
    ) -> Held {
        let now = self.tell_time(device, at)?;
        let author = &mut self.devices[device];
        match author.vault().compact(now, dice.rng(), space) {
            Err(error) if may_refuse(author, space, &error) => return Ok(()),
            Err(VaultError::MayNotCompact) if !author.is_admin() => return Ok(()),
            compacted => {
                let compacted = compacted?;
                self.trace.say(at, || {
                    format!("device {device} compacts {space}: {compacted:?}")
                });
            }
        }
        if self
            .truth
            .acknowledge_own(author.twin, author.vault_ref())?
        {
            self.compactions += 1;
        }
        self.inspect(device, at)
    }

    /// A device does what has become its to do since it has heard from others. If it gives up a history of its own for
    /// another that it had written before it was set back, nothing changes by that but where its changes stand.
    pub fn tend(&mut self, device: usize, at: Instant, dice: &mut Dice) -> Held {
        let now = self.tell_time(device, at)?;
        let id = self.devices[device].id;
        if !self.truth.was_set_back_unnoticed(&id) {
            self.tend_vault(device, now, dice)?;
            let author = &self.devices[device];
            // A bit that was flipped on the way can make another history of what a peer said that it has.
            self.truth
                .acknowledge_own(author.twin, author.vault_ref())?;
            return Ok(());
        }
        self.inspect(device, at)?;
        let whole = self.devices[device].view.counts_all(&id, &self.truth);
        let before = self.shown_by(device)?;
        self.tend_vault(device, now, dice)?;
        let author = &self.devices[device];
        if !self
            .truth
            .acknowledge_own(author.twin, author.vault_ref())?
        {
            return Ok(());
        }
        self.trace
            .say(at, || format!("device {device} gives up what it wrote"));
        self.inspect(device, at)?;
        let after = self.shown_by(device)?;
        // What it had written while its clock was ahead counted at once. Written again it waits for the clock, like that of
        // others.
        let waits = self.devices[device].view.last_waiting().is_some();
        hold!(
            !whole || waits || before == after,
            "device {device} shows something else since it gave up a branch: {before:?}, then {after:?}"
        );
        Ok(())
    }

    /// What a device shows of everything.
    fn shown_by(&self, device: usize) -> Held<BTreeMap<RecordName, Fields>> {
        let twin = self.devices[device].twin;
        let unsettled = self.unsettled(device)?;
        let names = self.truth.writes().map(|write| &write.record);
        let names: BTreeSet<&RecordName> = names
            .filter(|name| name.twin == twin && !unsettled.contains(*name))
            .collect();
        let shown = names.into_iter().filter_map(|name| {
            let writes = self.counting(device, name);
            Some((name.clone(), reference::fields(writes)?))
        });
        Ok(shown.collect())
    }

    /// A person reads everything on a device and finds what they must.
    pub fn check_records(&mut self, device: usize, at: Instant) -> Held {
        self.tell_time(device, at)?;
        self.inspect(device, at)?;
        let twin = self.devices[device].twin;
        let mut names: Vec<RecordName> = self
            .truth
            .writes()
            .map(|write| write.record.clone())
            .collect();
        names.retain(|name| name.twin == twin);
        names.sort();
        names.dedup();
        let unsettled = self.unsettled(device)?;
        let settled = |name: &&RecordName| !unsettled.contains(*name);
        names
            .iter()
            .filter(settled)
            .try_for_each(|name| self.check_record(device, name))?;
        let mut collections: Vec<(String, String)> = names
            .into_iter()
            .map(|name| (name.space, name.collection))
            .collect();
        collections.dedup();
        for (space, collection) in collections {
            self.check_list(device, &space, &collection, &unsettled)?;
        }
        Ok(())
    }

    /// Whether there are two histories of a log: nobody has found out yet that its device was set back.
    pub fn has_branches(&self) -> bool {
        let tips = self.devices.iter().flat_map(|device| device.view.tips());
        let mut longest: BTreeMap<LogId, Link> = BTreeMap::new();
        for (log, tip) in tips {
            let known = longest.entry(*log).or_insert(*tip);
            if self.truth.comes_before(tip, known) {
                continue;
            }
            if !self.truth.comes_before(known, tip) {
                return true;
            }
            *known = *tip;
        }
        false
    }

    /// The records of which a device does not have to show anything that the changes alone tell: what was erased, and what
    /// checkpoints are the reason for.
    pub fn unsettled(&self, device: usize) -> Held<BTreeSet<RecordName>> {
        let writes = self.truth.writes().map(|write| &write.record);
        let erased = writes.filter(|record| self.truth.erased.blurs(record));
        let mut unsettled = self.overtaken(device)?;
        unsettled.extend(erased.cloned());
        Ok(unsettled)
    }

    /// The records of which a device does not have to show anything yet by a checkpoint. A device whose clock was ahead wrote to them
    /// and compacted, and of what that has overtaken nothing is left for one that came later. Or what went by a checkpoint
    /// is missing, for its writer is out now, and the device knows that it is. Or a checkpoint has let go of what a write
    /// had overtaken, and that write counts no more: whoever has put its writer out had never seen it.
    pub fn overtaken(&self, device: usize) -> Held<BTreeSet<RecordName>> {
        let device = &self.devices[device];
        let vault = device.vault_ref();
        let mut bases = BTreeMap::new();
        for op in self.truth.ops() {
            if let Some(base) = vault.base(&op.log)? {
                bases.insert(op.log, base.height);
            }
        }
        let mut missing = BTreeMap::new();
        for hole in vault.holes()? {
            let base = bases.get(&hole.log).copied().unwrap_or(0);
            if hole.seq <= base {
                missing.insert(hole.log, base);
            }
        }
        let writes = self.truth.writes();
        let unsettled = writes.filter(|write| {
            let view = &device.view;
            view.waits_alone(write, &bases)
                || view.misses(write, &missing)
                || view.was_overtaken_by(write, &bases)
        });
        Ok(unsettled.map(|write| write.record.clone()).collect())
    }

    /// The writes of a record that count on a device.
    fn counting(&self, device: usize, name: &RecordName) -> Vec<&Write> {
        let view = &self.devices[device].view;
        let writes = self.truth.writes();
        writes
            .filter(|write| write.record == *name && view.counts(write))
            .collect()
    }

    fn check_record(&mut self, device: usize, name: &RecordName) -> Held {
        let writes = self.counting(device, name);
        let expected = reference::fields(writes.iter().copied());
        let newest = writes.iter().map(|write| write.order).max();
        let space = SpaceName::any(&name.space).map_err(|error| fault!("{error}"))?;
        let shown = self.devices[device]
            .vault()
            .get(&space, &name.collection, &name.id)?;
        hold!(
            shown.as_ref().map(|record| &record.fields) == expected.as_ref(),
            "device {device} shows {:?} of {name:?}, but the reference says {expected:?}",
            shown.map(|record| record.fields)
        );
        let by = shown.map(|record| (record.changed, record.by));
        hold!(
            by.is_none() || by == newest.map(|order| (order.0, order.1)),
            "device {device} names another write as the newest of {name:?}"
        );
        Ok(())
    }

    /// The list of a collection names exactly the records that are there.
    fn check_list(
        &mut self,
        device: usize,
        space: &str,
        collection: &str,
        unsettled: &BTreeSet<RecordName>,
    ) -> Held {
        let twin = self.devices[device].twin;
        let named = SpaceName::any(space).map_err(|error| fault!("{error}"))?;
        let listed = self.devices[device]
            .vault()
            .list(&named, collection, None, 1000)?;
        let settled = |id: &String| {
            let name = RecordName {
                twin,
                space: space.to_owned(),
                collection: collection.to_owned(),
                id: id.clone(),
            };
            !unsettled.contains(&name)
        };
        let mut listed: Vec<String> = listed.into_iter().map(|record| record.id).collect();
        listed.retain(settled);
        listed.sort();
        let of_collection = |write: &&Write| {
            let name = &write.record;
            name.twin == twin && name.space == space && name.collection == collection
        };
        let writes = self.truth.writes().filter(of_collection);
        let mut names: Vec<RecordName> = writes.map(|write| write.record.clone()).collect();
        names.sort();
        names.dedup();
        names.retain(|name| reference::fields(self.counting(device, name)).is_some());
        let mut expected: Vec<String> = names.into_iter().map(|name| name.id).collect();
        expected.retain(settled);
        hold!(
            listed == expected,
            "device {device} lists {listed:?}, not {expected:?}"
        );
        Ok(())
    }
}
