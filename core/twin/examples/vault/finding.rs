//! Finding one record of all by a word and by the value of an indexed field, warm.

use std::time::Instant;

use twin::{Query, Schema, Space, Value};

use super::micros;
use super::rows::Row;
use super::store::Failure;

/// How often each is asked for; the middle counts.
const ASKED: usize = 200;
/// The first that is asked for: those that were patched before are others, and their names are not what they were.
const FIRST: usize = 10_000;

/// What finding takes, in microseconds.
pub struct Found {
    /// All records, before the first search.
    pub take_up: f64,
    /// One word.
    pub search: f64,
    /// One value of an indexed field.
    pub query: f64,
}

/// Says that a field is indexed, makes searching ready, and asks.
pub fn time(space: &Space, rows: &[Row]) -> Result<Found, Failure> {
    for collection in space.collections()? {
        let rules = [("count".to_owned(), "int indexed".parse()?)];
        space
            .collection(&collection)
            .set_schema(&Schema(rules.into()))?;
    }
    let begun = Instant::now();
    space.search("nothing", None, 1)?;
    let take_up = begun.elapsed().as_secs_f64() * 1e6;
    let any = |number: usize| &rows[(FIRST + number).wrapping_mul(7919) % rows.len()];
    let search = middle(|number| {
        let row = any(number);
        let hits = space.search(&row.name, None, 10)?;
        is_found(hits.iter().any(|hit| hit.record.id == row.id))
    })?;
    let query = middle(|number| {
        let row = any(number);
        let asked = Query::equal("count", Value::Int(row.count));
        let page = space.collection(&row.collection).query(&asked)?;
        is_found(page.indexed && page.records.iter().any(|record| record.id == row.id))
    })?;
    Ok(Found {
        take_up,
        search,
        query,
    })
}

fn is_found(found: bool) -> Result<(), Failure> {
    if found {
        Ok(())
    } else {
        Err("a record was not found".into())
    }
}

fn middle(mut ask: impl FnMut(usize) -> Result<(), Failure>) -> Result<f64, Failure> {
    let mut times = Vec::with_capacity(ASKED);
    for number in 0..ASKED {
        times.push(micros(|| ask(number))?);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}
