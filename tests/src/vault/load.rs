//! What is done to a vault, step by step: a seed says it all.

use std::path::Path;

use chacha20_rng::ChaCha20Rng;
use twin_identity::birth::Birth;
use twin_identity::device::{DeviceKeys, Role};
use twin_identity::log::IdentityLog;
use twin_identity::words::RecoverySecret;
use twin_ops::op::Origin;
use twin_ops::space::SpaceName;
use twin_ops::store::OpStore;
use twin_ops::value::{Fields, Value};
use twin_vault::{FieldEdit, Unlock, Vault, VaultError, WriteChange};

use super::truth::Truth;
use crate::dice::Dice;
use crate::sim::Chip;

/// Noon, some day.
pub const NOON: u64 = 1_700_000_000_000;
/// The collections that steps write to.
pub const COLLECTIONS: [&str; 3] = ["notes", "tasks", "things"];
/// The record of the first of them that is there from the beginning.
pub const FIRST_ID: &str = "first";
/// Records that name files.
pub const FILES: &str = "files";
/// Records of the laptop.
pub const OF_LAPTOP: &str = "laptop";
/// How many ops the laptop has written.
pub const LAPTOP_OPS: usize = 24;
/// How many records each of them puts.
pub const OPS_RECORDS: usize = 3;
/// Words that texts are made of, for searching.
pub const WORDS: [&str; 5] = ["amsel", "drossel", "fink", "star", "meise"];
/// The slot that a vault is made with.
const FIRST_SLOT: u32 = 1;

/// Something done to a vault that is there as a whole or not at all.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Changes in one commit.
    Commit(Vec<Change>),
    /// A record is erased.
    Erase(String, String),
    /// A file is added, in as many transactions as it takes, and named by a record with this id.
    AddFile(String, FileContent),
    /// A slot is added, or gets another chip and the vault a new key.
    SetSlot(u32, u64),
    /// A slot is removed, and the vault gets a new key.
    RemoveSlot(u32),
    /// So many of the laptop's ops are here then.
    FromLaptop(usize),
    /// A device is admitted.
    Admit(u64),
    /// It is removed again: all keys are new.
    Revoke(u64),
    /// What is late goes into the index.
    Settle,
    /// A word is looked for: what was written is taken up.
    Search(&'static str),
    /// The index is made anew.
    Rebuild,
    /// Chunks that no record names go.
    Collect,
    /// All devices have what is here, and what is superseded goes.
    Compact,
}

/// A change of a record: collection, id and what becomes of it.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// It has exactly these fields.
    Put(String, String, Fields),
    /// These fields change, and its counter counts.
    Patch(String, String, Fields, i64),
    /// It is gone.
    Delete(String, String),
}

/// What is in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileContent {
    /// How long it is.
    pub len: usize,
    /// What its bytes are made from.
    pub of: u64,
}

impl FileContent {
    /// Its bytes.
    pub fn bytes(self) -> Vec<u8> {
        let byte = |at: usize| ((at as u64).wrapping_mul(self.of | 1) >> 7) as u8;
        (0..self.len).map(byte).collect()
    }
}

/// Steps, and what the vault must hold after those that were taken.
#[derive(Clone)]
pub struct Load {
    seed: u64,
    /// How many steps were taken.
    pub taken: usize,
    /// What the vault must hold.
    pub truth: Truth,
}

impl Load {
    /// Of a vault that [`begin`] has just made.
    pub fn new(seed: u64) -> Self {
        let mut truth = Truth::default();
        truth.slots.insert(FIRST_SLOT, 0);
        truth.take(&first());
        Self {
            seed,
            taken: 0,
            truth,
        }
    }

    /// After so many steps.
    pub fn after(seed: u64, taken: usize) -> Self {
        let mut load = Self::new(seed);
        while load.taken < taken {
            load.take();
        }
        load
    }

    /// Takes the next step for taken.
    pub fn take(&mut self) {
        self.truth.take(&self.next());
        self.taken += 1;
    }

    /// The dice of the next step.
    fn dice(&self) -> Dice {
        Dice::new(self.seed << 20 | self.taken as u64)
    }

    /// The time at the next step.
    pub fn now(&self) -> u64 {
        NOON + 1000 * (1 + self.taken as u64)
    }

