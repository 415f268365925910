//! Disks without room for content: it is refused while there is room for everything else.

use std::fs;

use twin_ops::store::{ChunkName, OpStore};

use super::*;
use crate::disk::RESERVE;
use crate::rows::AddingRow;

/// How many bytes the disk has, for what is in the vault's folder.
const DISK: u64 = 20 << 20;

fn used(dir: &Path) -> u64 {
    let files = fs::read_dir(dir).unwrap();
    files
        .map(|file| file.unwrap().metadata().unwrap().len())
        .sum()
}

/// A disk of 20 MiB.
fn small(file: &Path) -> Option<u64> {
    // Never full to the brim.
    Some(DISK.checked_sub(used(file.parent().unwrap())).unwrap())
}

fn full(_: &Path) -> Option<u64> {
    Some(1)
}

/// A disk that does not say.
fn silent(_: &Path) -> Option<u64> {
    None
}

/// Adds a content as [`store`] does, or leaves nothing.
fn try_to_store(vault: &mut Vault, now: u64, content: &[u8]) -> Result<Added, VaultError> {
    let mut writer = vault
        .begin_file(now, &mut rng(now), &space("home"))
        .unwrap();
    let mut pieces = content.chunks(100_000);
    let added = match pieces.try_for_each(|piece| vault.push_file(now, &mut writer, piece)) {
        Ok(()) => vault.finish_file(now, writer),
        Err(error) => vault.abandon_file(writer).and(Err(error)),
    };
    if added.is_err() {
        forget(vault, now, now);
    }
    added
}

fn forget(vault: &mut Vault, now: u64, since: u64) {
    let mut collecting = Collecting::since(since);
    while vault.collect_some(now, &mut collecting, 2).unwrap() {}
}

fn is_refused<T>(result: Result<T, VaultError>) -> bool {
    matches!(result, Err(VaultError::DiskFull))
}

#[test]
fn a_file_without_room_leaves_the_room_that_there_was() {
    let dir = tempdir().unwrap();
    let mut vault = phone(dir.path());
    vault.file.store.free = small;
    let photo = content("photo", 5 * CHUNK_LEN);
    add(&mut vault, NOON, "photo", &photo);
    let (here, room) = (chunks(dir.path()), used(dir.path()));
    // It begins as the photo does.
    let film = [photo.as_slice(), &content("film", DISK as usize)].concat();
    assert!(vault.lacks_room(film.len() as u64) > DISK - RESERVE);
    for again in 1..4 {
        assert!(is_refused(try_to_store(&mut vault, NOON + again, &film)));
        assert_eq!(chunks(dir.path()), here);
        assert_eq!(vault.file.count::<AddingRow>().unwrap(), 0);
        assert!(used(dir.path()) < room + (1 << 20));
        put(&mut vault, NOON + again, "notes", "a", &[("x", "1")]);
    }
    assert_eq!(read(&mut vault, "photo").unwrap(), photo);
    let small = content("small", 3 * CHUNK_LEN);
    add(&mut vault, NOON + 4, "small", &small);
    vault
        .erase(NOON + 5, &mut rng(1), &space("home"), "files", "photo")
        .unwrap();
    assert_eq!(chunks(dir.path()), 4);
    assert!(vault.check().unwrap().is_whole());

    // With room it comes.
    vault.file.store.free = silent;
    add(&mut vault, NOON + 6, "film", &film);
    assert_eq!(read(&mut vault, "film").unwrap(), film);
    // The last piece is refused as well.
    vault.file.store.free = full;
    assert!(is_refused(try_to_store(&mut vault, NOON + 7, b"tiny")));
    assert_eq!(vault.file.count::<AddingRow>().unwrap(), 0);
}

#[test]
fn a_full_disk_takes_everything_but_content() {
    let dir = tempdir().unwrap();
    let mut vault = phone(dir.path());
    let photo = content("photo", 2 * CHUNK_LEN);
    add(&mut vault, NOON, "photo", &photo);
    vault.file.store.free = full;
    assert_eq!(vault.lacks_room(0), RESERVE + wal(dir.path()) - 1);
    // What is here takes no room, under another name either.
    add(&mut vault, NOON + 1, "copy", &photo);
    put(&mut vault, NOON + 2, "notes", "a", &[("x", "1")]);
    let carried = vault.carry_chunks(None, 0, usize::MAX).unwrap().chunks;
    let home = space("home").id(vault.twin());
    vault
        .erase(NOON + 3, &mut rng(1), &space("home"), "files", "photo")
        .unwrap();
    vault
        .erase(NOON + 3, &mut rng(2), &space("home"), "files", "copy")
        .unwrap();
    assert_eq!(chunks(dir.path()), 0);
    let sealed: Vec<Vec<u8>> = carried.into_iter().map(|(_, bytes)| bytes).collect();
    assert!(is_refused(vault.take_carried(
        NOON + 4,
        home,
        sealed.clone()
    )));
    assert_eq!(chunks(dir.path()), 0);
    vault.file.store.free = silent;
    assert_eq!(vault.lacks_room(u64::MAX), 0);
    assert_eq!(vault.take_carried(NOON + 4, home, sealed).unwrap(), 3);
}

