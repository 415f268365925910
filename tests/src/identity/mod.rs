//! A seeded simulation of identity logs alone: one owner with a few devices that are often apart, and a thief with
//! stolen keys, stolen words or both. No vaults and no network: entries are handed over, in any order, with losses.
//!
//! Everything that happens in a run is made from its seed: [`run`] with the same seed is the same run, to the byte.
//!
//! Read top-down:
//! - [`run`]: one run
//! - `world`: the devices, what they hand to each other, and the time
//! - `owner`, `thief`: what both do
//! - `ending`: healing, and what must then be true
//! - `reference`: what a set of entries means, worked out slowly from what the rules say
//! - `cast`: keys that are the same in every run

mod cast;
mod ending;
mod owner;
mod reference;
mod thief;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use world::World;

/// What every step returns: nothing, or the rule that did not hold.
type Held<T = ()> = Result<T, String>;

/// What became of a run.
#[derive(Default)]
pub struct Outcome {
    /// The rule that did not hold, if there is one.
    pub fault: Option<String>,
    /// Everything that happened, one line each, if it was asked for.
    pub story: Vec<String>,
    /// How many entries the honest devices had in the end.
    pub entries: usize,
    /// How many rotations among them.
    pub rotations: usize,
    /// Whether a thief had anything.
    pub attacked: bool,
    /// Whether the owner rotated with new words in time, so that the thief must not own the identity.
    pub guaranteed: bool,
    /// Whether which rotation counts was open in the end.
    pub contested: bool,
}

/// Runs one seed; `traced` keeps its story.
pub fn run(seed: u64, traced: bool) -> Outcome {
    let mut world = World::new(seed, traced);
    let fault = catch_unwind(AssertUnwindSafe(|| {
        world.live()?;
        world.end()
    }));
    world.outcome.fault = match fault {
        Ok(held) => held.err(),
        Err(_) => Some("a panic: see above".to_owned()),
    };
    world.outcome.story = world.trace.take().unwrap_or_default();
    world.outcome
}
