//! Guardians' shares: any that are needed give the secret back, fewer tell nothing, and what is wrong is named.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use chacha20_rng::ChaCha20Rng;
use chacha20_rng::rand_core::SeedableRng;
use proptest::prelude::*;
use twin_identity::guardian::{
    CombineError, Gathered, GuardianSecret, MAX_SET_NAME, MAX_SHARE_LEN, MAX_SHARE_TEXT, Share,
    ShareError, SplitError, combine,
};

fn secret(byte: u8) -> GuardianSecret {
    GuardianSecret::from_bytes([byte; 32])
}

fn split(secret: &GuardianSecret, name: &str, needed: u8, guardians: u8, seed: u64) -> Vec<Share> {
    let rng = &mut ChaCha20Rng::seed_from_u64(seed);
    secret.split(name, needed, guardians, rng).unwrap()
}

fn copy(share: &Share) -> Share {
    Share::parse(&share.to_text()).unwrap()
}

fn chosen<'a>(shares: &[Share], numbers: impl IntoIterator<Item = &'a usize>) -> Vec<Share> {
    numbers.into_iter().map(|at| copy(&shares[*at])).collect()
}

/// Needed, guardians, and the guardians in some order.
fn sets() -> impl Strategy<Value = (u8, u8, Vec<usize>)> {
    (2u8..=16)
        .prop_flat_map(|guardians| (2..=guardians, Just(guardians)))
        .prop_flat_map(|(needed, guardians)| {
            let order: Vec<usize> = (0..guardians.into()).collect();
            (Just(needed), Just(guardians), Just(order).prop_shuffle())
        })
}

proptest! {
    #[test]
    fn any_that_are_needed_give_it_back(bytes: [u8; 32], seed: u64, (needed, guardians, order) in sets()) {
        let secret = GuardianSecret::from_bytes(bytes);
        let shares = split(&secret, "Family", needed, guardians, seed);
        prop_assert_eq!(shares.len(), usize::from(guardians));
        for have in needed..=guardians {
            let chosen = chosen(&shares, &order[..have.into()]);
            let combined = combine(&chosen);
            prop_assert_eq!(combined.as_ref(), Ok(&secret));
        }
        for have in 1..needed {
            let chosen = chosen(&shares, &order[..have.into()]);
            let name = "Family".to_owned();
            prop_assert_eq!(combine(&chosen), Err(CombineError::TooFew { have, needed, name }));
        }
    }

    /// What a share says of itself and what is read back.
    #[test]
    fn text_and_bytes_round_trip(seed: u64, name in "\\PC{1,16}", (needed, guardians, _) in sets()) {
        for (number, share) in (1..).zip(split(&secret(7), &name, needed, guardians, seed)) {
            let text = share.to_text();
            prop_assert!(text.len() <= MAX_SHARE_TEXT && share.to_bytes().len() <= MAX_SHARE_LEN);
            prop_assert!(text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b':'));
            let lines: String = text.chars().flat_map(|c| [c, '\n', ' ']).collect();
            for text in [text.to_string(), text.to_lowercase(), lines] {
                let read = Share::parse(&text).unwrap();
                prop_assert_eq!(read.to_bytes(), share.to_bytes());
                prop_assert_eq!(read.set_id(), share.set_id());
                prop_assert_eq!(read.set_name(), &name);
                prop_assert_eq!((read.index(), read.needed(), read.guardians()), (number, needed, guardians));
                prop_assert!(read.is_as_handed_out());
            }
            let read = Share::from_bytes(&share.to_bytes()).unwrap();
            prop_assert_eq!(read.to_text(), text);
        }
    }

    #[test]
    fn any_text_and_bytes_get_an_answer(text: String, bytes: Vec<u8>) {
        prop_assert!(Share::parse(&text).is_err());
        prop_assert_eq!(Share::parse(&format!("TWIN:SHARE:{text}")).unwrap_err(), ShareError::Damaged);
        prop_assert!(Share::from_bytes(&bytes).is_err());
    }
}

