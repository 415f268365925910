//! The messages of this crate on the corpus of the fuzzers (`tests/fuzz`), through the same function.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation
)]

#[path = "../../../tests/fuzz/src/corpus.rs"]
mod corpus;
#[path = "../../../tests/fuzz/src/sync.rs"]
mod parsers;

#[test]
fn the_corpus_is_answered() {
    corpus::replay();
}
