//! What is in the chunks.

use twin_identity::secret::Secret;

use super::*;
use crate::epoch::EpochKey;
use crate::grant::{Grant, GrantedKey, Recipients};
use crate::store::MAX_LOGS;

fn read(items: &[Item], key: &FileKey) -> Result<Contents, BackupError> {
    let mut reading = Reading::new(key.id());
    items.iter().try_for_each(|item| reading.take(item))?;
    reading.finish()
}

#[test]
fn items_come_whole_over_the_borders_of_chunks() {
    let sample = sample();
    let key = FileKey::random(&mut rng(9));
    let made = sample.items(&key);
    let all = content(&made);
    for step in [1, 7, 100, all.len()] {
        let (mut items, mut found) = (Items::default(), Vec::new());
        for piece in all.chunks(step).chain([[0; 5].as_slice()]) {
            items.push(piece);
            while let Some(item) = items.take().unwrap() {
                found.push(item);
            }
        }
        assert_eq!(found, made);
        assert!(items.is_over());
        assert_eq!(items.taken(), all.len() as u64);
    }
    let (mut after, mut long) = (Items::default(), Items::default());
    after.push(&[0, 0, 0, 0, 0, 1]);
    assert!(after.take().is_err(), "after the end");
    long.push(&[9, 0, 0x20, 0, 0]);
    assert_eq!(
        long.take(),
        Err(BackupError::Content("an item is too long"))
    );
}

#[test]
fn items_of_a_later_version_are_counted_and_passed_over() {
    let sample = sample();
    let key = FileKey::random(&mut rng(9));
    let mut items = Items::default();
    items.push(&[8, 0, 0, 0, 3, 0xff, 0xff, 0xff, 200, 0, 0, 0, 0]);
    assert_eq!(items.take(), Ok(Some(Item::Unknown(8))));
    assert_eq!(items.take(), Ok(Some(Item::Unknown(200))));
    let mut all = sample.items(&key);
    all.insert(1, Item::Unknown(8));
    all.push(Item::Unknown(200));
    assert_eq!(read(&all, &key).unwrap().unknown, 2);
    assert!(
        read(&[Item::Unknown(8)], &key).is_err(),
        "the manifest comes first"
    );
}

#[test]
fn what_is_in_it_is_what_its_maker_has_signed() {
    let sample = sample();
    let key = FileKey::random(&mut rng(9));
    let items = sample.items(&key);
    let contents = read(&items, &key).unwrap();
    assert_eq!(contents.ops, 3);
    assert_eq!(
        contents.logs[&sample.log_id()],
        (sample.ops.origin, sample.head)
    );
    assert_eq!(contents.log.entries(), sample.log.entries());
    assert_eq!(contents.manifest.made(), 5);

    assert_eq!(
        (contents.content.chunks, contents.content.incomplete),
        (2, 1)
    );

    // Nothing can be left out, nor come twice but for what the file ends with once more.
    for left_out in 0..items.len() {
        let mut fewer = items.clone();
        fewer.remove(left_out);
        assert!(read(&fewer, &key).is_err(), "without item {left_out}");
    }
    for again in [3, 4, 5] {
        let mut more = items.clone();
        more.push(items[again].clone());
        assert!(read(&more, &key).is_err(), "item {again} twice");
    }
    let again = [items.clone(), items[..3].to_vec()].concat();
    assert_eq!(read(&again, &key).unwrap().ops, 3);
    let mut other = sample.manifest(&key);
    other = Manifest::sign(
        key.id(),
        6,
        None,
        &sample.log,
        *other.heights(),
        &sample.device,
    );
    let two = [items.clone(), vec![Item::Manifest(Box::new(other))]].concat();
    assert!(read(&two, &key).is_err(), "two manifests");
    // Nor ops.
    let ops = |change: fn(&mut Ops)| {
        let mut other = items.clone();
        if let Item::Ops(ops) = &mut other[3] {
            change(ops);
        }
        read(&other, &key).err()
    };
    assert_eq!(ops(|_| {}), None);
    assert!(ops(|ops| ops.run.truncate(2)).is_some());
    assert!(ops(|ops| ops.run.swap(0, 1)).is_some());
    assert!(ops(|ops| ops.run[2][200] ^= 1).is_some());
    assert!(ops(|ops| ops.origin.incarnation = [9; 16]).is_some());
    // It belongs to one file, and to a device of the twin.
    assert!(read(&items, &FileKey::random(&mut rng(10))).is_err());
    let stranger = DeviceKeys::random(&mut rng(22)).unwrap();
    let heights = heights([(&sample.log_id(), &sample.head)]);
    let forged = Manifest::sign(key.id(), 5, None, &sample.log, heights, &stranger);
    let mut others = items.clone();
    others[0] = Item::Manifest(Box::new(forged));
    let said = read(&others, &key).err();
    assert_eq!(
        said,
        Some(BackupError::Content("no device of the twin has signed it"))
    );
}

#[test]
fn after_a_loss_the_next_item_that_begins_is_found() {
    let key = FileKey::random(&mut rng(9));
    let items = sample().items(&key);
    let all = content(&items);
    let mut begins = vec![0];
    for item in &items {
        begins.push(begins[begins.len() - 1] + item.to_bytes().len());
    }
    let step = 100;
    // Whatever piece is lost: all items are there that do not reach into it.
    for lost in 0..all.len() / step {
        let (mut reader, mut found) = (Items::default(), Vec::new());
        for (index, piece) in all.chunks(step).enumerate() {
            let start = index * step;
            let first = begins.iter().find(|at| (start..start + step).contains(at));
            if index == lost {
                reader.lose();
            } else {
                reader.push_from(piece, first.map(|at| at - start));
            }
            while let Ok(Some(item)) = reader.take() {
                found.push(item);
            }
        }
        let gone = lost * step..(lost + 1) * step;
        let whole = begins.windows(2).zip(&items);
        let whole = whole.filter(|(ends, _)| ends[1] <= gone.start || ends[0] >= gone.end);
        let whole: Vec<Item> = whole.map(|(_, item)| item.clone()).collect();
        assert_eq!(found, whole, "without piece {lost}");
    }
}

