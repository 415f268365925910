//! Sync sessions between real vaults, in one place and without chance: what a session gives a device and what not.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod branches;
mod by_chance;
mod chunks;
// What the tests of the vault share; they cannot have sessions, for the vault knows nothing of sync.
#[path = "../../../core/vault/tests/common/mod.rs"]
mod common;
mod compacted;
mod cost;
#[path = "../../../core/vault/tests/common/files.rs"]
mod files;
mod holes;
mod resumed;
mod selected;
mod session;
mod set_back;
mod short;
mod told;
#[path = "../../../core/vault/tests/common/twins.rs"]
mod twins;
mod wants;
