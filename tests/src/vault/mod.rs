//! Vaults that are cut off in the middle: by `kill -9`, by a power loss, by a disk that is full or breaks.
//!
//! - [`load`]: what is done to a vault, step by step from a seed; [`truth`]: what it must hold then
//! - [`check`]: whether a vault that was cut off holds that, and is whole
//! - [`kill`]: processes that are killed; [`power`]: power losses, on a disk of `twin-disk`

pub mod check;
pub mod kill;
pub mod load;
pub mod power;
pub mod truth;

pub use kill::kills;
pub use power::losses;

/// What a run of one seed came to.
#[derive(Debug, Default)]
pub struct Outcome {
    /// How often the vault was cut off.
    pub points: u64,
    /// How often the step that was not acknowledged was there all the same.
    pub ahead: u64,
    /// How many steps were acknowledged.
    pub acknowledged: u64,
    /// The first thing that does not hold.
    pub fault: Option<String>,
}
