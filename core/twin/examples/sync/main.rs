//! What it takes two devices to become equal: `cargo xtask bench sync` reads the JSON that this prints on its last line.
//!
//! - `twins`: two replicas of one twin; `talk`: their sessions, without a network, frame by frame
//! - `differing`: 1,000,000 operations and 1,000 that one replica or the other lacks; then none. With `--ops N` so many
//! - `first`: 100,000 records, over the network of this machine
//! - `revoking`: a device less

#![allow(clippy::indexing_slicing, reason = "a program that measures")]
#![allow(clippy::print_stdout, reason = "what this program is for")]

mod differing;
mod first;
#[path = "../million/made.rs"]
#[allow(dead_code, reason = "the vault of a million needs more of it")]
mod made;
mod revoking;
#[path = "../vault/rows.rs"]
mod rows;
mod talk;
mod twins;

use std::time::Instant;

use serde_json::{Map, Value};

type Failure = Box<dyn std::error::Error>;

const OPS: u64 = 1_000_000;
const RECORDS: usize = 100_000;

fn main() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (ops, records) = match words.as_slice() {
        [] => (OPS, RECORDS),
        ["--ops", ops, "--records", records] => (ops.parse()?, records.parse()?),
        _ => return Err("usage: sync [--ops N --records N]".into()),
    };
    let mut report = Map::new();
    // Phone and laptop with the data of two and of fourteen other devices.
    for (of, writers) in [("few", 2), ("many", 14)] {
        report.extend(
            differing::measure(ops, writers)?
                .into_iter()
                .map(|(name, value)| (format!("{of}_{name}"), value)),
        );
    }
    report.extend(first::measure(records)?);
    report.extend(revoking::measure()?);
    println!("{}", Value::Object(report));
    Ok(())
}

/// What was found, by name.
type Numbers = Vec<(String, Value)>;

fn named<const N: usize>(numbers: [(&str, f64); N]) -> Numbers {
    let named = numbers.map(|(name, number)| (name.to_owned(), number.into()));
    named.into()
}

/// Does it, and says how many microseconds it took.
fn timed<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<(T, f64), Failure> {
    let begun = Instant::now();
    let done = work()?;
    Ok((done, begun.elapsed().as_secs_f64() * 1e6))
}

fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
