//! How quick a sealed vault is beside an unencrypted one and beside SQLCipher: `cargo xtask bench vault` reads the JSON that
//! this prints on its last line. `vault ROUNDS [PROGRAM]`: PROGRAM is SQLCipher's side, built in tests/sqlcipher.
//!
//! Each work is done by one after the other, and who begins turns from turn to turn. What many commits take together counts,
//! with what SQLite does only after some of them (it moves its log into the file). A round has new files and new
//! records; of each number the middle round counts. Records have 256 bytes and random ids. All write ahead with
//! `synchronous = FULL`, have a page cache of 8 MiB and the same records in the same order.

#![allow(clippy::indexing_slicing, reason = "a program that measures")]
#![allow(clippy::print_stdout, reason = "what this program is for")]

mod apply;
mod cipher;
mod finding;
mod plain;
mod rows;
mod sealed;
mod store;
mod work;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use cipher::Cipher;
use plain::Plain;
use sealed::Sealed;
use store::{Failure, Store};
use work::{BATCH, PAGES, READS, RECORDS, Rows, SINGLES, Work, perform};

fn main() -> Result<(), Failure> {
    let mut words = std::env::args().skip(1);
    let rounds = words.next().map_or(Ok(5), |rounds| rounds.parse::<u64>())?;
    let program = words.next().map(PathBuf::from);
    let mut all: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for round in 1..=rounds.max(1) {
        for (name, value) in measure(round, program.as_deref())? {
            all.entry(name).or_default().push(value);
        }
        println!("round {round} of {rounds}");
    }
    let middle = all.into_iter().map(|(name, mut values)| {
        values.sort_by(f64::total_cmp);
        (name.to_owned(), values[values.len() / 2].into())
    });
    println!("{}", serde_json::Value::Object(middle.collect()));
    Ok(())
}

/// One round, in new files: times in microseconds, and ratios above 1 where the sealed one is the quicker.
fn measure(round: u64, program: Option<&Path>) -> Result<Vec<(&'static str, f64)>, Failure> {
    let rows = Rows::new(round);
    let folder = tempfile::tempdir()?;
    let mut all = Contest {
        sealed: Sealed::create(&folder.path().join("sealed"))?,
        plain: Plain::create(&folder.path().join("plain.db"), None)?,
        cipher: match program {
            Some(program) => Some(Cipher::start(
                program,
                &folder.path().join("cipher.db"),
                round,
            )?),
            None => None,
        },
        rows: &rows,
        turn: usize::try_from(round)?,
    };
    if round == 1 {
        println!(
            "sealed: journal_mode=WAL, synchronous=FULL, fullfsync, secure_delete, a cache of 8 MiB (core/vault/src/store.rs)"
        );
        println!("plain: {}", all.plain.durability()?);
        if let Some(cipher) = &mut all.cipher {
            println!("SQLCipher: {}", cipher.durability()?);
        }
    }
    let batches = all.sum((0..RECORDS / BATCH).map(Work::Batch))?;
    let singles = all.sum((0..SINGLES).map(Work::Single))?;
    let gets = all.sum([Work::Gets])?;
    let lists = all.sum([Work::Lists])?;
    let patches = all.sum((0..SINGLES).map(Work::Patch))?;
    // What is kept for searching the others do not have.
    let sizes = [all.sealed.close()?, all.plain.close()?];
    let sealed = Sealed::open(&folder.path().join("sealed"))?;
    let found = finding::time(sealed.space(), rows.all())?;
    drop(sealed);
    let applied = apply::time(&folder.path().join("peers"), rows.all())?;
    let [sealed_bytes, plain_bytes] = sizes.map(|bytes| bytes as f64);
    let mut measured = vec![
        ("batch_us", batches.sealed / RECORDS as f64),
        ("batch_plain", batches.plain / batches.sealed),
        ("applied_us", applied / RECORDS as f64),
        ("applied_plain", batches.plain / applied),
        ("single_us", singles.sealed / SINGLES as f64),
        ("single_plain", singles.plain / singles.sealed),
        ("get_us", gets.sealed / READS as f64),
        ("get_plain", gets.plain / gets.sealed),
        ("list_us", lists.sealed / PAGES as f64),
        ("list_plain", lists.plain / lists.sealed),
        ("patch_us", patches.sealed / SINGLES as f64),
        ("patch_plain", patches.plain / patches.sealed),
        ("take_up_us", found.take_up / RECORDS as f64),
        ("search_ms", found.search / 1e3),
        ("query_ms", found.query / 1e3),
        ("bytes", sealed_bytes),
        ("bytes_plain", sealed_bytes / plain_bytes),
    ];
    if let Some(cipher) = all.cipher {
        let bytes = cipher.close()? as f64;
        measured.extend([
            ("batch_cipher", batches.cipher / batches.sealed),
            ("single_cipher", singles.cipher / singles.sealed),
            ("get_cipher", gets.cipher / gets.sealed),
            ("list_cipher", lists.cipher / lists.sealed),
            ("patch_cipher", patches.cipher / patches.sealed),
            ("bytes_cipher", sealed_bytes / bytes),
        ]);
    }
    Ok(measured)
}

/// Those who are compared.
struct Contest<'r> {
    sealed: Sealed,
    plain: Plain,
    cipher: Option<Cipher>,
    rows: &'r Rows,
    turn: usize,
}

/// What each took, in microseconds.
#[derive(Debug, Clone, Copy, Default)]
struct Times {
    sealed: f64,
    plain: f64,
    cipher: f64,
}

impl Contest<'_> {
    /// Lets all do it, each time another first.
    fn time(&mut self, work: Work) -> Result<Times, Failure> {
        self.turn += 1;
        let mut times = Times::default();
        for place in 0..3 {
            match (self.turn + place) % 3 {
                0 => times.sealed = perform(&mut self.sealed, self.rows, work)?,
                1 => times.plain = perform(&mut self.plain, self.rows, work)?,
                _ => {
                    if let Some(cipher) = &mut self.cipher {
                        times.cipher = cipher.perform(work)?;
                    }
                }
            }
        }
        Ok(times)
    }

    /// What several works take together.
    fn sum(&mut self, works: impl IntoIterator<Item = Work>) -> Result<Times, Failure> {
        let mut sum = Times::default();
        for work in works {
            let times = self.time(work)?;
            sum.sealed += times.sealed;
            sum.plain += times.plain;
            sum.cipher += times.cipher;
        }
        Ok(sum)
    }
}

fn micros(work: impl FnOnce() -> Result<(), Failure>) -> Result<f64, Failure> {
    let begun = Instant::now();
    work()?;
    Ok(begun.elapsed().as_secs_f64() * 1e6)
}
