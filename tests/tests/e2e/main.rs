//! End to end: the built programs on devices of their own. `cargo xtask test e2e` builds them and runs this.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs
)]

mod harness;
mod main_path;
mod processes;
