//! A seeded simulation of devices that never meet: real vaults, and real relays in memory where they leave what the others
//! lack, on a virtual clock. Relays lie and forget, lines break, devices crash, and clocks are wrong by days.
//!
//! Everything that happens in a run is made from its seed.
//!
//! Read top-down:
//! - [`run`]: one run
//! - `story`: what happens, by chance
//! - `ending`: when all is well again, and what must then be true
//! - `held`: what lies at relays, opened
//! - `world`, `call`: the event loop; one device at one relay
//! - `member`, `relay`: a device with its vault; a relay, and what it does that it should not
//! - `store`: what an honest relay keeps, by the same rules as the one on disk

mod call;
mod ending;
mod held;
mod member;
mod relay;
// The measure that the store on disk is held to as well.
#[allow(dead_code)]
#[path = "../../../core/sync/tests/mailbox/store.rs"]
mod store;
mod story;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use crate::dice::Dice;
use crate::sim::Fault;
use world::World;

/// What became of a run.
pub struct Outcome {
    /// The rule that did not hold, if there is one.
    pub fault: Option<Fault>,
    /// Everything that happened, one line each, if it was asked for.
    pub story: Vec<String>,
    /// How many ops were acknowledged.
    pub ops: usize,
    /// How many envelopes were left at relays, and their bytes.
    pub left: (u64, u64),
    /// How many visits there were.
    pub visits: u64,
}

/// Runs one seed; `traced` keeps its story.
pub fn run(seed: u64, traced: bool) -> Outcome {
    // Memory if there is any to be had: a disk adds nothing but waiting.
    let memory = Path::new("/dev/shm");
    let root = if memory.is_dir() {
        memory.to_owned()
    } else {
        std::env::temp_dir()
    };
    let root = tempfile::Builder::new()
        .prefix("twin-relays-")
        .tempdir_in(root);
    let root = root.expect("a folder for the simulation");
    let mut world = World::new(Dice::new(seed), root.path().to_owned(), traced);
    let fault = catch_unwind(AssertUnwindSafe(|| {
        world.begin()?;
        world.live()?;
        world.end()
    }));
    let fault = match fault {
        Ok(held) => held.err(),
        Err(_) => Some(Fault("a panic: see above".to_owned())),
    };
    Outcome {
        fault,
        story: world.trace.lines.take().unwrap_or_default(),
        ops: world.acknowledged.len(),
        left: world.relays.iter().fold((0, 0), |sum, relay| {
            (sum.0 + relay.puts, sum.1 + relay.put_bytes)
        }),
        visits: world.visits,
    }
}
