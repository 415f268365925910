#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod full;

use std::path::Path;

use tempfile::{TempDir, tempdir};
use twin_identity::device::Role;
use twin_ops::value::Fields;

use super::*;
use crate::check::Damage;
use crate::common::*;
use crate::{Unlock, Vault, VaultError, WriteChange};

const DAY: u64 = KEPT;

/// No two pieces of 64 KiB are alike.
fn content(seed: &str, len: usize) -> Vec<u8> {
    let mut content = vec![0; len];
    let mut hasher = blake3::Hasher::new();
    hasher.update(seed.as_bytes());
    hasher.finalize_xof().fill(&mut content);
    content
}

fn store(vault: &mut Vault, now: u64, content: &[u8]) -> Added {
    let mut writer = vault
        .begin_file(now, &mut rng(now), &space("home"))
        .unwrap();
    for piece in content.chunks(100_000) {
        vault.push_file(now, &mut writer, piece).unwrap();
    }
    assert_eq!(writer.len(), content.len() as u64);
    vault.finish_file(now, writer).unwrap()
}

fn naming(id: &str, root: &Root) -> Vec<WriteChange> {
    let fields = Fields([("content".to_owned(), root.to_value())].into());
    vec![WriteChange::put("files", id, fields)]
}

fn add(vault: &mut Vault, now: u64, id: &str, content: &[u8]) {
    let added = store(vault, now, content);
    let changes = naming(id, added.root());
    vault
        .commit_files(now, &mut rng(now), &space("home"), changes, &[added])
        .unwrap();
}

fn root(vault: &mut Vault, id: &str) -> Root {
    let record = vault.get(&space("home"), "files", id).unwrap().unwrap();
    Root::of(&record.fields.0["content"]).unwrap()
}

fn read(vault: &mut Vault, id: &str) -> Result<Vec<u8>, VaultError> {
    let root = root(vault, id);
    let mut file = vault.open_file(&space("home"), root)?;
    let mut content = Vec::new();
    let mut buffer = vec![0; 50_000];
    loop {
        let len = vault.read_file(&mut file, content.len() as u64, &mut buffer)?;
        if len == 0 {
            assert_eq!(content.len() as u64, file.len());
            return Ok(content);
        }
        content.extend_from_slice(&buffer[..len]);
    }
}

fn chunks(dir: &Path) -> i64 {
    let file = rusqlite::Connection::open(dir.join(crate::FILE_NAME)).unwrap();
    let count = "SELECT count(*) FROM chunk";
    file.query_row(count, [], |row| row.get(0)).unwrap()
}

fn alter(dir: &Path, sql: &str) {
    let file = rusqlite::Connection::open(dir.join(crate::FILE_NAME)).unwrap();
    assert_eq!(file.execute(sql, []).unwrap(), 1);
}

#[test]
fn a_file_comes_back_and_is_stored_once() {
    let dir = tempdir().unwrap();
    let mut vault = phone(dir.path());
    let photo = content("photo", 3 * CHUNK_LEN + 5);
    let added = store(&mut vault, NOON, &photo);
    assert_eq!(
        (added.stored(), added.root().len()),
        (5, photo.len() as u64)
    );
    let changes = naming("photo", added.root());
    let rng = &mut rng(1);
    vault
        .commit_files(NOON, rng, &space("home"), changes, &[added])
        .unwrap();
    assert_eq!(read(&mut vault, "photo").unwrap(), photo);
    drop(vault);

    let mut vault = reopen(dir.path()).unwrap();
    assert_eq!(read(&mut vault, "photo").unwrap(), photo);
    let again = store(&mut vault, NOON + 1, &photo);
    assert_eq!(
        (again.stored(), again.root()),
        (0, &root(&mut vault, "photo"))
    );
    vault.drop_file(again).unwrap();
    assert_eq!(chunks(dir.path()), 5);
    // What is longer shares all but what is new: its last two chunks and the manifest.
    let longer = [photo.as_slice(), &[0; CHUNK_LEN]].concat();
    assert_eq!(store(&mut vault, NOON + 2, &longer).stored(), 3);
    // Another space has its own.
    let mut writer = vault.begin_file(NOON, rng, &space("work")).unwrap();
    vault.push_file(NOON, &mut writer, &photo).unwrap();
    assert_eq!(vault.finish_file(NOON, writer).unwrap().stored(), 5);
    add(&mut vault, NOON, "empty", b"");
    assert_eq!(read(&mut vault, "empty").unwrap(), b"");
    assert!(vault.check().unwrap().is_whole());
}

