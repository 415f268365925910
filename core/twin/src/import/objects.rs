//! JSON: a list of objects, or one object a line.
//!
//! Values are read as in the export ([`crate::json`]); lists and other objects inside become text, as JSON, and so does a
//! number that would lose digits.

use std::io::{BufRead, Read};

use serde_json::Value as Json;
use twin_ops::value::{Fields, Value};

use super::MAX_LINE;
use super::elements::{Elements, Fault};
use super::entry::{Entry, Refusal, Show, field_id};
use super::exact::{self, Exact, Why};
use crate::error::{Error, Result};
use crate::json::from_json;

const LINE: Refusal = Refusal { what: "line" };
const OBJECT: Refusal = Refusal { what: "object" };
const NO_OBJECT: &str = "it is not a JSON object of values";
const NO_LIST: &str = "the file is not a JSON list of objects from there on";
const NO_ID: &str = "the field of ids is missing, empty or no text";

/// The refusal of a line, or of an object in a list.
pub(super) const fn refusal(lines: bool) -> &'static Refusal {
    if lines { &LINE } else { &OBJECT }
}

/// Shows the objects of a text with one on each line; empty lines are passed over.
pub(super) fn each_line(
    mut text: impl BufRead,
    id_field: Option<&str>,
    show: Show<'_>,
) -> Result<()> {
    let mut line = Vec::new();
    for number in 1.. {
        if !next_line(&mut text, &mut line, number)? {
            break;
        }
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        let exact = exact::read(line).map_err(|fault| {
            LINE.at(
                number,
                match fault.why {
                    Why::NoJson => NO_OBJECT,
                    why => why.text(),
                },
            )
        })?;
        show(entry(&exact, number, id_field, &LINE)?)?;
    }
    Ok(())
}

/// Reads the line with this number; `false` if there is none. A mark of the order of bytes is none of the first.
pub(super) fn next_line(text: &mut impl BufRead, line: &mut Vec<u8>, number: u64) -> Result<bool> {
    line.clear();
    let len = text.take(MAX_LINE + 1).read_until(b'\n', line)?;
    if len as u64 > MAX_LINE {
        return Err(LINE.at(number, "it is too long"));
    }
    if number == 1 && line.starts_with(b"\xef\xbb\xbf") {
        line.drain(..3);
    }
    Ok(len > 0)
}

/// Shows the objects of a list, one by one.
pub(super) fn each_of_list(
    text: impl BufRead,
    id_field: Option<&str>,
    show: Show<'_>,
) -> Result<()> {
    let most = usize::try_from(MAX_LINE).unwrap_or(usize::MAX);
    let mut elements = Elements::new(text, most);
    for number in 1.. {
        let next = elements.next().map_err(|fault| match fault {
            Fault::NoList(line) => LINE.at(line, NO_LIST),
            Fault::TooLong => OBJECT.at(number, "it is too long"),
            Fault::Io(error) => Error::File(error),
        })?;
        let Some(element) = next else { break };
        let exact = exact::read(&element.text).map_err(|fault| {
            let line = element.line + fault.line - 1;
            LINE.at(
                line,
                match fault.why {
                    Why::NoJson => NO_LIST,
                    why => why.text(),
                },
            )
        })?;
        show(entry(&exact, number, id_field, &OBJECT)?)?;
    }
    Ok(())
}

fn entry(exact: &Exact, number: u64, id_field: Option<&str>, refusal: &Refusal) -> Result<Entry> {
    let fields = fields(&exact.json).ok_or_else(|| refusal.at(number, NO_OBJECT))?;
    let id = id_field.map(|name| field_id(&fields, name).ok_or_else(|| refusal.at(number, NO_ID)));
    Ok(Entry {
        number,
        id: id.transpose()?,
        fields,
        files: Vec::new(),
        as_text: exact.as_text,
    })
}

/// `null` says of a field that it is not there.
fn fields(json: &Json) -> Option<Fields> {
    let members = json.as_object()?.iter();
    let members = members.filter(|(_, value)| !value.is_null());
    let fields = members.map(|(name, value)| Some((name.clone(), flat(value)?)));
    fields.collect::<Option<_>>().map(Fields)
}

fn flat(json: &Json) -> Option<Value> {
    from_json(json).or_else(|| match json {
        Json::Array(_) | Json::Object(_) => Some(Value::Text(json.to_string())),
        _ => None,
    })
}
