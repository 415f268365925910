#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod beginning;
mod contents;

use chacha20_rng::ChaCha20Rng;
use chacha20_rng::rand_core::SeedableRng;
use proptest::prelude::*;
use twin_identity::birth::Birth;
use twin_identity::device::{DeviceKeys, Role};
use twin_identity::log::IdentityLog;
use twin_identity::seal::SealingKey;
use twin_identity::words::RecoverySecret;

use super::*;
use crate::chain::Head;
use crate::epoch::EpochId;
use crate::op::{LogId, Op, Origin, Place as OpPlace};
use crate::space::SpaceName;

fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

/// A twin with one device, and a log of its with three ops.
struct Sample {
    words: RecoverySecret,
    log: IdentityLog,
    device: DeviceKeys,
    ops: Ops,
    head: Head,
}

fn sample() -> Sample {
    let words = RecoverySecret::random(&mut rng(1));
    let birth = Birth::new(&words, &mut rng(2)).unwrap();
    let mut log = IdentityLog::new(birth.genesis);
    log.insert(birth.entry).unwrap();
    let device = birth.device;
    let origin = Origin {
        space: SpaceName::members().id(log.twin()),
        device: device.id(),
        incarnation: [1; 16],
    };
    let (mut run, mut prev) = (Vec::new(), None);
    for seq in 1..=3 {
        let place = OpPlace {
            log: origin.log_id(log.twin()),
            seq,
            prev,
            epoch: EpochId::from_bytes([2; 32]),
        };
        let op = Op::sign(place, [3; 16], vec![vec![4; 99]], log.twin(), &device).unwrap();
        prev = Some(op.link());
        run.push(op.to_bytes().into());
    }
    let head = Head {
        height: 3,
        link: prev.unwrap(),
    };
    let ops = Ops {
        origin,
        run,
        base: None,
    };
    Sample {
        words,
        log,
        device,
        ops,
        head,
    }
}

impl Sample {
    fn log_id(&self) -> LogId {
        self.ops.origin.log_id(self.log.twin())
    }

    fn header(&self, key: &FileKey) -> Header {
        let to = recipients(&self.log, 0, self.device.public());
        Header::seal(key, &to, &mut rng(3)).unwrap()
    }

    fn manifest(&self, key: &FileKey) -> Manifest {
        let heights = heights([(&self.log_id(), &self.head)]);
        Manifest::sign(key.id(), 5, None, &self.log, heights, &self.device)
    }

    /// All that is in its backup.
    fn items(&self, key: &FileKey) -> Vec<Item> {
        let entries = self.log.entries().values();
        vec![
            Item::Manifest(Box::new(self.manifest(key))),
            Item::Logs(vec![LogRow {
                origin: self.ops.origin,
                height: self.head.height,
                link: self.head.link,
            }]),
            Item::Entries(
                entries
                    .map(|entry| entry.to_bytes().to_vec().into())
                    .collect(),
            ),
            Item::Ops(self.ops.clone()),
            Item::Chunks(Chunks {
                space: self.ops.origin.space,
                sealed: vec![vec![5; 48].into(), vec![6; 64].into()],
            }),
            Item::Content(Content {
                chunks: 2,
                incomplete: 1,
                left_out: false,
            }),
        ]
    }

    /// Its backup.
    fn file(&self, key: &FileKey) -> Vec<u8> {
        let items = self.items(key);
        file(&self.header(key), key, &[content(&items)])
    }
}

fn content(items: &[Item]) -> Vec<u8> {
    items.iter().flat_map(Item::to_bytes).collect()
}

/// A file of so many chunks.
fn file(header: &Header, key: &FileKey, chunks: &[Vec<u8>]) -> Vec<u8> {
    let (mut bytes, place) = header.begin();
    let mut sealer = Sealer::new(key, place);
    for (index, chunk) in chunks.iter().enumerate() {
        let last = index + 1 == chunks.len();
        bytes.extend(
            sealer
                .seal(chunk, Some(0), last, &mut rng(index as u64))
                .unwrap(),
        );
    }
    bytes.extend(sealer.trailer());
    bytes
}

