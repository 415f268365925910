//! How quick a vault of a million operations is opened, and what memory it takes: `cargo xtask bench vault` reads the JSON
//! that this prints.
//!
//! The vault is made as sync makes one: a linked device has written a commit of one record of 256 bytes a million times,
//! and sends them all. Then a fresh process opens it through the platform's key store and reads a record, several times
//! over. With `--ops N` there are so many.

#![allow(clippy::indexing_slicing, reason = "a program that measures")]

mod made;
mod opened;

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use opened::Opened;

const OPS: u64 = 1_000_000;
/// How often it is opened; the middle counts.
const ROUNDS: u64 = 9;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let report = match words.as_slice() {
        [] => measure(OPS)?,
        ["--ops", ops] => measure(ops.parse()?)?,
        ["open", dir, number] => opened::open(Path::new(dir), number.parse()?)?.to_json(),
        _ => return Err("usage: million [--ops N]".into()),
    };
    #[allow(clippy::print_stdout, reason = "what this program is for")]
    {
        println!("{report}");
    }
    Ok(())
}

fn measure(ops: u64) -> Result<serde_json::Value, Failure> {
    let folder = tempfile::tempdir()?;
    let dir = folder.path().join("vault");
    let begun = Instant::now();
    made::make(&dir, ops)?;
    let made = begun.elapsed().as_secs_f64();
    let mut rounds = Vec::new();
    for round in 0..ROUNDS {
        // Any record, another one each time.
        let number = round.wrapping_mul(7919) % ops;
        let mut process = Command::new(std::env::current_exe()?);
        let output = process.arg("open").arg(&dir).arg(number.to_string());
        let output = output.output()?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into());
        }
        rounds.push(Opened::from_json(&output.stdout)?);
    }
    let middle = |of: fn(&Opened) -> f64| {
        let mut all: Vec<f64> = rounds.iter().map(of).collect();
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    };
    Ok(serde_json::json!({
        "ops": ops,
        "made_us": made * 1e6 / ops as f64,
        "bytes": std::fs::metadata(dir.join(twin_vault::FILE_NAME))?.len(),
        "open_ms": middle(|opened| opened.open_ms),
        "first_read_ms": middle(|opened| opened.read_ms),
        "both_ms": middle(|opened| opened.open_ms + opened.read_ms),
        "cpu_ms": middle(|opened| opened.cpu_ms),
        "rss_mb": middle(|opened| opened.rss_mb),
        "peak_mb": middle(|opened| opened.peak_mb),
    }))
}