/// A phone with a photo of four chunks, a laptop that knows of it and has none of them, and the photo.
fn photo_elsewhere() -> ([TempDir; 2], Vault, Vault, Vec<u8>) {
    let dirs = [tempdir().unwrap(), tempdir().unwrap()];
    let mut phone = phone(dirs[0].path());
    let photo = content("photo", 2 * CHUNK_LEN + 5);
    add(&mut phone, NOON, "photo", &photo);
    let mut laptop = linked(dirs[1].path(), &mut phone, 20, Role::Member);
    send(&phone, &mut laptop, NOON);
    (dirs, phone, laptop, photo)
}

#[test]
fn another_device_fetches_what_it_wants_to_see() {
    let (_dirs, mut phone, mut laptop, photo) = photo_elsewhere();
    let lacks = |vault: &mut Vault| match read(vault, "photo") {
        Err(VaultError::NotHere { missing, chunks }) => (missing, chunks),
        other => panic!("{other:?}"),
    };
    assert_eq!(lacks(&mut laptop), (4, 4));
    let root = root(&mut laptop, "photo");
    let home = space("home");
    let mut missing = laptop.missing_chunks(&home, &root, 2).unwrap();
    assert_eq!((missing.ids.len(), missing.count), (1, 4));
    let mut asked = 0;
    while missing.count > 0 {
        for id in missing.ids {
            let sealed = phone.sealed_chunk(&home, &id).unwrap().unwrap();
            let mut wrong = sealed.clone();
            wrong[9] ^= 1;
            let refused = laptop.put_chunks(NOON, &home, vec![(id, wrong)]);
            assert!(matches!(
                refused,
                Err(VaultError::File(FileError::Malformed))
            ));
            laptop.put_chunks(NOON, &home, vec![(id, sealed)]).unwrap();
            asked += 1;
        }
        if asked == 1 {
            assert_eq!(lacks(&mut laptop), (3, 4));
        }
        missing = laptop.missing_chunks(&home, &root, 2).unwrap();
        assert!(missing.ids.len() <= 2);
    }
    assert_eq!(asked, 4);
    assert_eq!(read(&mut laptop, "photo").unwrap(), photo);
    // Both find it when they add it again, and in no other space.
    assert_eq!(store(&mut laptop, NOON, &photo).stored(), 0);
    let id = root.to_bytes();
    let top = ChunkId::from_bytes(id[id.len() - 32..].try_into().unwrap());
    assert!(phone.sealed_chunk(&home, &top).unwrap().is_some());
    assert_eq!(phone.sealed_chunk(&space("work"), &top).unwrap(), None);
    let sealed = phone.sealed_chunk(&home, &top).unwrap().unwrap();
    let unknown = laptop.put_chunks(NOON, &space("work"), vec![(top, sealed.clone())]);
    assert!(matches!(unknown, Err(VaultError::NoKey)));
    let many = laptop.put_chunks(NOON, &home, vec![(top, sealed); 257]);
    assert!(matches!(many, Err(VaultError::Limit(_))));
}

#[test]
fn who_came_later_and_who_stayed_find_the_same_content() {
    let (one, two, three) = (tempdir().unwrap(), tempdir().unwrap(), tempdir().unwrap());
    let mut phone = phone(one.path());
    let photo = content("photo", CHUNK_LEN + 5);
    add(&mut phone, NOON, "photo", &photo);
    let gone = linked(two.path(), &mut phone, 20, Role::Member);
    let epochs = phone.state.epochs.len();
    phone.revoke(&gone.device_keys().id(), &mut rng(5)).unwrap();
    put(&mut phone, NOON, "notes", "new", &[("a", "b")]);
    assert!(phone.state.epochs.len() > epochs);
    assert_eq!(store(&mut phone, NOON, &photo).stored(), 0);
    let mut laptop = linked(three.path(), &mut phone, 30, Role::Member);
    send(&phone, &mut laptop, NOON);
    assert_eq!(
        store(&mut laptop, NOON, &photo).root(),
        &root(&mut phone, "photo")
    );
    // Who has no key before the newest finds less, and goes on.
    let home = space("home").id(laptop.twin());
    let newest = laptop.state.newest_epoch(&home).unwrap();
    laptop
        .state
        .epochs
        .retain(|id, _| *id == (home, newest) || id.0 != home);
    add(&mut laptop, NOON, "again", &photo);
    assert_ne!(root(&mut laptop, "again"), root(&mut phone, "photo"));
    assert_eq!(read(&mut laptop, "again").unwrap(), photo);
}

