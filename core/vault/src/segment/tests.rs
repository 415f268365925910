#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::block::{BLOCK_LEN, Draft, Entry};
use super::*;
use crate::common::phone;
use crate::vault::Vault;

type Model = BTreeMap<(Vec<u8>, i64), u8>;
/// What is said of some records at once: by place, the keys and weights of each.
type Said = BTreeMap<i64, BTreeMap<Vec<u8>, u8>>;

fn write(vault: &Vault, said: &Said, number: u64) -> Segment {
    let mut batch = Batch::default();
    for (place, keys) in said {
        batch.mark(*place);
        for (key, weight) in keys {
            batch.add(key.clone(), *place, *weight);
        }
    }
    batch.write(&vault.file, number).unwrap()
}

/// What all of it says: of each record what was said last.
fn model(all: &[Said]) -> Model {
    let mut last: BTreeMap<i64, &BTreeMap<Vec<u8>, u8>> = BTreeMap::new();
    for said in all {
        last.extend(said.iter().map(|(place, keys)| (*place, keys)));
    }
    let mut model = Model::new();
    for (place, keys) in last {
        model.insert((MARK.to_vec(), place), 0);
        for (key, weight) in keys {
            model.insert((key.clone(), place), *weight);
        }
    }
    model
}

fn read(
    source: Source<'_>,
    segments: &[Segment],
    direction: Direction,
    from: (&[u8], i64),
) -> Vec<((Vec<u8>, i64), u8)> {
    let mut merged = Merged::new(source, segments, direction, from).unwrap();
    let mut all = Vec::new();
    while let Some(found) = merged.next().unwrap() {
        all.push(((found.key, found.place), found.weight));
    }
    all
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    let long =
        (prop::collection::vec(0u8..3, 1..6), 100usize..MAX_KEY - 6).prop_map(|(mut key, len)| {
            let end = key.clone();
            key.resize(len, 1);
            key.extend(end);
            key
        });
    prop_oneof![4 => prop::collection::vec(1u8..5, 1..6), 1 => long]
}

fn said() -> impl Strategy<Value = Said> {
    let place = prop_oneof![-30i64..30, any::<i64>()];
    let keys = prop::collection::btree_map(key(), 0u8..128, 0..12);
    prop::collection::btree_map(place, keys, 0..25)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn segments_hold_what_was_said_last(
        all in prop::collection::vec(said(), 1..6),
        looked_for in prop::collection::vec((key(), any::<i64>()), 8),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let vault = phone(dir.path());
        let segments: Vec<Segment> = (0..).zip(&all).map(|(n, said)| write(&vault, said, n)).collect();
        let merged = [merge::merge(&vault.file, &segments, 100).unwrap()];
        let truth = model(&all);
        let opened = Blocks::default();
        let sources = [Some(&opened), None].map(|opened| Source { file: &vault.file, opened });
        for source in sources {
            let up = read(source, &merged, Direction::Up, (&[], i64::MIN));
            prop_assert!(up.iter().cloned().eq(truth.clone()));
            let mut down = read(source, &merged, Direction::Down, (&[0xff], i64::MIN));
            down.reverse();
            prop_assert_eq!(up, down);
            for segment in &merged {
                prop_assert!(source.is_whole(segment).unwrap());
            }
        }
        let known = truth.keys().cloned().chain(looked_for);
        for at in known {
            let from: Vec<_> = truth.range(at.clone()..).map(|(k, w)| (k.clone(), *w)).collect();
            let mut before: Vec<_> = truth.range(..at.clone()).map(|(k, w)| (k.clone(), *w)).collect();
            before.reverse();
            let (key, place) = (at.0.as_slice(), at.1);
            prop_assert_eq!(read(sources[0], &merged, Direction::Up, (key, place)), from);
            prop_assert_eq!(read(sources[0], &merged, Direction::Down, (key, place)), before);
            prop_assert_eq!(weight_of(sources[0], &merged, key, place).unwrap(), truth.get(&at).copied());
            // Unmerged, whatever was ever said is there, with the newest weight.
            let ever = all.iter().rev().find_map(|said| {
                let keys = said.get(&place)?;
                if key == MARK { Some(0) } else { keys.get(key).copied() }
            });
            prop_assert_eq!(weight_of(sources[0], &segments, key, place).unwrap(), ever);
        }
    }

    #[test]
    fn what_is_forgotten_is_in_no_block(
        all in prop::collection::vec(said(), 1..4),
        which in prop::collection::vec(any::<prop::sample::Index>(), 1..4),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let vault = phone(dir.path());
        let mut segments: Vec<Segment> = (0..).zip(&all).map(|(n, said)| write(&vault, said, n)).collect();
        let known: Vec<i64> = all.iter().flat_map(Said::keys).copied().collect();
        prop_assume!(!known.is_empty());
        let places: BTreeSet<i64> = which.iter().map(|which| *which.get(&known)).collect();
        let before = segments.clone();
        if !forget(&vault.file, &mut segments, &places).unwrap() {
            // All that is in one of the blocks would go.
            return Ok(());
        }
        let source = Source { file: &vault.file, opened: None };
        for (said, (segment, before)) in all.iter().zip(segments.iter().zip(&before)) {
            let mut rest = said.clone();
            rest.retain(|place, _| !places.contains(place));
            prop_assert_eq!(segment.records, rest.len() as u64);
            prop_assert_eq!(segment.blocks, before.blocks);
            prop_assert!(source.is_whole(segment).unwrap());
            let read = read(source, std::slice::from_ref(segment), Direction::Up, (&[], i64::MIN));
            prop_assert!(read.into_iter().eq(model(&[rest])));
        }
    }

    #[test]
    fn any_bytes_are_a_block_or_none(start in prop::collection::vec(any::<u8>(), 0..200), count in 0u16..20) {
        let mut bytes = [count.to_be_bytes().to_vec(), start].concat();
        bytes.resize(BLOCK_LEN, 0);
        if let Some(block) = Block::parse(&bytes) {
            prop_assert_eq!(block.len(), usize::from(count));
            prop_assert!((0..block.len()).all(|at| block.get(at).is_some()));
            prop_assert!(block.get(block.len()).is_none());
        }
    }

    #[test]
    fn numbers_round_trip(numbers in prop::collection::vec(any::<u64>(), 0..9)) {
        let mut bytes = Vec::new();
        numbers.iter().for_each(|number| put_varint(&mut bytes, *number));
        let mut rest = bytes.as_slice();
        for number in numbers {
            prop_assert_eq!(varint(&mut rest), Some(number));
        }
        prop_assert_eq!(varint(&mut rest), None);
    }
}

