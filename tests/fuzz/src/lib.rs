//! Fuzzing of every parser in twin-identity, twin-ops and twin-sync, of what reads the file in twin-vault, and of what
//! takes files in.
//!
//! `identity`, `ops`, `sync`, `twin` and `vault` hold one function a parser; the fuzzers in `fuzz_targets` call it with what libFuzzer
//! makes up, the tests of the crates with the corpus. A function panics if a rule is broken, and otherwise says whether it
//! accepted the bytes.

pub mod identity;
pub mod ops;
pub mod sync;
pub mod twin;
pub mod vault;

/// The fuzzer of one function.
#[macro_export]
macro_rules! fuzz {
    ($($function:tt)+) => {
        libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
            let _ = $crate::$($function)+(bytes);
        });
    };
}