    /// The next step.
    pub fn next(&self) -> Step {
        let dice = &mut self.dice();
        let truth = &self.truth;
        match dice.below(100) {
            0..45 => {
                let many = *dice.pick(&[1, 1, 1, 1, 2, 3, 5, 40]);
                Step::Commit((0..many).map(|_| self.change(dice)).collect())
            }
            45..55 => {
                let records: Vec<_> = truth.records.keys().collect();
                match records.is_empty() {
                    true => Step::Settle,
                    false => {
                        let (collection, id) = *dice.pick(&records);
                        Step::Erase(collection.clone(), id.clone())
                    }
                }
            }
            55..65 => {
                // Of one transaction, and of several.
                let len = match dice.below(12) {
                    0 => 5 << 20,
                    1 => 0,
                    _ => 1 << dice.between(4, 18),
                };
                let of = dice.below(1 << 30);
                Step::AddFile(format!("{}", dice.below(6)), FileContent { len, of })
            }
            65..72 => {
                let number = FIRST_SLOT + dice.below(3) as u32;
                let next = truth
                    .slots
                    .keys()
                    .last()
                    .map_or(FIRST_SLOT, |last| last + 1);
                match truth.slots.contains_key(&number) {
                    true if truth.slots.len() > 1 && dice.chance(40) => Step::RemoveSlot(number),
                    true => Step::SetSlot(number, 1 + dice.below(1 << 20)),
                    false => Step::SetSlot(next, 1 + dice.below(1 << 20)),
                }
            }
            72..82 => {
                let ops = truth.of_laptop + dice.index(4);
                Step::FromLaptop(ops.min(LAPTOP_OPS))
            }
            82..85 => match truth.devices.first() {
                Some(device) if dice.chance(60) => Step::Revoke(*device),
                _ => Step::Admit(dice.below(1 << 30)),
            },
            85..89 => Step::Settle,
            89..94 => Step::Search(WORDS[dice.index(WORDS.len())]),
            94..96 => Step::Compact,
            96..98 => Step::Rebuild,
            _ => Step::Collect,
        }
    }

    fn change(&self, dice: &mut Dice) -> Change {
        let collection = (*dice.pick(&COLLECTIONS)).to_owned();
        let id = format!("{}", dice.below(30));
        let text = [*dice.pick(&WORDS), *dice.pick(&WORDS)].join(" ");
        let number = i64::try_from(dice.below(1 << 40)).unwrap();
        let text = ("text".to_owned(), Value::Text(text));
        let number = ("number".to_owned(), Value::Int(number));
        match dice.below(10) {
            0..5 => Change::Put(collection, id, Fields([text, number].into())),
            5..8 => {
                let count = i64::try_from(dice.between(1, 9)).unwrap();
                Change::Patch(collection, id, Fields([number].into()), count)
            }
            _ => Change::Delete(collection, id),
        }
    }

    /// Does the next step to a vault; it is not taken for taken. `laptop`: what [`begin`] gave.
    pub fn act(&self, vault: &mut Vault, laptop: &Laptop) -> Result<(), VaultError> {
        let now = self.now();
        let mut dice = self.dice();
        let rng = dice.rng();
        match self.next() {
            Step::Commit(changes) => {
                let changes = changes.into_iter().map(Change::write).collect();
                vault.commit(now, rng, &home(), changes)?;
            }
            Step::Erase(collection, id) => {
                vault.erase(now, rng, &home(), &collection, &id)?;
            }
            Step::AddFile(id, content) => {
                let mut writer = vault.begin_file(now, rng, &home())?;
                for bytes in content.bytes().chunks(1 << 20) {
                    vault.push_file(now, &mut writer, bytes)?;
                }
                let added = vault.finish_file(now, writer)?;
                let fields = Fields([("root".to_owned(), added.root().to_value())].into());
                let record = vec![WriteChange::put(FILES, &id, fields)];
                vault.commit_files(now, rng, &home(), record, &[added])?;
            }
            Step::SetSlot(number, chip) => {
                let chip = self::chip(chip);
                let unlock = Unlock::KeyStore(&chip);
                if self.truth.slots.contains_key(&number) {
                    vault.change_slot(now, number, unlock, rng)?;
                } else {
                    vault.add_slot(now, unlock, "another", rng)?;
                }
            }
            Step::RemoveSlot(number) => vault.remove_slot(number, None, rng)?,
            Step::FromLaptop(ops) => {
                let new = &laptop.ops[self.truth.of_laptop..ops];
                vault.append_run(now, &laptop.origin, new)?;
            }
            Step::Admit(device) => {
                let statement = keys(device).statement(vault.twin(), Role::Member);
                vault.admit(&statement, rng)?;
            }
            Step::Revoke(device) => vault.revoke(&keys(device).id(), rng)?,
            Step::Settle => vault.settle_index()?,
            Step::Search(word) => {
                vault.search(&home(), word, None, 10)?;
            }
            Step::Rebuild => vault.rebuild_index()?,
            Step::Collect => {
                vault.collect_garbage(now)?;
            }
            Step::Compact => {
                let devices: Vec<_> = vault.identity().devices().keys().copied().collect();
                for device in devices {
                    vault.in_sync(now, &device);
                }
                vault.compact(now, rng, &home())?;
            }
        }
        Ok(())
    }
}

