//! The mailbox: devices and relays that keep the rules, and relays that do not.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation
)]

mod honest;
mod liar;
mod server;
mod simulation;
mod store;
mod talk;
