//! Versions of the tables: which one a file has, told without touching it, and how an earlier one becomes today's.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use rusqlite::Connection;

use crate::checksum::{Checksum, Order, fill, words};
use crate::error::{Result, VaultError};
use crate::store::SCHEMA;

/// The step to each version from the one before; the first makes the tables of an empty file. A vault of an earlier
/// version takes those that it lacks. What a step is once it has been in the hands of people never changes: another
/// follows it, and `tests/samples` gets a vault of the version before.
pub(crate) const STEPS: &[&str] = &[SCHEMA];
/// The version of the tables.
pub(crate) const VERSION: i32 = STEPS.len() as i32;

/// Where the header of a file, which is the beginning of its first page, has `user_version`, in four bytes.
const USER_VERSION: usize = 60;
/// Length of that header.
pub(crate) const HEADER: usize = 100;
/// Length of the pages of our files.
const PAGE: usize = 4096;
/// Length of the header of a write-ahead log.
const WAL_HEADER: usize = 32;

/// Takes the steps from `version` on, all of them or none. Inside a transaction.
pub(crate) fn take_steps(conn: &Connection, version: i32, steps: &[&str]) -> Result<()> {
    let taken = usize::try_from(version).unwrap_or(usize::MAX);
    for (next, step) in (1..).zip(steps).skip(taken) {
        conn.execute_batch(step)?;
        conn.pragma_update(None, "user_version", next)?;
    }
    Ok(())
}

/// How often a write-ahead log is looked through that others are writing to, before what is found is believed.
const LOOKS: u32 = 3;

/// Whether a file is of a version after `version`, as far as that can be told. Nothing is locked or written, and SQLite
/// is not asked: it would make the write-ahead log part of the file, or at least an index of it.
///
/// # Errors
/// [`VaultError::Damaged`] if commits that were durable stand behind damage in the write-ahead log: SQLite would take the
/// log to end there, and drop them with it.
pub(crate) fn is_newer(path: &Path, version: i32) -> Result<bool> {
    let mut newest = [0; HEADER];
    let read = File::open(path)?.read_exact(&mut newest);
    if matches!(&read, Err(error) if error.kind() != io::ErrorKind::UnexpectedEof) {
        read?;
    }
    if let Some(header) = logged(path)?.header {
        newest = header;
    }
    let found = newest.get(USER_VERSION..).and_then(<[u8]>::first_chunk);
    Ok(found.is_some_and(|found| i32::from_be_bytes(*found) > version))
}

/// What the write-ahead log of a file says.
fn logged(path: &Path) -> Result<Logged> {
    let mut wal = path.as_os_str().to_owned();
    wal.push("-wal");
    for _ in 0..LOOKS {
        let file = match File::open(&wal) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Logged::default()),
            Err(error) => return Err(error.into()),
        };
        let logged = look(&mut BufReader::new(file))?;
        let mut head = [0; WAL_HEADER];
        let begun_anew = match File::open(&wal) {
            Ok(mut file) => !fill(&mut file, &mut head)? || head != logged.begins,
            Err(_) => true,
        };
        // Whoever begins the log anew writes another header first, and then over the frames.
        if !logged.damaged || !begun_anew {
            return if logged.damaged {
                Err(VaultError::Damaged("its write-ahead log"))
            } else {
                Ok(logged)
            };
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
}

impl Default for Logged {
    fn default() -> Self {
        Self {
            header: None,
            damaged: false,
            begins: [0; WAL_HEADER],
        }
    }
}

