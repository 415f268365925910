//! Tables: CSV with a first line of names (RFC 4180), separated by commas, semicolons or tabs, or by what a line before
//! that says.

use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};

use csv::{ReaderBuilder, StringRecord};
use twin_ops::value::{Fields, MAX_FIELD_NAME, Value};

use super::bounded::{Bounded, is_too_long};
use super::entry::{Entry, MAX_ENTRY, Refusal, Show, field_id};
use super::quotes::{Quotes, bad_quote};
use crate::error::{Error, Result};

/// The most bytes of a line, which may go on for many if a quote is not closed.
const MAX_LINE: u64 = MAX_ENTRY as u64;
const REFUSAL: Refusal = Refusal { what: "line" };

/// The refusal of a line.
pub(super) const fn refusal() -> &'static Refusal {
    &REFUSAL
}

/// Shows the rows of a table. Cells are text, as they are; empty ones are left out. Returns how many rows have no others
/// and are no records therefore: spreadsheets write those that once held something.
pub(super) fn each(
    mut file: impl Read + Seek,
    id_field: Option<&str>,
    show: Show<'_>,
) -> Result<u64> {
    let (delimiter, begins) = beginning(&mut file)?;
    file.seek(SeekFrom::Start(begins))?;
    // Lines are counted from the beginning of the file.
    let before = u64::from(begins > 0);
    let wrong = |error: &csv::Error, line| wrong(error, line, before);
    let (file, allowance) = Bounded::new(file, MAX_LINE);
    let file = Quotes::new(file, delimiter);
    let mut reader = ReaderBuilder::new().delimiter(delimiter).from_reader(file);
    let names = reader.headers().map_err(|error| wrong(&error, 1))?.clone();
    check_names(&names, id_field, 1 + before)?;
    let mut row = StringRecord::new();
    let mut empty = 0;
    loop {
        allowance.renew();
        let line = reader.position().line();
        if !reader
            .read_record(&mut row)
            .map_err(|error| wrong(&error, line))?
        {
            return Ok(empty);
        }
        let line = row.position().map_or(line, csv::Position::line);
        let cells = names.iter().zip(&row);
        let cells = cells.filter(|(_, cell)| !cell.is_empty());
        let fields = Fields(
            cells
                .map(|(name, cell)| (name.to_owned(), Value::from(cell)))
                .collect(),
        );
        if fields.0.is_empty() {
            empty += 1;
            continue;
        }
        let id = id_field.map(|name| {
            let id = field_id(&fields, name);
            id.ok_or_else(|| REFUSAL.at(line + before, "the column of ids is empty"))
        });
        show(Entry {
            number: line + before,
            id: id.transpose()?,
            fields,
            files: Vec::new(),
            as_text: 0,
        })?;
    }
}

fn check_names(names: &StringRecord, id_field: Option<&str>, line: u64) -> Result<()> {
    let fits = |name: &str| (1..=MAX_FIELD_NAME).contains(&name.len());
    if names.is_empty() || !names.iter().all(fits) {
        return Err(REFUSAL.at(line, "it has to name each column, in 1 to 128 bytes"));
    }
    let mut sorted: Vec<&str> = names.iter().collect();
    sorted.sort_unstable();
    sorted.dedup();
    if sorted.len() != names.len() {
        return Err(REFUSAL.at(line, "two columns have the same name"));
    }
    if id_field.is_some_and(|id| !sorted.contains(&id)) {
        return Err(REFUSAL.at(line, "it does not name the column of ids"));
    }
    Ok(())
}

/// What separates cells, and where the names begin: after a first line that says what separates them, as spreadsheets write
/// it (`sep=;`), or else at the beginning, and then it is whatever is in the first line most often outside quotes.
fn beginning(file: impl Read) -> Result<(u8, u64)> {
    let mut first = Vec::new();
    BufReader::new(file)
        .take(MAX_LINE)
        .read_until(b'\n', &mut first)?;
    let said = first.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&first);
    let said = said.strip_suffix(b"\n").unwrap_or(said);
    let said = said.strip_suffix(b"\r").unwrap_or(said);
    let bare = said
        .strip_prefix(b"\"")
        .and_then(|said| said.strip_suffix(b"\""));
    let bare = bare.unwrap_or(said);
    if let [b's' | b'S', b'e' | b'E', b'p' | b'P', b'=', delimiter] = bare
        && delimiter.is_ascii()
        && !matches!(delimiter, b'"' | b'\r' | b'\n')
    {
        return Ok((*delimiter, first.len() as u64));
    }
    let mut quoted = false;
    let mut counts = [(b',', 0u32), (b';', 0), (b'\t', 0)];
    for byte in first {
        quoted ^= byte == b'"';
        for (delimiter, count) in &mut counts {
            *count += u32::from(!quoted && byte == *delimiter);
        }
    }
    let [comma, others @ ..] = counts;
    let most = others.into_iter().fold(
        comma,
        |best, next| if next.1 > best.1 { next } else { best },
    );
    Ok((most.0, 0))
}

/// `before`: how many lines were read before.
fn wrong(error: &csv::Error, line: u64, before: u64) -> Error {
    if let csv::ErrorKind::Io(io) = error.kind()
        && let Some(line) = bad_quote(io)
    {
        return REFUSAL.at(
            line + before,
            "a quote in it is not closed, or text follows it",
        );
    }
    let line = error.position().map_or(line, csv::Position::line).max(1) + before;
    let why = match error.kind() {
        csv::ErrorKind::Io(io) if !is_too_long(io) => {
            return Error::File(io::Error::from(io.kind()));
        }
        csv::ErrorKind::Io(_) => "it is too long; is a quote not closed?",
        csv::ErrorKind::Utf8 { .. } => "it is not UTF-8 text: save the table as UTF-8",
        csv::ErrorKind::UnequalLengths { .. } => "it has more or fewer cells than the first line",
        _ => "it is not a line of a table",
    };
    REFUSAL.at(line, why)
}
