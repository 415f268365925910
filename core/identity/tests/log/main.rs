//! The identity log: one meaning whatever the order, and nothing taken over that is not allowed.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod bodies;
mod branches;
#[path = "../common/mod.rs"]
mod common;
mod contacts;
mod counting;
mod forks;
mod guardians;
mod limits;
mod order;
mod placing;
mod proofs;
mod refusals;
mod returning;
mod roles;
mod rotations;
mod settled;
mod unknown;
mod voiding;
