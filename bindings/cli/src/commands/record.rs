//! `twin put | get | list | delete`

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};
use twin::json::{fields_to_json, from_json, to_json as value_to_json};
use twin::{Collection, Fields, Record, Twin, Value};

use crate::args::Put;
use crate::error::{CliError, Result};
use crate::output::{Context, table};

const PAGE: usize = 500;

pub fn put(cx: &Context, options: &Put) -> Result<()> {
    let path = Path::parse(&options.record)?;
    let fields = parse_fields(&options.fields)?;
    let twin = cx.open()?;
    let collection = path.collection(&twin)?;
    if options.patch {
        collection.patch(path.id, fields)?;
    } else {
        collection.put(path.id, fields)?;
    }
    cx.event(json!({"written": options.record}));
    cx.say(format!("written: {}", options.record));
    Ok(())
}

pub fn get(cx: &Context, record: &str) -> Result<()> {
    let path = Path::parse(record)?;
    let twin = cx.open()?;
    let found = path.collection(&twin)?.get(path.id)?;
    let found = found.ok_or_else(|| CliError::NoRecord(record.to_owned()))?;
    cx.event(to_json(&found));
    let rows: Vec<Vec<String>> = found
        .fields
        .0
        .iter()
        .map(|(name, value)| vec![printable(name), for_people(value)])
        .collect();
    cx.say(table(&rows).trim_end());
    Ok(())
}

pub fn list(cx: &Context, place: Option<&str>) -> Result<()> {
    let twin = cx.open()?;
    let names: Vec<String> = match place.map(|place| place.split_once('/')) {
        None => twin.spaces()?.iter().map(ToString::to_string).collect(),
        Some(None) => twin.space(place.unwrap_or_default())?.collections()?,
        Some(Some((space, collection))) => {
            return list_records(cx, &twin.space(space)?.collection(collection));
        }
    };
    cx.event(json!(names));
    if names.is_empty() {
        cx.say("nothing here yet");
    } else {
        let names: Vec<String> = names.iter().map(|name| printable(name)).collect();
        cx.say(names.join("\n"));
    }
    Ok(())
}

fn list_records(cx: &Context, collection: &Collection) -> Result<()> {
    let mut records = collection.list_all(PAGE)?;
    // The vault's order hides names, which people like sorted.
    records.sort_by(|a, b| a.id.cmp(&b.id));
    cx.event(Json::Array(records.iter().map(to_json).collect()));
    if records.is_empty() {
        cx.say("nothing here yet");
    }
    let rows: Vec<Vec<String>> = records.iter().map(|record| row(record).into()).collect();
    if !rows.is_empty() {
        cx.say(table(&rows).trim_end());
    }
    Ok(())
}

pub fn delete(cx: &Context, record: &str) -> Result<()> {
    let path = Path::parse(record)?;
    let twin = cx.open()?;
    let collection = path.collection(&twin)?;
    if collection.get(path.id)?.is_none() {
        return Err(CliError::NoRecord(record.to_owned()));
    }
    collection.delete(path.id)?;
    cx.event(json!({"deleted": record}));
    cx.say(format!("deleted: {record}"));
    Ok(())
}

/// SPACE/COLLECTION/ID; the id may contain further slashes.
struct Path<'a> {
    space: &'a str,
    collection: &'a str,
    id: &'a str,
}

impl<'a> Path<'a> {
    fn parse(text: &'a str) -> Result<Self> {
        let mut parts = text.splitn(3, '/').filter(|part| !part.is_empty());
        match (parts.next(), parts.next(), parts.next()) {
            (Some(space), Some(collection), Some(id)) => Ok(Self {
                space,
                collection,
                id,
            }),
            _ => Err(CliError::RecordPath(text.to_owned())),
        }
    }

    fn collection(&self, twin: &Twin) -> Result<Collection> {
        Ok(twin.space(self.space)?.collection(self.collection))
    }
}

fn parse_fields(texts: &[String]) -> Result<Fields> {
    let mut fields = BTreeMap::new();
    for text in texts {
        let wrong = || CliError::Field(text.clone());
        let (name, value) = text.split_once('=').ok_or_else(wrong)?;
        let (name, value) = match name.strip_suffix(':') {
            Some(name) => (name, json_value(value).ok_or_else(wrong)?),
            None => (name, Value::from(value)),
        };
        if name.is_empty() {
            return Err(wrong());
        }
        fields.insert(name.to_owned(), value);
    }
    Ok(Fields(fields))
}

/// The value that stands there in JSON.
pub fn json_value(text: &str) -> Option<Value> {
    from_json(&serde_json::from_str(text).ok()?)
}

/// A record for programs.
pub fn to_json(record: &Record) -> Json {
    json!({"id": record.id, "fields": fields_to_json(&record.fields)})
}

/// A record for people: its id and its fields.
pub fn row(record: &Record) -> [String; 2] {
    let fields = record.fields.0.iter();
    let fields: Vec<String> = fields
        .map(|(name, value)| format!("{}={}", printable(name), for_people(value)))
        .collect();
    [printable(&record.id), fields.join("  ")]
}

fn for_people(value: &Value) -> String {
    match value {
        Value::Text(text) => printable(text),
        other => value_to_json(other).to_string(),
    }
}

/// Text from another device must not command this terminal, nor turn its lines around.
pub fn printable(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let shown = |c: char| {
        if c.is_control() || turns(c) {
            '\u{fffd}'
        } else {
            c
        }
    };
    text.chars().map(shown).collect()
}
