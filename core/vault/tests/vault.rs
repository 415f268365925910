//! One vault, and what it promises to whoever uses it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use std::fs;

use common::*;
use twin_identity::birth::Birth;
use twin_identity::device::DeviceKeys;
use twin_identity::words::RecoverySecret;
use twin_ops::change::Kind;
use twin_ops::op::{MAX_PARTS, OpError};
use twin_ops::store::OpStore;
use twin_ops::value::{Fields, Value};
use twin_vault::{FILE_NAME, KeyStoreError, Unlock, Vault, VaultError};

#[test]
fn records_are_written_read_and_still_there_after_locking() {
    let dir = tempfile::tempdir().unwrap();
    let mut vault = phone(dir.path());
    let note = [("title", "Milk"), ("body", "two litres")];
    put(&mut vault, NOON, "notes", "a", &note);
    patch(&mut vault, NOON, "notes", "a", &[("body", "three")]);
    put(&mut vault, NOON, "notes", "b", &[("title", "Bread")]);
    delete(&mut vault, NOON, "notes", "b");
    drop(vault);
    let mut vault = reopen(dir.path()).unwrap();
    let home = space("home");
    let record = vault.get(&home, "notes", "a").unwrap().unwrap();
    assert_eq!(
        record.fields,
        fields(&[("title", "Milk"), ("body", "three")])
    );
    assert_eq!(record.by, vault.device());
    assert_eq!(vault.get(&home, "notes", "b").unwrap(), None);
    assert_eq!(vault.get(&home, "letters", "a").unwrap(), None);
    assert_eq!(vault.get(&space("work"), "notes", "a").unwrap(), None);
    assert_eq!(records(&mut vault, "notes").len(), 1);
    assert_eq!(vault.collections(&home).unwrap(), ["notes"]);
    let names: Vec<_> = vault
        .spaces()
        .unwrap()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(names, ["home", "~keys", "~members"]);
}

#[test]
fn a_put_replaces_a_patch_adds_null_takes_away() {
    let dir = tempfile::tempdir().unwrap();
    let mut vault = phone(dir.path());
    let get = |vault: &mut Vault| Some(vault.get(&space("home"), "c", "r").unwrap()?.fields);
    put(&mut vault, NOON, "c", "r", &[("a", "1"), ("b", "1")]);
    put(&mut vault, NOON, "c", "r", &[("b", "2")]);
    assert_eq!(get(&mut vault), Some(fields(&[("b", "2")])));
    patch(&mut vault, NOON, "c", "r", &[("a", "3")]);
    let mut none = change(Kind::Patch, "c", "r", &[]);
    none.fields = Fields([("b".to_owned(), Value::Null)].into());
    commit(&mut vault, NOON, vec![none]);
    assert_eq!(get(&mut vault), Some(fields(&[("a", "3")])));
    delete(&mut vault, NOON, "c", "r");
    assert_eq!(get(&mut vault), None);
    // A patch of what is not there is a put: nothing of the deleted record comes back.
    patch(&mut vault, NOON, "c", "r", &[("c", "4")]);
    assert_eq!(get(&mut vault), Some(fields(&[("c", "4")])));
}

#[test]
fn changes_of_one_commit_follow_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let mut vault = phone(dir.path());
    // Of a record that nobody has written to yet, in a collection that is new and in one that is not.
    for id in ["r", "s"] {
        let changes = vec![
            change(Kind::Put, "c", id, &[("a", "1")]),
            change(Kind::Put, "c", &format!("{id} beside it"), &[("a", "1")]),
            change(Kind::Delete, "c", id, &[]),
            change(Kind::Patch, "c", id, &[("b", "2")]),
            change(Kind::Patch, "c", id, &[("b", "3"), ("d", "4")]),
            change(Kind::Patch, "c", id, &[("b", "5")]),
        ];
        commit(&mut vault, NOON, changes);
        let record = vault.get(&space("home"), "c", id).unwrap().unwrap();
        assert_eq!(record.fields, fields(&[("b", "5"), ("d", "4")]));
    }
    assert_eq!(records(&mut vault, "c").len(), 4);
    vault.settle_index().unwrap();
    let settled = index_rows(dir.path());
    vault.rebuild_index().unwrap();
    assert_eq!(index_rows(dir.path()), settled);
}

#[test]
fn a_write_outranks_what_it_overwrites_whatever_the_clock_says() {
    let dir = tempfile::tempdir().unwrap();
    let mut vault = phone(dir.path());
    put(
        &mut vault,
        NOON + 24 * 60 * MINUTE,
        "c",
        "r",
        &[("a", "tomorrow")],
    );
    put(&mut vault, NOON, "c", "r", &[("a", "today")]);
    put(&mut vault, 0, "c", "r", &[("a", "1970")]);
    assert_eq!(
        records(&mut vault, "c"),
        [("r".to_owned(), fields(&[("a", "1970")]))]
    );
    // A clock that was wrong once does not mark everything that is written later.
    put(&mut vault, NOON, "c", "other", &[("a", "1")]);
    let other = vault.get(&space("home"), "c", "other").unwrap().unwrap();
    assert!(other.changed.millis() <= NOON + 10 * MINUTE);
}

