//! What is in the chunks.

use super::*;

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
    items.push(&[6, 0, 0, 0, 3, 0xff, 0xff, 0xff, 200, 0, 0, 0, 0]);
    assert_eq!(items.take(), Ok(Some(Item::Unknown(6))));
    assert_eq!(items.take(), Ok(Some(Item::Unknown(200))));
    let mut all = sample.items(&key);
    all.insert(1, Item::Unknown(6));
    all.push(Item::Unknown(200));
    assert_eq!(read(&all, &key).unwrap().unknown, 2);
    assert!(
        read(&[Item::Unknown(6)], &key).is_err(),
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

    // Nothing can be left out or come twice, but for what comes again just so.
    for left_out in 0..items.len() {
        let mut fewer = items.clone();
        fewer.remove(left_out);
        assert!(read(&fewer, &key).is_err(), "without item {left_out}");
    }
    for again in [0, 1, 3] {
        let mut more = items.clone();
        more.push(items[again].clone());
        assert!(read(&more, &key).is_err(), "item {again} twice");
    }
    // Nor ops.
    let ops = |change: fn(&mut Ops)| {
        let mut other = items.clone();
        if let Some(Item::Ops(ops)) = other.last_mut() {
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
