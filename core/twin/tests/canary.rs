//! Nothing readable in what a twin writes by itself: its vault, sealed exports, finished or not, temporary files and the
//! log. What an export in the clear holds, a person has asked for.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

#[path = "../../vault/tests/common/canary.rs"]
mod canary;

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;

use canary::{logged, record_log, search, search_bytes};
use tempfile::TempDir;
use twin::{Fields, ImportOptions, RecoverySecret, Scope, SpaceName, Twin, Unlock, Value};

const DIR: &str = "TWIN_TEST_DIR";

const TWIN: &str = "canary-twin-Gimpel";
const DEVICE: &str = "canary-device-Mauersegler";
const PASSWORD: &str = "canary-password-Pirol";
const SPACE: &str = "canary-space-Eisvogel";
const COLLECTION: &str = "canary-collection-Bachstelze";
const ID: &str = "canary-id-Goldammer";
const FIELD: &str = "canary-field-Nachtigall";
const VALUE: &str = "canary-value-Rotkehlchen";
const FILE: &str = "canary-file-Kleiber.txt";
const CONTENT: &str = "canary-content-Stieglitz";
const IMPORTED: &str = "canary-imported-Wiedehopf";
const WORDS: [&str; 11] = [
    TWIN, DEVICE, PASSWORD, SPACE, COLLECTION, ID, FIELD, VALUE, FILE, CONTENT, IMPORTED,
];

/// Does with a twin in `dir/home` whatever writes. What goes in and out in the clear is in `dir/clear`.
fn live(dir: &Path) {
    let (home, clear) = (dir.join("home"), dir.join("clear"));
    fs::create_dir(&clear).unwrap();
    let secret = RecoverySecret::from_bytes([1; 32]);
    let twin = Twin::create(&home, Unlock::Password(PASSWORD), secret, TWIN, DEVICE).unwrap();
    let space = twin.space(SPACE).unwrap();
    let collection = space.collection(COLLECTION);
    let fields = Fields([(FIELD.to_owned(), Value::from(VALUE))].into());
    collection.put(ID, fields).unwrap();
    fs::write(clear.join(FILE), CONTENT.repeat(10_000)).unwrap();
    let quiet = &mut |_| ControlFlow::Continue(());
    let added = collection.add_file(&clear.join(FILE), quiet).unwrap();
    assert!(added.stored > 0);
    let table = clear.join("table.csv");
    fs::write(&table, format!("id,text\na,{IMPORTED}\n")).unwrap();
    let options = ImportOptions {
        to: Some((SpaceName::any(SPACE).unwrap(), Some(COLLECTION.to_owned()))),
        ..ImportOptions::default()
    };
    twin.import(&table, &options, quiet).unwrap();
    assert_eq!(space.search(VALUE, None, 10).unwrap().len(), 1);
    twin.export_sealed(&dir.join("export"), &Scope::Twin, &mut |_| {
        std::ops::ControlFlow::Continue(())
    })
    .unwrap();
    twin.export_plain(&clear.join("plain"), quiet).unwrap();
    // What goes wrong is told, but not of whom or what.
    assert!(collection.put("", Fields::default()).is_err());
    assert!(twin.import(&clear.join(FILE), &options, quiet).is_err());
    drop(twin);
    assert!(Twin::open(&home, Unlock::Password(VALUE)).is_err());
}

#[test]
fn nothing_readable_is_written_but_what_was_asked_for() {
    let dir = TempDir::new().unwrap();
    let folder = |name: &str| {
        let folder = dir.path().join(name);
        fs::create_dir(&folder).unwrap();
        folder
    };
    let (life, temporary) = (folder("life"), folder("temporary"));
    let lived = Command::new(std::env::current_exe().unwrap())
        .args(["child", "--exact", "--ignored", "--nocapture"])
        .env(DIR, &life)
        .env("TMPDIR", &temporary)
        .env("SQLITE_TMPDIR", &temporary)
        .current_dir(&temporary)
        .output()
        .unwrap();
    assert!(lived.status.success(), "{lived:?}");
    assert_eq!(search_bytes(&lived.stdout, &WORDS), []);
    assert_eq!(search_bytes(&lived.stderr, &WORDS), []);
    assert_eq!(search(&temporary, &WORDS), (vec![], 0));
    // What was asked for in the clear shows that the words would be found.
    let (clear, _) = search(&life.join("clear"), &WORDS);
    for word in WORDS {
        let there = clear.contains(&(word, "UTF-8"));
        assert!(there || word == PASSWORD, "{word}");
    }
    fs::remove_dir_all(life.join("clear")).unwrap();
    let (sealed, searched) = search(&life, &WORDS);
    assert_eq!(sealed, []);
    assert!(searched > 50_000, "the vault and an export were searched");
}

/// Not a test: what the child process of the test above runs.
#[test]
#[ignore = "run by another test, as a process of its own"]
fn child() {
    let Some(dir) = std::env::var_os(DIR) else {
        return;
    };
    record_log();
    live(Path::new(&dir));
    assert_eq!(search_bytes(&logged(), &WORDS), []);
}