#[test]
fn a_new_vault_key_moves_no_content() {
    let dir = tempdir().unwrap();
    let mut vault = phone(dir.path());
    let photo = content("photo", CHUNK_LEN + 5);
    add(&mut vault, NOON, "photo", &photo);
    let unlock = Unlock::Password("a new one");
    vault.change_slot(NOON, 1, unlock, &mut rng(1)).unwrap();
    drop(vault);
    let mut vault = Vault::open(dir.path(), Unlock::Password("a new one"), NOON).unwrap();
    assert_eq!(read(&mut vault, "photo").unwrap(), photo);
    assert_eq!(store(&mut vault, NOON, &photo).stored(), 0);
    assert_eq!(chunks(dir.path()), 3);
    assert!(vault.check().unwrap().is_whole());
}

#[test]
fn damage_is_named_and_mended_by_adding_again() {
    let dir = tempdir().unwrap();
    let mut vault = phone(dir.path());
    let photo = content("photo", CHUNK_LEN + 5);
    add(&mut vault, NOON, "photo", &photo);
    assert_eq!(vault.check().unwrap().chunks, 3);
    let flip = "UPDATE chunk SET v = CAST(substr(v, 1, 99) || x'00' || substr(v, 101) AS BLOB) WHERE n = 2";
    alter(dir.path(), flip);
    let damaged = |vault: &mut Vault| {
        let report = vault.check().unwrap();
        assert!(!report.can_be_rebuilt() || report.is_whole());
        (report.chunks, report.named)
    };
    assert_eq!(damaged(&mut vault), (2, vec![Damage::Chunk(2)]));
    assert!(matches!(
        read(&mut vault, "photo"),
        Err(VaultError::Damaged(_))
    ));
    assert_eq!(store(&mut vault, NOON, &photo).stored(), 1);
    assert_eq!(read(&mut vault, "photo").unwrap(), photo);
    alter(dir.path(), "DELETE FROM chunk WHERE n = 1");
    assert_eq!(damaged(&mut vault).1, [Damage::Chunk(1)]);
    assert_eq!(store(&mut vault, NOON, &photo).stored(), 1);
    alter(dir.path(), "INSERT INTO chunk (n, v) VALUES (77, x'00')");
    assert_eq!(damaged(&mut vault), (3, vec![Damage::Chunk(77)]));
    alter(dir.path(), "DELETE FROM chunk WHERE n = 77");
    alter(
        dir.path(),
        "UPDATE item SET v = x'00' WHERE name = (SELECT name FROM item WHERE kind = 18 LIMIT 1)",
    );
    let (whole, named) = damaged(&mut vault);
    assert_eq!((whole, named.len()), (2, 2));
    assert_eq!(named[0], Damage::Row(18));
    assert!(matches!(
        vault.collect_garbage(NOON),
        Err(VaultError::Damaged(_))
    ));
    assert_eq!(chunks(dir.path()), 3);
}

