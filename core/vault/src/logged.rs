//! What a write-ahead log says, read without SQLite: of which version the file becomes by it, and whether it is damaged.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use crate::error::{Result, VaultError};
use crate::wal::{self, Checksum, Frame, Frames};

/// Length of the header of a file, which is the beginning of its first page.
pub(crate) const HEADER: usize = 100;
/// What a disk writes as a whole: as long, or some times as long.
const SECTOR: u64 = 512;
/// How often a write-ahead log is looked through that others are writing to; what is found twice in turn is believed.
const LOOKS: u32 = 4;

/// What the write-ahead log of a file says.
pub(crate) fn logged(path: &Path) -> Result<Logged> {
    let wal = wal::path_of(path);
    let mut before = None;
    for _ in 0..LOOKS {
        let file = match File::open(&wal) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Logged::default()),
            Err(error) => return Err(error.into()),
        };
        let logged = look(&mut BufReader::new(&file))?;
        if !logged.damaged && (logged.is_whole || all_is_in(path, &file)?) {
            return Ok(logged);
        }
        // A frame that is read before another process writes it, and those behind it after that, look the same. At the
        // next look it is there, or the log was begun anew.
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
    /// Whether there are commits behind a frame that is not as it was written, of which one at least was durable:
    /// nobody writes the next before it is.
    pub damaged: bool,
    /// Whether its own header is as it was written; if not, nothing else was looked at.
    is_whole: bool,
    /// Its own header.
    begins: [u8; wal::HEADER],
    /// How many frames are as they were written, up to the first that is not.
    sound: u64,
}

impl Default for Logged {
    fn default() -> Self {
        Self {
            header: None,
            damaged: false,
            is_whole: true,
            begins: [0; wal::HEADER],
            sound: 0,
        }
    }
}

/// Looks through a write-ahead log.
pub(crate) fn look(wal: &mut impl Read) -> io::Result<Logged> {
    let mut logged = Logged::default();
    let Some(mut frames) = Frames::open(wal, None)? else {
        return Ok(logged);
    };
    logged.begins = frames.begins;
    logged.is_whole = frames.is_whole;
    if !frames.is_whole {
        return Ok(logged);
    }
    let mut written = None;
    let mut before: Option<Ending> = None;
    while let Some(frame) = frames.read()? {
        let ends = frame.commit != 0;
        if frame.sound {
            logged.sound += 1;
            if frame.number == 1 {
                written = frame.page.first_chunk().copied();
            }
            if ends {
                logged.header = written;
            }
            continue;
        }
        let is_behind_commit = before.is_some_and(|before| before.is_followed_by(&frame));
        logged.damaged |= frame.ours && is_behind_commit;
        // What a frame says and its salts may stand in two sectors, of which one was written.
        let is_in_one = frame.at % SECTOR != SECTOR - 8;
        before = ends.then_some(Ending {
            is_known: frame.whole || frame.ours && is_in_one,
            is: frame.is,
        });
    }
    Ok(logged)
}

/// Whether the file at `path` has every page as the last commit has left it in this log, whose header is not as it was
/// written: SQLite, which reads nothing of it, misses nothing. When a log is begun anew, all of it has come into the file,
/// and its header is written over; if the power is lost then, the sector may hold anything.
fn all_is_in(path: &Path, wal: &File) -> io::Result<bool> {
    let file = File::open(path)?;
    let mut wal = wal;
    wal.rewind()?;
    let Some(mut frames) = Frames::open(BufReader::new(wal), None)? else {
        return Ok(true);
    };
    // The first frames went on from the header, or from a frame that is gone with it: whether they are of this log is known
    // only later.
    let mut pages = Vec::new();
    let (mut last, mut size) = (0, 0);
    while let Some(frame) = frames.read()? {
        let is_there = has(&file, frame.number, frame.page)?;
        pages.push((frame.salts, frame.number, is_there));
        // A header is durable before any commit is written.
        if frame.ours && frame.whole && frame.commit != 0 {
            (last, size) = (pages.len(), frame.commit);
        }
    }
    let Some(salts) = frames.salts else {
        // A commit of ours has two frames at least; of two in all the second goes on from what is gone.
        return Ok(pages.iter().skip(1).all(|(.., is_there)| *is_there));
    };
    // What can be told to be whole may be left of an earlier log. Whether these were committed nobody can tell then.
    if let Some((newer, ..)) = pages.iter().find(|page| is_newer(page.0, salts)) {
        let mut all = pages.iter().filter(|page| page.0 == *newer);
        return Ok(all.all(|(.., is_there)| *is_there));
    }
    let committed = pages.into_iter().take(last);
    let ours = committed.filter(|page| page.0 == salts && page.1 <= size);
    let newest: BTreeMap<u32, bool> = ours
        .map(|(_, number, is_there)| (number, is_there))
        .collect();
    Ok(newest.into_values().all(|is_there| is_there))
}

/// Whether a log has taken the place of the one with those salts: the first is counted up.
const fn is_newer(salts: [u32; 2], than: [u32; 2]) -> bool {
    let ([salt, _], [than, _]) = (salts, than);
    // What is no salt at all hardly comes that close.
    matches!(salt.wrapping_sub(than), 1..=0xffff)
}

/// Whether the file has this page with this number, or it is no page.
fn has(mut file: &File, number: u32, page: &[u8]) -> io::Result<bool> {
    let Some(before) = number.checked_sub(1) else {
        return Ok(true);
    };
    let mut found = vec![0; page.len()];
    file.seek(SeekFrom::Start(u64::from(before) * page.len() as u64))?;
    Ok(wal::fill(&mut file, &mut found)? && found == page)
}

