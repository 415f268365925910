//! A disk that is full: SQLite is told that its file must not grow.
#![allow(clippy::unwrap_used)]

use tempfile::tempdir;
use twin_sync::mailbox::terms::ROW_COST;

use super::*;

#[test]
fn a_full_disk_is_said_and_nothing_is_half_written() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("relay");
    let mut store = SqliteStore::open(&path, Limits::default()).unwrap();
    let address = Address::from_bytes([1; 32]);
    let pages = |store: &SqliteStore, name| -> i64 {
        store
            .conn
            .pragma_query_value(None, name, |row| row.get(0))
            .unwrap()
    };
    let sealed = |number: u8| vec![number; 16 << 10];
    let grow = |store: &SqliteStore, more: i64| {
        let most = pages(store, "page_count") + more;
        // This pragma answers with what it was set to.
        let set = format!("PRAGMA max_page_count = {most}");
        let now: i64 = store.conn.query_row(&set, [], |row| row.get(0)).unwrap();
        assert_eq!(now, most);
    };
    grow(&store, 50);
    let mut kept = 0;
    let end = loop {
        match store.put(1, &address, &sealed(kept)) {
            Ok(outcome) => kept = u8::try_from(outcome.unwrap().number).unwrap(),
            Err(error) => break error,
        }
    };
    assert!(matches!(end, StoreError::DiskFull), "{end}");
    assert!((5..20).contains(&kept), "{kept}");
    let slot = Slot([1; 16]);
    let presence = store.present(1, &address, &slot, Some(&sealed(200)));
    assert!(matches!(presence, Err(StoreError::DiskFull)));
    let check = |store: &mut SqliteStore, kept: u8| {
        let size = SqliteStore::size(store).unwrap();
        let one = (16 << 10) + ROW_COST;
        assert_eq!(size.bytes, u64::from(kept) * one + ROW_COST);
        let rows = store.list(1, &address, 0).unwrap();
        assert_eq!(rows.len(), usize::from(kept));
        for number in 1..=kept {
            let got = store.get(1, &address, number.into()).unwrap();
            assert_eq!(got, Some(sealed(number - 1)));
        }
    };
    check(&mut store, kept);
    // Once there is room it goes on where it was.
    grow(&store, 50);
    let next = store.put(1, &address, &sealed(kept)).unwrap().unwrap();
    assert_eq!(next.number, u64::from(kept) + 1);
    check(&mut store, kept + 1);
    drop(store);
    check(
        &mut SqliteStore::open(&path, Limits::default()).unwrap(),
        kept + 1,
    );
}
