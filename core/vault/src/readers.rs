//! A door for those who feed anything to the readers of what is in the file: the fuzzers of `tests/fuzz`, and this crate's
//! own tests. No other build has it.
//!
//! Each takes the bytes that come out of a seal (a slot, a page and a log have none yet), says whether they are what it
//! reads, and panics if it then writes something else.

use std::collections::BTreeMap;

use rand_core::CryptoRng;

use crate::frames;
use crate::incarnation::FileMark;
use crate::late::{self, Changed, LateRow};
use crate::oplog::PartNo;
use crate::rows::{
    self, AddingRow, AheadRow, CollectionRow, DeviceRow, KnownRow, PageRow, RelayRow, Row, SeenRow,
    UnreadRow,
};
use crate::salvage::readers as salvage;
use crate::search::{self, SearchRow};
use crate::segment::{BLOCK_LEN, Block, Draft, Entry, Segment};
use crate::slots::{self, Unlock};
use twin_identity::device::DEVICE_KEYS_LEN;
use twin_identity::id::{DeviceId, EntryId};
use twin_ops::chain::Head;
use twin_ops::change::Stamp;
use twin_ops::grant::GrantId;
use twin_ops::op::{INCARNATION_LEN, Link, LogId};
use twin_ops::space::SpaceId;
use twin_ops::store::Hole;

/// What each of these takes, by its name among the fuzzers.
pub fn samples(rng: &mut impl CryptoRng) -> Vec<(&'static str, Vec<u8>)> {
    let mut samples = vec![
        ("vault_block", sample_block()),
        ("vault_late", sample_late()),
        ("vault_todo", search::pack(&[i64::MIN, -7, 0, 1 << 48])),
    ];
    samples.extend(sample_rows().map(|row| ("vault_row", row)));
    samples.push(("vault_op_row", sample_op_row()));
    if let Ok([file, logged, log]) = salvage::samples() {
        samples.push(("salvage_carve", file));
        samples.push(("salvage_pages", logged));
        samples.push(("vault_wal", log));
    }
    let slot = slots::sample(Unlock::Password("password"), rng);
    samples.extend(slot.map(|slot| ("vault_slot", slot)));
    samples
}

fn sample_block() -> Vec<u8> {
    let mut draft = Draft::new();
    for (key, place) in [("ab", -5), ("abc", 7), ("abc", 1 << 40), ("b", 0)] {
        let (key, weight) = (key.as_bytes(), 3);
        draft.push(Entry { key, place, weight });
    }
    let mut bytes = draft.finish().to_vec();
    bytes.truncate(64);
    bytes
}

fn sample_late() -> Vec<u8> {
    let record = |place, parts: &[i64], gone: &[i64]| Changed {
        place,
        parts: parts.iter().copied().map(PartNo).collect(),
        gone: gone.iter().copied().map(PartNo).collect(),
    };
    let head = Head {
        height: 7,
        link: Link::from_bytes([4; 32]),
    };
    let row = LateRow {
        clock: Stamp(1 << 59),
        heads: vec![(1, head), (3, head)],
        records: vec![record(-9, &[1], &[]), record(1 << 48, &[7, 9], &[3])],
    };
    late::pack(&row).to_vec()
}

fn sample_rows() -> impl Iterator<Item = Vec<u8>> {
    fn bytes<T: Row>(row: &T) -> Vec<u8> {
        let content = minicbor::to_vec(row).unwrap_or_default();
        [&[T::KIND as u8], content.as_slice()].concat()
    }
    let segment = Segment {
        number: 3,
        blocks: 2,
        records: 100,
    };
    let search = SearchRow {
        segments: vec![segment],
        fields: [(7, vec!["title".to_owned()])].into(),
        ..SearchRow::default()
    };
    let collection = CollectionRow {
        space: SpaceId::from_bytes([1; 32]),
        name: "notes".to_owned(),
        number: 7,
    };
    let adding = AddingRow {
        add: [2; 16],
        began: 5,
        touched: 6,
    };
    let seen = SeenRow {
        id: EntryId::from_bytes([3; 32]),
        at: 1 << 40,
    };
    let ahead = AheadRow {
        part: 1 << 50,
        stamp: Stamp(1 << 60),
    };
    let device = DeviceRow {
        keys: [0; DEVICE_KEYS_LEN],
        incarnation: [4; INCARNATION_LEN],
        mark: Some(FileMark::sample()),
        ended: None,
    };
    let head = Head {
        height: 7,
        link: Link::from_bytes([4; 32]),
    };
    let heads = BTreeMap::from([(LogId::from_bytes([5; 32]), head)]);
    let known = KnownRow {
        device: DeviceId::from_bytes([6; 32]),
        at: 1 << 40,
        entries: vec![seen.id],
        grants: vec![GrantId::from_bytes([7; 32])],
        heads: heads.clone(),
        holes: vec![Hole {
            log: LogId::from_bytes([5; 32]),
            seq: 2,
        }],
        has_taken: 1,
        was_taken: 2,
    };
    let relay = RelayRow {
        relay: [8; 32],
        visited: Some(1 << 40),
        since: Some(1 << 39),
        entries: known.entries.clone(),
        grants: known.grants.clone(),
        heads,
        erased: 3,
        holes: known.holes.clone(),
        to: vec![(known.device, 1 << 40)],
        early: 2,
    };
    let page = PageRow {
        relay: relay.relay,
        mailbox: [9; 32],
        page: vec![0xa0],
    };
    let rows = [
        bytes(&device),
        bytes(&known),
        bytes(&relay),
        bytes(&page),
        bytes(&search),
        bytes(&collection),
        bytes(&adding),
        bytes(&seen),
        bytes(&ahead),
        bytes(&UnreadRow { op: 9 }),
    ];
    rows.into_iter()
}

