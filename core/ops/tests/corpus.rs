//! The parsers of this crate on the corpus of the fuzzers (`tests/fuzz`), through the same functions.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation
)]

#[path = "../../../tests/fuzz/src/corpus.rs"]
mod corpus;
#[path = "../../../tests/fuzz/src/ops.rs"]
mod parsers;

#[test]
fn the_corpus_is_answered() {
    corpus::replay();
}
