//! Of a vault that is damaged anywhere, all that still verifies comes back, and nothing else; what is lost is said, and the
//! damaged one stays as it was.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod common;
#[path = "common/salvaged.rs"]
mod salvaged;

use std::collections::BTreeMap;
use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

use common::*;
use salvaged::*;
use tempfile::tempdir;
use twin_identity::device::Role;
use twin_ops::op::{LogId, Op};
use twin_ops::store::{LogHead, OpStore};
use twin_ops::value::Fields;
use twin_vault::salvage::{Header, Loss};
use twin_vault::{FILE_NAME, Unlock, Vault, VaultError, WriteChange};

#[test]
fn a_whole_vault_comes_back_whole() {
    for wal in [false, true] {
        let sample = sample(wal);
        assert_eq!(sample.wal.is_empty(), !wal);
        let (this, saved) = Try::of(&sample.db, &sample.wal);
        let saved = saved.unwrap();
        assert!(saved.is_all(), "{:?}", saved.lost);
        assert_eq!((saved.rest, this.rest.len()), (0, 0));
        assert_eq!(truth(&mut this.vault()), sample.truth);
        let ops: usize = sample.truth.logs.values().map(Vec::len).sum();
        assert_eq!(saved.ops, ops as u64);
        try_it(&sample, &sample.db, &sample.wal).unwrap();
    }
}

/// What leads from page to page is not needed: the pages themselves are found.
#[test]
fn without_what_leads_to_them_all_rows_are_found() {
    let sample = sample(false);
    let mut zeroed = 0;
    let mut damaged = sample.db.clone();
    for (number, page) in damaged.chunks_mut(PAGE).enumerate() {
        let interior = page[0] == 5;
        if number < 2 || interior {
            page.fill(0);
            zeroed += usize::from(interior);
        }
    }
    assert!(zeroed > 0, "a sample with more pages than roots");
    let (saved, rest) = try_it(&sample, &damaged, &[]).unwrap();
    assert!(rest.is_empty());
    assert_eq!(
        saved
            .lost
            .iter()
            .filter(|loss| !matches!(loss, Loss::Unread(_)))
            .count(),
        0,
        "{:?}",
        saved.lost
    );
    let (this, _) = Try::of(&damaged, &[]);
    assert_eq!(truth(&mut this.vault()), sample.truth);
}

/// The place of an op's signature in the file.
fn place_of(sample: &Sample, log: &LogId, seq: usize) -> usize {
    let op = Op::from_bytes(&sample.truth.logs[log][seq - 1]).unwrap();
    let signature = op.signature();
    let mut windows = sample.db.windows(signature.len());
    windows.position(|window| window == signature).unwrap()
}

fn longest(sample: &Sample) -> LogId {
    let logs = sample.truth.logs.iter();
    *logs.max_by_key(|(_, run)| run.len()).unwrap().0
}

#[test]
fn what_follows_a_lost_operation_is_shown_and_comes_again_by_sync() {
    let sample = sample(false);
    let log = longest(&sample);
    let mut damaged = sample.db.clone();
    damaged[place_of(&sample, &log, 10)] ^= 1;
    let (this, saved) = Try::of(&damaged, &[]);
    let saved = saved.unwrap();
    let last = sample.truth.logs[&log].len() as u64;
    assert!(
        matches!(saved.lost.as_slice(), [Loss::Ops { log: lost, own: true, first: 10, last: end, by: Some(_) }]
            if (*lost, *end) == (log, last)),
        "{:?}",
        saved.lost
    );
    // All that is not there any more, or not as it was, is shown just as it was.
    let mut vault = this.vault();
    let now = truth(&mut vault);
    assert_ne!(now.records, sample.truth.records);
    let mut known = now.records.clone();
    for record in &this.rest {
        assert_eq!(record.space, space("home"));
        if record.collection == "c" {
            known.insert(record.id.clone(), record.fields.clone());
        }
    }
    let mut truth_by_now = sample.truth.records.clone();
    for i in 0..RECORDS / 3 {
        // A deletion that is lost with its log brings the record back, as an import would.
        let id = format!("r{i}");
        if let Some(fields) = known.get(&id) {
            truth_by_now.insert(id, fields.clone());
        }
    }
    assert_eq!(known, truth_by_now);
    assert_eq!(saved.rest, this.rest.len() as u64);

    // Another device has it all.
    let whole = tempdir().unwrap();
    fs::write(whole.path().join(FILE_NAME), &sample.db).unwrap();
    let whole = reopen(whole.path()).unwrap();
    send(&whole, &mut vault, LATER);
    assert_eq!(truth(&mut vault), sample.truth);
}

