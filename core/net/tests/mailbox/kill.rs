//! A relay that is killed while it keeps posts: what it gave a receipt for is there, and the sums are right.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use tempfile::tempdir;
use twin_net::mailbox::SqliteStore;
use twin_sync::mailbox::day::DAY;
use twin_sync::mailbox::store::MAX_LISTED;
use twin_sync::mailbox::terms::ROW_COST;
use twin_sync::mailbox::{Address, EnvelopeId, Limits, MailboxStore, Slot};

const PATH: &str = "TWIN_RELAY_TEST_PATH";
const NOW: u64 = 20_000 * DAY;

fn sealed(number: u64) -> Vec<u8> {
    let mut bytes = vec![number as u8; 4 << 10];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    bytes
}

fn address() -> Address {
    Address::from_bytes([3; 32])
}

/// The child: keeps, takes back, replaces and sweeps until it is killed, and says of each post that it is kept.
#[test]
fn child() {
    let Some(path) = std::env::var_os(PATH) else {
        return;
    };
    let mut store = SqliteStore::open(path.as_ref(), Limits::default()).unwrap();
    let mut out = std::io::stdout();
    for number in store.mark(&address()).unwrap().last + 1.. {
        let kept = store
            .put(NOW, &address(), &sealed(number))
            .unwrap()
            .unwrap();
        assert_eq!(kept.number, number);
        store
            .present(
                NOW,
                &address(),
                &Slot([number as u8 % 8; 16]),
                Some(&sealed(number)),
            )
            .unwrap()
            .unwrap();
        store.sweep(NOW + 1).unwrap();
        writeln!(out, "kept {number}").unwrap();
        out.flush().unwrap();
    }
}

#[test]
fn a_receipt_survives_a_kill() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("relay");
    let mut receipts = 0;
    for round in 0..5 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["kill::child", "--exact", "--nocapture", "--test-threads=1"])
            .env(PATH, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let numbers = lines.map_while(Result::ok).filter_map(|line| {
            let (_, number) = line.rsplit_once("kept ")?;
            number.parse::<u64>().ok()
        });
        // Not after a time, but in the middle of whatever it does after so many receipts.
        for number in numbers.take(7 + round * 3) {
            receipts = number;
        }
        child.kill().unwrap();
        child.wait().unwrap();

        let mut store = SqliteStore::open(&path, Limits::default()).unwrap();
        let rows = store.list(NOW, &address(), 0).unwrap();
        assert!(
            rows.len() as u64 >= receipts && rows.len() < MAX_LISTED,
            "{receipts}"
        );
        for (number, row) in (1..).zip(&rows) {
            assert_eq!(
                (row.number, row.id),
                (number, EnvelopeId::of(&sealed(number)))
            );
            assert_eq!(
                store.get(NOW, &address(), number).unwrap(),
                Some(sealed(number))
            );
        }
        let size = SqliteStore::size(&store).unwrap();
        let cost = (4 << 10) + ROW_COST;
        assert_eq!(size.bytes, (size.posts + size.presences) * cost + ROW_COST);
        assert_eq!(size.posts, rows.len() as u64);
        assert_eq!(store.mark(&address()).unwrap().last, rows.len() as u64);
    }
    assert!(receipts >= 5 * 7);
}
