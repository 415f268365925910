//! How much of the disk a sealed vault takes after a million updates of a thousand records, once it was compacted:
//! `cargo xtask bench vault` reads the JSON that this prints.
//!
//! Live data is what the file takes in which the same thousand records, as they are at the end, are written once, by
//! the same means: key slots, identity log and index included on both sides. Records have 256 bytes of text; a number
//! that is given as an argument takes the place of the million.

use std::path::Path;
use std::time::Instant;

use twin::{Fields, Space, Twin, Unlock, Value, WriteChange};

/// How many updates there are, of how many records, and how many of them in one commit.
const UPDATES: u64 = 1_000_000;
const KEYS: u64 = 1000;
const BATCH: u64 = 1000;
/// Bytes of text in a record.
const BYTES: usize = 256;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let updates = match std::env::args().nth(1) {
        Some(number) => number.parse()?,
        None => UPDATES,
    };
    let folder = tempfile::tempdir()?;
    let [many, once] = ["many", "once"].map(|name| folder.path().join(name));
    let (twin, space) = create(&many)?;
    let begun = Instant::now();
    for first in (0..updates).step_by(usize::try_from(BATCH)?) {
        write(&space, first..updates.min(first + BATCH))?;
    }
    let wrote = begun.elapsed();
    let before = bytes(&many)?;
    let begun = Instant::now();
    let compacted = twin.compact()?;
    let took = begun.elapsed();
    if !twin.check_vault()?.is_whole() {
        return Err("a compacted vault is damaged".into());
    }
    drop((space, twin));
    let after = bytes(&many)?;

    let (twin, space) = create(&once)?;
    write(&space, updates.saturating_sub(KEYS)..updates)?;
    drop((space, twin));
    let live = bytes(&once)?;
    let report = serde_json::json!({
        "updates": updates,
        "keys": KEYS,
        "write_us": wrote.as_secs_f64() * 1e6 / updates as f64,
        "operations_gone": compacted.gone,
        "compact_ms": took.as_secs_f64() * 1e3,
        "before_bytes": before,
        "compacted_bytes": after,
        "live_bytes": live,
        "live_ratio": after as f64 / live as f64,
    });
    #[allow(clippy::print_stdout, reason = "what this program is for")]
    {
        println!("{report}");
    }
    Ok(())
}

fn create(dir: &Path) -> Result<(Twin, Space), Failure> {
    let twin = Twin::create(
        dir,
        Unlock::Password("only measured"),
        Twin::new_words(),
        "measured",
        "machine",
    )?;
    let space = twin.space("home")?;
    Ok((twin, space))
}

/// Writes updates in one commit.
fn write(space: &Space, updates: std::ops::Range<u64>) -> Result<(), Failure> {
    let change = |update: u64| {
        let mut text = format!("update {update} ");
        text.push_str(&"x".repeat(BYTES - text.len()));
        let fields = Fields([("note".to_owned(), Value::Text(text))].into());
        WriteChange::put("notes", &format!("{:016x}", update % KEYS), fields)
    };
    Ok(space.commit(updates.map(change).collect())?)
}

/// The bytes of all files of a vault.
fn bytes(dir: &Path) -> Result<u64, Failure> {
    let mut bytes = 0;
    for file in std::fs::read_dir(dir)? {
        bytes += file?.metadata()?.len();
    }
    Ok(bytes)
}
