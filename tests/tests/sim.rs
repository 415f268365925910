//! A slice of the simulation in every test run; thousands of seeds more in `cargo xtask soak sim`.
#![allow(clippy::panic)]

use twin_tests::sim::{self, Scope};

/// How many seeds a test runs.
const SLICE: u64 = 500;

fn slice(number: u64) {
    slice_of(number, Scope::of);
}

fn slice_of(number: u64, scope: fn(u64) -> Scope) {
    for seed in number * SLICE..(number + 1) * SLICE {
        let scope = scope(seed);
        if let Some(fault) = sim::run(seed, false, scope).fault {
            panic!(
                "seed {seed}: {fault}; see its story: sim --seeds {seed}..{} {} --trace",
                seed + 1,
                scope.option()
            );
        }
    }
}

// Several tests, so that they run side by side.

#[test]
fn slice_0() {
    slice(0);
}

#[test]
fn slice_1() {
    slice(1);
}

#[test]
fn slice_2() {
    slice(2);
}

#[test]
fn slice_3() {
    slice(3);
}

#[test]
fn things_are_erased() {
    slice_of(0, |_| Scope::Erasing);
}

/// A seed is all that it takes to see a run again: the story is the same to the letter.
#[test]
fn a_seed_replays() {
    for seed in 0..3 {
        let (once, again) = (
            sim::run(seed, true, Scope::of(seed)),
            sim::run(seed, true, Scope::of(seed)),
        );
        assert!(once.story.len() > 10, "seed {seed} has a story");
        assert_eq!(once.story, again.story);
    }
}