/// Whoever has not heard of an erasure has the content still.
#[test]
fn what_was_erased_in_operations_that_are_lost_stays_erased() {
    let (dir, other) = (tempdir().unwrap(), tempdir().unwrap());
    let mut vault = phone(dir.path());
    let mut laptop = linked(other.path(), &mut vault, 10, Role::Member);
    put(&mut vault, NOON, "c", "gone", &[("a", "one")]);
    put(&mut vault, NOON, "c", "kept", &[("a", "one")]);
    send(&vault, &mut laptop, NOON);
    put(&mut vault, NOON, "c", "other", &[("a", "one")]);
    let heads = vault.heads().unwrap();
    let op = heads.iter().find_map(|LogHead { log, head }| {
        let run = vault.read_run(log, head.height - 1, 0).unwrap();
        let home = vault.origin(log).unwrap()?.space == space("home").id(vault.twin());
        home.then(|| Op::from_bytes(&run[0]).unwrap())
    });
    let signature = *op.unwrap().signature();
    vault
        .erase(NOON, &mut rng(3), &space("home"), "c", "gone")
        .unwrap();
    drop(vault);
    let (mut db, wal) = copy(dir.path());
    assert!(wal.is_empty());
    let at = db
        .windows(signature.len())
        .position(|window| *window == signature);
    db[at.unwrap()] ^= 1;
    let (this, saved) = Try::of(&db, &wal);
    let lost = saved.unwrap().lost;
    assert!(matches!(lost.as_slice(), [Loss::Ops { .. }]), "{lost:?}");
    let mut vault = this.vault();
    assert!(vault.check().unwrap().is_whole());
    assert_eq!(vault.holes().unwrap(), []);
    send(&laptop, &mut vault, LATER);
    send(&vault, &mut laptop, LATER);
    for vault in [&mut vault, &mut laptop] {
        let ids: Vec<String> = records(vault, "c").into_iter().map(|(id, _)| id).collect();
        assert_eq!(ids, ["kept"]);
        assert!(vault.check().unwrap().is_whole());
    }
}

#[test]
fn a_seeded_flood_of_damage_never_panics_and_never_lies() {
    let samples = [sample(false), sample(true)];
    let (mut made, mut refused, mut lossy) = (0, 0, 0);
    let mut dice = 7u64;
    let mut throw = |below: usize| {
        dice = dice
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (dice >> 24) as usize % below
    };
    for round in 0..100 {
        let sample = &samples[round % 2];
        let (mut db, mut wal) = (sample.db.clone(), sample.wal.clone());
        let in_wal = !wal.is_empty() && throw(2) == 0;
        let bytes = if in_wal { &mut wal } else { &mut db };
        match throw(5) {
            // Single bits.
            0 => {
                for _ in 0..=throw(20) {
                    let bit = throw(bytes.len() * 8);
                    bytes[bit / 8] ^= 1 << (bit % 8);
                }
            }
            // Whole pages, of zeros or of another page.
            1 => {
                let pages = bytes.len() / PAGE;
                let page = throw(pages) * PAGE;
                bytes[page..page + PAGE].fill(0);
            }
            2 => {
                let pages = bytes.len() / PAGE;
                let (from, to) = (throw(pages) * PAGE, throw(pages) * PAGE);
                bytes.copy_within(from..from + PAGE, to);
            }
            // An end that is missing.
            3 => bytes.truncate(bytes.len() - throw(bytes.len() / 2)),
            // Noise.
            _ => {
                let at = throw(bytes.len() - 2000);
                for byte in &mut bytes[at..at + 600] {
                    *byte = throw(256) as u8;
                }
            }
        }
        let tried = catch_unwind(|| try_it(sample, &db, &wal));
        match tried.unwrap_or_else(|_| panic!("round {round}")) {
            Ok((saved, _)) => {
                made += 1;
                lossy += usize::from(!saved.is_all());
            }
            Err(error) => {
                assert!(
                    matches!(error, VaultError::NoSlotLeft),
                    "round {round}: {error}"
                );
                refused += 1;
            }
        }
    }
    // The slot is one row of many; most damage hits something that matters.
    assert!(
        made > refused * 4 && lossy > made / 3,
        "{made} made, {lossy} of them lossy, {refused} refused"
    );
}

#[test]
fn without_its_own_keys_a_device_can_still_read() {
    let sample = sample(false);
    let dir = tempdir().unwrap();
    fs::write(dir.path().join(FILE_NAME), &sample.db).unwrap();
    harm(
        dir.path(),
        "UPDATE item SET v = zeroblob(length(v)) WHERE kind = 1",
    );
    let (db, wal) = copy(dir.path());
    let (this, saved) = Try::of(&db, &wal);
    let saved = saved.unwrap();
    assert!(
        saved.vault && saved.lost.contains(&Loss::Keys),
        "{:?}",
        saved.lost
    );
    let mut vault = this.vault();
    assert_eq!(truth(&mut vault), sample.truth);
    let change = vec![WriteChange::put("c", "new", Fields::default())];
    let refused = vault.commit(LATER, &mut rng(1), &space("home"), change);
    assert!(matches!(refused, Err(VaultError::Removed)), "{refused:?}");
}