impl Change {
    fn write(self) -> WriteChange {
        match self {
            Self::Put(collection, id, fields) => WriteChange::put(&collection, &id, fields),
            Self::Patch(collection, id, fields, count) => {
                let patch = WriteChange::patch(&collection, &id, fields);
                patch.with("count", FieldEdit::Count(count))
            }
            Self::Delete(collection, id) => WriteChange::delete(&collection, &id),
        }
    }
}

/// The space that everything is in.
pub fn home() -> SpaceName {
    SpaceName::any("home").unwrap()
}

/// The key store that this number names.
pub fn chip(number: u64) -> Chip {
    Chip::new(&mut Dice::new(number))
}

/// The keys of a device, from its seed.
pub fn keys(device: u64) -> DeviceKeys {
    DeviceKeys::random(Dice::new(device).rng()).unwrap()
}

/// Opens the vault in a folder with this chip.
pub fn open(folder: &Path, number: u64) -> Result<Vault, VaultError> {
    Vault::open(folder, Unlock::KeyStore(&chip(number)), NOON)
}

/// What another device has written, to be taken over bit by bit.
pub struct Laptop {
    origin: Origin,
    ops: Vec<Vec<u8>>,
}

fn first() -> Step {
    let fields = Fields([("text".to_owned(), Value::from(WORDS[0]))].into());
    let first = Change::Put(COLLECTIONS[0].to_owned(), FIRST_ID.to_owned(), fields);
    Step::Commit(vec![first])
}

/// Makes an empty vault in a folder.
pub fn create(folder: &Path, rng: &mut ChaCha20Rng) -> Result<Vault, VaultError> {
    let birth = Birth::new(&RecoverySecret::random(rng), rng).expect("the birth of a twin");
    Vault::create(folder, Unlock::KeyStore(&chip(0)), &birth, rng)
}

/// Makes a vault in the folder `phone` with one record, and beside it the vault of a laptop that has written.
pub fn begin(phone: &Path, laptop: &Path, seed: u64) -> Result<(Vault, Laptop), VaultError> {
    let mut dice = Dice::new(seed);
    let rng = dice.rng();
    let mut vault = create(phone, rng)?;
    if let Step::Commit(changes) = first() {
        let changes = changes.into_iter().map(Change::write).collect();
        vault.commit(NOON, rng, &home(), changes)?;
    }
    let device = DeviceKeys::random(rng)?;
    let statement = device.statement(vault.twin(), Role::Member);
    let admission = vault.admit(&statement, rng)?;
    let identity = IdentityLog::from_bytes(vault.twin(), &admission.identity)?;
    let (unlock, grants) = (chip(0), &admission.grants);
    let unlock = Unlock::KeyStore(&unlock);
    let mut other = Vault::create_linked(laptop, unlock, &device, &identity, grants, rng)?;
    for op in 0..LAPTOP_OPS {
        let fields = |n| Fields([("n".to_owned(), Value::Int(n))].into());
        let change = |n: i64| WriteChange::put(OF_LAPTOP, &format!("{op}-{n}"), fields(n));
        let changes = (0..OPS_RECORDS as i64).map(change).collect();
        other.commit(NOON, rng, &home(), changes)?;
    }
    Ok((vault, Laptop::of(&other)?))
}

impl Laptop {
    /// From its vault, which [`begin`] has made.
    pub fn open(folder: &Path) -> Result<Self, VaultError> {
        Self::of(&open(folder, 0)?)
    }

    fn of(vault: &Vault) -> Result<Self, VaultError> {
        let space = home().id(vault.twin());
        for head in vault.heads()? {
            if let Some(origin) = vault.origin(&head.log)?
                && origin.space == space
            {
                let ops = vault.read_run(&head.log, 0, usize::MAX)?;
                return Ok(Self { origin, ops });
            }
        }
        Err(VaultError::Missing)
    }
}
