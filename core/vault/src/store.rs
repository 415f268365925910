//! The SQLite file: how it is made, opened and written.

use std::cell::OnceCell;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{self, Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{CachedStatement, Connection, OpenFlags};

use crate::disk;
use crate::error::{Result, VaultError};
use crate::keys::VaultKeys;
use crate::upgrade::{self, STEPS, VERSION};

/// "twin" in ASCII: tells `file` and us what this is.
pub(crate) const APPLICATION_ID: i32 = 0x7477_696e;
/// How long to wait for another process that is writing.
const BUSY: Duration = Duration::from_secs(10);
/// How long to wait for others that try a password, one after the other: many may begin at once.
const TURNS: Duration = Duration::from_secs(60);
/// How often to look whether a lock is free.
const POLL: Duration = Duration::from_millis(10);
/// Page cache, in KiB.
const CACHE_KIB: i32 = 8 << 10;
/// How many pages are given back to the file system in one transaction: 4 MiB.
const GIVEN_BACK: u32 = 1024;
/// More than there are different statements.
const STATEMENTS: usize = 80;

const DATA_VERSION: &str = "PRAGMA data_version";

/// `n` of a row of `op` is that of the last part in it: the number of the log, 37 bits for the op's place there, 12 bits
/// for the part's index in the op. `p` of a record is one part or, as a blob, several; `past` has the parts that no longer
/// decide what the record at `k` is; what is still to go into both is in
/// `late`; `t` is the MAC over both columns before it. `n` of a block is the number of its segment, then 20 bits for its
/// place there (see `segment`).
pub(crate) const SCHEMA: &str = "
    CREATE TABLE slot (n INTEGER PRIMARY KEY, v BLOB NOT NULL, checksum BLOB NOT NULL) STRICT;
    CREATE TABLE tries (n INTEGER PRIMARY KEY CHECK (n = 1), wrong INTEGER NOT NULL, last INTEGER NOT NULL) STRICT;
    CREATE TABLE item (kind INTEGER NOT NULL, name BLOB NOT NULL, v BLOB NOT NULL, PRIMARY KEY (kind, name))
        STRICT, WITHOUT ROWID;
    CREATE TABLE op (n INTEGER PRIMARY KEY, v BLOB NOT NULL) STRICT;
    CREATE TABLE rec (k INTEGER PRIMARY KEY, p ANY NOT NULL, t INTEGER NOT NULL) STRICT;
    CREATE TABLE past (k INTEGER NOT NULL, p INTEGER NOT NULL, PRIMARY KEY (k, p)) STRICT, WITHOUT ROWID;
    CREATE TABLE late (n INTEGER PRIMARY KEY, v BLOB NOT NULL) STRICT;
    CREATE TABLE chunk (n INTEGER PRIMARY KEY, v BLOB NOT NULL) STRICT;
    CREATE TABLE block (n INTEGER PRIMARY KEY, v BLOB NOT NULL) STRICT;
";

/// The file. What it says about people is sealed; see `items`, `oplog` and `index` for its tables.
///
/// As long as SQLite has it open, it holds a lock on it, whether anything is read or not; [`Store::let_go`] ends that
/// too, and the next use opens the file again.
pub(crate) struct Store {
    path: PathBuf,
    /// Tells how much room there is where the file is: [`disk::free`], except in tests.
    pub free: fn(&Path) -> Option<u64>,
    conn: OnceCell<Connection>,
}

impl Store {
    /// Makes a new file with empty tables.
    pub fn create(path: &Path) -> Result<Self> {
        private(OpenOptions::new().write(true).create_new(true)).open(path)?;
        let conn = connect(path, Users::Many)?;
        trust(&conn)?;
        // Order matters: page size and vacuum mode are fixed by the first table.
        conn.execute_batch(&format!(
            "PRAGMA page_size = 4096;
             PRAGMA auto_vacuum = INCREMENTAL;
             PRAGMA journal_mode = WAL;
             BEGIN IMMEDIATE;
             PRAGMA application_id = {APPLICATION_ID};"
        ))?;
        upgrade::take_steps(&conn, 0, STEPS)?;
        conn.execute_batch("COMMIT")?;
        Self::with(path, conn)
    }

    /// Opens an existing file, and makes today's of one of an earlier version; refuses one of a later version before
    /// anything in it is touched.
    pub fn open(path: &Path) -> Result<Self> {
        Self::with(path, open(path)?)
    }

    fn with(path: &Path, conn: Connection) -> Result<Self> {
        Ok(Self {
            // It may be opened again, wherever the process has gone meanwhile.
            path: path::absolute(path)?,
            free: disk::free,
            conn: OnceCell::from(conn),
        })
    }

    /// The open file; opens it if it was let go.
    fn conn(&self) -> Result<&Connection> {
        if let Some(conn) = self.conn.get() {
            return Ok(conn);
        }
        let conn = open(&self.path)?;
        // Its keys have opened it before.
        trust(&conn)?;
        Ok(self.conn.get_or_init(|| conn))
    }

    /// What is in the file was opened with its keys. Until then nothing of its write-ahead log goes into it: that may be of
    /// another file, which SQLite cannot tell.
    pub fn trust(&self) -> Result<()> {
        Ok(trust(self.conn()?)?)
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether SQLite has the file open.
    pub fn is_open(&self) -> bool {
        self.conn.get().is_some()
    }

    /// Closes the file for now: no lock on it is held any more, and nothing of it is in memory. Its WAL goes into it
    /// unless another process has it open.
    pub fn let_go(&mut self) -> Result<()> {
        let Some(conn) = self.conn.take() else {
            return Ok(());
        };
        conn.close().map_err(|(conn, error)| {
            self.conn = OnceCell::from(conn);
            error.into()
        })
    }

    /// Closes the file, which nobody else has open, with its WAL in it: SQLite does that by itself, but closes as well
    /// where it cannot.
    pub fn close(mut self) -> Result<()> {
        let left = self.checkpoint()?;
        if left {
            return Err(VaultError::Busy);
        }
        self.let_go()
    }

    /// A statement, prepared once.
    pub fn sql(&self, sql: &str) -> Result<CachedStatement<'_>> {
        Ok(self.conn()?.prepare_cached(sql)?)
    }

    /// Grows with every row that this connection writes.
    pub fn changes(&self) -> u64 {
        self.conn.get().map_or(0, Connection::total_changes)
    }

    /// Changes whenever another connection has written.
    pub fn data_version(&self) -> Result<i64> {
        Ok(self.sql(DATA_VERSION)?.query_row([], |row| row.get(0))?)
    }

    /// Begins to write: nobody else writes, and what is read is the newest, until [`Store::commit`] or
    /// [`Store::rollback`].
    pub fn begin(&self) -> Result<()> {
        self.sql("BEGIN IMMEDIATE")?.execute([])?;
        Ok(())
    }

    /// Makes what was written since [`Store::begin`] durable.
    pub fn commit(&self) -> Result<()> {
        self.sql("COMMIT")?.execute([])?;
        Ok(())
    }

    /// Takes back what was written since [`Store::begin`].
    pub fn rollback(&self) {
        if let Some(conn) = self.conn.get() {
            rollback(conn);
        }
    }

    /// What SQLite finds wrong with the structure of its file.
    pub fn check_file(&self) -> Result<Vec<String>> {
        let mut statement = self.sql("PRAGMA integrity_check(100)")?;
        let says = statement.query_map([], |row| row.get(0))?;
        let says: Vec<String> = says.collect::<rusqlite::Result<_>>()?;
        Ok(says.into_iter().filter(|says| says != "ok").collect())
    }

    /// Gives all pages that nothing is in any more back to the file system, a few in one transaction.
    pub fn give_back(&self) -> Result<()> {
        while self.give_some_back()? {}
        self.truncate_wal();
        Ok(())
    }

    /// Gives pages that nothing is in any more back to the file system, as many as others can wait for; `true` if there
    /// are more.
    pub fn give_some_back(&self) -> Result<bool> {
        if self.free_pages()? == 0 {
            return Ok(false);
        }
        let sql = format!("PRAGMA incremental_vacuum({GIVEN_BACK})");
        let mut vacuum = self.sql(&sql)?;
        let mut pages = vacuum.query([])?;
        // One step a page.
        while pages.next()?.is_some() {}
        drop(pages);
        Ok(self.free_pages()? > 0)
    }

    fn free_pages(&self) -> Result<i64> {
        let mut free = self.sql("PRAGMA freelist_count")?;
        Ok(free.query_row([], |row| row.get(0))?)
    }

    /// Empties the WAL, so that nothing from before the last commit is left in it; `false` if that cannot be done now.
    /// Waits for others who read; if they read on, the WAL goes when the last of them closes the file.
    pub fn truncate_wal(&self) -> bool {
        match self.checkpoint() {
            Ok(false) => return true,
            Ok(true) => {
                log::warn!("the write-ahead log could not be emptied: another program reads it");
            }
            Err(error) => log::warn!("the write-ahead log could not be emptied: {error}"),
        }
        false
    }

    /// Writes the WAL into the file and empties it; `true` if another process has kept it from that.
    fn checkpoint(&self) -> Result<bool> {
        let emptied = "PRAGMA wal_checkpoint(TRUNCATE)";
        Ok(self.conn()?.query_row(emptied, [], |row| row.get(0))?)
    }

    /// Runs `work` on one snapshot of the file, if no other connection has written since it had this version (see
    /// [`Store::data_version`]); `None` if one has.
    ///
    /// Asking for the version and what is read then share one read transaction: beginning and ending one takes as long as
    /// reading a record.
    pub fn snapshot_of<T>(
        &self,
        version: i64,
        work: impl FnOnce() -> Result<T>,
    ) -> Result<Option<T>> {
        let mut statement = self.sql(DATA_VERSION)?;
        let mut rows = statement.query([])?;
        // The transaction lasts until no statement has more to say, and this one is not asked to the end.
        let row = rows.next()?;
        if row.map(|row| row.get(0)).transpose()? == Some(version) {
            work().map(Some)
        } else {
            Ok(None)
        }
    }

    /// Runs `work` on one snapshot of the file.
    pub fn snapshot<T>(&self, work: impl FnOnce(&Self) -> Result<T>) -> Result<T> {
        if !self.conn()?.is_autocommit() {
            return work(self);
        }
        self.sql("BEGIN")?.execute([])?;
        let result = work(self);
        self.rollback();
        result
    }
}

/// Whether there is a file. To open what is none, as a pipe, may take until somebody writes to it.
pub(crate) fn look_for(path: &Path) -> Result<()> {
    match fs::metadata(path) {
        Ok(there) if there.is_file() => Ok(()),
        Ok(_) => Err(VaultError::Damaged("what stands in its place is no file")),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Err(VaultError::Missing),
            _ => Err(error.into()),
        },
    }
}