#[test]
fn without_the_beginning_of_the_identity_log_everything_is_shown() {
    let sample = sample(false);
    let dir = tempdir().unwrap();
    fs::write(dir.path().join(FILE_NAME), &sample.db).unwrap();
    harm(dir.path(), "DELETE FROM item WHERE kind IN (2, 3)");
    let (db, wal) = copy(dir.path());
    let (this, saved) = Try::of(&db, &wal);
    let saved = saved.unwrap();
    assert!(!saved.vault && saved.lost.contains(&Loss::Identity));
    assert!(!Vault::exists(this.to.path()));
    let shown: BTreeMap<_, _> = this
        .rest
        .iter()
        .filter(|record| record.collection == "c")
        .map(|record| (record.id.clone(), record.fields.clone()))
        .collect();
    assert_eq!(shown, sample.truth.records);
}

/// What one row is lost of comes again from others: the genesis from the first entry, keys from grants, the row of this
/// device's log from its keys, the row of a chunk from its content.
#[test]
fn rows_that_others_vouch_for_are_made_anew() {
    let sample = sample(false);
    for kinds in ["2", "5", "7 AND length(v) > 0", "18", "6", "8, 11, 13, 20"] {
        let dir = tempdir().unwrap();
        fs::write(dir.path().join(FILE_NAME), &sample.db).unwrap();
        let (kinds, all) = kinds
            .split_once(" AND")
            .map_or((kinds, true), |(kinds, _)| (kinds, false));
        harm(
            dir.path(),
            &format!("DELETE FROM item WHERE kind IN ({kinds})"),
        );
        let (db, wal) = copy(dir.path());
        let (this, saved) = Try::of(&db, &wal);
        let saved = saved.unwrap();
        let now = truth(&mut this.vault());
        if all {
            assert_eq!(now, sample.truth, "kind {kinds}");
            assert!(saved.is_all(), "kind {kinds}: {:?}", saved.lost);
        } else {
            // Who writes another device's log is said nowhere else.
            let log = longest(&sample);
            assert_eq!(now.logs[&log], sample.truth.logs[&log]);
            assert!(
                saved
                    .lost
                    .iter()
                    .any(|loss| matches!(loss, Loss::Ops { by: None, .. }))
            );
        }
    }
}

#[test]
fn a_way_in_that_is_damaged_is_told_and_the_others_stay() {
    let dir = tempdir().unwrap();
    let mut vault = phone(dir.path());
    put(&mut vault, NOON, "c", "one", &[("a", "b")]);
    let other = SoftKeyStore::new(2);
    let number = vault
        .add_slot(NOON, Unlock::KeyStore(&other), "other", &mut rng(4))
        .unwrap();
    drop(vault);
    harm(
        dir.path(),
        &format!("UPDATE slot SET v = zeroblob(length(v)) WHERE n = {number}"),
    );
    let (db, wal) = copy(dir.path());
    let (this, saved) = Try::of(&db, &wal);
    assert_eq!(saved.unwrap().lost, [Loss::Slot(number)]);
    assert_eq!(this.vault().slots().unwrap().len(), 1);

    harm(dir.path(), "UPDATE slot SET v = zeroblob(length(v))");
    let (db, wal) = copy(dir.path());
    let (this, saved) = Try::of(&db, &wal);
    assert!(matches!(saved, Err(VaultError::NoSlotLeft)));
    assert!(!Vault::exists(this.to.path()));
}