/// Every value must be possible for the secret, whatever `needed - 1` shares say: also that of a share itself, which
/// schemes rule out that draw no zero (RUSTSEC-2024-0398). 64,000 bytes at 1 in 256 each: 250 are expected.
#[test]
fn one_share_too_few_rules_nothing_out() {
    let mut same = 0;
    for seed in 0..1_000 {
        for share in split(&secret(0xa5), "x", 2, 2, seed) {
            let bytes = share.to_bytes();
            let at = value_at(&bytes);
            same += bytes[at..at + 32].iter().filter(|b| **b == 0xa5).count();
        }
    }
    assert!((180..320).contains(&same), "{same}");
}

#[test]
fn the_secret_is_in_no_share_and_no_debug() {
    let shares = split(&secret(0xa5), "Family", 2, 3, 1);
    for share in &shares {
        let bytes = share.to_bytes();
        assert!(!bytes.windows(4).any(|four| four == [0xa5; 4]));
        let (set, index) = (share.set_id(), share.index());
        let shown = format!("Share {{ set: {set:?}, index: {index}, .. }}");
        assert_eq!(format!("{share:?}"), shown);
    }
    assert_eq!(format!("{:?}", secret(1)), "GuardianSecret(Secret<32>(…))");
}

/// The keys are the guardians' own: neither those of words made of the same bytes nor the same twice.
#[test]
fn keys_come_from_the_secret_alone() {
    use twin_identity::words::RecoverySecret;
    let words = RecoverySecret::from_bytes([1; 32]);
    let authority = secret(1).authority();
    assert!(authority == secret(1).authority());
    assert!(authority != words.authority(0) && authority != secret(2).authority());
    let sealing = secret(1).sealing();
    assert!(sealing == secret(1).sealing() && sealing != secret(2).sealing());
    assert!(sealing != words.sealing());
    let rng = &mut ChaCha20Rng::seed_from_u64(1);
    assert!(GuardianSecret::random(rng) != GuardianSecret::random(rng));
}

#[test]
fn counts_and_names_are_bounded() {
    let rng = &mut ChaCha20Rng::seed_from_u64(1);
    for (needed, guardians) in [(0, 0), (0, 2), (1, 1), (1, 2), (3, 2), (2, 17), (17, 17)] {
        let split = secret(1).split("Family", needed, guardians, rng);
        assert_eq!(split.unwrap_err(), SplitError::Count);
    }
    let (longest, longer) = ("n".repeat(MAX_SET_NAME), "n".repeat(MAX_SET_NAME + 1));
    for name in ["", "a\nb", "\u{85}", &longer] {
        assert_eq!(
            secret(1).split(name, 2, 2, rng).unwrap_err(),
            SplitError::Name
        );
    }
    assert!(secret(1).split(&longest, 16, 16, rng).is_ok());
    // The prefix, and 404 bytes in base 32, padded.
    assert_eq!(MAX_SHARE_TEXT, 11 + 648);
}

fn sentence(shares: &[Share]) -> String {
    combine(shares).unwrap_err().to_string()
}

#[test]
fn what_is_wrong_is_named() {
    let family = split(&secret(1), "Family", 3, 5, 1);
    let again = split(&secret(1), "Family", 3, 5, 2);
    let work = split(&secret(1), "Work", 2, 2, 3);
    assert_eq!(combine(&[]), Err(CombineError::Empty));
    assert_eq!(
        sentence(&chosen(&family, &[4, 1])),
        "2 of the 3 shares needed of “Family” are there: enter another one"
    );
    assert_eq!(
        sentence(&chosen(&family, &[4, 1, 4])),
        "share 5 of “Family” was given twice: enter another one"
    );
    for (other, name) in [(&again, "Family"), (&work, "Work")] {
        let mixed = [copy(&family[0]), copy(&other[1])];
        assert_eq!(
            combine(&mixed),
            Err(CombineError::OtherSet {
                index: 2,
                name: name.to_owned(),
                set: other[0].set_id(),
                first_name: "Family".to_owned(),
                first: family[0].set_id(),
            })
        );
        let (theirs, ours) = (other[0].set_id().short(), family[0].set_id().short());
        assert!(theirs != ours && theirs.len() == 8);
        assert_eq!(
            sentence(&mixed),
            format!(
                "share 2 is of the set “{name}” ({theirs}), but the first share is of the set “Family” ({ours}): \
                 use shares of one set only"
            )
        );
    }
}

