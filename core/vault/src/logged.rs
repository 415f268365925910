//! What a write-ahead log says, read without SQLite: of which version the file becomes by it, and whether it is damaged. See
//! <https://sqlite.org/fileformat2.html#the_write_ahead_log>.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use crate::checksum::{Checksum, Order, fill, words};
use crate::error::{Result, VaultError};

/// Length of the header of a file, which is the beginning of its first page.
pub(crate) const HEADER: usize = 100;
/// Length of the pages of our files.
const PAGE: usize = 4096;
/// Length of the header of a write-ahead log.
const WAL_HEADER: usize = 32;
/// What a disk writes as a whole: as long, or some times as long.
const SECTOR: usize = 512;
/// How often a write-ahead log is looked through that others are writing to; what is found twice in turn is believed.
const LOOKS: u32 = 4;

/// What the write-ahead log of a file says.
pub(crate) fn logged(path: &Path) -> Result<Logged> {
    let mut wal = path.as_os_str().to_owned();
    wal.push("-wal");
    let mut before = None;
    for _ in 0..LOOKS {
        let file = match File::open(&wal) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Logged::default()),
            Err(error) => return Err(error.into()),
        };
        let logged = look(&mut BufReader::new(file))?;
        if !logged.damaged {
            return Ok(logged);
        }
        // A frame that is read before another process writes it, and those behind it after that, look the same. At the next
        // look it is there, or the log was begun anew.
        let end = (logged.begins, logged.sound);
        if before.replace(end) == Some(end) {
            return Err(VaultError::Damaged("its write-ahead log"));
        }
    }
    Err(VaultError::Busy)
}

/// What a write-ahead log says.
pub(crate) struct Logged {
    /// The header of the file as the last commit has left it, if one has.
    pub header: Option<[u8; HEADER]>,
    /// Whether there are commits behind a frame that is not as it was written, of which one at least was durable: nobody
    /// writes the next before it is.
    pub damaged: bool,
    /// Its own header.
    begins: [u8; WAL_HEADER],
    /// How many frames are as they were written, up to the first that is not.
    sound: u64,
}

impl Default for Logged {
    fn default() -> Self {
        Self {
            header: None,
            damaged: false,
            begins: [0; WAL_HEADER],
            sound: 0,
        }
    }
}

/// Looks through a write-ahead log.
pub(crate) fn look(wal: &mut impl Read) -> io::Result<Logged> {
    let mut logged = Logged::default();
    let mut begins = [0; WAL_HEADER];
    if !fill(wal, &mut begins)? {
        return Ok(logged);
    }
    logged.begins = begins;
    let [_, _, _, _, salt, salt2, one, two] = words(&begins, u32::from_be_bytes);
    let header = wal_header(&begins);
    let is_whole = header.is_some();
    // A log whose header is damaged was written by this machine, for a file of ours; its first whole frame says what is of it.
    let (order, page_size) = header.unwrap_or((u32::from_ne_bytes, PAGE));
    let mut salts = is_whole.then_some((salt, salt2));
    let mut sum = Checksum(one, two);
    let (mut written, mut sound, mut place) = (None, is_whole, WAL_HEADER);
    let mut before = Frame::default();
    let mut frame = vec![0; 24 + page_size];
    while fill(wal, &mut frame)? {
        let Some((head, page)) = frame.split_first_chunk::<24>() else {
            break;
        };
        let [number, commit, frame_salt, frame_salt2, one, two] =
            words::<6>(head, u32::from_be_bytes);
        let goes_on = |mut sum: Checksum| {
            sum.add(head.split_at(8).0, order);
            sum.add(page, order);
            sum
        };
        // The sum that goes on stands in the frame before, whole or not.
        let said = Checksum(one, two);
        let is = goes_on(sum);
        let whole = is == said;
        let own = (frame_salt, frame_salt2);
        if whole {
            salts.get_or_insert(own);
        }
        let ours = salts == Some(own);
        sound &= ours && whole;
        if sound {
            logged.sound += 1;
            if number == 1 {
                written = page.first_chunk().copied();
            }
            if commit != 0 {
                logged.header = written;
            }
        } else {
            // A commit that ends there was durable, for another was begun after it.
            logged.damaged |= before.ends
                && ours
                && (before.is_known && whole || before.is.is_some_and(|is| goes_on(is) == said));
            // A header is durable before any commit is written.
            logged.damaged |= !is_whole && ours && whole && commit != 0;
            // What a frame says and its salts may stand in two sectors, of which one was written.
            let is_in_one = place % SECTOR != SECTOR - 8;
            before = Frame {
                ends: commit != 0,
                is_known: whole || ours && is_in_one,
                is: Some(is),
            };
        }
        sum = said;
        place += frame.len();
    }
    Ok(logged)
}

/// A frame at which SQLite takes the log to end, or behind that. It may be left of an earlier log, or of a commit that was
/// rolled back, or of which a part was never written: the power was gone. Only a frame by the salts of this log whose sum goes
/// on from that of a commit is one of the next.
#[derive(Default)]
struct Frame {
    /// Whether it says that a commit ends with it.
    ends: bool,
    /// Whether that can be believed, by its salts or by its sum.
    is_known: bool,
    /// What its sum would be. If the next goes on from that, only the sum itself is damaged.
    is: Option<Checksum>,
}