/// Opens an existing file: see [`Store::open`].
fn open(path: &Path) -> Result<Connection> {
    look_for(path)?;
    if upgrade::is_newer(path, VERSION)? {
        return Err(VaultError::Newer);
    }
    patiently(BUSY, || match open_for(path, Users::Many) {
        // Not even for what processes share there is room. It would be there if another had the file open, and who is
        // alone can do without: what is in a vault is read on a full disk, too, by one program after the other.
        Err(VaultError::DiskFull) => open_for(path, Users::One),
        opened => opened,
    })
}

fn open_for(path: &Path, users: Users) -> Result<Connection> {
    let conn = connect(path, users)?;
    let version = version(&conn)?;
    if version < VERSION {
        take_steps(&conn)?;
    }
    Ok(conn)
}

fn trust(conn: &Connection) -> rusqlite::Result<()> {
    let no_checkpoint = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
    conn.set_db_config(no_checkpoint, false).map(drop)
}

/// The version of the tables, of a file that is ours.
fn version(conn: &Connection) -> Result<i32> {
    let version = pragma(conn, "user_version")?;
    if version > VERSION {
        return Err(VaultError::Newer);
    }
    if version < 1 || pragma(conn, "application_id")? != APPLICATION_ID {
        return Err(VaultError::Damaged("its header"));
    }
    Ok(version)
}

