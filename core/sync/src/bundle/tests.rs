#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use chacha20_rng::ChaCha20Rng;
use chacha20_rng::rand_core::SeedableRng;
use proptest::prelude::*;
use twin_identity::device::DeviceKeys;
use twin_identity::id::TwinId;
use twin_identity::sign::Use;

use super::envelope::{Beginning, MAGIC, PRELUDE_LEN, read_prelude};
use super::piece::{Content, HEAD_LEN, Opener, Opening, Sealer, piece_len, read_head};
use super::*;
use crate::session::message::Message;

fn twin() -> TwinId {
    TwinId::from_bytes(&[1; 33]).unwrap()
}

fn keys(seed: u64) -> DeviceKeys {
    DeviceKeys::random(&mut ChaCha20Rng::seed_from_u64(seed)).unwrap()
}

fn opening(maker: &DeviceKeys) -> Content {
    Content {
        opening: Some(Opening::new(maker.id(), 5, true, Vec::new())),
        ..Content::default()
    }
}

fn end() -> Content {
    Content {
        more: Some(false),
        with_files: Some(false),
        ..Content::default()
    }
}

/// Seals contents, each signed by a device, and says what comes of opening them in this order.
fn opened(pieces: &[(Content, &DeviceKeys)], order: &[usize]) -> Vec<Result<(), BundleError>> {
    let rng = &mut ChaCha20Rng::seed_from_u64(9);
    let beginning = Beginning::random(rng);
    let mut sealer = Sealer::new(&beginning);
    let sealed: Vec<Vec<u8>> = { pieces.iter() }
        .map(|(content, by)| {
            let sign = |id: &[u8; 32]| by.sign(Use::Bundle, &twin(), id);
            sealer.seal(content, sign, rng).unwrap()
        })
        .collect();
    let mut opener = Opener::new(&beginning);
    let open = |index: &usize| {
        let (last, len) = read_head(0, &sealed[*index])?;
        assert_eq!(len + HEAD_LEN, sealed[*index].len());
        let opened = opener.open(&twin(), 0, last, &sealed[*index][HEAD_LEN..]);
        opened.map(|_| ())
    };
    order.iter().map(open).collect()
}

#[test]
fn every_piece_is_in_its_place_and_signed_by_the_maker() {
    let (maker, other) = (keys(1), keys(2));
    let both = || [(opening(&maker), &maker), (end(), &maker)];
    assert_eq!(opened(&both(), &[0, 1]), [Ok(()), Ok(())]);
    let damaged = || Err(BundleError::Damaged(0));
    assert_eq!(opened(&both(), &[1]), [damaged()]);
    assert_eq!(opened(&both(), &[0, 0]), [Ok(()), damaged()]);
    let content = |why| Err(BundleError::Content(why));
    // Whoever can open a bundle can seal a piece as its maker would, and not sign it.
    let forged = [(opening(&maker), &maker), (end(), &other)];
    let unsigned = || content("its maker has not signed it");
    assert_eq!(opened(&forged, &[0, 1]), [Ok(()), unsigned()]);
    assert_eq!(opened(&[(opening(&maker), &other)], &[0]), [unsigned()]);
    let no_maker = || content("it does not begin with its maker");
    assert_eq!(opened(&[(end(), &maker)], &[0]), [no_maker()]);
    let twice = [(opening(&maker), &maker), (opening(&maker), &maker)];
    assert_eq!(opened(&twice, &[0, 1]), [Ok(()), no_maker()]);
    let mut newer = opening(&maker);
    newer.opening.as_mut().unwrap().version = 2;
    assert_eq!(opened(&[(newer, &maker)], &[0]), [Err(BundleError::Newer)]);
}

#[test]
fn a_piece_has_as_many_bytes_as_are_reckoned_with() {
    let rng = &mut ChaCha20Rng::seed_from_u64(9);
    let beginning = Beginning::random(rng);
    let maker = keys(1);
    for entries in [0, 1, 10, 300, 5000, 100_000] {
        let mut content = opening(&maker);
        content.messages = vec![Message::Entries(vec![vec![7; entries].into()])];
        let len = twin_identity::cbor::len(&content);
        let sign = |id: &[u8; 32]| maker.sign(Use::Bundle, &twin(), id);
        let piece = Sealer::new(&beginning).seal(&content, sign, rng).unwrap();
        assert_eq!(piece.len(), piece_len(len));
    }
}

proptest! {
    #[test]
    fn any_beginning_gets_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..40), magic: bool) {
        let bytes = if magic { [&MAGIC[..], &bytes].concat() } else { bytes };
        let read = read_prelude(&bytes[..bytes.len().min(PRELUDE_LEN)]);
        match read {
            Ok(len) => prop_assert!(bytes.starts_with(&MAGIC) && len < 100_000),
            Err(BundleError::Foreign) => prop_assert!(bytes.is_empty() || !MAGIC.starts_with(&bytes[..bytes.len().min(8)])),
            Err(BundleError::Cut(at)) => prop_assert!(bytes.len() < PRELUDE_LEN && at == bytes.len() as u64),
            Err(error) => prop_assert!(matches!(error, BundleError::Newer | BundleError::Damaged(8))),
        }
        let _ = read_head(0, &bytes);
    }
}
