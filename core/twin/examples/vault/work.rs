//! The work that each of those who are compared does in its turn, and how long it takes.

use std::fmt;
use std::hint::black_box;
use std::str::FromStr;
use std::time::Instant;

use super::rows::{Row, rows};
use super::store::{Failure, Store};

/// How many records are written, and how many of them in one commit.
pub const RECORDS: usize = 100_000;
pub const BATCH: usize = 1000;
/// How many commits of one record, and how many patches.
pub const SINGLES: usize = 2000;
pub const READS: usize = 20_000;
pub const PAGES: usize = 200;
/// How many records are in a page.
const PAGE: usize = 50;

/// One turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// The commit of 1,000 records with this number.
    Batch(usize),
    /// The commit of one record with this number, beyond the first 100,000.
    Single(usize),
    /// Records by their ids, in no order.
    Gets,
    /// Pages of 50 records.
    Lists,
    /// A field of one record in a commit of its own.
    Patch(usize),
}

/// The records, the same for all.
pub struct Rows(Vec<Row>);

impl Rows {
    /// Those of a round.
    pub fn new(round: u64) -> Self {
        Self(rows(RECORDS + SINGLES, round))
    }

    /// Those that are written at first.
    pub fn all(&self) -> &[Row] {
        &self.0[..RECORDS]
    }

    /// One of them; neighbouring numbers lead to records far from each other.
    pub fn any(&self, number: usize) -> &Row {
        &self.0[number.wrapping_mul(7919) % RECORDS]
    }
}

/// Does it; returns the microseconds that it took.
pub fn perform(store: &mut impl Store, rows: &Rows, work: Work) -> Result<f64, Failure> {
    let begun = Instant::now();
    match work {
        Work::Batch(number) => store.write(&rows.0[number * BATCH..][..BATCH])?,
        Work::Single(number) => store.write(&rows.0[RECORDS + number..][..1])?,
        Work::Gets => {
            for number in 0..READS {
                let row = rows.any(number);
                if black_box(store.get(row)?) != row.note.len() {
                    return Err("a record is not what was written".into());
                }
            }
        }
        Work::Lists => {
            for number in 0..PAGES {
                black_box(store.list(rows.any(number), PAGE)?);
            }
        }
        Work::Patch(number) => store.patch(rows.any(number), "another name")?,
    }
    Ok(begun.elapsed().as_secs_f64() * 1e6)
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Batch(number) => write!(f, "batch {number}"),
            Self::Single(number) => write!(f, "single {number}"),
            Self::Gets => write!(f, "gets 0"),
            Self::Lists => write!(f, "lists 0"),
            Self::Patch(number) => write!(f, "patch {number}"),
        }
    }
}

impl FromStr for Work {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let (what, number) = text.split_once(' ').ok_or("a work has a number")?;
        let number = number.parse()?;
        Ok(match what {
            "batch" => Self::Batch(number),
            "single" => Self::Single(number),
            "gets" => Self::Gets,
            "lists" => Self::Lists,
            "patch" => Self::Patch(number),
            _ => return Err("there is no such work".into()),
        })
    }
}