/// Looks through a write-ahead log: see <https://sqlite.org/fileformat2.html#the_write_ahead_log>.
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
    let (mut written, mut sound) = (None, is_whole);
    let mut behind = Behind::default();
    let mut frame = vec![0; 24 + page_size];
    while fill(wal, &mut frame)? {
        let Some((head, page)) = frame.split_first_chunk::<24>() else {
            break;
        };
        let [number, commit, frame_salt, frame_salt2, one, two] =
            words::<6>(head, u32::from_be_bytes);
        sum.add(head.split_at(8).0, order);
        sum.add(page, order);
        // The sum that goes on stands in the frame before, whole or not.
        let said = Checksum(one, two);
        let whole = sum == said;
        sum = said;
        let own = (frame_salt, frame_salt2);
        if whole {
            salts.get_or_insert(own);
        }
        let ours = salts == Some(own);
        sound &= ours && whole;
        if sound {
            if number == 1 {
                written = page.first_chunk().copied();
            }
            if commit != 0 {
                logged.header = written;
            }
        }
        behind.take(sound, number, commit != 0, [ours, whole]);
    }
    // A header is durable before any commit is written.
    logged.damaged = behind.durable || !is_whole && behind.commits;
    Ok(logged)
}

/// What stands in a write-ahead log behind the frame at which SQLite takes it to end.
///
/// That may be what an earlier log has left, or the rest of a commit of which a part was never written: the power was gone.
/// Or it is damage, if a commit was begun after another that ends there, for that one was durable before.
#[derive(Default)]
struct Behind {
    /// The pages of the commit at which it ends, as far as is known: but for its last one a commit writes none twice.
    pages: BTreeSet<u32>,
    /// Whether a commit ends there, by a frame of which enough is whole to tell that it is of this log.
    ended: bool,
    /// Whether any ends there by a frame that is whole.
    commits: bool,
    /// Whether another was begun after one that ends there.
    durable: bool,
}

impl Behind {
    /// Takes the next frame, of page `number`: whether it and all before it are sound, whether it `ends` a commit, and
    /// whether it is by its salts, and by its sum, of this log. Either is enough: what an earlier log has left, or what was
    /// never written whole, has neither.
    fn take(&mut self, sound: bool, number: u32, ends: bool, [ours, whole]: [bool; 2]) {
        if sound && ends {
            self.pages.clear();
        } else if ours || whole {
            let is_twice = !self.pages.insert(number);
            self.durable |= !sound && (self.ended || is_twice && !ends);
            self.ended |= !sound && ends;
            self.commits |= !sound && ends && ours && whole;
        }
    }
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

    use super::*;

    /// What the tables of a file are.
    fn schema(conn: &Connection) -> String {
        let mut all = conn
            .prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name")
            .unwrap();
        let all = all.query_map([], |row| row.get::<_, String>(0)).unwrap();
        let words = |sql: String| sql.split_whitespace().collect::<Vec<_>>().join(" ");
        all.map(|sql| words(sql.unwrap()) + ";\n").collect()
    }

    fn version(conn: &Connection) -> i32 {
        conn.pragma_query_value(None, "user_version", |row| row.get(0))
            .unwrap()
    }

    fn file_of(steps: &[&str]) -> Connection {
        let conn = Connection::open_in_memory().unwrap();
        take_steps(&conn, 0, steps).unwrap();
        conn
    }

