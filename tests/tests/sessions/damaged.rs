//! Where an operation is damaged, all else comes and goes.

use std::path::Path;

use rusqlite::Connection;
use twin_identity::device::Role;
use twin_sync::session::{Difference, SyncEvent};
use twin_vault::{FILE_NAME, Vault, WriteChange};

use crate::common::*;
use crate::session::sync;
use crate::twins::*;

fn write(vault: &mut Vault, now: u64, name: &str, id: &str) {
    let change = WriteChange::put("c", id, fields(&[("a", "one")]));
    let rng = &mut rng(now);
    vault.commit(now, rng, &space(name), vec![change]).unwrap();
}

fn ids_in(vault: &mut Vault, name: &str) -> Vec<String> {
    let records = vault.list(&space(name), "c", None, 100).unwrap();
    records.into_iter().map(|record| record.id).collect()
}

/// Flips a bit in the op before the last of the longest log.
fn damage_an_op(dir: &Path) {
    let file = Connection::open(dir.join(FILE_NAME)).unwrap();
    let longest = "SELECT n >> 49 FROM op GROUP BY n >> 49 ORDER BY count(*) DESC LIMIT 1";
    let rows = format!("SELECT n, v FROM op WHERE n >> 49 = ({longest}) ORDER BY n DESC");
    let mut rows = file.prepare(&rows).unwrap();
    let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
    let mut rows: Vec<(i64, Vec<u8>)> = rows.unwrap().map(Result::unwrap).collect();
    let (number, bytes) = &mut rows[1];
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let change = "UPDATE op SET v = ?2 WHERE n = ?1";
    file.execute(change, (*number, &*bytes)).unwrap();
}

#[test]
fn one_damaged_operation_keeps_no_other_log_from_anybody() {
    let (dirs, mut phone, [mut laptop]) = family([Role::Member]);
    for id in ["1", "2", "3", "4", "5"] {
        write(&mut phone, NOON, "home", id);
    }
    meet(&mut [&mut phone, &mut laptop], NOON);
    sync(&mut phone, &mut laptop, NOON);
    for id in ["6", "7", "8", "9"] {
        write(&mut phone, NOON + 1, "home", id);
    }
    write(&mut phone, NOON + 1, "diary", "of the phone");
    write(&mut laptop, NOON + 1, "home", "of the laptop");
    let home = log_of(&phone, &phone, "home").unwrap().0;
    let diary = log_of(&phone, &phone, "diary").unwrap().0;
    assert_ne!(home, diary);
    drop(phone);
    // What is before it goes, but for the last of that, which nothing vouches for; what comes after it does not.
    damage_an_op(dirs[0].path());

    let mut phone = reopen(dirs[0].path()).unwrap();
    assert!(!phone.check().unwrap().is_whole());
    let [said, heard] = sync(&mut phone, &mut laptop, NOON + MINUTE);
    let writer = Some(phone.device_keys().id());
    let damaged = SyncEvent::Differs(Difference::Damaged(writer));
    assert!(said.contains(&damaged), "{said:?}");
    for events in [&said, &heard] {
        assert!(events.contains(&SyncEvent::Stuck), "{events:?}");
    }
    assert_eq!(ids_in(&mut laptop, "diary"), ["of the phone"]);
    let here = ids_in(&mut laptop, "home");
    assert!(here.contains(&"6".to_owned()), "{here:?}");
    assert!(!here.contains(&"9".to_owned()), "{here:?}");
    assert!(laptop.check().unwrap().is_whole());
    let here = phone.get(&space("home"), "c", "of the laptop").unwrap();
    assert!(here.is_some());
}
