//! A slice of the simulation of relays in every test run; thousands of seeds more in `cargo xtask soak relays`.
#![allow(clippy::panic)]

use twin_tests::relays;

/// How many seeds a test runs.
const SLICE: u64 = 50;

fn slice(number: u64) {
    for seed in number * SLICE..(number + 1) * SLICE {
        if let Some(fault) = relays::run(seed, false).fault {
            panic!(
                "seed {seed}: {fault}; see its story: relays --seeds {seed}..{} --trace",
                seed + 1
            );
        }
    }
}

// Four tests, so that they run side by side.

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

/// A seed is all that it takes to see a run again: the story is the same to the letter.
#[test]
fn a_seed_replays() {
    for seed in 0..3 {
        let (once, again) = (relays::run(seed, true), relays::run(seed, true));
        assert!(once.story.len() > 10, "seed {seed} has a story");
        assert_eq!(once.story, again.story);
    }
}
