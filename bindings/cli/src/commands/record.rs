//! `twin put | get | delete | restore`, and the places of records and collections

use serde_json::{Value as Json, json};
use twin::json::fields_to_json;
use twin::{Collection, Record, Twin};

use crate::args::Put;
use crate::commands::field::{Typed, for_people};
use crate::error::{CliError, Result};
use crate::output::{Context, table};

pub fn put(cx: &Context, options: &Put) -> Result<()> {
    let path = RecordPath::parse(&options.record)?;
    let Typed { fields, edits } = Typed::parse(&options.fields)?;
    let edits_only = fields.0.is_empty() && !edits.is_empty();
    if !edits.is_empty() && !edits_only && !options.patch {
        return Err(CliError::EditsNeedPatch);
    }
    let twin = cx.open()?;
    let collection = path.collection(&twin)?;
    if options.patch || edits_only {
        collection.patch_with(path.id, fields, edits)?;
    } else {
        collection.put(path.id, fields)?;
    }
    cx.event(json!({"written": options.record}));
    cx.say(format!("written: {}", printable(&options.record)));
    Ok(())
}

pub fn get(cx: &Context, record: &str) -> Result<()> {
    let path = RecordPath::parse(record)?;
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

pub fn delete(cx: &Context, record: &str) -> Result<()> {
    let path = RecordPath::parse(record)?;
    let twin = cx.open()?;
    let collection = path.collection(&twin)?;
    if collection.get(path.id)?.is_none() {
        return Err(CliError::NoRecord(record.to_owned()));
    }
    collection.delete(path.id)?;
    cx.event(json!({"deleted": record}));
    cx.say(format!("deleted: {}", printable(record)));
    Ok(())
}

pub fn restore(cx: &Context, record: &str) -> Result<()> {
    let path = RecordPath::parse(record)?;
    let twin = cx.open()?;
    path.collection(&twin)?.restore(path.id)?;
    cx.event(json!({"restored": record}));
    cx.say(format!("restored: {}", printable(record)));
    Ok(())
}

/// The collection that SPACE/COLLECTION names.
pub struct CollectionPath<'a> {
    space: &'a str,
    collection: &'a str,
}

impl<'a> CollectionPath<'a> {
    pub fn parse(text: &'a str) -> Result<Self> {
        let parts: Vec<&str> = text.splitn(3, '/').collect();
        match *parts.as_slice() {
            [space, collection] if !space.is_empty() && !collection.is_empty() => {
                Ok(Self { space, collection })
            }
            [_, _, id] if !id.is_empty() => Err(CliError::IsRecordPath(text.to_owned())),
            _ => Err(CliError::CollectionPath(text.to_owned())),
        }
    }

    pub fn collection(&self, twin: &Twin) -> Result<Collection> {
        Ok(twin.space(self.space)?.collection(self.collection))
    }
}

/// The space that SPACE or SPACE/COLLECTION names, and the collection if one is named.
pub fn place(text: &str) -> Result<(&str, Option<&str>)> {
    if !text.contains('/') {
        return Ok((text, None));
    }
    let path = CollectionPath::parse(text)?;
    Ok((path.space, Some(path.collection)))
}

/// SPACE/COLLECTION/ID; the id may contain further slashes.
pub struct RecordPath<'a> {
    space: &'a str,
    collection: &'a str,
    pub id: &'a str,
}

impl<'a> RecordPath<'a> {
    pub fn parse(text: &'a str) -> Result<Self> {
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

    pub fn collection(&self, twin: &Twin) -> Result<Collection> {
        Ok(twin.space(self.space)?.collection(self.collection))
    }
}

/// After an answer: fails if something that is damaged is missing from it, so that nobody takes it for all there is.
pub fn is_all(twin: &Twin) -> Result<()> {
    match twin.left_out() {
        0 => Ok(()),
        left_out => Err(CliError::LeftOut(left_out)),
    }
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
