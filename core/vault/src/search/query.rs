//! Finding records by the value of a field.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Bound, ControlFlow};

use twin_ops::space::{SpaceId, SpaceName};
use twin_ops::value::Value;

use crate::error::{Result, VaultError};
use crate::index::places;
use crate::read::Record;
use crate::segment::{Direction, Merged, is_damage};
use crate::vault::Vault;

use super::field_key;
use super::order::{self, Between};

/// The most records in a page.
pub const MAX_PAGE: usize = 1000;

/// In which order records come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// Those with the lowest value first.
    #[default]
    Up,
    /// Those with the highest value first.
    Down,
}

/// What is asked for: the records of a collection whose field has a value in a range.
///
/// Values are compared with values of their kind: yes and no, numbers (whole or not), texts (byte by byte). What is
/// nothing, bytes, or not a number lies in no range.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// The field.
    pub field: String,
    /// The lowest value.
    pub low: Bound<Value>,
    /// The highest value.
    pub high: Bound<Value>,
    /// The order of the answer; texts by their first 256 bytes.
    pub order: Order,
    /// Where a page ended that this one comes after.
    pub after: Option<Cursor>,
    /// The most records that are wanted; at most [`MAX_PAGE`] come.
    pub limit: usize,
}

/// Where a page ended. It is of use with the same query, to this device, until its key slots change.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    value: Vec<u8>,
    place: i64,
}

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cursor").finish_non_exhaustive()
    }
}

/// A page of records.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Page {
    /// The records.
    pub records: Vec<Record>,
    /// Where the next page begins; `None` if this is the last one.
    pub next: Option<Cursor>,
    /// How many records were opened for it.
    pub scanned: u64,
    /// Whether the field is indexed: else every record of the collection was opened.
    pub indexed: bool,
}

impl Query {
    /// The records whose field has a value in a range, the lowest first.
    pub fn range(field: &str, low: Bound<Value>, high: Bound<Value>) -> Self {
        Self {
            field: field.to_owned(),
            low,
            high,
            order: Order::Up,
            after: None,
            limit: MAX_PAGE,
        }
    }

    /// The records whose field has this value.
    pub fn equal(field: &str, value: Value) -> Self {
        Self::range(
            field,
            Bound::Included(value.clone()),
            Bound::Included(value),
        )
    }

    fn limit(&self) -> usize {
        self.limit.min(MAX_PAGE)
    }

    /// Whether what stands there comes after the page before.
    fn is_next(&self, at: &Cursor) -> bool {
        match (&self.after, self.order) {
            (None, _) => true,
            (Some(after), Order::Up) => at > after,
            (Some(after), Order::Down) => at < after,
        }
    }
}

impl Vault {
    /// A page of the records that a query asks for.
    ///
    /// If the schema of the collection says that the field is indexed, little more is opened than is answered.
    /// Otherwise every record of the collection is, however few are asked for: [`Page::scanned`] tells. Damaged ones are
    /// left out: see [`Vault::left_out`].
    ///
    /// # Errors
    /// [`VaultError::InvalidQuery`] for a range between values that cannot be compared.
    pub fn query(&mut self, space: &SpaceName, collection: &str, query: &Query) -> Result<Page> {
        let between = Between::new(&query.low, &query.high).ok_or(VaultError::InvalidQuery(
            "these values cannot be compared: ask for true or false, numbers, timestamps, counters, texts, references or bytes",
        ))?;
        self.catch_up()?;
        let space = self.state.space(space);
        let Some(number) = self.state.collection(&space, collection) else {
            return Ok(Page::default());
        };
        if query.limit == 0 {
            return Ok(Page::default());
        }
        if !self.is_indexed(&space, collection, number, &query.field)? {
            return self.read(|vault| vault.go_through(number, query, &between));
        }
        match self.read(|vault| vault.look_up(number, query, &between)) {
            Err(error) if is_damage(&error) => {
                self.drop_segments()?;
                self.index_all()?;
                self.read(|vault| vault.look_up(number, query, &between))
            }
            found => found,
        }
    }

