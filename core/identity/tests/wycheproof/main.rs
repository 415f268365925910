//! Project Wycheproof's vectors: inputs that have broken implementations before. They run against what this crate
//! calls: its own function where it takes any message, the crate underneath where ours is one fixed use of it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod derive;
mod exchange;
mod seal;
mod sign;

use std::path::PathBuf;

use data_encoding::HEXLOWER;
use serde_json::Value;

/// One test of a file, with its group.
struct Case<'a> {
    group: &'a Value,
    test: &'a Value,
}

/// Runs all tests of `tests/vectors/wycheproof/{name}_test.json`.
fn each(name: &str, mut run: impl FnMut(&Case<'_>)) {
    let path: PathBuf = [
        env!("CARGO_MANIFEST_DIR"),
        "../../tests/vectors/wycheproof",
        &format!("{name}_test.json"),
    ]
    .iter()
    .collect();
    let file: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut ran = 0;
    for group in file["testGroups"].as_array().unwrap() {
        for test in group["tests"].as_array().unwrap() {
            run(&Case { group, test });
            ran += 1;
        }
    }
    assert_eq!(Some(ran), file["numberOfTests"].as_u64(), "{name}");
}

impl Case<'_> {
    fn id(&self) -> u64 {
        self.test["tcId"].as_u64().unwrap()
    }

    /// Whether the result must be `valid`; `acceptable` is for the test to judge.
    fn is_valid(&self) -> bool {
        self.test["result"] == "valid"
    }

    fn has_flag(&self, flag: &str) -> bool {
        let flags = self.test["flags"].as_array();
        flags.is_some_and(|flags| flags.iter().any(|one| one == flag))
    }

    fn has(&self, field: &str) -> bool {
        !self.test[field].is_null()
    }

    /// A field of the test as bytes; empty if it is not there.
    fn bytes(&self, field: &str) -> Vec<u8> {
        unhex(&self.test[field])
    }

    /// A field of the group as bytes.
    fn of_group(&self, field: &str) -> Vec<u8> {
        unhex(&self.group[field])
    }
}

fn unhex(value: &Value) -> Vec<u8> {
    HEXLOWER
        .decode(value.as_str().unwrap_or_default().as_bytes())
        .unwrap()
}
