//! Contacts: vCard 4.0 (RFC 6350), 3.0 (RFC 2426) and, as old phones write it, 2.1.
//!
//! Each card becomes a record. Well-known properties get plain names (`name`, `email`, `phone (cell)`), others keep
//! theirs in small letters; a property that comes again gets a number. Photos up to 256 KiB stay in the record, larger
//! ones become files. A label that a card gives a property by their group, as address books of phones do, is its kind:
//! `phone (boat)`. What a card says of an agent, in a card within it, is called `agent name` and so on. The record's id
//! is the card's UID or, if it has none, a hash of the card.

mod lines;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io::BufRead;

use twin_ops::value::{Fields, MAX_FIELD_NAME, Value};

use super::entry::{Entry, MAX_INLINE, Refusal, Show, text_id};
use crate::error::{Error, Result};
use lines::{Fault, Line, Lines, Why, components, unescaped};

/// The most properties of a card, and bytes of all its pictures.
const MAX_PROPERTIES: usize = 2048;
const MAX_FILES: usize = 32 << 20;
const REFUSAL: Refusal = Refusal { what: "card" };

/// The refusal of a card.
pub(super) const fn refusal() -> &'static Refusal {
    &REFUSAL
}

/// Shows the cards of a text.
pub(super) fn each(text: impl BufRead, show: Show<'_>) -> Result<()> {
    let mut lines = Lines::new(text);
    let mut number = 0;
    while let Some(line) = next(&mut lines, number + 1)? {
        number += 1;
        if !(line.name == "BEGIN" && line.value.eq_ignore_ascii_case(b"VCARD")) {
            return Err(REFUSAL.at(number, "it does not begin with BEGIN:VCARD"));
        }
        let mut card = Card::default();
        let mut was_agent = false;
        loop {
            let line = next(&mut lines, number)?;
            let line = line.ok_or_else(|| REFUSAL.at(number, "it has no END:VCARD"))?;
            let is_agent = line.name == "AGENT" && line.value.trim_ascii().is_empty();
            let follows_agent = std::mem::replace(&mut was_agent, is_agent);
            match line.name.as_str() {
                "END" if card.depth == 0 => break,
                "END" => card.depth -= 1,
                "BEGIN" if follows_agent => card.depth += 1,
                "BEGIN" => return Err(REFUSAL.at(number, "it has no END:VCARD")),
                _ => card.add(&line).map_err(|why| REFUSAL.at(number, why))?,
            }
        }
        show(card.entry(number))?;
    }
    Ok(())
}

fn next(lines: &mut Lines<impl BufRead>, number: u64) -> Result<Option<Line>> {
    lines.next().map_err(|fault| match fault {
        Fault::Wrong(why) => REFUSAL.at(number, why),
        Fault::Io(error) => Error::File(error),
    })
}

#[derive(Default)]
struct Card {
    uid: Option<String>,
    /// In how many cards within it the next property is: vCard 2.1 has there whoever acts for the person.
    depth: usize,
    fields: Fields,
    files: Vec<(String, Vec<u8>)>,
    /// Properties in a group, whose label may come after them.
    grouped: Vec<Grouped>,
    labels: BTreeMap<Group, String>,
    /// The next number to try for a name, so that many alike take no time.
    numbers: BTreeMap<String, usize>,
    /// Bytes of all pictures, and of those that stay in the record.
    bytes: usize,
    inline: usize,
    properties: usize,
}

/// A group of properties: in how many cards within the first it is, and its name.
type Group = (usize, String);

struct Grouped {
    group: Group,
    /// What the property is called by its kind, and without one.
    label: String,
    plain: String,
    text: String,
}

impl Card {
    fn add(&mut self, line: &Line) -> std::result::Result<(), Why> {
        self.properties += 1;
        if self.properties > MAX_PROPERTIES {
            return Err("it has too many properties");
        }
        if let Some(bytes) = line.binary() {
            return self.add_bytes(line, bytes?);
        }
        let text = line.text()?;
        match line.name.as_str() {
            // What is true of the file and not of the person.
            "VERSION" | "PRODID" | "REV" => {}
            "UID" if self.depth == 0 => {
                let uid = unescaped(text.trim());
                self.uid = Some(uid).filter(|uid| !uid.is_empty());
            }
            "N" => {
                const NAMES: [&str; 5] = [
                    "family name",
                    "given name",
                    "additional names",
                    "name prefix",
                    "name suffix",
                ];
                for (name, part) in NAMES.into_iter().zip(components(&text)) {
                    self.put(name, part);
                }
            }
            "ADR" | "ORG" => {
                let parts = components(&text);
                let parts: Vec<&str> = parts.iter().map(|part| part.trim()).collect();
                let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
                self.put_one(line, parts.join(", "));
            }
            "X-ABLABEL" if !line.group.is_empty() => {
                let group = (self.depth, line.group.clone());
                self.labels.insert(group, own_kind(&unescaped(&text)));
            }
            _ => self.put_one(line, unescaped(&text)),
        }
        Ok(())
    }

