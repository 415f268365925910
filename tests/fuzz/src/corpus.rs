//! The corpus: what the fuzzers start from, and what the tests feed to the same functions.
//!
//! `tests/fuzz/corpus/{target}/golden-*` are made of the golden vectors, by `UPDATE_VECTORS=1`. Whatever else is there
//! was found by a fuzzer.

use std::fs;
use std::path::PathBuf;

use data_encoding::HEXLOWER;
use serde_json::Value;

use crate::parsers::{TARGETS, seeds};

/// The most golden seeds of a target, and the most bytes of one.
const MAX_SEEDS: usize = 12;
const MAX_SEED_LEN: usize = 32 << 10;
/// About how many alterations of each file are tried.
const ALTERATIONS: usize = 64;

/// Feeds every target its corpus, whole, cut and with bytes changed.
pub fn replay() {
    if std::env::var_os("UPDATE_VECTORS").is_some() {
        update();
    }
    for (name, target) in TARGETS {
        let files = files(name);
        let accepted = files.iter().filter(|bytes| target(bytes)).count();
        assert!(
            accepted > 0,
            "{name} accepts nothing of its corpus: make it anew with UPDATE_VECTORS=1"
        );
        for bytes in &files {
            let step = bytes.len() / ALTERATIONS + 1;
            for at in (0..bytes.len()).step_by(step) {
                target(&bytes[..at]);
                for flip in [1, 0x80] {
                    let mut altered = bytes.clone();
                    altered[at] ^= flip;
                    target(&altered);
                }
            }
        }
    }
}

fn folder(of: &[&str]) -> PathBuf {
    let root: PathBuf = [env!("CARGO_MANIFEST_DIR"), "../../tests"].iter().collect();
    of.iter().fold(root, |path, name| path.join(name))
}

fn files(name: &str) -> Vec<Vec<u8>> {
    let listed = fs::read_dir(folder(&["fuzz", "corpus", name]));
    let mut paths: Vec<PathBuf> = listed.map_or_else(
        |_| Vec::new(),
        |entries| entries.map(|entry| entry.unwrap().path()).collect(),
    );
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// Writes what each target accepts of the golden vectors.
fn update() {
    let golden = golden();
    for (name, target) in TARGETS {
        let folder = folder(&["fuzz", "corpus", name]);
        fs::create_dir_all(&folder).unwrap();
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path
                .file_name()
                .unwrap()
                .to_string_lossy()
                .starts_with("golden-")
            {
                fs::remove_file(path).unwrap();
            }
        }
        let made = seeds().into_iter().filter(|(of, _)| of == name);
        let fit = golden.iter().filter(|bytes| bytes.len() <= MAX_SEED_LEN);
        let accepted = fit.filter(|bytes| target(bytes)).take(MAX_SEEDS).cloned();
        for (number, bytes) in accepted.chain(made.map(|(_, bytes)| bytes)).enumerate() {
            fs::write(folder.join(format!("golden-{number:02}")), bytes).unwrap();
        }
    }
}

/// Every string of the golden vectors, as bytes and, if it is one, as what its hexadecimal digits stand for.
fn golden() -> Vec<Vec<u8>> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder(&["vectors"]))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .collect();
    paths.sort();
    let mut all = Vec::new();
    for path in paths {
        let file: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        collect(&file, &mut all);
    }
    let mut seen = std::collections::BTreeSet::new();
    all.retain(|bytes| seen.insert(bytes.clone()));
    all
}

fn collect(value: &Value, into: &mut Vec<Vec<u8>>) {
    match value {
        Value::String(text) => {
            into.extend(HEXLOWER.decode(text.as_bytes()).ok());
            into.push(text.clone().into_bytes());
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, into)),
        Value::Object(fields) => fields.values().for_each(|field| collect(field, into)),
        _ => {}
    }
}
