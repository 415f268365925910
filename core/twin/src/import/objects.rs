//! JSON: a list of objects, or one object a line.
//!
//! Values are read as in the export ([`crate::json`]); lists and other objects inside become text, as JSON.

use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use serde::de::{DeserializeSeed, Error as _, SeqAccess, Visitor};
use serde_json::Value as Json;
use serde_json::de::{Deserializer, IoRead};
use twin_ops::value::{Fields, Value};

use super::MAX_LINE;
use super::bounded::{Bounded, is_too_long};
use super::entry::{Entry, Refusal, field_id, id_of};
use crate::error::{Error, Result};
use crate::json::from_json;

const LINE: Refusal = Refusal { what: "line" };
const OBJECT: Refusal = Refusal { what: "object" };
const NO_OBJECT: &str = "it is not a JSON object of values";
const NO_ID: &str = "the field of ids is missing, empty or no text";

/// The refusal of a line, or of an object in a list.
pub(super) const fn refusal(lines: bool) -> &'static Refusal {
    if lines { &LINE } else { &OBJECT }
}

/// Shows the objects of a file with one on each line; empty lines are passed over.
pub(super) fn each_line(
    path: &Path,
    id_field: Option<&str>,
    show: &mut dyn FnMut(Entry) -> Result<()>,
) -> Result<()> {
    let mut file = BufReader::new(File::open(path)?);
    let mut text = Vec::new();
    for number in 1.. {
        text.clear();
        let len = file
            .by_ref()
            .take(MAX_LINE + 1)
            .read_until(b'\n', &mut text)?;
        if len == 0 {
            break;
        }
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text);
        if text.trim_ascii().is_empty() {
            continue;
        }
        if len as u64 > MAX_LINE {
            return Err(LINE.at(number, "it is too long"));
        }
        let json = serde_json::from_slice(text).map_err(|_| LINE.at(number, NO_OBJECT))?;
        show(entry(&json, number, id_field, &LINE)?)?;
    }
    Ok(())
}

/// Shows the objects of a list, one by one: the list is not held in memory.
pub(super) fn each_of_list(
    path: &Path,
    id_field: Option<&str>,
    show: &mut dyn FnMut(Entry) -> Result<()>,
) -> Result<()> {
    let (file, allowance) = Bounded::open(path, MAX_LINE)?;
    let mut reader = Deserializer::new(IoRead::new(BufReader::new(file)));
    let mut failed = None;
    let mut number = 0;
    let list = List {
        show: &mut |json: Json| {
            number += 1;
            allowance.renew();
            entry(&json, number, id_field, &OBJECT).and_then(&mut *show)
        },
        failed: &mut failed,
    };
    let read = list.deserialize(&mut reader).and_then(|()| reader.end());
    match (failed, read) {
        (Some(error), _) => Err(error),
        (None, Ok(())) => Ok(()),
        (None, Err(error)) if error.is_io() => {
            let error = std::io::Error::from(error);
            Err(if is_too_long(&error) {
                OBJECT.at(number + 1, "it is too long")
            } else {
                Error::File(error)
            })
        }
        (None, Err(error)) => {
            let line = u64::try_from(error.line()).unwrap_or(u64::MAX);
            Err(LINE.at(line, "the file is not a JSON list of objects from there on"))
        }
    }
}

fn entry(json: &Json, number: u64, id_field: Option<&str>, refusal: &Refusal) -> Result<Entry> {
    let fields = fields(json).ok_or_else(|| refusal.at(number, NO_OBJECT))?;
    let id = match id_field {
        Some(name) => field_id(&fields, name).ok_or_else(|| refusal.at(number, NO_ID))?,
        None => id_of(&fields),
    };
    Ok(Entry {
        number,
        id,
        fields,
        files: Vec::new(),
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

/// Shows each element of a list as it is read.
struct List<'a, F> {
    show: &'a mut F,
    /// Why `show` failed.
    failed: &'a mut Option<Error>,
}

impl<'de, F: FnMut(Json) -> Result<()>> DeserializeSeed<'de> for List<'_, F> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(
        self,
        reader: D,
    ) -> std::result::Result<(), D::Error> {
        reader.deserialize_seq(self)
    }
}

impl<'de, F: FnMut(Json) -> Result<()>> Visitor<'de> for List<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> std::result::Result<(), A::Error> {
        while let Some(json) = list.next_element()? {
            if let Err(error) = (self.show)(json) {
                *self.failed = Some(error);
                return Err(A::Error::custom("refused"));
            }
        }
        Ok(())
    }
}