#[test]
fn lists_in_pages() {
    let dir = tempfile::tempdir().unwrap();
    let mut vault = phone(dir.path());
    let id = |i: usize| format!("id{i:03}");
    let of =
        |collection: &'static str| move |i| change(Kind::Put, collection, &id(i), &[("n", &id(i))]);
    commit(&mut vault, NOON, (0..100).map(of("c")).collect());
    commit(&mut vault, NOON, (0..5).map(of("d")).collect());
    delete(&mut vault, NOON, "c", &id(50));
    let expected: Vec<_> = (0..100)
        .filter(|i| *i != 50)
        .map(|i| (id(i), fields(&[("n", &id(i))])))
        .collect();
    assert_eq!(records(&mut vault, "c"), expected);
    let home = space("home");
    assert_eq!(vault.list(&home, "c", None, 7).unwrap().len(), 7);
    assert_eq!(vault.list(&home, "d", None, 100).unwrap().len(), 5);
    assert!(vault.list(&home, "e", None, 100).unwrap().is_empty());
}

#[test]
fn too_much_for_one_commit_is_refused_and_nothing_happens() {
    let dir = tempfile::tempdir().unwrap();
    let mut vault = phone(dir.path());
    let many = |n| {
        (0..n)
            .map(|i| change(Kind::Put, "c", &format!("{i}"), &[]))
            .collect()
    };
    commit(&mut vault, NOON, many(MAX_PARTS));
    let mut refuse = |changes| vault.commit(NOON, &mut rng(1), &space("home"), changes);
    let too_large = |result| matches!(result, Err(VaultError::Op(OpError::TooLarge)));
    assert!(too_large(refuse(many(MAX_PARTS + 1))));
    let huge = "x".repeat(1 << 20);
    assert!(too_large(refuse(vec![change(
        Kind::Put,
        "c",
        "huge",
        &[("a", &huge)]
    )])));
    let nearly = &huge[..(1 << 20) - 100];
    assert!(too_large(refuse(vec![change(
        Kind::Put,
        "c",
        "huge",
        &[("a", nearly)]
    )])));
    let long = "x".repeat(300);
    for (collection, id, field) in [
        ("", "r", "f"),
        (&long, "r", "f"),
        ("c", "", "f"),
        ("c", &long, "f"),
        ("c", "r", ""),
        ("c", "r", &long),
    ] {
        let refused = refuse(vec![change(Kind::Put, collection, id, &[(field, "1")])]);
        assert!(matches!(refused, Err(VaultError::InvalidChange(_))));
    }
    let mut odd = change(Kind::Delete, "c", "r", &[]);
    odd.fields = fields(&[("a", "1")]);
    assert!(matches!(
        refuse(vec![odd]),
        Err(VaultError::InvalidChange(_))
    ));
    assert!(matches!(refuse(vec![]), Err(VaultError::InvalidChange(_))));
    assert_eq!(vault.get(&space("home"), "c", "huge").unwrap(), None);
    assert_eq!(records(&mut vault, "c").len(), MAX_PARTS);
}

#[test]
fn a_vault_opens_only_as_it_was_set_up() {
    let dir = tempfile::tempdir().unwrap();
    let birth = Birth::new(&RecoverySecret::random(&mut rng(1)), &mut rng(2)).unwrap();
    let create = |unlock| Vault::create(dir.path(), unlock, &birth, &mut rng(3));
    let open = |unlock| Vault::open(dir.path(), unlock, NOON);
    let none = open(Unlock::Password("secret"));
    assert!(matches!(none, Err(VaultError::Missing)));
    let empty = create(Unlock::Password(""));
    assert!(matches!(empty, Err(VaultError::EmptyPassword)));
    assert!(!Vault::exists(dir.path()));
    drop(create(Unlock::Password("secret")).unwrap());
    let again = create(Unlock::Password("secret"));
    assert!(matches!(again, Err(VaultError::Exists)));
    let wrong = open(Unlock::Password("Secret"));
    assert!(matches!(wrong, Err(VaultError::WrongPassword)));
    let hardware = SoftKeyStore::new(1);
    let other_way = open(Unlock::KeyStore(&hardware));
    assert!(matches!(other_way, Err(VaultError::NoSlot)));
    let vault = open(Unlock::Password("secret")).unwrap();
    assert_eq!(*vault.twin(), birth.genesis.twin_id());
    let keys = vault.device_keys().to_secret();
    assert_eq!(keys, birth.device.to_secret());
}