#[test]
fn a_share_of_another_set_does_not_keep_a_set_from_being_complete() {
    let old = split(&secret(1), "Family", 2, 3, 1);
    let family = split(&secret(2), "Family", 2, 3, 2);
    let too_few = |have| {
        let name = "Family".to_owned();
        Err(CombineError::TooFew {
            have,
            needed: 2,
            name,
        })
    };
    let mut gathered = Gathered::default();
    // The odd one comes first.
    assert_eq!(gathered.add(copy(&old[0])), too_few(1));
    assert_eq!(gathered.add(copy(&family[2])), too_few(1));
    assert_eq!(gathered.sets(), 2);
    // What is not taken in changes nothing.
    let twice = gathered.add(copy(&family[2])).unwrap_err();
    assert!(matches!(twice, CombineError::Twice { index: 3, .. }));
    assert_eq!(gathered.sets(), 2);
    assert_eq!(gathered.add(copy(&family[0])), Ok(secret(2)));
    assert_eq!(gathered.add(copy(&old[2])), Ok(secret(1)));
}

/// Any character of the text changed to any other that the alphabet has.
#[test]
fn every_changed_character_is_found() {
    let share = &split(&secret(1), "Family", 2, 3, 1)[0];
    let text = share.to_text();
    for (at, old) in text.char_indices() {
        for new in "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567:1é"
            .chars()
            .filter(|c| *c != old)
        {
            let changed = format!("{}{new}{}", &text[..at], &text[at + 1..]);
            let why = if at < 11 {
                ShareError::Foreign
            } else {
                ShareError::Damaged
            };
            assert_eq!(Share::parse(&changed).unwrap_err(), why, "{changed}");
        }
    }
    for end in 0..text.len() {
        let why = if end < 11 {
            ShareError::Foreign
        } else {
            ShareError::Damaged
        };
        assert_eq!(Share::parse(&text[..end]).unwrap_err(), why);
    }
    let longer = format!("{}{}", *text, "A".repeat(MAX_SHARE_TEXT));
    for text in [format!("{}A", *text), longer] {
        assert_eq!(Share::parse(&text).unwrap_err(), ShareError::Damaged);
    }
    assert_eq!(
        Share::parse("twin:link:AA").unwrap_err(),
        ShareError::Foreign
    );
}

/// Where the 32 bytes of the value begin in a share's CBOR: before key 7 and the commitments.
fn value_at(bytes: &[u8]) -> usize {
    let before = [6, 0x58, 32];
    bytes.windows(3).position(|three| three == before).unwrap() + 3
}

/// The checksum is no secret: whoever alters a share can make it fit. Then the commitments find it.
#[test]
fn every_changed_byte_is_found_without_the_checksum() {
    let shares = split(&secret(1), "Family", 2, 3, 1);
    let good = shares[0].to_bytes();
    let value = value_at(&good)..value_at(&good) + 32;
    let mut forged = 0;
    for (at, flip) in (0..good.len()).flat_map(|at| (1..=255).map(move |flip| (at, flip))) {
        let mut bytes = good.clone();
        bytes[at] ^= flip;
        let Ok(read) = Share::from_bytes(&bytes) else {
            continue;
        };
        let index = read.index();
        match combine(&[copy(&shares[1]), read]).unwrap_err() {
            CombineError::Forged { index: named, name } => {
                assert_eq!((named, name.as_str()), (index, "Family"));
                assert!(index != 1 || value.contains(&at));
                forged += 1;
            }
            CombineError::OtherSet { first, .. } => {
                assert_eq!(first, shares[1].set_id());
                assert!(index == 1 && !value.contains(&at));
            }
            error => panic!("{error}"),
        }
    }
    // Every other value of each of 32 bytes, and two other numbers.
    assert_eq!(forged, 32 * 255 + 2);
}

#[test]
fn a_later_version_is_said_to_be_one() {
    let share = &split(&secret(1), "Family", 2, 3, 1)[0];
    for at in [2, 4, 6] {
        let mut bytes = share.to_bytes();
        bytes[at] = 2;
        assert_eq!(Share::from_bytes(&bytes).unwrap_err(), ShareError::Newer);
    }
    // Another shape altogether, with the same three fields.
    let later = [0xa4, 0, 2, 1, 1, 2, 1, 3, 0xf5];
    assert_eq!(Share::from_bytes(&later).unwrap_err(), ShareError::Newer);
}