#[test]
fn numbers_that_are_too_large_are_refused() {
    let mut most: &[u8] = &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    assert_eq!(varint(&mut most), Some(u64::MAX));
    let mut more: &[u8] = &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02];
    assert_eq!(varint(&mut more), None);
}

#[test]
fn blocks_are_of_one_length_and_few_entries_are_left_out() {
    let mut draft = Draft::new();
    let mut count = 0;
    let long = [7; MAX_KEY];
    for place in 0.. {
        let key: &[u8] = if place % 50 == 0 { &long } else { &[7, 7] };
        let entry = Entry {
            key,
            place,
            weight: 127,
        };
        // Keys out of order do not matter to a block by itself.
        if !draft.push(entry) {
            break;
        }
        count += 1;
    }
    assert!(count > 200, "{count}");
    let bytes = draft.finish();
    assert_eq!(bytes.len(), BLOCK_LEN);
    let block = Block::parse(&bytes).unwrap();
    assert_eq!(block.len(), count);
    assert_eq!(
        block.get(50).unwrap(),
        Entry {
            key: &long,
            place: 50,
            weight: 127
        }
    );
    assert!(Block::parse(&bytes[1..]).is_none());
}

/// A segment of several blocks, and what is in it.
fn long_segment(vault: &Vault, number: u64) -> Segment {
    let keys = |place: i64| (0..60u8).map(move |key| (vec![key, (place % 7) as u8], 1));
    let said: Said = (0..200)
        .map(|place| (place, keys(place).collect()))
        .collect();
    let segment = write(vault, &said, number);
    assert!(segment.blocks > 3);
    assert_eq!(segment.records, 200);
    segment
}

#[test]
fn a_block_opens_in_its_place_only() {
    let dir = tempfile::tempdir().unwrap();
    let vault = phone(dir.path());
    let segment = long_segment(&vault, 1);
    let source = Source {
        file: &vault.file,
        opened: None,
    };
    let numbers: BTreeSet<i64> = (0..segment.blocks)
        .map(|index| block_number(1, index).unwrap())
        .collect();
    let sealed = |n: i64| -> Vec<u8> {
        let mut get = vault
            .file
            .store
            .sql("SELECT v FROM block WHERE n = ?1")
            .unwrap();
        get.query_row([n], |row| row.get(0)).unwrap()
    };
    let set = |n: i64, v: &[u8]| {
        let mut set = vault
            .file
            .store
            .sql("UPDATE block SET v = ?2 WHERE n = ?1")
            .unwrap();
        set.execute((n, v)).unwrap();
    };
    for n in &numbers {
        let whole = sealed(*n);
        assert_eq!(whole.len(), BLOCK_LEN + 40, "blocks of one length");
        let other = numbers.iter().find(|other| *other != n).unwrap();
        let mut flipped = whole.clone();
        flipped[100] ^= 1;
        for damaged in [sealed(*other), flipped, Vec::new()] {
            set(*n, &damaged);
            assert!(!source.is_whole(&segment).unwrap());
        }
        set(*n, &whole);
        assert!(source.is_whole(&segment).unwrap());
    }
    vault.file.store.remove_segment(&segment).unwrap();
    assert!(!source.is_whole(&segment).unwrap());
}

#[test]
fn many_segments_become_few_and_large_ones_are_left() {
    let dir = tempfile::tempdir().unwrap();
    let vault = phone(dir.path());
    let (mut segments, mut next) = (Vec::new(), 0);
    let mut all = Vec::new();
    let mut written = 0;
    for round in 0..60i64 {
        let keys = BTreeMap::from([(vec![b'W', round as u8], 9)]);
        let said = Said::from([(round, keys.clone()), (round / 2, keys)]);
        segments.push(write(&vault, &said, next));
        all.push(said);
        next += 1;
        let before: Vec<u64> = segments.iter().map(|segment| segment.number).collect();
        merge_some(&vault.file, &mut segments, &mut next).unwrap();
        let new = segments
            .iter()
            .filter(|segment| !before.contains(&segment.number));
        written += new.map(|segment| segment.records).sum::<u64>();
        assert!(segments.len() <= 8);
    }
    let source = Source {
        file: &vault.file,
        opened: None,
    };
    let truth = model(&all);
    let all = read(source, &segments, Direction::Up, (&[], i64::MIN));
    // What is out of date may be left in part, but nothing is missing.
    assert!(
        truth
            .iter()
            .all(|(at, weight)| all.contains(&(at.clone(), *weight)))
    );
    assert!(written < 60 * 8, "{written} records were written anew");
    let blocks: u32 = segments.iter().map(|segment| segment.blocks).sum();
    let rows: u32 = vault
        .file
        .store
        .sql("SELECT count(*) FROM block")
        .unwrap()
        .query_row([], |row| row.get(0))
        .unwrap();
    assert_eq!(rows, blocks, "nothing is left of what was merged");
}
