//! The SQLite file: how it is made, opened and written.

use std::fs::{self, File, OpenOptions};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{CachedStatement, Connection, OpenFlags};

use crate::error::{Result, VaultError};
use crate::keys::VaultKeys;

/// "twin" in ASCII: tells `file` and us what this is.
pub(crate) const APPLICATION_ID: i32 = 0x7477_696e;
/// The version of the tables. A later version upgrades one step at a time, in one transaction.
pub(crate) const SCHEMA_VERSION: i32 = 1;
/// How long to wait for another process that is writing.
const BUSY: Duration = Duration::from_secs(10);
/// How often to look whether a lock is free.
const POLL: Duration = Duration::from_millis(10);
/// Page cache, in KiB.
const CACHE_KIB: i32 = 8 << 10;
/// More than there are different statements.
const STATEMENTS: usize = 80;

/// `n` of an op is the number of its log, then 37 bits for its place there; `n` of a part is `n` of its op, then 12 bits
/// for its index there. `p` of a record is one part or, as a blob,
/// several; `past` has the parts that no longer decide what the record at `k` is; what is still to go into both is in
/// `late`; `t` is the MAC over both columns before it. `n` of a block is the number of its segment, then 20 bits for its
/// place there (see `segment`).
const SCHEMA: &str = "
    CREATE TABLE slot (n INTEGER PRIMARY KEY, v BLOB NOT NULL, checksum BLOB NOT NULL) STRICT;
    CREATE TABLE tries (n INTEGER PRIMARY KEY CHECK (n = 1), wrong INTEGER NOT NULL, last INTEGER NOT NULL) STRICT;
    CREATE TABLE item (kind INTEGER NOT NULL, name BLOB NOT NULL, v BLOB NOT NULL, PRIMARY KEY (kind, name))
        STRICT, WITHOUT ROWID;
    CREATE TABLE op (n INTEGER PRIMARY KEY, header BLOB NOT NULL, signature BLOB NOT NULL, salt BLOB NOT NULL) STRICT;
    CREATE TABLE part (n INTEGER PRIMARY KEY, v BLOB NOT NULL) STRICT;
    CREATE TABLE rec (k INTEGER PRIMARY KEY, p ANY NOT NULL, t INTEGER NOT NULL) STRICT;
    CREATE TABLE past (k INTEGER NOT NULL, p INTEGER NOT NULL, PRIMARY KEY (k, p)) STRICT, WITHOUT ROWID;
    CREATE TABLE late (n INTEGER PRIMARY KEY, v BLOB NOT NULL, t INTEGER NOT NULL) STRICT;
    CREATE TABLE chunk (n INTEGER PRIMARY KEY, v BLOB NOT NULL) STRICT;
    CREATE TABLE block (n INTEGER PRIMARY KEY, v BLOB NOT NULL) STRICT;
";

/// The open file. What it says about people is sealed; see `items`, `oplog` and `index` for its tables.
pub(crate) struct Store {
    conn: Connection,
}

impl Store {
    /// Makes a new file with empty tables.
    pub fn create(path: &Path) -> Result<Self> {
        private(OpenOptions::new().write(true).create_new(true)).open(path)?;
        let store = Self::connect(path)?;
        // Order matters: page size and vacuum mode are fixed by the first table.
        store.conn.execute_batch(&format!(
            "PRAGMA page_size = 4096;
             PRAGMA auto_vacuum = INCREMENTAL;
             PRAGMA journal_mode = WAL;
             BEGIN IMMEDIATE; {SCHEMA}
             PRAGMA application_id = {APPLICATION_ID};
             PRAGMA user_version = {SCHEMA_VERSION};
             COMMIT;"
        ))?;
        Ok(store)
    }

    /// Opens an existing file; refuses one of a later version before anything in it is touched.
    pub fn open(path: &Path) -> Result<Self> {
        if !path.try_exists()? {
            return Err(VaultError::Missing);
        }
        let store = Self::connect(path)?;
        // Closing the last connection writes the WAL into the file: not before we know that the file is ours.
        let no_checkpoint = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
        store.conn.set_db_config(no_checkpoint, true)?;
        if store.pragma("user_version")? > SCHEMA_VERSION {
            return Err(VaultError::Newer);
        }
        let ours = store.pragma("application_id")? == APPLICATION_ID
            && store.pragma("user_version")? == SCHEMA_VERSION;
        if !ours {
            return Err(VaultError::Damaged("its header"));
        }
        store.conn.set_db_config(no_checkpoint, false)?;
        Ok(store)
    }

