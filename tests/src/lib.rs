//! Whole-system tests: what they share. The tests themselves are in `tests/`.
// A test says what it expected by panicking.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout
)]

#[cfg(feature = "e2e")]
pub mod e2e;

pub mod afar;
pub mod dice;
pub mod identity;
pub mod relays;
pub mod sim;
#[cfg(target_os = "linux")]
pub mod vault;
