//! Vaults that are cut off in the middle: a slice in every test run; a thousand of each in `cargo xtask soak vault`.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod creation;
mod cut_off;
mod damage;
mod full;
