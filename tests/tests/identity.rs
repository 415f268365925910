//! A slice of the simulation of identity logs in every test run; thousands of seeds more in
//! `cargo xtask soak identity`.
#![allow(clippy::panic)]

use twin_tests::identity;

/// How many seeds a test runs.
const SLICE: u64 = 150;

/// Runs a slice; returns how many of its runs had a thief that was certain to be got rid of.
fn slice(number: u64) -> u64 {
    let mut freed = 0;
    for seed in number * SLICE..(number + 1) * SLICE {
        let outcome = identity::run(seed, false);
        if let Some(fault) = outcome.fault {
            panic!(
                "seed {seed}: {fault}; see its story: identity --seeds {seed}..{} --trace",
                seed + 1
            );
        }
        freed += u64::from(outcome.attacked && outcome.guaranteed);
    }
    freed
}

// Two tests, so that they run side by side. That the thief is out must be tested, not only allowed for.

#[test]
fn slice_0() {
    assert!(slice(0) > SLICE / 4);
}

#[test]
fn slice_1() {
    assert!(slice(1) > SLICE / 4);
}

/// A seed is all that it takes to see a run again: the story is the same to the letter.
#[test]
fn a_seed_replays() {
    for seed in 0..5 {
        let (once, again) = (identity::run(seed, true), identity::run(seed, true));
        assert!(once.story.len() > 5, "seed {seed} has a story");
        assert_eq!(once.story, again.story);
    }
}
