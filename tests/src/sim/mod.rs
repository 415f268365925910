//! A seeded simulation of twins: real vaults and real protocol machines on a virtual clock and a virtual network.
//!
//! Everything that happens in a run is made from its seed: [`run`] with the same seed is the same run, to the byte.
//!
//! Read top-down:
//! - [`run`]: one run
//! - `story`, `members`, `intruders`: what happens, by chance; who comes and goes; who attacks
//! - `erasing`: people erase, and what is left then
//! - `ending`, `secrecy`: healing, and what must then be true; what nobody may be able to read or to tell
//! - `world`, `traffic`, `cable`, `party`: the event loop, what goes over virtual connections, who talks over them
//! - `linking`: the two sides of a link, and the person between them
//! - `cast`, `device`: everybody; a device with its vault and its clock
//! - `truth`, `view`, `reference`, `asked`: what really happened, what one device must show of it, what a record is, and
//!   whether an op says what it was asked to
//! - `standing`: what every device knows at the end of a traced run
//! - `fault`: what a run can end with

mod asked;
mod cable;
pub(crate) mod cast;
pub(crate) mod device;
mod ending;
mod erasing;
pub(crate) mod fault;
mod intruders;
mod linking;
mod members;
mod party;
mod reference;
mod secrecy;
mod standing;
mod story;
mod traffic;
mod truth;
mod view;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

pub use device::Chip;
pub use fault::{Fault, Held};

use crate::dice::Dice;
use cast::Cast;
use story::Story;
use world::World;

/// What became of a run.
pub struct Outcome {
    /// The rule that did not hold, if there is one.
    pub fault: Option<Fault>,
    /// Everything that happened, one line each, if it was asked for.
    pub story: Vec<String>,
    /// How many ops were acknowledged.
    pub ops: usize,
    /// How many devices our twin had in the end.
    pub devices: usize,
}

/// What happens in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Everything that people do with their devices.
    Devices,
    /// And with their words: they rotate, also while devices are apart.
    Words,
    /// Instead of that they erase.
    Erasing,
}

impl Scope {
    /// What happens with a seed if nobody asks for anything else: each third story has words in it.
    pub const fn of(seed: u64) -> Self {
        if seed % 3 == 2 {
            Self::Words
        } else {
            Self::Devices
        }
    }

    /// The option by which the program `sim` is asked for it.
    pub const fn option(self) -> &'static str {
        match self {
            Self::Devices => "--devices",
            Self::Words => "--words",
            Self::Erasing => "--erasing",
        }
    }
}

/// Runs one seed; `traced` keeps its story.
pub fn run(seed: u64, traced: bool, scope: Scope) -> Outcome {
    // Memory if there is any to be had: a disk adds nothing but waiting.
    let memory = Path::new("/dev/shm");
    let root = if memory.is_dir() {
        memory.to_owned()
    } else {
        std::env::temp_dir()
    };
    let root = tempfile::Builder::new()
        .prefix("twin-sim-")
        .tempdir_in(root);
    let root = root.expect("a folder for the simulation");
    let mut dice = Dice::new(seed);
    let story = Story::by_chance(&mut dice);
    let mut world = World::new(dice, Cast::new(root.path().to_owned(), traced));
    world.cast.words_are_used = scope == Scope::Words;
    world.cast.things_are_erased = scope == Scope::Erasing;
    let fault = catch_unwind(AssertUnwindSafe(|| {
        world.live(&story)?;
        world.end()
    }));
    let fault = match fault {
        Ok(held) => held.err(),
        Err(_) => Some(Fault("a panic: see above".to_owned())),
    };
    world.cast.tell_standing();
    Outcome {
        fault,
        story: world.cast.trace.lines.take().unwrap_or_default(),
        ops: world.cast.truth.count(),
        devices: world.cast.of_twin(0).len(),
    }
}
