//! What nobody takes in, and that nothing is taken of it.

use twin_identity::birth::Birth;
use twin_identity::device::Role;
use twin_identity::words::RecoverySecret;
use twin_ops::store::OpStore;
use twin_vault::{Unlock, Vault};

use super::*;
use crate::common::*;
use crate::twins::*;

fn refused(vault: &mut Vault, bytes: &[u8]) -> BundleError {
    let before = (
        vault.heads().unwrap(),
        vault.grants().unwrap(),
        vault.identity().digest(),
    );
    let error = bundle::take(vault, NOON + 9, bytes).unwrap_err();
    let after = (
        vault.heads().unwrap(),
        vault.grants().unwrap(),
        vault.identity().digest(),
    );
    assert_eq!(
        before, after,
        "something was taken of what is refused: {error}"
    );
    error
}

#[test]
fn another_twin_reads_nothing() {
    let (_dirs, phone, [laptop]) = family([Role::Member]);
    let dir = tempfile::tempdir().unwrap();
    let birth = Birth::new(&RecoverySecret::random(&mut rng(71)), &mut rng(72)).unwrap();
    let store = SoftKeyStore::new(1);
    let unlock = Unlock::KeyStore(&store);
    let mut stranger = Vault::create(dir.path(), unlock, &birth, &mut rng(73)).unwrap();
    let (bytes, _) = make(&phone, &[laptop.device()], NOON);
    assert_eq!(refused(&mut stranger, &bytes), BundleError::Stranger);
    let to = [laptop.device()];
    let for_others = Maker::new(&stranger, NOON, &to, None, Size::Any, &mut rng(1));
    assert_eq!(for_others.err(), Some(BundleError::Recipient));
    for many in [0, 65] {
        let to = vec![laptop.device(); many];
        let made = Maker::new(&phone, NOON, &to, None, Size::Any, &mut rng(1));
        assert_eq!(made.err(), Some(BundleError::Recipients));
    }
}

#[test]
fn whoever_is_out_is_not_heard_and_hears_nothing() {
    let (_dirs, mut phone, [mut laptop, mut tablet]) = family([Role::Member; 2]);
    for vault in [&laptop, &tablet] {
        carry(vault, &mut phone, NOON);
    }
    put(&mut laptop, NOON, "notes", "mine", &[("x", "1")]);
    let (bytes, _) = make(&laptop, &[phone.device(), tablet.device()], NOON);
    phone.suspend(&laptop.device(), &mut rng(1)).unwrap();
    assert_eq!(refused(&mut phone, &bytes), BundleError::NotLinked);
    let to = [laptop.device()];
    let made = Maker::new(&phone, NOON, &to, None, Size::Any, &mut rng(1));
    assert_eq!(made.err(), Some(BundleError::Recipient));
    phone.revoke(&laptop.device(), &mut rng(2)).unwrap();
    assert_eq!(refused(&mut phone, &bytes), BundleError::NotLinked);
    let (news, _) = make(&phone, &[tablet.device()], NOON + 1);
    assert_eq!(refused(&mut laptop, &news), BundleError::Stranger);
    take(&mut tablet, NOON + 1, &news);
    assert_eq!(refused(&mut tablet, &bytes), BundleError::NotLinked);
    assert_eq!(ids(&mut tablet), Vec::<String>::new());
}

#[test]
fn what_is_damaged_is_not_taken_in_at_all() {
    let (_dirs, mut phone, [mut laptop]) = family([Role::Member]);
    // Several pieces.
    let long = "z".repeat(100_000);
    for i in 0..6 {
        put(&mut phone, NOON, "notes", &format!("n{i}"), &[("x", &long)]);
    }
    let (bytes, _) = make(&phone, &[laptop.device()], NOON);
    assert!(bytes.len() > 600_000);
    let len = bytes.len();
    let places: Vec<usize> = (0..1500)
        .step_by(13)
        .chain((1500..len).step_by(9973))
        .chain([len - 1])
        .collect();
    for at in places {
        let mut bad = bytes.clone();
        bad[at] ^= 1;
        let error = refused(&mut laptop, &bad);
        let said = match at {
            0..8 => matches!(error, BundleError::Foreign),
            8..10 => matches!(error, BundleError::Newer),
            _ => !matches!(
                error,
                BundleError::Foreign | BundleError::NotLinked | BundleError::Store(_)
            ),
        };
        assert!(said, "byte {at}: {error}");
    }
    for cut in [0, 1, 7, 8, 13, 14, 700, 1500, 300_000, len - 1] {
        let error = refused(&mut laptop, &bytes[..cut]);
        let said = if cut == 0 {
            BundleError::Foreign
        } else {
            BundleError::Cut(cut as u64)
        };
        assert_eq!(error, said);
    }
    let longer = [&bytes[..], &[0]].concat();
    assert_eq!(
        refused(&mut laptop, &longer),
        BundleError::TooLong(len as u64)
    );
    assert_eq!(refused(&mut laptop, b"# Notes\n"), BundleError::Foreign);
    take(&mut laptop, NOON, &bytes);
    assert_eq!(ids(&mut laptop).len(), 6);
}

#[test]
fn a_piece_of_another_bundle_does_not_fit() {
    let (_dirs, mut phone, [mut laptop]) = family([Role::Member]);
    let (one, _) = make(&phone, &[laptop.device()], NOON);
    put(&mut phone, NOON, "notes", "a", &[("x", "1")]);
    let (two, _) = make(&phone, &[laptop.device()], NOON + 1);
    // Beginnings have the same length.
    let begins = 14 + u32::from_be_bytes(one[10..14].try_into().unwrap()) as usize;
    let mixed = [&one[..begins], &two[begins..]].concat();
    assert_eq!(
        refused(&mut laptop, &mixed),
        BundleError::Damaged(begins as u64 + 5)
    );
}

#[test]
fn whether_one_is_whole_can_be_told_from_outside() {
    let (_dirs, mut phone, [laptop, tablet]) = family([Role::Member; 2]);
    let long = "y".repeat(300_000);
    for id in ["a", "b"] {
        put(&mut phone, NOON, "notes", id, &[("x", &long)]);
    }
    let (bytes, _) = make(&phone, &[laptop.device(), tablet.device()], NOON);
    let outline = bundle::outline(&bytes).unwrap();
    assert_eq!((outline.at(), outline.devices()), (bytes.len() as u64, 2));
    assert!(outline.pieces() >= 2, "{}", outline.pieces());
    for len in (0..bytes.len()).step_by(101).chain([bytes.len() - 1]) {
        let error = bundle::outline(&bytes[..len]).err();
        let expected = match len {
            0 => BundleError::Foreign,
            len => BundleError::Cut(len as u64),
        };
        assert_eq!(error, Some(expected));
    }
    let more = [&bytes[..], &[0]].concat();
    let error = bundle::outline(&more).err();
    assert_eq!(error, Some(BundleError::TooLong(bytes.len() as u64)));
    // What is sealed has to be opened: a bit of it that is flipped cannot be seen.
    let mut flipped = bytes.clone();
    let end = flipped.len() - 1;
    flipped[end] ^= 1;
    assert!(bundle::outline(&flipped).is_ok());
    assert!(matches!(
        bundle::check(&laptop, &flipped),
        Err(BundleError::Damaged(_))
    ));
    for at in [8, 9, 10, 20] {
        let mut other = bytes.clone();
        other[at] ^= 0x40;
        assert!(bundle::outline(&other).is_err(), "byte {at}");
    }
}
