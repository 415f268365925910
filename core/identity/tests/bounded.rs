//! One megabyte of anything, to every parser of this crate.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::cast_possible_truncation
)]

#[path = "../../../tests/fuzz/src/nasty.rs"]
mod nasty;
#[path = "../../../tests/fuzz/src/identity.rs"]
mod parsers;

#[test]
fn a_megabyte_is_refused_in_bounded_memory() {
    nasty::check(4, |name| name != "cbor");
}