#[test]
fn garbage_goes_after_a_day_and_nothing_else_ever() {
    let dir = tempdir().unwrap();
    let mut vault = phone(dir.path());
    let photo = content("photo", 2 * CHUNK_LEN + 5);
    add(&mut vault, NOON, "photo", &photo);
    add(&mut vault, NOON, "gone", b"deleted, and history still");
    add(&mut vault, NOON, "changed", b"as it was");
    add(&mut vault, NOON + 1, "changed", b"as it is");
    delete(&mut vault, NOON + 2, "files", "gone");
    assert_eq!(chunks(dir.path()), 4 + 3);
    // Broken off: what it has in common with the photo, and what it has not.
    let mut broken = vault.begin_file(NOON, &mut rng(7), &space("home")).unwrap();
    let other = [&photo[..CHUNK_LEN], &content("other", 70 * CHUNK_LEN)].concat();
    vault.push_file(NOON, &mut broken, &other).unwrap();
    assert!(chunks(dir.path()) > 60);
    let before = chunks(dir.path());
    // Goes on, and began long ago.
    let mut slow = vault.begin_file(NOON, &mut rng(8), &space("home")).unwrap();
    vault
        .push_file(NOON, &mut slow, &content("slow", 70 * CHUNK_LEN))
        .unwrap();
    let both = chunks(dir.path());

    assert_eq!(
        vault.collect_garbage(NOON + DAY).unwrap(),
        Collected::default()
    );
    vault
        .push_file(NOON + DAY, &mut slow, &content("more", 70 * CHUNK_LEN))
        .unwrap();
    assert_eq!(
        vault.collect_garbage(NOON + DAY + 1).unwrap(),
        Collected::default()
    );
    assert!(chunks(dir.path()) > both);
    let slow = vault.finish_file(NOON + DAY + 2, slow).unwrap();
    let changes = naming("slow", slow.root());
    let rng = &mut rng(9);
    vault
        .commit_files(NOON + DAY + 3, rng, &space("home"), changes, &[slow])
        .unwrap();

    let size = || {
        let file = rusqlite::Connection::open(dir.path().join(crate::FILE_NAME)).unwrap();
        let pages: u32 = file
            .query_row("PRAGMA page_count", [], |row| row.get(0))
            .unwrap();
        u64::from(pages) * 4096
    };
    let (there, large) = (chunks(dir.path()), size());
    let collected = vault.collect_garbage(NOON + 2 * DAY + 4).unwrap();
    // All of the broken one but the chunk that the photo has, too.
    assert_eq!(collected.chunks as i64, before - 7);
    assert_eq!(chunks(dir.path()), there - (before - 7));
    assert!(size() + collected.bytes / 2 < large, "pages are given back");
    let ended = vault.push_file(NOON + 2 * DAY, &mut broken, &content("x", 70 * CHUNK_LEN));
    assert!(matches!(ended, Err(VaultError::AddingEnded)));
    assert_eq!(read(&mut vault, "photo").unwrap(), photo);
    assert_eq!(read(&mut vault, "slow").unwrap().len(), 140 * CHUNK_LEN);
    assert_eq!(read(&mut vault, "changed").unwrap(), b"as it is");
    assert_eq!(
        vault.collect_garbage(NOON + 9 * DAY).unwrap(),
        Collected::default()
    );
    assert_eq!(store(&mut vault, NOON + 9 * DAY, b"as it was").stored(), 0);
    assert_eq!(
        store(&mut vault, NOON + 9 * DAY, b"deleted, and history still").stored(),
        0
    );
    assert!(vault.check().unwrap().is_whole());
}

#[test]
fn garbage_is_collected_step_by_step_while_others_write() {
    let dir = tempdir().unwrap();
    let mut vault = phone(dir.path());
    let mut other = reopen(dir.path()).unwrap();
    for i in 0..5 {
        add(&mut vault, NOON + i, &format!("{i}"), &[i as u8; 100]);
    }
    let named = chunks(dir.path());
    let broken = store(&mut vault, NOON, &content("broken", 70 * CHUNK_LEN));
    vault.drop_file(broken).unwrap();
    let garbage = chunks(dir.path()) - named;
    let (later, mut collecting) = (NOON + 2 * DAY, Collecting::default());
    let (mut steps, mut added) = (0u64, 0i64);
    while vault.collect_some(later, &mut collecting, 1).unwrap() {
        steps += 1;
        // Of the other process, between two steps: a new record with a new file, while there are ops to look through.
        if steps < 4 {
            let photo = content(&format!("new {steps}"), 1000);
            added += 1;
            add(&mut other, later + steps, &format!("new {steps}"), &photo);
            put(&mut vault, later + steps, "c", "r", &[("a", "written")]);
        }
    }
    assert!(garbage > 70 && steps > 10, "{garbage} {steps}");
    assert_eq!(collecting.collected().chunks as i64, garbage);
    assert_eq!(chunks(dir.path()), named + added);
    for i in 0..5 {
        assert_eq!(read(&mut vault, &format!("{i}")).unwrap(), [i as u8; 100]);
    }
    for step in 1..4 {
        let name = format!("new {step}");
        assert_eq!(read(&mut other, &name).unwrap(), content(&name, 1000));
    }
    assert!(vault.check().unwrap().is_whole());
}

#[test]
fn an_add_of_one_process_outlives_the_garbage_of_another() {
    let dir = tempdir().unwrap();
    let mut one = phone(dir.path());
    let photo = content("photo", CHUNK_LEN + 5);
    // Left by an add long ago; an add of now finds it here.
    let old = store(&mut one, NOON, &photo);
    one.drop_file(old).unwrap();
    let later = NOON + 5 * DAY;
    let added = store(&mut one, later, &photo);
    assert_eq!(added.stored(), 0);
    let mut two = reopen(dir.path()).unwrap();
    assert_eq!(two.collect_garbage(later).unwrap(), Collected::default());
    let changes = naming("photo", added.root());
    let rng = &mut rng(1);
    one.commit_files(later, rng, &space("home"), changes, &[added])
        .unwrap();
    assert_eq!(
        two.collect_garbage(later + 5 * DAY).unwrap(),
        Collected::default()
    );
    assert_eq!(read(&mut two, "photo").unwrap(), photo);

    // Given up by another process that thought it dead: nothing is named that is not here.
    let lost = store(&mut one, later, b"lost");
    assert_eq!(two.collect_garbage(later + 2 * DAY).unwrap().chunks, 1);
    let changes = naming("lost", lost.root());
    let refused = one.commit_files(later + 2 * DAY, rng, &space("home"), changes, &[lost]);
    assert!(matches!(refused, Err(VaultError::AddingEnded)));
    assert_eq!(one.get(&space("home"), "files", "lost").unwrap(), None);
}