fn wal(dir: &Path) -> u64 {
    fs::metadata(dir.join("vault.db-wal")).unwrap().len()
}

#[test]
fn what_another_add_may_have_found_stays() {
    let dir = tempdir().unwrap();
    let mut vault = phone(dir.path());
    let begun = content("begun", 70 * CHUNK_LEN);
    let mut other = vault.begin_file(NOON, &mut rng(7), &space("home")).unwrap();
    vault.push_file(NOON, &mut other, &begun).unwrap();
    let mut failed = vault.begin_file(NOON, &mut rng(8), &space("home")).unwrap();
    vault
        .push_file(NOON, &mut failed, &content("failed", 70 * CHUNK_LEN))
        .unwrap();
    let here = chunks(dir.path());
    vault.abandon_file(failed).unwrap();
    forget(&mut vault, NOON, NOON);
    assert_eq!(chunks(dir.path()), here);
    let other = vault.finish_file(NOON + 1, other).unwrap();
    let changes = naming("begun", other.root());
    vault
        .commit_files(NOON + 2, &mut rng(9), &space("home"), changes, &[other])
        .unwrap();
    let named = 71;
    // One that was killed holds up nobody for long, and one that only paused is told.
    let mut killed = vault
        .begin_file(NOON + 3, &mut rng(10), &space("home"))
        .unwrap();
    vault
        .push_file(NOON + 3, &mut killed, &content("killed", 70 * CHUNK_LEN))
        .unwrap();
    vault.file.store.free = full;
    let minutes = |minutes: u64| NOON + 3 + minutes * 60_000;
    let again = content("killed", 71 * CHUNK_LEN);
    assert!(is_refused(try_to_store(&mut vault, minutes(9), &again)));
    assert!(chunks(dir.path()) > named);
    assert!(is_refused(try_to_store(&mut vault, minutes(11), &again)));
    vault.file.store.free = silent;
    assert!(matches!(
        vault.push_file(minutes(12), &mut killed, &again),
        Err(VaultError::AddingEnded)
    ));
    vault.collect_garbage(NOON + 2 * DAY).unwrap();
    assert_eq!(chunks(dir.path()), named);
    assert_eq!(read(&mut vault, "begun").unwrap(), begun);
}

#[test]
fn a_full_disk_asks_nobody_for_content() {
    let ([_one, two], phone, mut laptop, _) = photo_elsewhere();
    laptop.set_keeps(Keep::All).unwrap();
    let peer = phone.device_keys().id();
    let ask = |laptop: &mut Vault, now| {
        let sought = laptop.look_on(now, &mut Look::default(), &peer, 64);
        let sought = sought.unwrap();
        assert!(sought.over && sought.elsewhere == 0);
        assert_eq!(sought.missing, 4);
        sought.ask
    };
    let answer = |name: &ChunkName| (*name, phone.chunk(&peer, name).unwrap());
    laptop.file.store.free = full;
    assert_eq!(ask(&mut laptop, NOON), []);
    laptop.file.store.free = silent;
    let asked = ask(&mut laptop, NOON);
    assert_eq!(asked.len(), 1);

    // What was under way when the room ended is no error, and nothing is asked for in a while.
    laptop.file.store.free = full;
    let answers = asked.iter().map(answer).collect();
    assert_eq!(laptop.take_answers(NOON, answers).unwrap(), 0);
    assert_eq!(chunks(two.path()), 0);
    laptop.file.store.free = silent;
    assert_eq!(ask(&mut laptop, NOON + 59_999), []);
    let asked = ask(&mut laptop, NOON + 60_000);
    let answers = asked.iter().map(answer).collect();
    assert_eq!(laptop.take_answers(NOON + 60_000, answers).unwrap(), 1);
}