#[test]
fn what_is_no_vault_or_of_a_later_version_or_has_one_already_is_refused() {
    let sample = sample(false);
    let mut newer = sample.db.clone();
    newer[63] += 1;
    assert!(matches!(Try::of(&newer, &[]).1, Err(VaultError::Newer)));
    let (this, doubted) = Try::with(&newer, &[], Header::Doubted);
    assert!(doubted.unwrap().lost.is_empty());
    this.vault();
    for nothing in [&b""[..], b"not a vault at all", &[0; 3 * PAGE]] {
        let (_, saved) = Try::of(nothing, &[]);
        assert!(matches!(saved, Err(VaultError::NoSlotLeft)), "{saved:?}");
    }
    let (this, saved) = Try::of(&sample.db, &[]);
    saved.unwrap();
    let store = SoftKeyStore::new(1);
    let again = |from: &Path, to: &Path, key: &SoftKeyStore| {
        salvage_to(from, to, key, Header::Believed, &mut Vec::new())
    };
    let (from, to) = (this.from.path(), this.to.path());
    assert!(matches!(again(from, to, &store), Err(VaultError::Exists)));
    assert!(matches!(again(from, from, &store), Err(VaultError::Exists)));
    let (none, new) = (tempdir().unwrap(), tempdir().unwrap());
    assert!(matches!(
        again(none.path(), new.path(), &store),
        Err(VaultError::Missing)
    ));
    let wrong = again(from, new.path(), &SoftKeyStore::new(3));
    assert!(matches!(wrong, Err(VaultError::KeyStore(_))), "{wrong:?}");
    assert!(!Vault::exists(new.path()));
    // A folder that was made for nothing is gone again.
    fs::write(from.join(FILE_NAME), b"not a vault at all").unwrap();
    let made = to.join("in/a/folder");
    assert!(matches!(
        again(from, &made, &store),
        Err(VaultError::NoSlotLeft)
    ));
    assert!(!to.join("in").exists() && to.join(FILE_NAME).exists());
}

/// The names of the rows of entries of the identity log, in hex.
fn entries(sample: &Sample) -> Vec<String> {
    let dir = tempdir().unwrap();
    fs::write(dir.path().join(FILE_NAME), &sample.db).unwrap();
    let file = rusqlite::Connection::open(dir.path().join(FILE_NAME)).unwrap();
    let mut names = file
        .prepare("SELECT hex(name) FROM item WHERE kind = 3")
        .unwrap();
    let names = names.query_map([], |row| row.get(0)).unwrap();
    names.map(|name| name.unwrap()).collect()
}

/// All others hang on the first entry: it is there twice.
#[test]
fn the_first_entry_comes_again_from_beside_the_genesis() {
    let sample = sample(false);
    let mut whole = 0;
    for name in entries(&sample) {
        let dir = tempdir().unwrap();
        fs::write(dir.path().join(FILE_NAME), &sample.db).unwrap();
        let sql = format!("DELETE FROM item WHERE kind = 3 AND name = x'{name}'");
        harm(dir.path(), &sql);
        let (db, wal) = copy(dir.path());
        let (this, saved) = Try::of(&db, &wal);
        let saved = saved.unwrap();
        assert!(saved.vault);
        if saved.is_all() {
            assert!(truth(&mut this.vault()) == sample.truth);
            whole += 1;
        }
    }
    assert_eq!(whole, 1);
}

/// An entry of the identity log that is lost takes no content with it: what nobody vouches for any more is shown.
#[test]
fn what_a_device_wrote_that_no_entry_names_any_more_is_shown() {
    let sample = sample(false);
    let dir = tempdir().unwrap();
    let names = entries(&sample);
    assert_eq!(names.len(), 2, "the phone, and the laptop");
    let mut without_vault = 0;
    for name in names {
        fs::write(dir.path().join(FILE_NAME), &sample.db).unwrap();
        // The first one is beside the genesis, too.
        let sql = format!("DELETE FROM item WHERE kind = 2 OR kind = 3 AND name = x'{name}'");
        harm(dir.path(), &sql);
        let (db, wal) = copy(dir.path());
        let (this, saved) = Try::of(&db, &wal);
        let saved = saved.unwrap();
        without_vault += usize::from(!saved.vault);
        assert!(!saved.is_all());
        let mut known = if saved.vault {
            truth(&mut this.vault()).records
        } else {
            BTreeMap::new()
        };
        for record in this.rest.iter().filter(|record| record.collection == "c") {
            known.insert(record.id.clone(), record.fields.clone());
        }
        assert_eq!(known, sample.truth.records);
    }
    assert_eq!(without_vault, 1);
}

/// Pages that say that they are of a tree, and hold anything: none of it is a vault, and all of it ends.
#[test]
fn anything_at_all_is_read_to_its_end() {
    let mut dice = 3u64;
    for round in 0..40 {
        let mut noise = |len: usize| -> Vec<u8> {
            let byte = |_| {
                dice = dice
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                // Small numbers lead somewhere.
                let byte = (dice >> 32) as u8;
                if round % 2 == 0 { byte } else { byte & 0x17 }
            };
            (0..len).map(byte).collect()
        };
        let (mut db, wal) = (noise(12 * PAGE), noise(9 * PAGE));
        for (number, page) in db.chunks_mut(PAGE).enumerate() {
            page[0] = [0x0d, 0x05, 0x0a, 0x02][number % 4];
        }
        let (_, saved) = Try::of(&db, &wal);
        assert!(matches!(saved, Err(VaultError::NoSlotLeft)), "{saved:?}");
    }
}