/// A frame that says that a commit ends with it, at which or behind which SQLite takes the log to end. It may be left of
/// an earlier log, or of a commit of which a part was never written: the power was gone. But if a frame of this log was
/// written after it, the commit was durable, for another was begun.
struct Ending {
    /// Whether what it says can be believed, by its salts or by its sum.
    is_known: bool,
    /// The sum of its content.
    is: Checksum,
}

impl Ending {
    /// Whether the next frame goes on from what it says, or, if only its own sum is damaged, from what it is.
    fn is_followed_by(&self, next: &Frame<'_>) -> bool {
        self.is_known && next.whole || next.goes_on_from(self.is)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::fs;

    use rusqlite::Connection;

    use super::*;
    use crate::wal::PAGE;

    /// Length of a frame.
    const FRAME: usize = wal::FRAME + PAGE;

    /// The power is lost twice: of one commit the first frame was never written, another was written over its beginning,
    /// and of a third, behind that, the first frame is missing again.
    #[test]
    fn what_is_left_of_commits_that_were_never_whole_is_no_damage() {
        let mut log = Written::new();
        log.commit(1, &[1, 2]);
        let mut first = log.clone();
        first.commit(2, &[1, 2, 3, 4, 5, 6, 7]);
        log.commit(3, &[1, 3]);
        let sound = log.bytes.len();
        log.commit(4, &[4, 5, 6]);
        let lost = sound..sound + FRAME;
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
            let sum = Checksum::default().after(&[&bytes], u32::from_be_bytes);
            bytes.extend(sum.bytes());
            Self { bytes, sum }
        }

        /// Writes these pages, filled with a byte.
        fn commit(&mut self, fill: u8, pages: &[u32]) {
            let page = [fill; PAGE];
            for number in pages {
                let size = if Some(number) == pages.last() { 9 } else { 0 };
                let head = [*number, size].map(u32::to_be_bytes);
                let head = head.as_flattened();
                self.sum = self.sum.after(&[head, &page], u32::from_be_bytes);
                let salts = [5, 6].map(u32::to_be_bytes);
                let frame = [head, salts.as_flattened(), &self.sum.bytes(), &page];
                self.bytes.extend(frame.concat());
            }
        }
    }

    /// The sector with a log's header holds anything: the power was lost while that was written over, once all that the log
    /// says was in the file. If not all of it is there, it was damaged.
    #[test]
    fn a_log_without_its_header_is_missed_only_where_it_says_what_the_file_has_not() {
        let dir = tempfile::tempdir().unwrap();
        let (path, wal) = (dir.path().join("db"), dir.path().join("db-wal"));
        let conn = Connection::open(&path).unwrap();
        let begin = format!("PRAGMA page_size = {PAGE}; PRAGMA journal_mode = WAL");
        conn.execute_batch(&begin).unwrap();
        conn.execute_batch("CREATE TABLE a (x); CREATE TABLE b (x)")
            .unwrap();
        let insert = |n: usize| {
            let rows = format!("INSERT INTO a VALUES ({n}); INSERT INTO b VALUES (zeroblob({n}))");
            conn.execute_batch(&format!("BEGIN; {rows}; COMMIT"))
                .unwrap();
        };
        (0..5).map(|n| n * PAGE).for_each(insert);
        let behead = |bytes: usize| {
            let mut log = fs::read(&wal).unwrap();
            log[..bytes].fill(0xa5);
            fs::write(&wal, log).unwrap();
        };
        for bytes in [wal::HEADER, SECTOR as usize] {
            let whole = fs::read(&wal).unwrap();
            assert!(logged(&path).is_ok());
            behead(bytes);
            assert!(matches!(logged(&path), Err(VaultError::Damaged(_))));
            fs::write(&wal, whole).unwrap();
            conn.execute_batch("PRAGMA wal_checkpoint(PASSIVE)")
                .unwrap();
            let log = fs::read(&wal).unwrap();
            behead(bytes);
            assert!(logged(&path).unwrap().header.is_none());
            let file = fs::read(&path).unwrap();
            // What it says of the others is gone with the sector, or was said by the log before.
            let pages = if bytes == wal::HEADER {
                0..file.len() / PAGE
            } else {
                2..3
            };
            for page in pages {
                let mut other = file.clone();
                other[page * PAGE + 4000] ^= 1;
                fs::write(&path, other).unwrap();
                assert!(logged(&path).is_err(), "page {page}");
            }
            fs::write(&path, file).unwrap();
            fs::write(&wal, log).unwrap();
            // The log is begun anew, with two frames.
            insert(1);
        }
        // So is one with nothing behind these.
        conn.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")
            .unwrap();
        insert(2);
        let log = fs::read(&wal).unwrap();
        assert_eq!(log.len(), wal::HEADER + 2 * FRAME);
        behead(SECTOR as usize);
        assert!(logged(&path).is_err());
        fs::write(&wal, log).unwrap();
        conn.execute_batch("PRAGMA wal_checkpoint(PASSIVE)")
            .unwrap();
        behead(SECTOR as usize);
        assert!(logged(&path).is_ok());
    }

    /// Of the last commit nobody can tell whether it was ever durable. Before it no frame is lost unnoticed, whatever of it
    /// is damaged.
    #[test]
    fn damage_before_the_last_commit_is_noticed() {
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
        assert_eq!(whole.len(), wal::HEADER + 10 * FRAME);
        let is_damaged = |log: &[u8]| look(&mut &*log).unwrap().damaged;
        assert!(!is_damaged(&whole));
        for start in (wal::HEADER..whole.len()).step_by(FRAME) {
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