    /// A step that people have had is never changed. Where none has had it yet, `UPDATE_VECTORS=1` writes the files anew.
    #[test]
    fn each_version_is_what_it_was() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples");
        for version in 1..=STEPS.len() {
            let path = folder.join(format!("{version}.sql"));
            let is = schema(&file_of(&STEPS[..version]));
            if std::env::var_os("UPDATE_VECTORS").is_some() {
                fs::write(&path, &is).unwrap();
            }
            let was = fs::read_to_string(&path).unwrap();
            assert_eq!(is, was, "version {version}: add a step, do not change one");
        }
        let next = folder.join(format!("{}.sql", STEPS.len() + 1));
        assert!(!next.exists(), "a step is gone");
    }

    #[test]
    fn every_earlier_version_becomes_todays() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples");
        for earlier in 1..=VERSION {
            let conn = Connection::open_in_memory().unwrap();
            let tables = fs::read_to_string(folder.join(format!("{earlier}.sql"))).unwrap();
            conn.execute_batch(&tables).unwrap();
            take_steps(&conn, earlier, STEPS).unwrap();
            assert_eq!(schema(&conn), schema(&file_of(STEPS)), "from {earlier}");
            assert!(earlier == VERSION || version(&conn) == VERSION);
        }
    }

    const MADE_UP: [&str; 3] = [
        "CREATE TABLE a (x INTEGER); INSERT INTO a VALUES (1);",
        "ALTER TABLE a ADD COLUMN y INTEGER NOT NULL DEFAULT 5; UPDATE a SET y = x + 1;",
        "CREATE TABLE b AS SELECT x + y AS z FROM a; DROP TABLE a;",
    ];

    #[test]
    fn steps_are_taken_one_after_the_other() {
        for begin in 0..=MADE_UP.len() {
            let conn = file_of(&MADE_UP[..begin]);
            assert_eq!(version(&conn), begin as i32);
            take_steps(&conn, begin as i32, &MADE_UP).unwrap();
            assert_eq!(version(&conn), 3);
            let z: i64 = conn
                .query_row("SELECT z FROM b", [], |row| row.get(0))
                .unwrap();
            assert_eq!(z, 3);
        }
    }

    #[test]
    fn a_step_that_fails_leaves_the_version_before_all_of_them() {
        let conn = file_of(&MADE_UP[..1]);
        let before = schema(&conn);
        let steps = [MADE_UP[0], MADE_UP[1], "INSERT INTO nowhere VALUES (1)"];
        conn.execute_batch("BEGIN IMMEDIATE").unwrap();
        assert!(take_steps(&conn, 1, &steps).is_err());
        conn.execute_batch("ROLLBACK").unwrap();
        assert_eq!((version(&conn), schema(&conn)), (1, before));
    }

    #[test]
    fn the_version_is_told_from_the_newest_commit_in_the_log() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db");
        let wal = dir.path().join("db-wal");
        let conn = Connection::open(&path).unwrap();
        let newer = |than| is_newer(&path, than).unwrap();
        conn.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA user_version = 1; CREATE TABLE a (x)",
        )
        .unwrap();
        conn.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")
            .unwrap();
        assert!(newer(0) && !newer(1));
        conn.execute_batch("PRAGMA user_version = 2").unwrap();
        assert!(newer(1) && !newer(2));
        let after_two = fs::metadata(&wal).unwrap().len() as usize;
        conn.execute_batch("INSERT INTO a VALUES (1); PRAGMA user_version = 3")
            .unwrap();
        assert!(newer(2) && !newer(3));
        // As after a checkpoint: the log begins anew, and the frames of the one before are still behind.
        let log = fs::read(&wal).unwrap();
        conn.execute_batch("PRAGMA wal_checkpoint(RESTART); PRAGMA user_version = 1")
            .unwrap();
        assert!(newer(0) && !newer(1));
        drop(conn);
        // A log that was cut off counts as far as it is whole.
        let other = dir.path().join("other");
        fs::copy(&path, &other).unwrap();
        let wal = dir.path().join("other-wal");
        let newer = |log: &[u8], than| {
            fs::write(&wal, log).unwrap();
            is_newer(&other, than).unwrap()
        };
        assert!(newer(&log, 2));
        assert!(!newer(&log[..log.len() - 1], 2) && newer(&log[..log.len() - 1], 1));
        assert!(!newer(&log[..after_two], 2) && newer(&log[..after_two], 1));
        assert!(!newer(&log[..100], 1) && !newer(&[], 1));
        // Of the only commit behind the damage nobody can say that it was durable; of two the first was.
        let one = &mut log.clone()[..after_two];
        one[40] ^= 1;
        assert!(!newer(one, 1) && newer(one, 0));
        let mut damaged = log;
        damaged[40] ^= 1;
        fs::write(&wal, damaged).unwrap();
        assert!(matches!(is_newer(&other, 1), Err(VaultError::Damaged(_))));
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
                let at = (start / FRAME, bytes, bit);
                if start < last {
                    // Some zeros were there before.
                    assert!(is_damaged(&log) || log == whole, "{at:?}");
                } else if bit == 0 {
                    assert!(!is_damaged(&log), "{at:?}: it was never written");
                }
            }
        }
    }
}