#[test]
fn another_key_store_opens_nothing() {
    let dir = tempfile::tempdir().unwrap();
    drop(phone(dir.path()));
    let other = SoftKeyStore::new(2);
    let lost = Vault::open(dir.path(), Unlock::KeyStore(&other), NOON);
    assert!(matches!(
        lost,
        Err(VaultError::KeyStore(KeyStoreError::KeyLost))
    ));
}

#[test]
fn a_device_without_keys_gets_no_vault() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let phone = phone(a.path());
    let store = SoftKeyStore::new(1);
    let stranger = DeviceKeys::random(&mut rng(9)).unwrap();
    let create = |device, grants: &[Vec<u8>]| {
        let unlock = Unlock::KeyStore(&store);
        Vault::create_linked(
            b.path(),
            unlock,
            device,
            phone.identity(),
            grants,
            &mut rng(8),
        )
    };
    assert!(matches!(
        create(&stranger, &[]),
        Err(VaultError::NotAllowed)
    ));
    assert!(matches!(
        create(phone.device_keys(), &[]),
        Err(VaultError::NoKey)
    ));
    assert!(!Vault::exists(b.path()));
    // What the attempts left is no obstacle.
    fs::write(b.path().join("vault.db.new"), b"cut off").unwrap();
    let grants: Vec<_> = phone.grants().unwrap();
    let grant = phone.grant(&grants[0]).unwrap().unwrap();
    create(phone.device_keys(), &[grant]).unwrap();
}

#[cfg(unix)]
#[test]
fn only_the_owner_can_read_the_files() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("made/by/us");
    let mut vault = phone(&home);
    put(&mut vault, NOON, "c", "r", &[("a", "1")]);
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&home), 0o700);
    let files: Vec<_> = fs::read_dir(&home)
        .unwrap()
        .map(|f| f.unwrap().path())
        .collect();
    assert!(
        files.len() >= 3,
        "the database, its WAL and its index: {files:?}"
    );
    assert!(files.iter().all(|path| mode(path) == 0o600));
}

#[test]
fn addresses_are_remembered_newest_first() {
    let dir = tempfile::tempdir().unwrap();
    let mut vault = phone(dir.path());
    let device = vault.device();
    for i in [1, 2, 3, 4, 5, 6, 7, 8, 9, 5, 5] {
        vault
            .remember_address(device, &format!("10.0.0.{i}"))
            .unwrap();
    }
    let addresses = vault.addresses(&device).unwrap();
    assert_eq!(addresses.len(), 8);
    assert_eq!(addresses[..3], ["10.0.0.5", "10.0.0.9", "10.0.0.8"]);
    assert!(vault.remember_address(device, &"x".repeat(1000)).is_err());
}

#[test]
fn the_index_can_be_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let mut vault = phone(dir.path());
    for i in 0u64..200 {
        let (id, text) = (format!("{}", i * 7 % 40), format!("{i}"));
        let kind = [Kind::Put, Kind::Patch, Kind::Patch, Kind::Delete][(i % 4) as usize];
        let field = ["x", "y", "z"][(i % 3) as usize];
        let values = [(field, text.as_str())];
        let values = if kind == Kind::Delete {
            &[][..]
        } else {
            &values
        };
        let collection = ["c", "d"][(i % 2) as usize];
        commit(
            &mut vault,
            NOON + i,
            vec![change(kind, collection, &id, values)],
        );
    }
    vault.settle_index().unwrap();
    let (before, rows) = (records(&mut vault, "d"), index_rows(dir.path()));
    assert!(!before.is_empty());
    vault.rebuild_index().unwrap();
    assert_eq!(index_rows(dir.path()), rows);
    assert_eq!(records(&mut vault, "d"), before);
}

#[test]
fn the_file_is_made_for_safety() {
    let dir = tempfile::tempdir().unwrap();
    drop(phone(dir.path()));
    let file = rusqlite::Connection::open(dir.path().join(FILE_NAME)).unwrap();
    let pragma = |name| -> String {
        let read = |row: &rusqlite::Row<'_>| row.get::<_, rusqlite::types::Value>(0);
        format!("{:?}", file.pragma_query_value(None, name, read).unwrap())
    };
    assert_eq!(pragma("journal_mode"), "Text(\"wal\")");
    assert_eq!(pragma("auto_vacuum"), "Integer(2)", "incremental");
    assert_eq!(pragma("page_size"), "Integer(4096)");
}

#[test]
fn a_vault_can_go_to_another_thread() {
    fn sendable<T: Send>() {}
    sendable::<Vault>();
}