/// Takes the steps to today's version, all in one transaction; another process may have done it just now.
fn take_steps(conn: &Connection) -> Result<()> {
    conn.execute_batch("BEGIN IMMEDIATE")?;
    let done = version(conn)
        .and_then(|version| upgrade::take_steps(conn, version, STEPS))
        .and_then(|()| Ok(conn.execute_batch("COMMIT")?));
    if done.is_err() {
        rollback(conn);
    }
    done
}

fn rollback(conn: &Connection) {
    // After a full disk SQLite has rolled back by itself; any other failure shows at the next use.
    if !conn.is_autocommit()
        && let Err(error) = conn.execute_batch("ROLLBACK")
    {
        log::warn!("a transaction could not be rolled back: {error}");
    }
}

/// Who may have the file open at once.
#[derive(Clone, Copy)]
enum Users {
    /// This connection alone: no memory is shared.
    One,
    /// Any.
    Many,
}

fn connect(path: &Path, users: Users) -> Result<Connection> {
    let locking = match users {
        Users::One => "EXCLUSIVE",
        Users::Many => "NORMAL",
    };
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    // Closing the last connection writes the WAL into the file: not before we know that both are ours (see `trust`).
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    conn.busy_timeout(BUSY)?;
    // Else plans depend on bound values, and every statement would be prepared anew each time it is used.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    conn.execute_batch(&format!(
        // First, for the others look into the file.
        "PRAGMA locking_mode = {locking};
         PRAGMA synchronous = FULL;
         PRAGMA fullfsync = ON;
         PRAGMA checkpoint_fullfsync = ON;
         PRAGMA secure_delete = ON;
         PRAGMA cell_size_check = ON;
         PRAGMA trusted_schema = OFF;
         PRAGMA temp_store = MEMORY;
         PRAGMA cache_size = -{CACHE_KIB};"
    ))?;
    Ok(conn)
}