    /// Whether a field is indexed; what was written since is taken up then.
    fn is_indexed(
        &mut self,
        space: &SpaceId,
        collection: &str,
        number: u16,
        field: &str,
    ) -> Result<bool> {
        let fields = self.indexed_fields(space, collection)?;
        let is_own = collection.starts_with('~') || !self.collection_names().contains_key(&number);
        if is_own || !fields.iter().any(|name| name == field) {
            return Ok(false);
        }
        let ready = self
            .index_all()
            .and_then(|()| self.notice_fields(number, &fields))
            .and_then(|()| self.index_all());
        match ready {
            // Without room for what is new all have to be gone through.
            Err(VaultError::DiskFull) => Ok(false),
            ready => ready.map(|()| true),
        }
    }

    /// By what is kept for the field.
    fn look_up(&self, number: u16, query: &Query, between: &Between) -> Result<Page> {
        let mut page = Page {
            indexed: true,
            ..Page::default()
        };
        let prefix = field_key(number, &query.field);
        let lowest = [prefix.as_slice(), &between.first()].concat();
        let highest = between
            .last()
            .map(|last| [prefix.as_slice(), &last].concat());
        let (direction, (key, place)) = match (query.order, &query.after) {
            (Order::Up, None) => (Direction::Up, (lowest.clone(), i64::MIN)),
            // Right behind the highest, or behind all kinds of values, which are low numbers.
            (Order::Down, None) => {
                let mut key = highest.clone().unwrap_or_else(|| prefix.clone());
                key.push(if highest.is_some() { 0 } else { 0xff });
                (Direction::Down, (key, i64::MIN))
            }
            (order, Some(after)) => {
                let key = [prefix.as_slice(), &after.value].concat();
                let direction = match order {
                    Order::Up => Direction::Up,
                    Order::Down => Direction::Down,
                };
                (direction, (key, after.place))
            }
        };
        let row = self.file.search_row()?;
        let source = self.source(&self.state.blocks);
        let mut found = Merged::new(source, &row.segments, direction, (&key, place))?;
        let mut last = None;
        while let Some(next) = found.next()? {
            let Some(value) = next.key.strip_prefix(prefix.as_slice()) else {
                break;
            };
            let above = highest.as_ref().is_some_and(|highest| next.key > *highest);
            let below = next.key < lowest;
            if above || below {
                break;
            }
            let at = Cursor {
                value: value.to_vec(),
                place: next.place,
            };
            if !query.is_next(&at) || !between.may_have(value) {
                continue;
            }
            page.scanned += 1;
            let versions = self.versions_at(next.place);
            let versions = self.left_out.unless_damaged(next.place, versions)?;
            let Some(record) = versions.flatten().and_then(Record::of) else {
                continue;
            };
            // What the record says now counts, not what it said when it was taken up.
            let now = record.fields.0.get(&query.field);
            let now = now.filter(|now| between.has(now)).and_then(order::sorted);
            if now.as_deref() != Some(value) {
                continue;
            }
            // Whether there are more is known only when one more is found.
            if page.records.len() >= query.limit() {
                page.next = last;
                break;
            }
            page.records.push(record);
            last = Some(at);
        }
        Ok(page)
    }

    /// By opening every record of the collection. No more of them are held than the page has.
    fn go_through(&self, number: u16, query: &Query, between: &Between) -> Result<Page> {
        let mut page = Page::default();
        let mut best: BTreeMap<Cursor, Record> = BTreeMap::new();
        let mut more = false;
        self.each_found(places(number), |place, versions| {
            page.scanned += 1;
            let versions = self.left_out.unless_damaged(place, versions)?;
            let Some(record) = versions.and_then(Record::of) else {
                return Ok(ControlFlow::Continue(()));
            };
            let value = record.fields.0.get(&query.field);
            let value = value.filter(|value| between.has(value));
            if let Some(value) = value.and_then(order::sorted) {
                let at = Cursor { value, place };
                if query.is_next(&at) {
                    best.insert(at, record);
                }
            }
            if best.len() > query.limit() {
                more = true;
                match query.order {
                    Order::Up => best.pop_last(),
                    Order::Down => best.pop_first(),
                };
            }
            Ok(ControlFlow::Continue(()))
        })?;
        let last = match query.order {
            Order::Up => best.last_key_value(),
            Order::Down => best.first_key_value(),
        };
        page.next = last.filter(|_| more).map(|(at, _)| at.clone());
        page.records = best.into_values().collect();
        if query.order == Order::Down {
            page.records.reverse();
        }
        Ok(page)
    }
}
