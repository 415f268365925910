//! The relay's store on a real disk, and its service over pipes.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation
)]

#[path = "../common/mod.rs"]
mod common;
mod kill;
/// The simplest store that keeps the rules.
#[path = "../../../sync/tests/mailbox/store.rs"]
mod model;
mod service;
mod store;
