//! Fuzzing of every parser in twin-identity and twin-ops.
//!
//! `identity` and `ops` hold one function a parser; the fuzzers in `fuzz_targets` call it with what libFuzzer makes
//! up, the tests of both crates with the corpus. A function panics if a rule is broken, and otherwise says whether it
//! accepted the bytes.

pub mod identity;
pub mod ops;

/// The fuzzer of one function.
#[macro_export]
macro_rules! fuzz {
    ($($function:tt)+) => {
        libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
            let _ = $crate::$($function)+(bytes);
        });
    };
}
