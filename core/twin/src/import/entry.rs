//! What all importers of foreign files have in common: a file becomes entries, each of them a record with an id that
//! follows from what it is made of. All of it is looked through first, then written; done twice it changes nothing.

use std::collections::HashMap;

use data_encoding::HEXLOWER;
use twin_identity::cbor;
use twin_identity::context;
use twin_ops::change::MAX_RECORD_ID;
use twin_ops::space::SpaceName;
use twin_ops::value::{Fields, Value};
use twin_vault::change::RESERVED_NAME;
use twin_vault::{Record, VaultError, WriteChange};

use super::{Batch, Imported};
use crate::error::{Error, Result};
use crate::progress::Watch;
use crate::space::{Collection, Space};
use crate::twin::Twin;

/// The most bytes of a record that is imported: it has to fit into an operation.
pub(super) const MAX_ENTRY: usize = 768 << 10;
/// The most bytes of a picture that stays in its record; larger ones become files.
pub(super) const MAX_INLINE: usize = 256 << 10;

/// A record to be.
pub(super) struct Entry {
    /// The line or card that it is made of, from 1 on.
    pub number: u64,
    /// Its id, if it has one of its own; else it follows from all that it is made of.
    pub id: Option<String>,
    /// Its fields.
    pub fields: Fields,
    /// Fields that hold what is too large for a record.
    pub files: Vec<(String, Vec<u8>)>,
    /// How many numbers in it are text, for they have too many digits.
    pub as_text: u64,
}

/// Is shown the entries of a file.
pub(super) type Show<'s> = &'s mut dyn FnMut(Entry) -> Result<()>;

/// What cannot be imported, and why.
pub(super) struct Refusal {
    /// "line" or "card".
    pub what: &'static str,
}

impl Refusal {
    /// The error for the entry with this number.
    pub fn at(&self, number: u64, why: &'static str) -> Error {
        Error::ImportEntry {
            what: self.what,
            number,
            why,
        }
    }
}

/// The id of a record made of these bytes.
pub(super) fn short_id(bytes: &[u8]) -> String {
    HEXLOWER.encode(&digest(bytes))
}

/// A text as the id of a record: itself, or if it is too long its beginning with a hash of all of it.
pub(super) fn text_id(text: &str) -> String {
    if text.len() <= MAX_RECORD_ID {
        return text.to_owned();
    }
    let hash = short_id(text.as_bytes());
    let cut = text.floor_char_boundary(MAX_RECORD_ID - hash.len() - 1);
    format!("{}-{hash}", text.get(..cut).unwrap_or_default())
}

/// Tells apart what was read; nobody has an interest in two that are alike but who made the file.
pub(super) type Digest = [u8; 16];

/// The digest of these bytes.
pub(super) fn digest(bytes: &[u8]) -> Digest {
    let hash = context::IMPORTED.hash([bytes]);
    hash.first_chunk().copied().unwrap_or_default()
}

