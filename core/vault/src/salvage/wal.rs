//! The pages in a write-ahead log, those in damaged frames too, and in what comes after these: it can be told to be whole
//! all the same, though not whether it was ever committed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Seek, SeekFrom};
use std::ops::Bound;

use crate::error::{Result, VaultError};
use crate::wal::{self, Frames, PAGE};

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
        let mut pages: BTreeMap<u32, At> = BTreeMap::new();
        let (mut size, mut damaged) = (None, false);
        let reader = BufReader::with_capacity(1 << 20, &file);
        if let Some(mut frames) = Frames::open(reader, Some(PAGE))? {
            let mut open = Vec::new();
            while let Some(frame) = frames.read()? {
                let (number, at) = (frame.number, frame.at + wal::FRAME as u64);
                if frame.sound {
                    open.push((number, at));
                    if frame.commit > 0 {
                        size = Some(frame.commit);
                        for (number, at) in open.drain(..) {
                            pages.entry(number).or_default().sound = Some(at);
                        }
                    }
                } else if frame.ours && number > 0 {
                    damaged = true;
                    // What was not committed before the damage may have been committed after it.
                    for (number, at) in open.drain(..) {
                        pages.entry(number).or_default().doubtful.push((true, at));
                    }
                    let doubtful = &mut pages.entry(number).or_default().doubtful;
                    doubtful.push((frame.whole, at));
                }
            }
        }
        Ok(Self {
            file,
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
        // It was there: if it is not, whoever has the vault open has begun the log anew.
        match wal::fill(&mut file, &mut page)? {
            true => Ok(page),
            false => Err(VaultError::Busy),
        }
    }
}
