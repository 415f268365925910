//! A linked device whose software says anything at all: whatever it says, the session ends with a reason or goes on
//! within bounds, nothing is half written, and everybody else syncs as before.
//!
//! Memory is counted over the whole process, so that one test runs at a time.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

// What the tests of the vault share.
#[path = "../../../core/vault/tests/common/mod.rs"]
mod common;
mod frames;
mod identity;
mod replayed;
mod scene;
mod tables;
#[path = "../../../core/vault/tests/common/twins.rs"]
mod twins;
mod unasked;
mod writes;
