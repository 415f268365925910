//! The readers of a salvage, fed without a vault: see [`crate::readers`].

use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use super::btree::{self, Kind};
use super::carve::{Carver, Verdict};
use super::pages::Pages;
use super::wal::Wal;
use crate::error::Result;
use crate::logged::{HEADER, look};
use crate::store::Store;
use crate::wal::PAGE;

/// Where the header of a write-ahead log has the size of pages.
const PAGE_SIZE: usize = 8;
/// The tables whose rows are carved.
const TABLES: [&str; 6] = ["slot", "tries", "item", "op", "late", "chunk"];

/// A folder for files, which goes with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("twin-readers-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir(&folder)?;
        Ok(Self(folder))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The pages of a file and its log: the length of the file in four bytes, the file, the log.
    fn pages(&self, bytes: &[u8]) -> Result<Pages> {
        let (len, rest) = bytes.split_first_chunk().unwrap_or((&[0; 4], &[]));
        let len = usize::try_from(u32::from_be_bytes(*len)).unwrap_or(usize::MAX);
        let (file, log) = rest.split_at(len.min(rest.len()));
        fs::write(self.path("db"), file)?;
        fs::write(self.path("db-wal"), log)?;
        Pages::open(&self.path("db"))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Whether rows can be read in the pages of a file, whatever each page says that it is.
pub(crate) fn pages(bytes: &[u8]) -> Result<bool> {
    const KINDS: [Kind; 4] = [
        Kind::TableLeaf,
        Kind::TableInterior,
        Kind::IndexLeaf,
        Kind::IndexInterior,
    ];
    let scratch = Scratch::new()?;
    let pages = scratch.pages(bytes)?;
    let mut found = false;
    for number in pages.numbers() {
        for (layer, page) in pages.versions(number)? {
            for kind in KINDS {
                assert!(btree::children(&page, number, kind).len() <= PAGE / 4);
                let (rows, missed) = btree::rows(&pages, &page, number, kind, layer, true)?;
                assert!(rows.len() <= PAGE / 2 && missed <= PAGE as u64 / 4);
                found |= !rows.is_empty();
            }
        }
    }
    Ok(found)
}

/// Whether rows of a file find their way into the tables of a new one.
pub(crate) fn carve(bytes: &[u8]) -> Result<bool> {
    let scratch = Scratch::new()?;
    let pages = scratch.pages(bytes)?;
    let store = Store::create(&scratch.path("new"))?;
    let carver = Carver::new(&pages, &store)?;
    let mut rows = 0;
    carver.carve(&store, &TABLES, &mut |_, _, _| {
        rows += 1;
        Verdict::Keep
    })?;
    Ok(rows > 0)
}

/// Whether a write-ahead log has a first page. A salvage finds the same one as whoever asks for the version.
pub(crate) fn log(bytes: &[u8]) -> Result<bool> {
    let newest = look(&mut &*bytes)?.header;
    let scratch = Scratch::new()?;
    fs::write(scratch.path("wal"), bytes)?;
    let wal = Wal::read(File::open(scratch.path("wal"))?)?;
    let size = bytes.get(PAGE_SIZE..).and_then(<[u8]>::first_chunk);
    if size.is_some_and(|size| u32::from_be_bytes(*size) as usize == PAGE) {
        let first = wal.at(1).and_then(|at| at.sound);
        let first = first.map(|at| wal.page(at)).transpose()?;
        let header = first.as_deref().and_then(<[u8]>::first_chunk::<HEADER>);
        assert_eq!(header, newest.as_ref());
    }
    Ok(newest.is_some())
}

/// What these take: a file, a file with a log, a log.
pub(crate) fn samples() -> Result<[Vec<u8>; 3]> {
    let scratch = Scratch::new()?;
    let path = scratch.path("db");
    let store = Store::create(&path)?;
    let together = || -> Result<Vec<u8>> {
        let file = fs::read(&path)?;
        let log = fs::read(scratch.path("db-wal")).unwrap_or_default();
        let len = u32::try_from(file.len()).unwrap_or(u32::MAX).to_be_bytes();
        Ok([len.as_slice(), &file, &log].concat())
    };
    store
        .sql("INSERT INTO op (n, v) VALUES (?1, ?2)")?
        .execute((7, [1; 40]))?;
    store
        .sql("INSERT INTO op (n, v) VALUES (?1, ?2)")?
        .execute((9, vec![2; 6000]))?;
    store
        .sql("INSERT INTO item (kind, name, v) VALUES (1, x'00', x'0102')")?
        .execute([])?;
    let logged = together()?;
    let log = fs::read(scratch.path("db-wal"))?;
    store.close()?;
    Ok([together()?, logged, log])
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::super::pages::Layer;
    use super::*;

    /// Such a number would make a salvage go through four thousand million pages that there are not.
    #[test]
    fn a_damaged_number_in_the_log_makes_no_pages() {
        let [_, mut logged, _] = samples().unwrap();
        let len = u32::from_be_bytes(*logged.first_chunk().unwrap()) as usize;
        let second_frame = 4 + len + 32 + 24 + PAGE;
        logged[second_frame] = 0xff;
        let scratch = Scratch::new().unwrap();
        let pages = scratch.pages(&logged).unwrap();
        assert!(pages.is_log_damaged());
        assert!(pages.numbers().last().unwrap() >= 0xff00_0000);
        assert!(pages.numbers().count() < 100);
        assert!(carve(&logged).unwrap());
    }

    /// A thousand cells that all lead to one row of a megabyte, whose overflow goes in circles.
    #[test]
    fn cells_that_lead_to_the_same_row_take_no_more_than_a_page_has_room_for() {
        const LEN: usize = 1 << 20;
        const CELL: usize = 2100;
        // So much of such a row is in its page; then comes where it goes on.
        const NEXT: usize = CELL + 4 + 1024;
        let mut file = vec![0; 300 * PAGE];
        let page = &mut file[PAGE..2 * PAGE];
        page[..8].copy_from_slice(&[0x0d, 0, 0, 3, 0xe8, 0, 0, 0]);
        for pointer in page[8..8 + 2 * 1000].chunks_exact_mut(2) {
            pointer.copy_from_slice(&(CELL as u16).to_be_bytes());
        }
        // Its length, its number, the length of its header, and a blob that is all the rest.
        page[CELL..CELL + 5].copy_from_slice(&[0xc0, 0x80, 0, 1, 5]);
        let kind = 12 + 2 * (LEN - 5);
        for (at, shift) in (CELL + 5..).zip([21, 14, 7, 0]) {
            page[at] = (kind >> shift) as u8 & 0x7f | 0x80;
        }
        page[CELL + 8] &= 0x7f;
        page[NEXT..NEXT + 4].copy_from_slice(&3_u32.to_be_bytes());
        file[2 * PAGE..2 * PAGE + 4].copy_from_slice(&3_u32.to_be_bytes());
        let bytes = [&(file.len() as u32).to_be_bytes(), file.as_slice()].concat();
        let scratch = Scratch::new().unwrap();
        let pages = scratch.pages(&bytes).unwrap();
        let (_, page) = pages.versions(2).unwrap().remove(0);
        let rows = btree::rows(&pages, &page, 2, Kind::TableLeaf, Layer::Sound, true);
        let (rows, missed) = rows.unwrap();
        assert!(!rows.is_empty() && rows.len() <= 33, "{}", rows.len());
        assert_eq!(rows.len() as u64 + missed, 1000);
    }
}
