//! How quick a sealed vault is beside an unencrypted one: `cargo xtask bench vault` reads the JSON that this prints.
//!
//! Each work is done by one and then by the other, and the order turns from round to round. Records have 256 bytes and
//! random ids; both write ahead with `synchronous = FULL` and have a page cache of 8 MiB.

#![allow(clippy::indexing_slicing, reason = "a program that measures")]

mod apply;
mod finding;
mod plain;
mod rows;
mod sealed;

use std::hint::black_box;
use std::time::Instant;

use rows::{Row, rows};

/// How many records are written, and how many of them in one commit.
const RECORDS: usize = 100_000;
const BATCH: usize = 1000;
/// How many commits of one record, and how many patches.
const SINGLES: usize = 300;
const READS: usize = 20_000;
const PAGES: usize = 200;
/// How many records are in a page.
const PAGE: usize = 50;
/// How often reading is measured; each time the middle counts.
const ROUNDS: usize = 5;

type Failure = Box<dyn std::error::Error>;

/// What is measured.
trait Store {
    /// Writes records in one commit.
    fn write(&mut self, rows: &[Row]) -> Result<(), Failure>;

    /// Reads a record and returns the length of its longest field.
    fn get(&mut self, row: &Row) -> Result<usize, Failure>;

    /// Reads a page of a collection after a record and returns its length.
    fn list(&mut self, after: &Row, limit: usize) -> Result<usize, Failure>;

    /// Changes one field of a record in a commit of its own.
    fn patch(&mut self, row: &Row, name: &str) -> Result<(), Failure>;

    /// Closes it and returns the bytes that it takes.
    fn close(self) -> Result<u64, Failure>;
}

fn main() -> Result<(), Failure> {
    let rows = rows(RECORDS + ROUNDS * SINGLES, 1);
    let (all, more) = rows.split_at(RECORDS);
    let folder = tempfile::tempdir()?;
    let mut sealed = sealed::Sealed::create(&folder.path().join("sealed"))?;
    let mut plain = plain::Plain::create(&folder.path().join("plain.db"))?;

    let mut batched = Pair::default();
    for (number, batch) in all.chunks(BATCH).enumerate() {
        batched.time(number, || sealed.write(batch), || plain.write(batch))?;
    }
    let applied = apply::time(&folder.path().join("peers"), all)?;
    let mut singles = Pair::default();
    for (number, row) in more.iter().enumerate() {
        let one = std::slice::from_ref(row);
        singles.time(number, || sealed.write(one), || plain.write(one))?;
    }
    let any = |number: usize| &all[number.wrapping_mul(7919) % all.len()];
    let mut gets = Pair::default();
    let mut lists = Pair::default();
    let mut patches = Pair::default();
    for round in 0..ROUNDS {
        let number = |i: usize| round * READS + i;
        gets.time(
            round,
            || (0..READS).try_for_each(|i| read(&mut sealed, any(number(i)))),
            || (0..READS).try_for_each(|i| read(&mut plain, any(number(i)))),
        )?;
        lists.time(
            round,
            || (0..PAGES).try_for_each(|i| page(&mut sealed, any(number(i)))),
            || (0..PAGES).try_for_each(|i| page(&mut plain, any(number(i)))),
        )?;
        let name = format!("name {round}");
        patches.time(
            round,
            || (0..SINGLES).try_for_each(|i| sealed.patch(any(number(i)), &name)),
            || (0..SINGLES).try_for_each(|i| plain.patch(any(number(i)), &name)),
        )?;
    }
    let found = finding::time(sealed.space(), all)?;
    let (sealed_bytes, plain_bytes) = (sealed.close()?, plain.close()?);
    let batched = batched.whole();
    let singles = singles.middle();
    let (gets, lists, patches) = (gets.middle(), lists.middle(), patches.middle());
    let report = serde_json::json!({
        "records": RECORDS,
        "batched_us": batched.0 / RECORDS as f64,
        "batched_ratio": batched.1 / batched.0,
        "applied_ratio": batched.1 / applied,
        "single_us": singles.0,
        "single_ratio": singles.1 / singles.0,
        "get_us": gets.0 / READS as f64,
        "get_ratio": gets.1 / gets.0,
        "list_us": lists.0 / PAGES as f64,
        "list_ratio": lists.1 / lists.0,
        "patch_us": patches.0 / SINGLES as f64,
        "patch_ratio": patches.1 / patches.0,
        "take_up_us": found.take_up / RECORDS as f64,
        "search_us": found.search,
        "query_us": found.query,
        "bytes": sealed_bytes,
        "bytes_ratio": sealed_bytes as f64 / plain_bytes as f64,
    });
    #[allow(clippy::print_stdout, reason = "what this program is for")]
    {
        println!("{report}");
    }
    Ok(())
}

fn read(store: &mut impl Store, row: &Row) -> Result<(), Failure> {
    if black_box(store.get(row)?) == row.note.len() {
        Ok(())
    } else {
        Err("a record is not what was written".into())
    }
}

fn page(store: &mut impl Store, row: &Row) -> Result<(), Failure> {
    black_box(store.list(row, PAGE)?);
    Ok(())
}

/// Times of the sealed and of the plain one, in microseconds.
#[derive(Default)]
struct Pair(Vec<f64>, Vec<f64>);

impl Pair {
    /// Does both, one first in even rounds and the other in odd ones.
    fn time(
        &mut self,
        round: usize,
        sealed: impl FnOnce() -> Result<(), Failure>,
        plain: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        if round.is_multiple_of(2) {
            self.0.push(micros(sealed)?);
            self.1.push(micros(plain)?);
        } else {
            self.1.push(micros(plain)?);
            self.0.push(micros(sealed)?);
        }
        Ok(())
    }

    /// All of it.
    fn whole(&self) -> (f64, f64) {
        (self.0.iter().sum(), self.1.iter().sum())
    }

    /// The middle one of each.
    fn middle(mut self) -> (f64, f64) {
        let middle = |times: &mut Vec<f64>| {
            times.sort_by(f64::total_cmp);
            times[times.len() / 2]
        };
        (middle(&mut self.0), middle(&mut self.1))
    }
}

fn micros(work: impl FnOnce() -> Result<(), Failure>) -> Result<f64, Failure> {
    let begun = Instant::now();
    work()?;
    Ok(begun.elapsed().as_secs_f64() * 1e6)
}
