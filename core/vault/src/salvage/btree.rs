//! Rows in the pages of SQLite's b-trees, as far as they can be read. Nothing that is there is trusted: a number that
//! leads nowhere ends one row, not the reading.

use rusqlite::types::Value;

use super::pages::{Layer, Pages};
use crate::error::Result;
use crate::wal::PAGE;

/// The longest row that is read: an operation has at most 1 MiB.
const MAX_ROW: usize = 4 << 20;
/// The most bytes of one page's rows that are on overflow: it has room for eight rows that go on there. What is damaged may
/// lead each of two thousand cells to the same rows.
const MAX_OVERFLOW: usize = 8 * MAX_ROW;
/// More columns than a row of any table has.
const MAX_COLUMNS: usize = 16;
/// Where the tree begins in the first page.
const FILE_HEADER: usize = 100;
/// What a page on a row's overflow holds, after the number of the next.
const OVERFLOW: usize = PAGE - 4;

/// What a page of a tree is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    TableLeaf,
    TableInterior,
    IndexLeaf,
    IndexInterior,
}

/// A row as it is stored: its number, if its table numbers rows, and its columns.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct StoredRow {
    pub number: Option<i64>,
    pub columns: Vec<Value>,
    /// Whether its page counts it. One that it does not count may be left from before.
    pub counted: bool,
}

impl Kind {
    /// What a page says that it is.
    pub fn of(page: &[u8], number: u32) -> Option<Self> {
        match page.get(begin(number))? {
            0x0d => Some(Self::TableLeaf),
            0x05 => Some(Self::TableInterior),
            0x0a => Some(Self::IndexLeaf),
            0x02 => Some(Self::IndexInterior),
            _ => None,
        }
    }

    pub const fn is_table(self) -> bool {
        matches!(self, Self::TableLeaf | Self::TableInterior)
    }

    /// Whether it has pages below.
    pub const fn is_interior(self) -> bool {
        matches!(self, Self::TableInterior | Self::IndexInterior)
    }

    const fn header(self) -> usize {
        if self.is_interior() { 12 } else { 8 }
    }
}

const fn begin(number: u32) -> usize {
    if number == 1 { FILE_HEADER } else { 0 }
}

/// The pages below a page, in their order; not those that a cell leads to which the page does not count, for it may be
/// left from before.
pub(super) fn children(page: &[u8], number: u32, kind: Kind) -> Vec<u32> {
    if !kind.is_interior() {
        return Vec::new();
    }
    let (cells, counted) = cells(page, number, kind);
    let below = cells.into_iter().take(counted);
    let below = below.filter_map(|at| long(page, at));
    let last = long(page, begin(number) + 8);
    below.chain(last).collect()
}

/// The rows in a page whose version is of `layer`: with `all`, or else those alone that it does not count. And how many it
/// counts that cannot be read.
pub(super) fn rows(
    pages: &Pages,
    page: &[u8],
    number: u32,
    kind: Kind,
    layer: Layer,
    all: bool,
) -> Result<(Vec<StoredRow>, u64)> {
    let mut rows = Vec::new();
    if kind == Kind::TableInterior {
        return Ok((rows, 0));
    }
    let (cells, counted) = cells(page, number, kind);
    let (mut read, mut left) = (0, MAX_OVERFLOW);
    for (index, at) in cells.into_iter().enumerate() {
        let is_counted = index < counted;
        if is_counted && !all {
            continue;
        }
        if let Some(mut row) = row(pages, page, at, kind, layer, &mut left)? {
            row.counted = is_counted;
            read += usize::from(row.counted);
            rows.push(row);
        }
    }
    let expected = counted.max(usize::from(
        rows.is_empty() && !is_empty(page, number, kind),
    ));
    Ok((rows, expected.saturating_sub(read) as u64))
}

/// Whether a page is in order and has no rows: the root of a table that never had any.
fn is_empty(page: &[u8], number: u32, kind: Kind) -> bool {
    Kind::of(page, number) == Some(kind) && short(page, begin(number) + 3) == Some(0)
}

/// Where cells begin: those that the page counts, then what may be there beyond if the count is wrong; and how many the
/// page counts, as far as it has room for them.
fn cells(page: &[u8], number: u32, kind: Kind) -> (Vec<usize>, usize) {
    let begin = begin(number);
    let first = begin + kind.header();
    let counted = short(page, begin + 3).unwrap_or(0);
    let mut lowest = PAGE;
    let mut cells = Vec::new();
    let counted = counted.min((PAGE - first) / 4);
    for index in 0.. {
        let place = first + 2 * index;
        if place + 2 > lowest {
            break;
        }
        match short(page, place) {
            Some(at) if at >= first && at < PAGE => {
                cells.push(at);
                if index < counted {
                    lowest = lowest.min(at);
                }
            }
            // One that is damaged says nothing of the others; beyond what is counted nothing need be there.
            Some(_) if index < counted => cells.push(PAGE),
            _ => break,
        }
    }
    (cells, counted)
}