/// The id that a record's own field gives it.
pub(super) fn field_id(fields: &Fields, name: &str) -> Option<String> {
    match fields.0.get(name)? {
        Value::Text(text) if !text.is_empty() => Some(text_id(text)),
        Value::Int(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Takes the entries that `each` shows, the same ones each time, into a collection.
pub(super) fn take_in(
    to: &Collection,
    refusal: &Refusal,
    watch: &mut Watch<'_>,
    mut each: impl FnMut(Show<'_>) -> Result<()>,
) -> Result<Imported> {
    let mut seen = Seen::default();
    let mut ids = Ids::default();
    each(&mut |entry| {
        let content = content_of(&entry);
        let id = ids.of(&entry, || content);
        check(to.name(), &id, &entry).map_err(|why| refusal.at(entry.number, why))?;
        let noted = seen.note(id.as_bytes(), content);
        noted.map_err(|why| refusal.at(entry.number, why))
    })?;
    let mut taking = Taking {
        to,
        ids: Ids::default(),
        batch: Batch::default(),
        imported: Imported::default(),
    };
    each(&mut |entry| taking.take(entry, watch))?;
    taking.batch.write(to.space().twin())?;
    Ok(taking.imported)
}

/// Whether a record can be made of an entry; if not, why.
pub(super) fn check(
    collection: &str,
    id: &str,
    entry: &Entry,
) -> std::result::Result<(), &'static str> {
    if cbor::len(&entry.fields) > MAX_ENTRY {
        return Err("it is too large for a record");
    }
    let change = WriteChange::put(collection, id, entry.fields.clone());
    match change.check() {
        Ok(()) => Ok(()),
        Err(twin_vault::VaultError::InvalidChange(why)) => Err(why),
        Err(_) => Err("it cannot be a record"),
    }
}

fn content_of(entry: &Entry) -> Digest {
    let mut content = cbor::encode(&entry.fields);
    for (name, bytes) in &entry.files {
        content.extend_from_slice(name.as_bytes());
        content.extend_from_slice(&digest(bytes));
    }
    digest(&content)
}

/// What the records that were looked at are called, and what is in each.
#[derive(Default)]
pub(super) struct Seen(HashMap<Digest, Digest>);

impl Seen {
    /// Notes a record, or says why not: of two with the same id nobody can say which one was meant.
    pub fn note(&mut self, id: &[u8], content: Digest) -> std::result::Result<(), &'static str> {
        match self.0.insert(digest(id), content) {
            Some(before) if before != content => Err("another one before it has the same id"),
            _ => Ok(()),
        }
    }
}

/// The ids of a file's entries.
#[derive(Default)]
struct Ids {
    /// How many entries without an id of their own there were, by what they are made of.
    alike: HashMap<Digest, u64>,
}

impl Ids {
    /// The id of the next entry. Of those that are alike each is a record: who bought two coffees has two lines.
    fn of(&mut self, entry: &Entry, content: impl FnOnce() -> Digest) -> String {
        if let Some(id) = &entry.id {
            return id.clone();
        }
        let content = content();
        let id = HEXLOWER.encode(&content);
        let count = self.alike.entry(content).or_default();
        *count += 1;
        match *count {
            1 => id,
            count => format!("{id}-{count}"),
        }
    }
}

struct Taking<'a> {
    to: &'a Collection,
    ids: Ids,
    batch: Batch,
    imported: Imported,
}

impl Taking<'_> {
    fn take(&mut self, mut entry: Entry, watch: &mut Watch<'_>) -> Result<()> {
        let space: &Space = self.to.space();
        let id = self.ids.of(&entry, || content_of(&entry));
        self.imported.as_text += entry.as_text;
        let mut stored = Vec::new();
        for (name, bytes) in &entry.files {
            let total = Some(bytes.len() as u64);
            let content = space.store(&mut bytes.as_slice(), total, watch)?;
            entry
                .fields
                .0
                .insert(name.clone(), content.root().to_value());
            stored.push(content);
        }
        if !self.imported.count(self.to, &id, &entry.fields)? {
            for content in stored {
                space.drop_content(content)?;
            }
            return Ok(());
        }
        let len = cbor::len(&entry.fields);
        let change = WriteChange::put(self.to.name(), &id, entry.fields);
        if !stored.is_empty() {
            return space.commit_imported(vec![change], &stored);
        }
        if self.batch.is_full(space.name(), len) {
            self.batch.write(space.twin())?;
        }
        self.batch.add(space.name().clone(), change, len);
        Ok(())
    }
}

impl Imported {
    /// Counts a record with these fields by what is here under its id; `true` if it is to be written.
    pub(super) fn count(
        &mut self,
        collection: &Collection,
        id: &str,
        fields: &Fields,
    ) -> Result<bool> {
        let here = collection.get(id)?;
        // As they are written: a float that is no number is not equal to itself.
        let is_same = |record: &Record| cbor::encode(&record.fields) == cbor::encode(fields);
        if here.as_ref().is_some_and(is_same) {
            self.same += 1;
            return Ok(false);
        }
        self.written += 1;
        self.replaced += u64::from(here.is_some());
        Ok(true)
    }
}

/// The collection of a twin that foreign files are to go to.
pub(super) fn collection(twin: &Twin, to: Option<&(SpaceName, String)>) -> Result<Collection> {
    let (space, name) = to.ok_or(Error::ImportWhere)?;
    if name.starts_with('~') {
        return Err(VaultError::InvalidChange(RESERVED_NAME).into());
    }
    Ok(Space::new(twin.clone(), space.clone()).collection(name))
}