    fn connect(path: &Path) -> Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = Connection::open_with_flags(path, flags)?;
        conn.busy_timeout(BUSY)?;
        // Else plans depend on bound values, and every statement would be prepared anew each time it is used.
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        conn.set_prepared_statement_cache_capacity(STATEMENTS);
        conn.execute_batch(&format!(
            "PRAGMA synchronous = FULL;
             PRAGMA fullfsync = ON;
             PRAGMA checkpoint_fullfsync = ON;
             PRAGMA secure_delete = ON;
             PRAGMA cell_size_check = ON;
             PRAGMA trusted_schema = OFF;
             PRAGMA temp_store = MEMORY;
             PRAGMA cache_size = -{CACHE_KIB};"
        ))?;
        Ok(Self { conn })
    }

    fn pragma(&self, name: &str) -> Result<i32> {
        Ok(self.conn.pragma_query_value(None, name, |row| row.get(0))?)
    }

    /// Closes the file; its WAL goes into it unless another process has it open.
    pub fn close(self) -> Result<()> {
        self.conn.close().map_err(|(_, error)| error.into())
    }

    /// A statement, prepared once.
    pub fn sql(&self, sql: &str) -> Result<CachedStatement<'_>> {
        Ok(self.conn.prepare_cached(sql)?)
    }

    /// Grows with every row that this connection writes.
    pub fn changes(&self) -> u64 {
        self.conn.total_changes()
    }

    /// Changes whenever another connection has written.
    pub fn data_version(&self) -> Result<i64> {
        Ok(self
            .sql("PRAGMA data_version")?
            .query_row([], |row| row.get(0))?)
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
        // After a full disk SQLite has rolled back by itself; any other failure shows at the next use.
        if !self.conn.is_autocommit()
            && let Err(error) = self.conn.execute_batch("ROLLBACK")
        {
            log::warn!("a transaction could not be rolled back: {error}");
        }
    }

    /// What SQLite finds wrong with the structure of its file.
    pub fn check_file(&self) -> Result<Vec<String>> {
        let mut statement = self.sql("PRAGMA integrity_check(100)")?;
        let says = statement.query_map([], |row| row.get(0))?;
        let says: Vec<String> = says.collect::<rusqlite::Result<_>>()?;
        Ok(says.into_iter().filter(|says| says != "ok").collect())
    }

    /// Gives the pages that nothing is in any more back to the file system.
    pub fn give_back(&self) -> Result<()> {
        let mut vacuum = self.sql("PRAGMA incremental_vacuum")?;
        let mut pages = vacuum.query([])?;
        // One step a page.
        while pages.next()?.is_some() {}
        drop(pages);
        self.truncate_wal();
        Ok(())
    }

    /// Empties the WAL, so that nothing from before the last commit is left in it. Waits for others who read; if they
    /// read on, the WAL goes when the last of them closes the file.
    pub fn truncate_wal(&self) {
        let emptied = self
            .conn
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| {
                row.get::<_, bool>(0)
            });
        if !matches!(emptied, Ok(false)) {
            log::warn!("the write-ahead log could not be emptied: another program reads it");
        }
    }

    /// Runs `work` on one snapshot of the file.
    pub fn snapshot<T>(&self, work: impl FnOnce(&Self) -> Result<T>) -> Result<T> {
        if !self.conn.is_autocommit() {
            return work(self);
        }
        self.sql("BEGIN")?.execute([])?;
        let result = work(self);
        self.rollback();
        result
    }
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

/// A lock on `path` that ends with the file that is returned; waits for others, but not longer than for one that is
/// writing.
pub(crate) fn lock_patiently(path: &Path) -> Result<File> {
    let begun = Instant::now();
    loop {
        match lock(path) {
            Err(VaultError::Busy) if begun.elapsed() < BUSY => thread::sleep(POLL),
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
