//! Devices that write, meet and are set back by chance: nothing is lost that another device had, or that was written
//! since, and all of it comes together. Every op puts a note, counts by its number and adds it to a set, and now and then
//! takes from the set what its own device has added: so the three say the same in the end, or something of an op is lost
//! or there twice.

use std::collections::{BTreeMap, BTreeSet};

use chacha20_rng::ChaCha20Rng;
use chacha20_rng::rand_core::Rng;
use tempfile::TempDir;
use twin_identity::device::Role;
use twin_ops::set::Set;
use twin_ops::value::{Fields, Value};
use twin_vault::{FieldEdit, Vault, WriteChange};

use crate::common::*;
use crate::set_back::{agree, copy_of, talk, unnoticed};
use crate::twins::*;

const DEVICES: usize = 3;

/// What a device has written: by whom, and what it took from the set.
struct Op {
    by: usize,
    takes: Option<u64>,
}

struct World {
    seed: u64,
    rng: ChaCha20Rng,
    now: u64,
    dirs: Vec<TempDir>,
    vaults: Vec<Vault>,
    /// Earlier states of each.
    copies: Vec<Vec<TempDir>>,
    ops: BTreeMap<u64, Op>,
    lost: BTreeSet<u64>,
    set_back: usize,
}

fn element(number: u64) -> Value {
    Value::from(number.to_string().as_str())
}

fn notes(vault: &mut Vault) -> BTreeSet<u64> {
    let ids = ids(vault).into_iter();
    ids.map(|id| id.parse().unwrap()).collect()
}

impl World {
    fn new(seed: u64) -> Self {
        let (dirs, mut phone, [mut laptop, mut tablet]) = family([Role::Admin, Role::Member]);
        let begun = Fields(
            [
                ("n".to_owned(), Value::Counter(0)),
                ("set".to_owned(), Value::Set(Set::default())),
            ]
            .into(),
        );
        commit(&mut phone, NOON, vec![WriteChange::put("c", "r", begun)]);
        meet(&mut [&mut phone, &mut laptop, &mut tablet], NOON);
        Self {
            seed,
            rng: rng(seed),
            now: NOON + 100,
            dirs,
            vaults: vec![phone, laptop, tablet],
            copies: (0..DEVICES).map(|_| Vec::new()).collect(),
            ops: BTreeMap::new(),
            lost: BTreeSet::new(),
            set_back: 0,
        }
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.rng.next_u64() % end as u64).unwrap()
    }

    fn write(&mut self, device: usize) {
        let number = self.ops.len() as u64 + 1;
        let vault = &mut self.vaults[device];
        let mine = notes(vault).into_iter();
        let mine: Vec<u64> = mine
            .filter(|number| self.ops[number].by == device)
            .collect();
        let takes = match self.below(3) {
            0 if !mine.is_empty() => Some(mine[self.below(mine.len())]),
            _ => None,
        };
        let edit = WriteChange::patch("c", "r", Fields::default())
            .with("n", FieldEdit::Count(number.cast_signed()))
            .with(
                "set",
                FieldEdit::Elements {
                    add: Set::of([element(number)]).unwrap(),
                    remove: Set::of(takes.map(element)).unwrap(),
                },
            );
        let note = WriteChange::put("notes", &number.to_string(), fields(&[("x", "y")]));
        commit(&mut self.vaults[device], self.now, vec![note, edit]);
        self.ops.insert(number, Op { by: device, takes });
    }

    fn some_meet(&mut self) {
        let one = self.below(DEVICES - 1);
        let two = one + 1 + self.below(DEVICES - 1 - one);
        let (low, high) = self.vaults.split_at_mut(two);
        talk(&mut low[one], &mut high[0], self.now);
    }

    /// A device is as it was some time ago. What it alone had since then is gone with it.
    fn set_back(&mut self, device: usize) {
        if self.copies[device].is_empty() {
            return;
        }
        let which = self.below(self.copies[device].len());
        let copy = copy_of(self.copies[device][which].path());
        let had = notes(&mut self.vaults[device]);
        self.vaults[device] = unnoticed(copy.path());
        self.dirs[device] = copy;
        let there: BTreeSet<u64> = self.vaults.iter_mut().flat_map(notes).collect();
        self.lost.extend(had.difference(&there));
        self.set_back += 1;
    }

    fn step(&mut self) {
        self.now += 1000;
        let device = self.below(DEVICES);
        match self.below(12) {
            0..5 => self.write(device),
            5..8 => self.some_meet(),
            8..10 => {
                let copy = copy_of(self.dirs[device].path());
                self.copies[device].push(copy);
            }
            10 => self.set_back(device),
            _ => {
                // Set back, and writes before it meets anybody.
                self.set_back(device);
                self.write(device);
            }
        }
    }

    fn end(&mut self) {
        for _ in 0..3 {
            for (one, two) in [(0, 1), (0, 2), (1, 2)] {
                self.now += 1000;
                let (low, high) = self.vaults.split_at_mut(two);
                talk(&mut low[one], &mut high[0], self.now);
            }
        }
        self.now += 1000;
        for (one, two) in [(0, 1), (1, 2)] {
            let (low, high) = self.vaults.split_at_mut(two);
            agree(&mut low[one], &mut high[0], self.now);
        }
        let there = notes(&mut self.vaults[0]);
        let lost: Vec<u64> = self.ops.keys().copied().collect();
        let lost: Vec<u64> = lost
            .into_iter()
            .filter(|number| !there.contains(number) && !self.lost.contains(number))
            .collect();
        let seed = self.seed;
        assert!(lost.is_empty(), "seed {seed} has lost {lost:?}");
        let record = self.vaults[0].get(&space("home"), "c", "r").unwrap();
        let record = record.unwrap().fields.0;
        let total: u64 = there.iter().sum();
        assert_eq!(
            record["n"],
            Value::Counter(total.cast_signed()),
            "seed {seed}"
        );
        let taken: BTreeSet<u64> = there.iter().filter_map(|op| self.ops[op].takes).collect();
        let left = there.difference(&taken).map(|number| element(*number));
        assert_eq!(
            record["set"],
            Value::Set(Set::of(left).unwrap()),
            "seed {seed}"
        );
    }
}

#[test]
fn all_comes_together() {
    let mut set_back = 0;
    for seed in 0..30 {
        let mut world = World::new(seed);
        for _ in 0..30 {
            world.step();
        }
        world.end();
        set_back += world.set_back;
    }
    assert!(set_back > 60);
}
