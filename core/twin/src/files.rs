//! Files: content of any size, named by a record like any other.
//!
//! A record holds a file in a field, [`CONTENT`] where a file is all that it is: with `name`, `type` (media type), `size`
//! (bytes) and `modified` (milliseconds since the Unix epoch, if known) beside it. So a file is found, shared, synced and
//! deleted as its record is. Its content is here only once in a space, however many records name it.
//!
//! - `add`: taking files in; `stored`: reading and saving them; `media`: media types
//! - `fetch`: getting from other devices what is not here

mod add;
mod fetch;
mod media;
mod stored;

use twin_ops::value::{Fields, Value};
use twin_vault::Record;
use twin_vault::files::Root;

use crate::error::{Error, Result};
use crate::space::{Collection, Space};

pub(crate) use add::open_file;
pub use add::{AddedFile, NewFile};
pub use fetch::Fetch;
pub use stored::StoredFile;
pub(crate) use stored::is_there;

/// The collection that files go to if no other is named.
pub const FILES: &str = "files";
/// The field that holds a file.
pub const CONTENT: &str = "content";

pub(crate) const NAME: &str = "name";
pub(crate) const TYPE: &str = "type";
pub(crate) const SIZE: &str = "size";
pub(crate) const MODIFIED: &str = "modified";

/// How many records are read at once.
const PAGE: usize = 200;

/// What a record says of the file that it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileInfo {
    /// The collection.
    pub collection: String,
    /// The record's id in it.
    pub id: String,
    /// What the file is called; empty if the record does not say.
    pub name: String,
    /// Its media type; empty if the record does not say.
    pub media_type: String,
    /// How many bytes it has.
    pub size: u64,
    /// When it was last changed before it was added, in milliseconds since the Unix epoch.
    pub modified: Option<u64>,
}

impl FileInfo {
    /// What a record says; `None` if it holds no file.
    pub fn of(collection: &str, record: &Record) -> Option<Self> {
        let root = root_of(&record.fields)?;
        Some(Self {
            collection: collection.to_owned(),
            id: record.id.clone(),
            name: text(&record.fields, NAME),
            media_type: text(&record.fields, TYPE),
            size: root.len(),
            modified: match record.fields.0.get(MODIFIED) {
                Some(Value::Int(millis)) => u64::try_from(*millis).ok(),
                _ => None,
            },
        })
    }
}

/// The file that a record holds: in its field [`CONTENT`], else in the first that holds one, as a contact does whose photo is
/// too large for a record.
fn root_of(fields: &Fields) -> Option<Root> {
    let content = fields.0.get(CONTENT).and_then(Root::of);
    content.or_else(|| fields.0.values().find_map(Root::of))
}

fn text(fields: &Fields, name: &str) -> String {
    match fields.0.get(name) {
        Some(Value::Text(text)) => text.clone(),
        _ => String::new(),
    }
}

impl Collection {
    /// The file that a record holds.
    fn root_of_file(&self, id: &str) -> Result<Root> {
        let record = self.get(id)?;
        let root = record.and_then(|record| root_of(&record.fields));
        root.ok_or(Error::NoSuchFile)
    }
}

impl Space {
    /// Shows the files of this space, in any collection: what the records say. Reads every record of the space.
    pub fn each_file(&self, mut show: impl FnMut(FileInfo) -> Result<()>) -> Result<()> {
        for name in self.collections()? {
            self.collection(&name).each(PAGE, |record| {
                FileInfo::of(&name, &record).map_or(Ok(()), &mut show)
            })?;
        }
        Ok(())
    }
}
