//! Devices that exchange only bundles, in any order, of any size, with losses and duplicates, end up the same.

use std::collections::BTreeMap;

use tempfile::TempDir;
use twin_identity::device::Role;
use twin_ops::store::OpStore;
use twin_tests::dice::Dice;
use twin_vault::Vault;

use super::*;
use crate::common::*;

const SEEDS: u64 = 8;
const STEPS: usize = 120;

struct World {
    _dirs: Vec<TempDir>,
    vaults: Vec<Vault>,
    /// What lies about, and for whom it was made.
    letters: Vec<(usize, Vec<u8>)>,
    written: BTreeMap<String, String>,
    now: u64,
}

impl World {
    fn new(dice: &mut Dice) -> Self {
        let mut dirs = vec![tempfile::tempdir().unwrap()];
        let mut vaults = vec![phone(dirs[0].path())];
        for seed in 0..2 + dice.below(2) {
            dirs.push(tempfile::tempdir().unwrap());
            let role = if dice.chance(30) {
                Role::Admin
            } else {
                Role::Member
            };
            let dir = dirs.last().unwrap().path();
            let new = linked(dir, &mut vaults[0], 1000 + 10 * seed, role);
            vaults.push(new);
        }
        Self {
            _dirs: dirs,
            vaults,
            letters: Vec::new(),
            written: BTreeMap::new(),
            now: NOON,
        }
    }

    fn step(&mut self, dice: &mut Dice) {
        self.now += dice.below(5000);
        let now = self.now;
        match dice.below(10) {
            0..=3 => {
                let who = dice.index(self.vaults.len());
                let id = format!("n{}", self.written.len());
                let text = "t".repeat(dice.index(3000));
                put(&mut self.vaults[who], now, "notes", &id, &[("x", &text)]);
                self.written.insert(id, text);
            }
            4..=6 => {
                let from = dice.index(self.vaults.len());
                let to = (from + 1 + dice.index(self.vaults.len() - 1)) % self.vaults.len();
                self.post(dice, from, to);
            }
            _ if self.letters.is_empty() => {}
            kind => {
                let at = dice.index(self.letters.len());
                let (to, bytes) = self.letters[at].clone();
                match kind {
                    // Lost.
                    7 => drop(self.letters.swap_remove(at)),
                    // Taken, and it stays about.
                    8 => self.open(dice, to, &bytes),
                    _ => {
                        self.letters.swap_remove(at);
                        self.open(dice, to, &bytes);
                    }
                }
            }
        }
    }

    fn post(&mut self, dice: &mut Dice, from: usize, to: usize) {
        let device = [self.vaults[to].device()];
        let (from, now) = (&self.vaults[from], self.now);
        let made = if dice.chance(50) {
            let most = 3000 + dice.index(40_000);
            let made = bundle::make(from, now, &device, None, most, dice.rng());
            made.map(|made| made.bytes)
        } else {
            try_make(from, &device, now).map(|(bytes, _)| bytes)
        };
        match made {
            Ok(bytes) => self.letters.push((to, bytes)),
            // It has not heard of the other yet.
            Err(BundleError::Recipient) => {}
            Err(error) => panic!("{error}"),
        }
    }

    fn open(&mut self, dice: &mut Dice, to: usize, bytes: &[u8]) {
        let vault = &mut self.vaults[to];
        match bundle::take(vault, self.now, bytes) {
            Ok(received) => assert_eq!(received.refused, 0),
            // What says that its maker is linked has not come yet.
            Err(BundleError::NotLinked) => {}
            Err(error) => panic!("{error}"),
        }
        vault.tend(self.now, dice.rng()).unwrap();
    }

    fn all_are_same(&mut self) -> bool {
        let [first, others @ ..] = &mut self.vaults[..] else {
            panic!("nobody is there");
        };
        let same = |vault: &Vault| {
            (
                vault.heads().unwrap(),
                vault.grants().unwrap(),
                vault.identity().digest(),
            )
        };
        others.iter().all(|vault| same(vault) == same(first))
    }

    /// Each writes to each, and nothing is lost, until there is nothing to say.
    fn settle(&mut self) {
        for round in 0.. {
            if self.all_are_same() {
                return;
            }
            assert!(round < 6, "they never end up the same");
            for from in 0..self.vaults.len() {
                for to in 0..self.vaults.len() {
                    if from != to {
                        self.now += 1;
                        let device = [self.vaults[to].device()];
                        let made = try_make(&self.vaults[from], &device, self.now);
                        let Ok((bytes, _)) = made else {
                            continue;
                        };
                        let vault = &mut self.vaults[to];
                        match bundle::take(vault, self.now, &bytes) {
                            Ok(_) | Err(BundleError::NotLinked) => {}
                            Err(error) => panic!("{error}"),
                        }
                        vault.tend(self.now, &mut rng(self.now)).unwrap();
                    }
                }
            }
        }
    }
}

#[test]
fn whatever_is_lost_or_comes_twice_all_end_up_the_same() {
    for seed in 0..SEEDS {
        let dice = &mut Dice::new(seed);
        let mut world = World::new(dice);
        for _ in 0..STEPS {
            world.step(dice);
        }
        // What still lies about comes in any order, the newest word first or last.
        while !world.letters.is_empty() {
            let at = dice.index(world.letters.len());
            let (to, bytes) = world.letters.swap_remove(at);
            world.open(dice, to, &bytes);
        }
        world.settle();
        for vault in &mut world.vaults {
            let notes = records(vault, "notes").into_iter();
            let notes: Vec<(String, _)> = notes.collect();
            assert_eq!(notes.len(), world.written.len(), "seed {seed}");
            for (id, text) in &world.written {
                assert!(
                    notes.contains(&(id.clone(), fields(&[("x", text)]))),
                    "seed {seed}: {id}"
                );
            }
            assert!(vault.check().unwrap().is_whole(), "seed {seed}");
        }
    }
}
