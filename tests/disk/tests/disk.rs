//! The disk that fails does fail.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::Path;

use tempfile::tempdir;
use twin_disk::{Disk, Fault, Trouble};

/// Numbers without any sense, always the same.
fn dice(mut seed: u64) -> impl FnMut(u64) -> u64 {
    move |below| {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    }
}

/// What may be in the file `name` after a power loss at this moment.
fn outcomes(disk: &Disk, moment: usize, lies: bool, name: &str) -> BTreeSet<Option<Vec<u8>>> {
    let outcome = |seed| {
        let after = tempdir().unwrap();
        disk.after_power_loss(moment, lies, &mut dice(seed), after.path())
            .unwrap();
        fs::read(after.path().join(name)).ok()
    };
    (0..60).map(outcome).collect()
}

fn open(path: &Path) -> File {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    options.open(path).unwrap()
}

#[test]
fn what_was_synced_stays_and_what_was_not_may_go() {
    let dir = tempdir().unwrap();
    fs::write(dir.path().join("a"), b"old").unwrap();
    let disk = Disk::under(dir.path()).unwrap();
    let mut file = open(&dir.path().join("a"));
    file.write_all(b"new").unwrap();
    let written = disk.moment();
    file.sync_all().unwrap();
    let synced = disk.moment();
    let before = outcomes(&disk, written, false, "a");
    assert!(before.contains(&Some(b"old".to_vec())) && before.contains(&Some(b"new".to_vec())));
    assert_eq!(
        outcomes(&disk, synced, false, "a"),
        [Some(b"new".to_vec())].into()
    );
    assert!(outcomes(&disk, synced, true, "a").contains(&Some(b"old".to_vec())));
}

#[test]
fn writes_are_torn_at_sectors() {
    let dir = tempdir().unwrap();
    fs::write(dir.path().join("a"), [0; 2048]).unwrap();
    let disk = Disk::under(dir.path()).unwrap();
    let mut file = open(&dir.path().join("a"));
    file.seek(SeekFrom::Start(100)).unwrap();
    file.write_all(&[1; 1500]).unwrap();
    let torn = |content: &Vec<u8>| {
        let sectors: BTreeSet<u8> = [100, 512, 1024, 1536].map(|at| content[at]).into();
        assert!(
            content[..100]
                .iter()
                .chain(&content[1600..])
                .all(|b| *b == 0)
        );
        assert!(content[100..512].iter().all(|b| *b == content[100]));
        assert!(content[512..1024].iter().all(|b| *b == content[512]));
        sectors.len() > 1
    };
    let outcomes = outcomes(&disk, disk.moment(), false, "a");
    assert!(
        outcomes
            .iter()
            .flatten()
            .filter(|content| torn(content))
            .count()
            > 5
    );
}

#[test]
fn names_need_the_folder_to_be_synced() {
    let dir = tempdir().unwrap();
    let disk = Disk::under(dir.path()).unwrap();
    let mut file = open(&dir.path().join("new"));
    file.write_all(b"content").unwrap();
    file.sync_all().unwrap();
    let synced = disk.moment();
    fs::rename(dir.path().join("new"), dir.path().join("a")).unwrap();
    let renamed = disk.moment();
    File::open(dir.path()).unwrap().sync_all().unwrap();
    let safe = disk.moment();
    fs::remove_file(dir.path().join("a")).unwrap();
    let content = Some(b"content".to_vec());
    let maybe: BTreeSet<_> = [None, content.clone()].into();
    assert_eq!(outcomes(&disk, synced, false, "new"), maybe);
    assert_eq!(outcomes(&disk, renamed, false, "a"), maybe);
    assert_eq!(outcomes(&disk, safe, false, "a"), [content].into());
    assert_eq!(outcomes(&disk, disk.moment(), false, "a"), maybe);
}

#[test]
fn a_full_disk_takes_nothing_until_there_is_room() {
    let (dir, elsewhere) = (tempdir().unwrap(), tempdir().unwrap());
    let disk = Disk::under(dir.path()).unwrap();
    let mut file = open(&dir.path().join("a"));
    disk.fail(Fault {
        trouble: Trouble::Full,
        after: 1,
        lasts: true,
    });
    file.write_all(b"one").unwrap();
    for _ in 0..2 {
        let refused = file.write_all(b"two").unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::StorageFull);
    }
    file.set_len(2).unwrap();
    fs::write(elsewhere.path().join("a"), b"another disk").unwrap();
    assert_eq!(disk.mend(), 2);
    file.write_all(b"three").unwrap();
    let mut content = Vec::new();
    open(&dir.path().join("a"))
        .read_to_end(&mut content)
        .unwrap();
    assert_eq!(content, b"on\0three");
}

#[test]
fn a_broken_disk_breaks_once_or_for_good() {
    let dir = tempdir().unwrap();
    let disk = Disk::under(dir.path()).unwrap();
    let mut file = open(&dir.path().join("a"));
    disk.fail(Fault {
        trouble: Trouble::Broken,
        after: 1,
        lasts: false,
    });
    file.write_all(b"one").unwrap();
    assert!(file.sync_all().is_err());
    file.sync_all().unwrap();
    assert_eq!(disk.mend(), 1);
}