#[test]
fn of_a_damaged_one_what_comes_before_a_hole_counts() {
    let sample = sample();
    let key = FileKey::random(&mut rng(9));
    let items = sample.items(&key);
    let damaged = |lost: &[usize]| {
        let mut reading = Reading::new(key.id());
        for (index, item) in items.iter().enumerate() {
            if !lost.contains(&index) {
                reading.take(item).unwrap();
            }
        }
        reading.finish_damaged()
    };
    assert_eq!(damaged(&[]).unwrap().ops, 3);
    let without = damaged(&[3, 5]).unwrap();
    assert_eq!((without.ops, without.content.chunks), (0, 2));
    // Who is in is known or nothing is.
    assert!(damaged(&[2]).is_err());
}

#[test]
fn what_has_come_is_told_as_it_comes() {
    let sample = sample();
    let key = FileKey::random(&mut rng(9));
    let granted = GrantedKey {
        space: SpaceName::new("home").unwrap(),
        key: EpochKey::new(Secret::new([7; 32])),
        predecessor: None,
        base: sample.log.base(),
        heads: sample.log.heads(),
    };
    let (words, rng) = (&Recipients::Words, &mut rng(4));
    let grant = Grant::new(&sample.log, 5, &[granted], words, &sample.device, rng).unwrap();
    let mut items = sample.items(&key);
    items.insert(3, Item::Grants(vec![grant.to_bytes().to_vec().into()]));
    let mut reading = Reading::new(key.id());
    assert!(reading.manifest().is_none() && reading.log().is_none());
    let mut shown = Vec::new();
    for item in &items {
        reading.take(item).unwrap();
        shown.push((
            reading.log().unwrap().entries().len(),
            reading.promised().len(),
            reading.has_grant(&grant.id),
            reading.reached().len(),
            reading.chunks(),
            reading.content().copied(),
        ));
    }
    assert_eq!(reading.manifest(), Some(&sample.manifest(&key)));
    let entries = sample.log.entries().len();
    let content = match items.last() {
        Some(Item::Content(content)) => Some(*content),
        _ => None,
    };
    let expected = [
        (0, 0, false, 0, 0, None),
        (0, 1, false, 0, 0, None),
        (entries, 1, false, 0, 0, None),
        (entries, 1, true, 0, 0, None),
        (entries, 1, true, 1, 0, None),
        (entries, 1, true, 1, 2, None),
        (entries, 1, true, 1, 2, content),
    ];
    assert_eq!(shown, expected);
    let last = crate::file::ChunkId::of(&[6; 64]);
    assert_eq!(reading.last_chunk(), Some((sample.ops.origin.space, last)));
    let after = reading.take(&items[5]);
    let late = BackupError::Content("chunks of files come after their end");
    assert_eq!(after, Err(late));
    let nonsense = reading.take(&Item::Grants(vec![vec![1, 2, 3].into()]));
    assert!(nonsense.is_err());
    assert!(reading.finish().unwrap().grants.contains(&grant.id));
}

#[test]
fn the_table_of_logs_keeps_its_rules() {
    let sample = sample();
    let key = FileKey::random(&mut rng(9));
    let row = |number: usize, height: u64| {
        let mut origin = sample.ops.origin;
        origin.incarnation[..8].copy_from_slice(&number.to_be_bytes());
        let link = sample.head.link;
        LogRow {
            origin,
            height,
            link,
        }
    };
    let mut reading = Reading::new(key.id());
    let manifest = Item::Manifest(Box::new(sample.manifest(&key)));
    reading.take(&manifest).unwrap();
    let broken = Err(BackupError::Content("the table of logs breaks a rule"));
    assert_eq!(reading.take(&Item::Logs(vec![row(0, 0)])), broken);
    let all: Vec<LogRow> = (0..2 * MAX_LOGS).map(|number| row(number, 1)).collect();
    reading.take(&Item::Logs(all)).unwrap();
    assert_eq!(reading.promised().len(), 2 * MAX_LOGS);
    for again in [0, 1] {
        assert_eq!(reading.take(&Item::Logs(vec![row(again, 1)])), Ok(()));
        assert_eq!(reading.take(&Item::Logs(vec![row(again, 2)])), broken);
    }
    let more = Item::Logs(vec![row(2 * MAX_LOGS, 1)]);
    assert_eq!(reading.take(&more), broken, "too many");
}

#[test]
fn a_manifest_tells_one_table_from_another_and_says_of_which_space() {
    let sample = sample();
    let (id, head) = (sample.log_id(), sample.head);
    let higher = Head { height: 4, ..head };
    let tables = [
        heights([]),
        heights([(&id, &head)]),
        heights([(&id, &higher)]),
    ];
    assert!(tables[0] != tables[1] && tables[1] != tables[2] && tables[0] != tables[2]);
    let key = FileKey::random(&mut rng(9));
    for space in [None, Some(SpaceName::new("home").unwrap())] {
        let manifest = Manifest::sign(
            key.id(),
            5,
            space.clone(),
            &sample.log,
            tables[1],
            &sample.device,
        );
        assert_eq!(manifest.space(), space.as_ref());
        assert_eq!(*manifest.heights(), tables[1]);
    }
}
