//! The frames of a write-ahead log, damaged ones too.
//!
//! Each frame's checksum goes on from that of the frame before, so that SQLite reads nothing after the first that is
//! wrong. But the checksum that is gone on from stands in that frame: what comes after it can be told to be whole all the
//! same, though not whether it was ever committed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::ops::Bound;

use super::pages::PAGE;
use crate::checksum::{Checksum, Order, fill};
use crate::error::Result;

const HEADER: usize = 32;
const FRAME: usize = 24;
/// Of the header: with the last bit, checksums are made of words whose highest byte is first.
const MAGIC: u32 = 0x377f_0682;

/// Where versions of a page are in the log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct At {
    /// The newest that SQLite would read.
    pub sound: Option<u64>,
    /// Those after the first damage, the oldest first, and whether each is as it was written.
    doubtful: Vec<(bool, u64)>,
}

impl At {
    /// Those after the first damage: the newest first, and before all others those that are as they were written.
    pub fn doubtful(&self) -> impl Iterator<Item = u64> {
        let those = |wanted: bool| {
            let newest_first = self.doubtful.iter().rev();
            newest_first.filter_map(move |(whole, at)| (*whole == wanted).then_some(*at))
        };
        those(true).chain(those(false))
    }
}

/// A write-ahead log.
pub(super) struct Wal {
    file: File,
    pages: BTreeMap<u32, At>,
    /// How many pages the file has, as the newest transaction says that SQLite would read.
    size: Option<u32>,
    /// Whether there is a frame that SQLite would not read although it is of this log.
    damaged: bool,
}

impl Wal {
    /// Looks through the frames.
    pub fn read(file: File) -> Result<Self> {
        let mut reader = BufReader::with_capacity(1 << 20, file);
        let mut pages: BTreeMap<u32, At> = BTreeMap::new();
        let (mut size, mut damaged) = (None, false);
        let mut header = [0; HEADER];
        if fill(&mut reader, &mut header)? {
            let big = word(&header, 0) & 1 == 1;
            let mut begins = Checksum(0, 0);
            begins.add(header.get(..24).unwrap_or_default(), order(big));
            let whole_header = word(&header, 0) | 1 == MAGIC | 1
                && begins.is(header.get(24..).unwrap_or_default());
            let mut salts = whole_header.then(|| (word(&header, 16), word(&header, 20)));
            // A log whose header is damaged was written by this machine.
            let order = order(if whole_header {
                big
            } else {
                cfg!(target_endian = "big")
            });
            let mut sum = Checksum(word(&header, 24), word(&header, 28));
            let mut sound = whole_header;
            let mut open = Vec::new();
            let (mut frame, mut page) = ([0; FRAME], vec![0; PAGE]);
            let mut at = HEADER as u64;
            while fill(&mut reader, &mut frame)? && fill(&mut reader, &mut page)? {
                let said = Checksum(word(&frame, 16), word(&frame, 20));
                sum.add(frame.get(..8).unwrap_or_default(), order);
                sum.add(&page, order);
                let whole = sum == said;
                let own = (word(&frame, 8), word(&frame, 12));
                if salts.is_none() && whole {
                    salts = Some(own);
                }
                let ours = salts == Some(own);
                sound &= ours && whole;
                let number = word(&frame, 0);
                let page_at = at + FRAME as u64;
                if sound {
                    open.push((number, page_at));
                    // The frame that ends a transaction says how many pages the file has.
                    let pages_then = word(&frame, 4);
                    if pages_then > 0 {
                        size = Some(pages_then);
                        for (number, at) in open.drain(..) {
                            pages.entry(number).or_default().sound = Some(at);
                        }
                    }
                } else if ours && number > 0 {
                    damaged = true;
                    // What was not committed before the damage may have been committed after it.
                    for (number, at) in open.drain(..).map(|(number, at)| (number, (true, at))) {
                        pages.entry(number).or_default().doubtful.push(at);
                    }
                    let at = (whole, page_at);
                    pages.entry(number).or_default().doubtful.push(at);
                }
                sum = said;
                at = page_at + PAGE as u64;
            }
        }
        Ok(Self {
            file: reader.into_inner(),
            pages,
            size,
            damaged,
        })
    }

    /// Where versions of a page are.
    pub fn at(&self, number: u32) -> Option<&At> {
        self.pages.get(&number)
    }

    /// How many pages of the file count, if this log says so and nothing in it is damaged. Those beyond are free, and
    /// hold what was there before.
    pub fn size(&self) -> Option<u32> {
        self.size.filter(|_| !self.damaged)
    }

    /// Whether what was written last may be missing.
    pub const fn is_damaged(&self) -> bool {
        self.damaged
    }

    /// The pages after `number` that there are versions of, up to `last`.
    pub fn after(&self, number: u32, last: u32) -> impl Iterator<Item = u32> {
        let range = (Bound::Excluded(number), Bound::Unbounded);
        let after = self.pages.range(range).map(|(number, _)| *number);
        after.take_while(move |number| *number <= last)
    }

    /// How many pages there are versions of.
    pub fn count(&self) -> usize {
        self.pages.len()
    }

    /// The page there.
    pub fn page(&self, at: u64) -> Result<Vec<u8>> {
        let mut page = vec![0; PAGE];
        let mut file = &self.file;
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(&mut page)?;
        Ok(page)
    }
}

/// The word at `at`, its highest byte first.
fn word(bytes: &[u8], at: usize) -> u32 {
    let word = bytes.get(at..).and_then(|rest| rest.first_chunk());
    word.map_or(0, |word| u32::from_be_bytes(*word))
}

/// The order of bytes that checksums are made in.
const fn order(big: bool) -> Order {
    if big {
        u32::from_be_bytes
    } else {
        u32::from_le_bytes
    }
}
