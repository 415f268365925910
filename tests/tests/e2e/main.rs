//! End to end: the built programs on devices of their own. `cargo xtask test e2e` builds them and runs this.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    missing_docs
)]

mod airplane;
mod always_on;
mod attacks;
mod backup;
mod carry;
mod compact;
mod complaints;
mod content;
mod creation;
mod damage;
mod demo;
mod devices;
mod eavesdropper;
mod erase;
mod export;
mod files;
mod guardians;
mod harness;
mod idle;
mod keeps;
mod link_afar;
mod link_refused;
mod listing;
mod login;
mod mailbox;
mod main_path;
mod memory;
mod nat;
mod output;
mod parting;
mod processes;
mod proofs;
mod records;
mod recovery;
mod salvage;
mod search;
mod shop;
mod sites;
mod slots;
mod strangers;
mod wire;