    fn put_one(&mut self, line: &Line, text: String) {
        if line.group.is_empty() {
            return self.put(&label(line), text);
        }
        self.grouped.push(Grouped {
            group: (self.depth, line.group.clone()),
            label: label(line),
            plain: plain_name(&line.name),
            text,
        });
    }

    fn put_grouped(&mut self) {
        let grouped = std::mem::take(&mut self.grouped);
        let mut labels = std::mem::take(&mut self.labels);
        // What it says of a picture, for instance.
        labels.retain(|group, kind| {
            let is_used = grouped.iter().any(|one| one.group == *group);
            if !is_used {
                self.depth = group.0;
                self.put("label", std::mem::take(kind));
            }
            is_used && !kind.is_empty()
        });
        for one in grouped {
            self.depth = one.group.0;
            match labels.get(&one.group) {
                Some(kind) => self.put(&format!("{} ({kind})", one.plain), one.text),
                None => self.put(&one.label, one.text),
            }
        }
    }

    fn add_bytes(&mut self, line: &Line, bytes: Vec<u8>) -> std::result::Result<(), Why> {
        self.bytes += bytes.len();
        if self.bytes > MAX_FILES {
            return Err("its pictures are too large");
        }
        let name = self.free(&plain_name(&line.name));
        if self.inline + bytes.len() <= MAX_INLINE {
            self.inline += bytes.len();
            self.fields.0.insert(name, Value::Bytes(bytes));
        } else {
            self.files.push((name, bytes));
        }
        Ok(())
    }

    fn put(&mut self, name: &str, text: String) {
        if !text.is_empty() {
            let name = self.free(name);
            self.fields.0.insert(name, Value::Text(text));
        }
    }

    /// A name that no field has yet.
    fn free(&mut self, name: &str) -> String {
        let name = "agent ".repeat(self.depth) + name;
        let cut = name.floor_char_boundary(MAX_FIELD_NAME - 6);
        let name = name.get(..cut).unwrap_or_default();
        let next = self.numbers.entry(name.to_owned()).or_insert(1);
        loop {
            let numbered = match *next {
                1 => name.to_owned(),
                number => format!("{name} {number}"),
            };
            *next += 1;
            let is_file = self.files.iter().any(|(other, _)| *other == numbered);
            if !is_file && !self.fields.0.contains_key(&numbered) {
                return numbered;
            }
        }
    }

    fn entry(mut self, number: u64) -> Entry {
        self.put_grouped();
        Entry {
            number,
            id: self.uid.as_deref().map(text_id),
            fields: self.fields,
            files: self.files,
            as_text: 0,
        }
    }
}

/// What a field is called: the property, and what kind of it.
fn label(line: &Line) -> String {
    // These say nothing to a person.
    const DULL: [&str; 6] = [
        "internet",
        "voice",
        "pref",
        "x400",
        "quoted-printable",
        "text",
    ];
    let name = plain_name(&line.name);
    let kind = line
        .param("TYPE")
        .find(|kind| !kind.is_empty() && !DULL.contains(&kind.as_str()) && !kind.contains("utf"));
    match kind {
        Some(kind) => format!("{name} ({kind})"),
        None => name,
    }
}

/// The kind that a label of the person's own says. Those of an address book itself stand in marks there.
fn own_kind(label: &str) -> String {
    let marked = label.trim().strip_prefix("_$!<");
    match marked.and_then(|label| label.strip_suffix(">!$_")) {
        Some(label) => label.to_lowercase(),
        None => label.trim().to_owned(),
    }
}

fn plain_name(name: &str) -> String {
    match name {
        "FN" => "name",
        "TEL" => "phone",
        "ADR" => "address",
        "ORG" => "organization",
        "BDAY" => "birthday",
        other => return other.to_lowercase(),
    }
    .to_owned()
}