/// However many adds go on, or were killed: nobody waits for them. One that had found what is erased is told.
#[test]
fn what_is_erased_goes_whatever_is_being_added() {
    let dir = tempdir().unwrap();
    let mut vault = phone(dir.path());
    let killed = vault.begin_file(NOON, &mut rng(1), &space("home")).unwrap();
    let photo = content("photo", CHUNK_LEN + 5);
    add(&mut vault, NOON + 1, "photo", &photo);
    let film = store(&mut vault, NOON + 2, &content("film", 2 * CHUNK_LEN));
    let again = store(&mut vault, NOON + 3, &photo);
    let erased = vault.erase(NOON + 3, &mut rng(2), &space("home"), "files", "photo");
    assert_eq!(erased.unwrap(), crate::Erasure::Done);
    assert!(vault.is_wiped().unwrap());
    assert_eq!(chunks(dir.path()), 3, "the film's");

    let rng = &mut rng(3);
    let mut name = |vault: &mut Vault, id, added: Added| {
        let changes = naming(id, added.root());
        vault.commit_files(NOON + 4, rng, &space("home"), changes, &[added])
    };
    let refused = name(&mut vault, "again", again);
    assert!(matches!(refused, Err(VaultError::AddingEnded)));
    name(&mut vault, "film", film).unwrap();
    add(&mut vault, NOON + 5, "again", &photo);
    assert_eq!(read(&mut vault, "again").unwrap(), photo);
    drop(killed);
}

#[test]
fn a_root_that_lies_hides_no_chunk_from_one_that_does_not() {
    let dir = tempdir().unwrap();
    let mut vault = phone(dir.path());
    let photo = content("photo", 2 * CHUNK_LEN + 5);
    let added = store(&mut vault, NOON, &photo);
    let true_root = added.root().to_bytes();
    let honest = naming("a", added.root());
    // The same chunks, another length; another key; both come first.
    let lie = |at: usize| {
        let mut bytes = true_root.clone();
        bytes[at] ^= 1;
        naming("a", &Root::from_bytes(&bytes).unwrap())
    };
    let length = true_root.len() - 73;
    let mut liars = lie(true_root.len() - 36);
    liars.extend(lie(length));
    let rng = &mut rng(1);
    vault.commit(NOON, rng, &space("home"), liars).unwrap();
    vault
        .commit_files(NOON, rng, &space("home"), honest, &[added])
        .unwrap();
    assert_eq!(
        vault.collect_garbage(NOON + 9 * DAY).unwrap(),
        Collected::default()
    );
    assert_eq!(read(&mut vault, "a").unwrap(), photo);
}

#[test]
fn what_is_broken_off_goes_on_where_it_was() {
    let dir = tempdir().unwrap();
    let mut vault = phone(dir.path());
    let film = content("film", 150 * CHUNK_LEN);
    let mut writer = vault.begin_file(NOON, &mut rng(1), &space("home")).unwrap();
    vault
        .push_file(NOON, &mut writer, &film[..100 * CHUNK_LEN])
        .unwrap();
    let here = chunks(dir.path());
    assert!(here >= 64);
    // As at a kill: nobody is told.
    drop((writer, vault));
    let mut vault = reopen(dir.path()).unwrap();
    assert!(vault.check().unwrap().is_whole());
    let added = store(&mut vault, NOON + 1, &film);
    assert_eq!(added.stored() as i64, 151 - here);
    // What is abandoned keeps no garbage: its row would for a day.
    let writer = vault.begin_file(NOON, &mut rng(2), &space("home")).unwrap();
    let rows = vault.file.count::<crate::rows::AddingRow>().unwrap();
    vault.abandon_file(writer).unwrap();
    vault.drop_file(added).unwrap();
    assert_eq!(
        vault.file.count::<crate::rows::AddingRow>().unwrap(),
        rows - 2
    );
}
