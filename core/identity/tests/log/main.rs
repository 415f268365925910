//! The identity log: one meaning whatever the order, and nothing taken over that is not allowed.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

#[path = "../common/mod.rs"]
mod common;
mod order;
mod refusals;