fn pragma(conn: &Connection, name: &str) -> Result<i32> {
    Ok(conn.pragma_query_value(None, name, |row| row.get(0))?)
}

/// The file with the keys that its rows are sealed under.
pub(crate) struct Sealed {
    /// The file.
    pub store: Store,
    /// The keys.
    pub keys: VaultKeys,
}

/// Makes the folder if it is not there, readable by its owner only.
pub(crate) fn make_folder(dir: &Path) -> Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    Ok(builder.create(dir)?)
}

/// Whatever these options create is readable by its owner only. SQLite gives its WAL the permissions of the file.
pub(crate) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

/// Makes a file and its name durable.
pub(crate) fn sync(dir: &Path, file: &Path) -> Result<()> {
    OpenOptions::new().write(true).open(file)?.sync_all()?;
    // Windows cannot open folders; its renames are durable once the file is.
    #[cfg(unix)]
    File::open(dir)?.sync_all()?;
    Ok(())
}

/// A lock on `path` that ends with the file that is returned; waits for others, each of which has it for the time that a
/// password takes.
pub(crate) fn lock_patiently(path: &Path) -> Result<File> {
    patiently(TURNS, || lock(path))
}

/// Tries again while others are in the way, but not for longer than so.
fn patiently<T>(patience: Duration, mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    let begun = Instant::now();
    loop {
        match attempt() {
            Err(VaultError::Busy) if begun.elapsed() < patience => thread::sleep(POLL),
            result => return result,
        }
    }
}

/// A lock on `path` that ends with this process, for the moments in which there is no vault yet.
pub(crate) fn lock(path: &Path) -> Result<File> {
    let file = private(OpenOptions::new().write(true).create(true).truncate(false)).open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(VaultError::Busy),
        Err(fs::TryLockError::Error(error)) => Err(error.into()),
    }
}
