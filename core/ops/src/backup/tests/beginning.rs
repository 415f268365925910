//! What is read of a file that may be damaged anywhere, and the limits of what is read of any.

use twin_identity::context::HASH_LEN;

use super::*;
use crate::backup::chunk::SEALED_LEN;

/// Bytes before the header: magic, version, length.
const PRELUDE_LEN: usize = 14;

#[test]
fn chunks_are_opened_wherever_they_are() {
    let key = FileKey::random(&mut rng(9));
    let header = sample().header(&key);
    let parts = [vec![1; CHUNK_LEN], vec![2; 7], vec![3; 10]];
    let mut whole = file(&header, &key, &parts);
    let beginning = Beginning::read(&whole).unwrap();
    let (start, place) = header.begin();
    assert_eq!(beginning.at, start.len() as u64);
    assert_eq!(beginning.header.file(), header.file());
    assert_eq!(beginning.places, [place; 2]);
    let open = |beginning: &Beginning, index: usize, whole: &[u8]| {
        let at = start.len() + index * FRAME_LEN;
        let chunks = beginning.chunks(index as u64, &whole[at..at + FRAME_LEN]);
        let chunks = chunks.unwrap();
        assert!(chunks.iter().all(|chunk| chunk.at == at as u64));
        let opener = Opener::new(&key, &beginning.places[0]);
        let opened = chunks.map(|chunk| (chunk.last, opener.open(&chunk).ok()));
        let mut opened = opened.into_iter().filter(|(_, opened)| opened.is_some());
        opened.next().map(|(last, opened)| {
            let content = opened.unwrap().content()[..parts[index].len()].to_vec();
            (last, content)
        })
    };
    for index in [2, 0, 1] {
        let expected = Some((index == 2, parts[index].clone()));
        assert_eq!(open(&beginning, index, &whole), expected);
    }
    assert!(beginning.chunks(0, &whole[..SEALED_LEN]).is_none());
    assert!(beginning.chunks(0, &whole[..=SEALED_LEN]).is_some());

    // The check of the beginning is hit, and with it one of the places; or another chunk; or so much is missing.
    whole[start.len() - 1] ^= 1;
    whole[start.len() + FRAME_LEN + 99] ^= 1;
    let hit = Beginning::read(&whole).unwrap();
    assert!(hit.places[0] == place && hit.places[1] != place);
    assert!(open(&hit, 0, &whole).is_some() && open(&hit, 1, &whole).is_none());
    for cut in [PRELUDE_LEN, start.len() - HASH_LEN - 1, start.len() - 1] {
        let read = Beginning::read(&whole[..cut]).err();
        assert_eq!(read, Some(BackupError::Damaged(8)), "{cut}");
    }
    assert_eq!(
        Beginning::read(&whole[..PRELUDE_LEN - 1]).err(),
        Some(BackupError::Foreign)
    );
    whole[9] = 2;
    assert_eq!(Beginning::read(&whole).err(), Some(BackupError::Newer));
}

#[test]
fn the_longest_beginning_is_read_and_none_that_is_longer() {
    assert_eq!(Beginning::MOST, PRELUDE_LEN + (96 << 10) + HASH_LEN);
    let key = FileKey::random(&mut rng(9));
    let to = vec![sample().device.public().sealing.clone(); MAX_WRAPS];
    let (bytes, place) = Header::seal(&key, &to, &mut rng(3)).unwrap().begin();
    assert!(bytes.len() <= Beginning::MOST);
    assert_eq!(Beginning::read(&bytes).unwrap().places, [place; 2]);

    for (len, fits) in [(MAX_HEADER_LEN, true), (MAX_HEADER_LEN + 1, false)] {
        let len = u32::try_from(len).unwrap().to_be_bytes();
        let prelude = [MAGIC.as_slice(), &[0, 1], &len].concat();
        let mut container = Container::default();
        assert_eq!(container.take(&prelude).is_ok(), fits);
    }
}

#[test]
fn a_chunk_says_where_its_first_item_begins() {
    assert_eq!(CHUNK_LEN, 65_532);
    let key = FileKey::random(&mut rng(9));
    let header = sample().header(&key);
    let last = CHUNK_LEN - 1;
    for (begins, read) in [
        (None, None),
        (Some(0), Some(0)),
        (Some(1), Some(1)),
        (Some(last), Some(last)),
        (Some(CHUNK_LEN), None),
    ] {
        let (mut bytes, place) = header.begin();
        let mut sealer = Sealer::new(&key, place);
        bytes.extend(sealer.seal(b"x", begins, true, &mut rng(1)).unwrap());
        bytes.extend(sealer.trailer());
        each_chunk(&bytes, |container, chunk| {
            let opener = Opener::new(&key, &container.place().unwrap());
            assert_eq!(opener.open(&chunk)?.begins(), read);
            Ok(())
        })
        .unwrap();
    }
}

#[test]
fn an_item_has_a_length() {
    assert_eq!(MAX_ITEM_LEN, (1 << 20) + (64 << 10));
    for (len, fits) in [(MAX_ITEM_LEN, true), (MAX_ITEM_LEN + 1, false)] {
        let len = u32::try_from(len).unwrap().to_be_bytes();
        let mut items = Items::default();
        items.push(&[[9].as_slice(), &len].concat());
        let more = items.take();
        assert_eq!(more.is_ok(), fits, "the rest has not come");
        assert!(!items.is_over());
    }
}
