//! A write-ahead log of SQLite's, frame by frame, damaged ones too: see
//! <https://sqlite.org/fileformat2.html#the_write_ahead_log>.
//!
//! What guards it is two sums over words, each going on from those of the frame before, so that SQLite reads nothing
//! after the first that is wrong. But the sum that is gone on from stands in that frame, whole or not: what comes after
//! can be told to be whole all the same.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Length of the pages of our files.
pub(crate) const PAGE: usize = 4096;
/// Length of the header of a log.
pub(crate) const HEADER: usize = 32;
/// Length of the header of a frame, before its page.
pub(crate) const FRAME: usize = 24;
/// What a header begins with; with the last bit, sums are made of words whose highest byte is first.
const MAGIC: u32 = 0x377f_0682;

/// In which order the bytes of a word are.
pub(crate) type Order = fn([u8; 4]) -> u32;

/// The log of the file at `path`.
pub(crate) fn path_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

/// The frames of a log, one after the other.
pub(crate) struct Frames<R> {
    from: R,
    /// The header of the log.
    pub begins: [u8; HEADER],
    /// Whether that is as it was written. If not, this machine wrote the log, for a file of ours, and its first whole
    /// frame says what is of it.
    pub is_whole: bool,
    order: Order,
    /// What the frames of this log have, and no other's.
    pub salts: Option<[u32; 2]>,
    sum: Checksum,
    sound: bool,
    at: u64,
    frame: Vec<u8>,
}

/// A frame.
pub(crate) struct Frame<'f> {
    /// Which page of the file it is.
    pub number: u32,
    /// How many pages the file has, if a commit ends with it; else 0.
    pub commit: u32,
    /// Where it is in the log.
    pub at: u64,
    /// What the frames of one log have, and no other's.
    pub salts: [u32; 2],
    /// Whether it is of this log, by its salts.
    pub ours: bool,
    /// Whether its sum is that of its content, going on from what the frame before says.
    pub whole: bool,
    /// Whether SQLite would read it: it is both, and so are all before it.
    pub sound: bool,
    /// The sum of its content.
    pub is: Checksum,
    /// The page.
    pub page: &'f [u8],
    said: Checksum,
    head: &'f [u8],
    order: Order,
}

impl<R: Read> Frames<R> {
    /// Reads the header; `None` if there is not even that. Pages have `page_size` bytes, or as many as the header says.
    pub fn open(mut from: R, page_size: Option<usize>) -> io::Result<Option<Self>> {
        let mut begins = [0; HEADER];
        if !fill(&mut from, &mut begins)? {
            return Ok(None);
        }
        let [magic, _, said_size, _, salt, salt2, one, two] = words(&begins, u32::from_be_bytes);
        let order: Option<Order> = match magic ^ MAGIC {
            0 => Some(u32::from_le_bytes),
            1 => Some(u32::from_be_bytes),
            _ => None,
        };
        let sum = Checksum(one, two);
        let (head, _) = begins.split_at(24);
        let order = order.filter(|order| Checksum::default().after(&[head], *order) == sum);
        let can_be = (512..=65_536).contains(&said_size) && said_size.is_power_of_two();
        let page_size = page_size.or(can_be.then_some(said_size as usize));
        let is_whole = order.is_some() && page_size.is_some();
        Ok(Some(Self {
            from,
            begins,
            is_whole,
            order: order.filter(|_| is_whole).unwrap_or(u32::from_ne_bytes),
            salts: is_whole.then_some([salt, salt2]),
            sum,
            sound: is_whole,
            at: HEADER as u64,
            frame: vec![0; FRAME + page_size.filter(|_| is_whole).unwrap_or(PAGE)],
        }))
    }

    /// The next frame; `None` after the last that is all there.
    pub fn read(&mut self) -> io::Result<Option<Frame<'_>>> {
        if !fill(&mut self.from, &mut self.frame)? {
            return Ok(None);
        }
        let at = self.at;
        self.at += self.frame.len() as u64;
        let (head, page) = self.frame.split_at(FRAME);
        let [number, commit, salt, salt2, one, two] = words(head, u32::from_be_bytes);
        let ((head, _), said) = (head.split_at(8), Checksum(one, two));
        let is = self.sum.after(&[head, page], self.order);
        let whole = is == said;
        let salts = [salt, salt2];
        if whole {
            self.salts.get_or_insert(salts);
        }
        let ours = self.salts == Some(salts);
        self.sound &= ours && whole;
        self.sum = said;
        Ok(Some(Frame {
            number,
            commit,
            at,
            salts,
            ours,
            whole,
            sound: self.sound,
            is,
            page,
            said,
            head,
            order: self.order,
        }))
    }
}

impl Frame<'_> {
    /// Whether it was written after a frame whose content has this sum, whatever that one says itself.
    pub fn goes_on_from(&self, sum: Checksum) -> bool {
        sum.after(&[self.head, self.page], self.order) == self.said
    }
}

/// The two sums.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Checksum(u32, u32);

impl Checksum {
    /// What it is after these bytes.
    pub fn after(mut self, parts: &[&[u8]], order: Order) -> Self {
        for part in parts {
            for pair in part.as_chunks::<8>().0 {
                let [first, second] = words(pair, order);
                self.0 = self.0.wrapping_add(first).wrapping_add(self.1);
                self.1 = self.1.wrapping_add(second).wrapping_add(self.0);
            }
        }
        self
    }

    /// As a header has it.
    #[cfg(test)]
    pub fn bytes(self) -> [u8; 8] {
        let mut bytes = [0; 8];
        bytes.copy_from_slice([self.0, self.1].map(u32::to_be_bytes).as_flattened());
        bytes
    }
}

/// The words that bytes begin with; 0 for those that they do not have.
fn words<const N: usize>(bytes: &[u8], order: Order) -> [u32; N] {
    let mut words = [0; N];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks().0) {
        *word = order(*bytes);
    }
    words
}

/// Fills the buffer; `false` if there is not so much left.
pub(crate) fn fill(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match from.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}