/// What the header of a write-ahead log says if it is whole: the order of bytes in which sums are made, and the length of
/// pages.
fn wal_header(header: &[u8; WAL_HEADER]) -> Option<(Order, usize)> {
    let [magic, _, page_size, ..] = words::<3>(header, u32::from_be_bytes);
    let order: Order = match magic {
        0x377f_0682 => u32::from_le_bytes,
        0x377f_0683 => u32::from_be_bytes,
        _ => return None,
    };
    let (head, sealed) = header.split_at(24);
    let mut sum = Checksum(0, 0);
    sum.add(head, order);
    let fits = (512..=65_536).contains(&page_size) && page_size.is_power_of_two();
    (fits && sum.is(sealed)).then_some((order, page_size as usize))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::fs;

    use rusqlite::Connection;

    use super::*;

    /// The power is lost twice: of one commit the first frame was never written, another was written over its beginning, and
    /// of a third, behind that, the first frame is missing again.
    #[test]
    fn what_is_left_of_commits_that_were_never_whole_is_no_damage() {
        let mut log = Written::new();
        log.commit(1, &[1, 2]);
        let mut first = log.clone();
        first.commit(2, &[1, 2, 3, 4, 5, 6, 7]);
        log.commit(3, &[1, 3]);
        let sound = log.bytes.len();
        log.commit(4, &[4, 5, 6]);
        let lost = sound..sound + 24 + PAGE;
        log.bytes[lost].fill(0);
        let behind = log.bytes.len();
        log.bytes.extend_from_slice(&first.bytes[behind..]);
        let looked = look(&mut &log.bytes[..]).unwrap();
        assert_eq!((looked.damaged, looked.sound), (false, 4));
    }

    /// A write-ahead log, written as SQLite does.
    #[derive(Clone)]
    struct Written {
        bytes: Vec<u8>,
        sum: Checksum,
    }

    impl Written {
        fn new() -> Self {
            let words = [0x377f_0683, 3_007_000, PAGE as u32, 0, 5, 6];
            let mut bytes = words.map(u32::to_be_bytes).as_flattened().to_vec();
            let mut sum = Checksum(0, 0);
            sum.add(&bytes, u32::from_be_bytes);
            bytes.extend([sum.0.to_be_bytes(), sum.1.to_be_bytes()].as_flattened());
            Self { bytes, sum }
        }

        /// Writes these pages, filled with a byte.
        fn commit(&mut self, fill: u8, pages: &[u32]) {
            let page = [fill; PAGE];
            for number in pages {
                let size = if Some(number) == pages.last() { 9 } else { 0 };
                let head = [*number, size].map(u32::to_be_bytes);
                self.sum.add(head.as_flattened(), u32::from_be_bytes);
                self.sum.add(&page, u32::from_be_bytes);
                let tail = [5, 6, self.sum.0, self.sum.1].map(u32::to_be_bytes);
                let frame = [head.as_flattened(), tail.as_flattened(), &page];
                self.bytes.extend(frame.concat());
            }
        }
    }

    /// Of the last commit nobody can tell whether it was ever durable. Before it no frame is lost unnoticed, whatever of it is
    /// damaged.
    #[test]
    fn damage_before_the_last_commit_is_noticed() {
        const FRAME: usize = 24 + PAGE;
        let dir = tempfile::tempdir().unwrap();
        let (path, wal) = (dir.path().join("db"), dir.path().join("db-wal"));
        let conn = Connection::open(&path).unwrap();
        let tables = "CREATE TABLE a (x); CREATE TABLE b (x)";
        let begin = format!("PRAGMA page_size = {PAGE}; PRAGMA journal_mode = WAL; {tables}");
        conn.execute_batch(&begin).unwrap();
        conn.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")
            .unwrap();
        let mut last = 0;
        for n in 0..5 {
            last = fs::metadata(&wal).map_or(0, |wal| wal.len() as usize);
            conn.execute_batch(&format!(
                "BEGIN; INSERT INTO a VALUES ({n}); INSERT INTO b VALUES ({n}); COMMIT"
            ))
            .unwrap();
        }
        let whole = fs::read(&wal).unwrap();
        assert_eq!(whole.len(), WAL_HEADER + 10 * FRAME);
        let is_damaged = |log: &[u8]| look(&mut &*log).unwrap().damaged;
        assert!(!is_damaged(&whole));
        for start in (WAL_HEADER..whole.len()).step_by(FRAME) {
            let bits = (0..24).map(|at| (at..at + 1, 4)).chain([(1024..1025, 1)]);
            let zeroed = [
                (0..24, 0),
                (0..512, 0),
                (0..FRAME, 0),
                (4..8, 0),
                (8..24, 0),
            ];
            for (bytes, bit) in bits.chain(zeroed) {
                let mut log = whole.clone();
                for byte in &mut log[start + bytes.start..start + bytes.end] {
                    *byte = if bit == 0 { 0 } else { *byte ^ bit };
                }
                // That a commit ended there nobody can tell any more.
                let is_unknown = start == last - FRAME && bit == 0 && bytes.start < 8;
                let at = (start / FRAME, bytes, bit);
                if start < last {
                    // Some zeros were there before.
                    let is_told = is_damaged(&log) || log == whole;
                    assert!(is_told || is_unknown, "{at:?}");
                } else if bit == 0 {
                    assert!(!is_damaged(&log), "{at:?}: it was never written");
                }
            }
        }
    }
}