/// Shows all chunks of a file; what is wrong with it without any key.
fn each_chunk(
    mut bytes: &[u8],
    mut show: impl FnMut(&Container, Chunk<'_>) -> Result<(), BackupError>,
) -> Result<(), BackupError> {
    let mut container = Container::default();
    loop {
        let len = container.wanted().min(bytes.len());
        let (next, rest) = bytes.split_at(len);
        bytes = rest;
        match container.take(next)? {
            Piece::Chunk(chunk) => show(&container, chunk)?,
            Piece::End => return Ok(()),
            Piece::Frame | Piece::Header(_) => {}
        }
    }
}

fn check(bytes: &[u8]) -> Result<(), BackupError> {
    each_chunk(bytes, |_, _| Ok(()))
}

/// Opens all chunks of a file.
fn open(bytes: &[u8], key: &FileKey) -> Result<Vec<Vec<u8>>, BackupError> {
    let mut chunks = Vec::new();
    each_chunk(bytes, |container, chunk| {
        let opener = Opener::new(key, &container.place().unwrap());
        chunks.push(opener.open(&chunk)?.content().to_vec());
        Ok(())
    })?;
    Ok(chunks)
}

#[test]
fn every_cut_and_every_flipped_byte_is_noticed_without_a_key() {
    let key = FileKey::random(&mut rng(9));
    let whole = sample().file(&key);
    assert_eq!(check(&whole), Ok(()));
    for len in 0..whole.len() {
        assert_eq!(
            check(&whole[..len]),
            Err(BackupError::Cut(len as u64)),
            "{len}"
        );
    }
    let mut altered = whole.clone();
    for at in 0..whole.len() {
        altered[at] ^= 1 << (at % 8);
        let found = check(&altered).unwrap_err();
        let near = match found {
            // Its beginning says what and of which version it is, and how long the header.
            BackupError::Foreign => at < MAGIC.len(),
            BackupError::Newer => (MAGIC.len()..MAGIC.len() + 2).contains(&at),
            BackupError::Cut(_) | BackupError::TooLong(_) => (10..14).contains(&at),
            BackupError::Damaged(near) => near <= at as u64 && at as u64 - near <= FRAME_LEN as u64,
            _ => false,
        };
        assert!(near, "{found:?} at {at}");
        altered[at] = whole[at];
    }
    altered.push(0);
    assert_eq!(
        check(&altered),
        Err(BackupError::TooLong(whole.len() as u64))
    );
}

#[test]
fn a_later_version_is_named() {
    let mut bytes = sample().file(&FileKey::random(&mut rng(9)));
    bytes[9] = 2;
    assert_eq!(check(&bytes), Err(BackupError::Newer));
    assert_eq!(check(b"{\"space\": \"home\"}"), Err(BackupError::Foreign));
}

#[test]
fn what_only_keys_can_tell_is_told_with_them() {
    let key = FileKey::random(&mut rng(9));
    let sample = sample();
    let header = sample.header(&key);
    let parts = [vec![1; CHUNK_LEN], vec![2; CHUNK_LEN], vec![3; 10]];
    let whole = file(&header, &key, &parts);
    let opened = open(&whole, &key).unwrap();
    assert_eq!(opened[..2], parts[..2]);
    assert_eq!(
        (&opened[2][..10], opened[2].len()),
        (&parts[2][..], CHUNK_LEN)
    );
    assert!(opened[2][10..].iter().all(|byte| *byte == 0));

    // Somebody without the key can make every check anew.
    let mut sealed = Vec::new();
    each_chunk(&whole, |_, chunk| {
        sealed.push(chunk.sealed.to_vec());
        Ok(())
    })
    .unwrap();
    let forge = |header: &Header, order: &[usize]| {
        let (mut bytes, mut place) = header.begin();
        for (index, from) in order.iter().enumerate() {
            bytes.extend(place.add(index + 1 == order.len(), &sealed[*from]));
        }
        bytes.extend(place.trailer());
        bytes
    };
    assert_eq!(forge(&header, &[0, 1, 2]), whole);
    let other = sample.header(&key).begin().0;
    assert_eq!(other, header.begin().0, "made of the same dice");
    for order in [
        &[0, 1][..],
        &[0, 2],
        &[1, 0, 2],
        &[0, 0, 1, 2],
        &[2],
        &[0, 1, 2, 2],
    ] {
        let forged = forge(&header, order);
        assert_eq!(check(&forged), Ok(()));
        assert!(
            matches!(open(&forged, &key), Err(BackupError::Damaged(_))),
            "{order:?}"
        );
    }
    // Nor can who may open it be changed.
    let to = [sample.device.public().sealing.clone()];
    let fewer = Header::seal(&key, &to, &mut rng(4)).unwrap();
    let forged = forge(&fewer, &[0, 1, 2]);
    assert_eq!(check(&forged), Ok(()));
    assert!(open(&forged, &key).is_err());
    let another = FileKey::random(&mut rng(10));
    assert!(open(&whole, &another).is_err());
}

#[test]
fn who_goes_on_with_a_file_seals_no_two_things_alike() {
    let key = FileKey::random(&mut rng(9));
    let (_, place) = sample().header(&key).begin();
    let seal = |content: &[u8]| {
        Sealer::new(&key, place)
            .seal(content, None, true, &mut rng(1))
            .unwrap()
    };
    // The generator is stuck, the place the same.
    let (one, two) = (seal(b"one"), seal(b"two"));
    assert_ne!(one[1..25], two[1..25], "nonces");
}

#[test]
fn each_recipient_opens_it_and_nobody_is_named() {
    let Sample {
        words,
        mut log,
        device,
        ..
    } = sample();
    let laptop = DeviceKeys::random(&mut rng(20)).unwrap();
    let statement = laptop.statement(log.twin(), Role::Member);
    let body = twin_identity::body::Body::AddDevice(Box::new(statement));
    let entry = log.sign(&body, &device).unwrap();
    log.insert(entry).unwrap();
    let key = FileKey::random(&mut rng(9));
    let to = recipients(&log, 0, device.public());
    assert_eq!(to.len(), 3, "words, phone, laptop");
    let header = Header::seal(&key, &to, &mut rng(3)).unwrap();
    let key_for = |device: &DeviceKeys| header.open(|i, a, s| device.open(i, a, s));
    for opens in [&device, &laptop] {
        assert_eq!(key_for(opens).as_ref(), Some(&key));
    }
    assert_eq!(key_for(&DeviceKeys::random(&mut rng(21)).unwrap()), None);
    let by_words = |words: &SealingKey| header.open(|i, a, s| words.open(i, a, s));
    assert_eq!(by_words(&words.sealing()).as_ref(), Some(&key));
    assert_eq!(by_words(&SealingKey::random(&mut rng(21))), None);

    let (bytes, place) = header.begin();
    // One device or five: as long, and nothing of them in it.
    let alone = Header::seal(&key, &to[..1], &mut rng(3)).unwrap();
    assert_eq!(alone.begin().0.len(), bytes.len());
    assert_eq!(place.at(), bytes.len() as u64);
    for id in [
        log.twin().as_bytes()[1..].to_vec(),
        device.id().as_bytes().to_vec(),
    ] {
        assert!(!bytes.windows(id.len()).any(|window| window == id));
    }
    let many = vec![to[0].clone(); MAX_WRAPS];
    assert!(Header::seal(&key, &many, &mut rng(3)).is_ok());
    let too_many = vec![to[0].clone(); MAX_WRAPS + 1];
    assert!(Header::seal(&key, &too_many, &mut rng(3)).is_err());
}

proptest! {
    #[test]
    fn any_bytes_get_an_answer(bytes: Vec<u8>) {
        prop_assert!(check(&bytes).is_err());
        prop_assert!(check(&[MAGIC.as_slice(), &[0, 1, 0, 0], &bytes].concat()).is_err());
    }

    #[test]
    fn any_content_gets_an_answer(kind in 0_u8..8, bytes: Vec<u8>) {
        let len = u32::try_from(bytes.len()).unwrap().to_be_bytes();
        let mut items = Items::default();
        items.push(&[[kind].as_slice(), &len, &bytes].concat());
        items.push(&bytes);
        let mut reading = Reading::new(FileId::from_bytes([0; 32]));
        while let Ok(Some(item)) = items.take() {
            let _ = reading.take(&item);
        }
    }
}