fn sample_op_row() -> Vec<u8> {
    let head = frames::Head {
        signature: &[1; 64],
        salt: &[2; 16],
        header: b"header",
    };
    let first = PartNo::new(1, 0);
    let parts = [[3; 32].as_slice(), &[4; 48]];
    let mut sample = Vec::new();
    // What fits into a row is always packed.
    let _ = frames::pack(first, Some(head), parts, |number, row| {
        sample = [&number.0.to_be_bytes(), row].concat();
        Ok(())
    });
    sample
}

/// A row of the table of operations: its number in eight bytes, then what is stored.
pub fn op_row(bytes: &[u8]) -> bool {
    let Some((number, stored)) = bytes.split_first_chunk() else {
        return false;
    };
    let number = PartNo(i64::from_be_bytes(*number));
    if number.0 == i64::MAX {
        // No part has a number after which there is none.
        return false;
    }
    let Ok(row) = frames::Row::new(number, stored) else {
        return false;
    };
    let head = row.head().ok();
    if !row.is_whole() || head.is_none() != (row.first.index() > 0) {
        return false;
    }
    let parts: Vec<&[u8]> = row.parts().filter_map(Result::ok).collect();
    let (mut again, mut last) = (Vec::new(), None);
    let packed = frames::pack(row.first, head, parts.iter().copied(), |number, bytes| {
        let row = frames::Row::new(number, bytes)?;
        for part in row.parts() {
            again.push(part?.to_vec());
        }
        last = Some(number);
        Ok(())
    });
    assert!(packed.is_ok() && last == Some(number) && again == parts);
    true
}

/// A write-ahead log.
pub fn wal(bytes: &[u8]) -> bool {
    salvage::log(bytes).is_ok_and(|has_first| has_first)
}

/// The pages of a damaged file and its log: the length of the file in four bytes, the file, the log.
pub fn pages(bytes: &[u8]) -> bool {
    salvage::pages(bytes).is_ok_and(|found| found)
}

/// The same, to be carved into the tables of a new file.
pub fn carve(bytes: &[u8]) -> bool {
    salvage::carve(bytes).is_ok_and(|found| found)
}

/// A sealed row: its kind in one byte, then its content.
pub fn row(bytes: &[u8]) -> bool {
    let Some((kind, content)) = bytes.split_first() else {
        return false;
    };
    rows::natural(*kind, content).is_some()
}

/// A row of what is late.
pub fn late(bytes: &[u8]) -> bool {
    let Some(row) = late::unpacked(bytes) else {
        return false;
    };
    assert_eq!(late::pack(&row).as_slice(), bytes);
    true
}

/// A block of a segment. What is after its last entry does not count.
pub fn block(bytes: &[u8]) -> bool {
    let mut plain = bytes.to_vec();
    plain.resize(BLOCK_LEN, 0);
    let Some(block) = Block::parse(&plain) else {
        return false;
    };
    assert!(block.get(block.len()).is_none());
    for at in 0..block.len() {
        let entry = block.get(at);
        let entry = entry.filter(|entry| block.seek(entry.key, entry.place) <= block.len());
        assert!(entry.is_some(), "every entry that is counted is there");
    }
    true
}

/// Places that are to be taken up.
pub fn todo(bytes: &[u8]) -> bool {
    search::unpacked(bytes).is_some()
}

/// A key slot.
pub fn slot(bytes: &[u8]) -> bool {
    let Some(written) = slots::reread(bytes) else {
        return false;
    };
    assert_eq!(written, bytes);
    true
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    #[test]
    fn the_corpus_is_answered() {
        crate::corpus::replay();
    }

    proptest! {
        #[test]
        fn anything_is_answered(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            for (_, reader) in crate::parsers::TARGETS {
                reader(&bytes);
            }
        }
    }
}
