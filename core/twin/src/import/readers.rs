//! The readers of an import, fed without a file: see [`crate::readers`].

use std::io::Cursor;
use std::path::Path;

use super::entry::{self, Entry, Show};
use super::{objects, records, table, vcard};
use crate::error::Result;

/// Contacts.
pub fn cards(bytes: &[u8]) -> bool {
    is_read(|show| vcard::each(bytes, show))
}

/// A table.
pub fn table(bytes: &[u8]) -> bool {
    is_read(|show| table::each(Cursor::new(bytes), None, show).map(drop))
}

/// A JSON object a line.
pub fn lines(bytes: &[u8]) -> bool {
    is_read(|show| objects::each_line(bytes, None, show))
}

/// A list of JSON objects.
pub fn list(bytes: &[u8]) -> bool {
    is_read(|show| objects::each_of_list(bytes, None, show))
}

/// Records of an export. What they name beside them is looked for in a folder that is not there.
pub fn records(bytes: &[u8]) -> bool {
    let mut count = 0;
    let nowhere = Path::new("/nowhere");
    let read = records::each(bytes, nowhere, &mut |_| {
        count += 1;
        Ok(())
    });
    read.is_ok() && count > 0
}

/// Whether a file is read to its end and has something in it; the same both times that it is read.
fn is_read(each: impl Fn(Show<'_>) -> Result<()>) -> bool {
    let read = || {
        let mut ids = Vec::new();
        each(&mut |entry: Entry| {
            let id = entry.id.as_deref().unwrap_or("all");
            let fits = entry::check("all", id, &entry).is_ok();
            ids.push((entry.id, fits));
            Ok(())
        })
        .map(|()| ids)
        .ok()
    };
    let first = read();
    assert_eq!(first, read());
    first.is_some_and(|ids| ids.iter().any(|(_, fits)| *fits))
}