/// The row in the cell at `at`; `None` if there is none that can be read. `left`: how much more of it may be on overflow.
fn row(
    pages: &Pages,
    page: &[u8],
    at: usize,
    kind: Kind,
    layer: Layer,
    left: &mut usize,
) -> Result<Option<StoredRow>> {
    let mut at = at;
    if kind == Kind::IndexInterior {
        at += 4;
    }
    let Some((len, next)) = varint(page, at) else {
        return Ok(None);
    };
    let Some(len) = usize::try_from(len).ok().filter(|len| *len <= MAX_ROW) else {
        return Ok(None);
    };
    let (number, next) = if kind.is_table() {
        match varint(page, next) {
            Some((number, next)) => (Some(number.cast_signed()), next),
            None => return Ok(None),
        }
    } else {
        (None, next)
    };
    let here = local(len, kind);
    let Some(beginning) = page.get(next..next + here) else {
        return Ok(None);
    };
    let mut record = beginning.to_vec();
    if here < len {
        let Some(mut overflow) = long(page, next + here) else {
            return Ok(None);
        };
        // A row that is longer than all pages goes in circles.
        let more = len - here;
        match left.checked_sub(more) {
            Some(then) if more <= pages.capacity() => *left = then,
            _ => return Ok(None),
        }
        while record.len() < len {
            let Some(more) = pages.in_layer(overflow, layer)? else {
                return Ok(None);
            };
            let wanted = OVERFLOW.min(len - record.len());
            record.extend_from_slice(more.get(4..4 + wanted).unwrap_or_default());
            overflow = long(&more, 0).unwrap_or(0);
        }
    }
    Ok(columns(&record).map(|columns| StoredRow {
        number,
        columns,
        counted: true,
    }))
}

/// How much of a row of `len` bytes is in its page; the rest is on its overflow.
const fn local(len: usize, kind: Kind) -> usize {
    let least = (PAGE - 12) * 32 / 255 - 23;
    let most = if kind.is_table() {
        PAGE - 35
    } else {
        (PAGE - 12) * 64 / 255 - 23
    };
    if len <= most {
        return len;
    }
    let best = least + (len - least) % OVERFLOW;
    if best <= most { best } else { least }
}

/// The columns of a record; `None` unless its header and its length agree.
fn columns(record: &[u8]) -> Option<Vec<Value>> {
    let (header, mut at) = varint(record, 0)?;
    let header = usize::try_from(header).ok()?;
    let mut body = header;
    let mut columns = Vec::new();
    while at < header {
        if columns.len() == MAX_COLUMNS {
            return None;
        }
        let (kind, next) = varint(record, at)?;
        at = next;
        let len = match kind {
            0 | 8 | 9 => 0,
            1..=4 => usize::try_from(kind).ok()?,
            5 => 6,
            6 | 7 => 8,
            10 | 11 => return None,
            _ => usize::try_from((kind - 12) / 2).ok()?,
        };
        let bytes = record.get(body..body.checked_add(len)?)?;
        body += len;
        columns.push(match kind {
            0 => Value::Null,
            8 => Value::Integer(0),
            9 => Value::Integer(1),
            1..=6 => Value::Integer(integer(bytes)),
            7 => Value::Real(f64::from_bits(integer(bytes).cast_unsigned())),
            _ if kind % 2 == 0 => Value::Blob(bytes.to_vec()),
            _ => Value::Text(String::from_utf8(bytes.to_vec()).ok()?),
        });
    }
    (at == header && body == record.len()).then_some(columns)
}

/// A whole number of up to eight bytes, the highest first and with its sign.
fn integer(bytes: &[u8]) -> i64 {
    let negative = bytes.first().is_some_and(|first| first & 0x80 != 0);
    let begin = if negative { -1 } else { 0 };
    let shift = |number: i64, byte: &u8| (number << 8) | i64::from(*byte);
    bytes.iter().fold(begin, shift)
}

/// A number of one to nine bytes, and where it ends.
fn varint(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let mut number = 0;
    for index in 0..8 {
        let byte = *bytes.get(at + index)?;
        number = (number << 7) | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((number, at + index + 1));
        }
    }
    let last = *bytes.get(at + 8)?;
    Some(((number << 8) | u64::from(last), at + 9))
}

fn short(page: &[u8], at: usize) -> Option<usize> {
    let bytes = page.get(at..)?.first_chunk()?;
    Some(usize::from(u16::from_be_bytes(*bytes)))
}

fn long(page: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*page.get(at..)?.first_chunk()?))
}
