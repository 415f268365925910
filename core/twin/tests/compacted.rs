//! A twin whose history went, in exports and out of them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::fs;
use std::path::Path;

use tempfile::TempDir;
use twin::{Fields, Means, RecoverySecret, Scope, Twin, Unlock, Value};

fn words() -> RecoverySecret {
    RecoverySecret::from_bytes([7; 32])
}

fn put(twin: &Twin, id: &str, text: &str) {
    let fields = Fields([("text".to_owned(), Value::from(text))].into());
    let notes = twin.space("home").unwrap().collection("notes");
    notes.put(id, fields).unwrap();
}

fn all(twin: &Twin) -> Vec<(String, Fields)> {
    let notes = twin.space("home").unwrap().collection("notes");
    let records = notes.list_all(100).unwrap().into_iter();
    records.map(|record| (record.id, record.fields)).collect()
}

fn bytes(dir: &Path) -> u64 {
    let files = fs::read_dir(dir).unwrap();
    files
        .map(|file| file.unwrap().metadata().unwrap().len())
        .sum()
}

#[test]
fn it_gives_space_back_and_comes_back_from_an_export() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    let unlock = Unlock::Password("word");
    let twin = Twin::create(&path("phone"), unlock, words(), "Ada", "phone").unwrap();
    for number in 0..60 {
        put(&twin, "often", &format!("{number} {}", "x".repeat(20_000)));
    }
    put(&twin, "once", "kept");
    let before = (all(&twin), bytes(&path("phone")));
    let compacted = twin.compact().unwrap();
    assert!(compacted.gone > 60 && compacted.waiting.is_empty());
    assert!(twin.check_vault().unwrap().is_whole());
    assert_eq!(all(&twin), before.0);
    assert!(bytes(&path("phone")) * 3 < before.1);
    put(&twin, "after", "kept");
    let truth = all(&twin);

    let file = path("backup");
    let quiet = &mut |_| std::ops::ControlFlow::Continue(());
    let written = twin.export_sealed(&file, &Scope::Twin, quiet).unwrap();
    assert!(written.operations < 30);
    let means = Means::Words(words());
    let unlock = Unlock::Password("new");
    let restored =
        Twin::recover_from_backup(&path("new"), unlock, &file, means, "new", quiet).unwrap();
    assert_eq!(restored.taken.new, written.operations);
    assert_eq!(restored.taken.refused, 0);
    let new = restored.twin;
    assert_eq!(all(&new), truth);
    assert!(new.check_vault().unwrap().is_whole());
    new.rebuild_index().unwrap();
    assert_eq!(all(&new), truth);
    // The device that is new lets go of the old one's checkpoint, too.
    put(&new, "once", "changed");
    assert!(new.compact().unwrap().gone > 0);
    assert!(new.check_vault().unwrap().is_whole());
    assert_eq!(all(&new).len(), truth.len());
    // Taken in again, it brings nothing that is not here.
    let taken = new.import_sealed(&file, Some(&words()), quiet);
    assert!(taken.is_ok_and(|taken| taken.new == 0));
}
