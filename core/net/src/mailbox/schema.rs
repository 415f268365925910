//! The tables of a relay's store, and how its file is opened.
//!
//! WAL with a full sync at each commit: a receipt is a promise that survives a power cut. What is deleted is overwritten
//! (`secure_delete`), and pages that are free go back to the file system bit by bit (`auto_vacuum`), so a relay that runs
//! for weeks is as large as what it keeps.

use std::fs::OpenOptions;
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::error::StoreError;

/// "twmb" in ASCII: tells `file` and us what this is.
const APPLICATION_ID: i32 = 0x7477_6d62;
/// The version of the tables.
const VERSION: i32 = 1;
/// Page cache, in KiB.
const CACHE_KIB: i32 = 8 << 10;
/// To how many bytes the WAL is cut after each checkpoint.
const WAL_BYTES: i32 = 8 << 20;
/// How long to wait for another process to end.
const BUSY: Duration = Duration::from_millis(500);
/// More than there are different statements.
const STATEMENTS: usize = 64;

/// A mailbox `m` has given numbers up to `last`; `version` goes up with each change; `posts` and `slots` count its rows,
/// `bytes` what they cost; it goes when it is empty and `until` is past. `sealed` is the last column, so that what is
/// before it is read without it. The one row of `relay` sums up what all mailboxes cost.
const SCHEMA: &str = "
    CREATE TABLE mailbox (m INTEGER PRIMARY KEY, address BLOB NOT NULL UNIQUE, last INTEGER NOT NULL,
        version INTEGER NOT NULL, posts INTEGER NOT NULL, slots INTEGER NOT NULL, bytes INTEGER NOT NULL,
        expires INTEGER NOT NULL, until INTEGER NOT NULL) STRICT;
    CREATE INDEX mailbox_until ON mailbox (until);
    CREATE TABLE post (p INTEGER PRIMARY KEY, m INTEGER NOT NULL, n INTEGER NOT NULL, id BLOB NOT NULL,
        expires INTEGER NOT NULL, withdrawn BLOB, sealed BLOB NOT NULL) STRICT;
    CREATE UNIQUE INDEX post_number ON post (m, n);
    CREATE INDEX post_id ON post (m, id);
    CREATE INDEX post_expires ON post (expires);
    CREATE TABLE presence (q INTEGER PRIMARY KEY, m INTEGER NOT NULL, slot BLOB NOT NULL, version INTEGER NOT NULL,
        expires INTEGER NOT NULL, sealed BLOB) STRICT;
    CREATE UNIQUE INDEX presence_slot ON presence (m, slot);
    CREATE INDEX presence_expires ON presence (expires);
    CREATE TABLE relay (k INTEGER PRIMARY KEY CHECK (k = 1), bytes INTEGER NOT NULL) STRICT;
    INSERT INTO relay VALUES (1, 0);
";

/// Opens the file, or makes it. It is this process's alone until it is closed.
pub(super) fn open(path: &Path) -> Result<Connection, StoreError> {
    // Readable by its owner only; SQLite gives the WAL the same permissions.
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(BUSY)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    conn.execute_batch("PRAGMA locking_mode = EXCLUSIVE; PRAGMA temp_store = MEMORY;")?;
    // Closing writes the WAL into the file: not before we know that the file is ours.
    let no_checkpoint = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
    conn.set_db_config(no_checkpoint, true)?;
    let empty = check(&conn)?;
    conn.set_db_config(no_checkpoint, false)?;
    if empty {
        // Order matters: page size and vacuum mode are fixed by the first table.
        conn.execute_batch("PRAGMA page_size = 4096; PRAGMA auto_vacuum = INCREMENTAL;")?;
    }
    conn.execute_batch(&format!(
        "PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         PRAGMA fullfsync = ON;
         PRAGMA checkpoint_fullfsync = ON;
         PRAGMA secure_delete = ON;
         PRAGMA cell_size_check = ON;
         PRAGMA trusted_schema = OFF;
         PRAGMA journal_size_limit = {WAL_BYTES};
         PRAGMA cache_size = -{CACHE_KIB};"
    ))?;
    if empty {
        conn.execute_batch(&format!(
            "BEGIN IMMEDIATE; {SCHEMA} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION}; COMMIT;"
        ))?;
    }
    Ok(conn)
}

/// Whether the file is empty; otherwise it is ours and of this version.
fn check(conn: &Connection) -> Result<bool, StoreError> {
    let pragma = |name| conn.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let (id, version) = (pragma("application_id")?, pragma("user_version")?);
    let tables: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    match (id, version) {
        (0, 0) if tables == 0 => Ok(true),
        (APPLICATION_ID, VERSION) => Ok(false),
        (APPLICATION_ID, version) if version > VERSION => Err(StoreError::Newer),
        _ => Err(StoreError::Foreign),
    }
}
