//! One megabyte of anything, to every parser of this crate.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::cast_possible_truncation
)]

#[path = "../../../tests/fuzz/src/nasty.rs"]
mod nasty;
#[path = "../../../tests/fuzz/src/ops.rs"]
mod parsers;

#[test]
fn a_megabyte_is_refused_in_bounded_memory() {
    // Zeros after the last item of a backup are its padding, and of a damaged one anything may come between.
    let lenient = [
        "backup_damaged",
        "backup_items",
        "change",
        "fields",
        "padding",
        "part",
    ];
    nasty::check(8, |name| !lenient.contains(&name));
}
