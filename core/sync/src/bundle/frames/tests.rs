#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use chacha20_rng::ChaCha20Rng;
use chacha20_rng::rand_core::{Rng, SeedableRng};
use proptest::prelude::*;

use super::*;

fn bytes(len: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; len];
    ChaCha20Rng::seed_from_u64(seed).fill_bytes(&mut bytes);
    bytes
}

/// How many frames it took, of which three in ten were missed.
fn took(frames: &Frames, object: &[u8], seed: u64) -> u32 {
    let rng = &mut ChaCha20Rng::seed_from_u64(seed);
    let (mut gathering, mut taken) = (Gathering::default(), 0);
    for number in 0..MAX_FRAMES {
        if rng.next_u32() % 10 < 3 {
            continue;
        }
        taken += 1;
        match gathering.take(&frames.text(number)) {
            Seen::Whole(bytes) => {
                assert_eq!(bytes, object);
                break;
            }
            seen => {
                let need = frames.least();
                assert_eq!(seen, Seen::Some { have: taken, need });
            }
        }
    }
    taken
}

#[test]
fn any_frames_will_do_a_few_more_than_it_is_long() {
    let lens = [1, 352, 353, 3000, 20_000, MAX_PICTURED];
    for (len, seed) in lens.into_iter().zip(1..) {
        let object = bytes(len, seed);
        let frames = Frames::new(&object).unwrap();
        let taken = took(&frames, &object, seed);
        assert!(taken <= frames.least() + 4, "{taken} of {}", frames.least());
    }
}

#[test]
fn foreign_frames_and_others_of_ours_are_no_hindrance() {
    let (one, two) = (bytes(3000, 1), bytes(3000, 2));
    let all = [Frames::new(&one).unwrap(), Frames::new(&two).unwrap()];
    let mut gathering = Gathering::default();
    let mut whole = Vec::new();
    for number in 0..20 {
        assert_eq!(gathering.take("https://example.org"), Seen::Foreign);
        for frames in &all {
            if let Seen::Whole(bytes) = gathering.take(&frames.text(number)) {
                whole.push(bytes);
            }
        }
        if whole.len() >= 2 {
            break;
        }
    }
    assert_eq!(whole, [one, two]);
}

#[test]
fn forged_frames_cost_time_and_nothing_else() {
    let object = bytes(3000, 1);
    let frames = Frames::new(&object).unwrap();
    let forged = |number| {
        let text = frames.text(number);
        let mut frame = BASE32_NOPAD
            .decode(&text.as_bytes()[PREFIX.len()..])
            .unwrap();
        *frame.last_mut().unwrap() ^= 1;
        format!("{PREFIX}{}", BASE32_NOPAD.encode(&frame))
    };
    let mut gathering = Gathering::default();
    gathering.take(&forged(0));
    let mut came = false;
    for number in 1..200 {
        came |= gathering.take(&frames.text(number)) == Seen::Whole(object.clone());
    }
    assert!(came);
    // Of many objects only a few are kept.
    for seed in 0..50 {
        let other = Frames::new(&bytes(MAX_PICTURED, seed)).unwrap();
        gathering.take(&other.text(0));
        assert!(gathering.objects.len() <= MAX_OBJECTS);
    }
}

#[test]
fn what_is_no_frame_is_told_from_one_of_a_later_version() {
    let frames = Frames::new(&bytes(100, 1)).unwrap();
    let text = frames.text(3);
    assert_eq!(text.len(), 600);
    assert!(is_frame(&text) && !is_frame(&text[1..]) && !is_frame(&text[..599]));
    let mut gathering = Gathering::default();
    let with = |change: fn(&mut Vec<u8>)| {
        let mut frame = BASE32_NOPAD
            .decode(&text.as_bytes()[PREFIX.len()..])
            .unwrap();
        change(&mut frame);
        format!("{PREFIX}{}", BASE32_NOPAD.encode(&frame))
    };
    assert_eq!(gathering.take(&with(|frame| frame[0] = 2)), Seen::Newer);
    let wrong: [fn(&mut Vec<u8>); 5] = [
        |frame| frame[9] = 1,
        |frame| frame[9..12].fill(0),
        |frame| frame[12] = 1,
        |frame| frame.truncate(FRAME_LEN - 1),
        |frame| frame.push(0),
    ];
    for change in wrong {
        assert_eq!(gathering.take(&with(change)), Seen::Foreign);
    }
    assert_eq!(Frames::new(&[]).err(), Some(FramesError::Empty));
    let large = vec![0; MAX_PICTURED + 1];
    assert_eq!(Frames::new(&large).err(), Some(FramesError::TooLarge));
    assert_eq!(frames.text(MAX_FRAMES), frames.text(0));
}

proptest! {
    #[test]
    fn any_text_gets_an_answer(frame: Vec<u8>, text: String) {
        let mut gathering = Gathering::default();
        gathering.take(&text);
        gathering.take(&format!("{PREFIX}{text}"));
        gathering.take(&format!("{PREFIX}{}", BASE32_NOPAD.encode(&frame)));
    }

    #[test]
    fn any_symbols_get_an_answer(len in 1usize..4000, numbers in prop::collection::vec(0..MAX_FRAMES, 0..40), seed: u64) {
        let mut gathering = Gathering::default();
        let symbol = bytes(usize::from(SYMBOL_LEN), seed);
        for number in numbers {
            let mut frame = vec![VERSION; 9];
            frame.extend(&u32::try_from(len).unwrap().to_be_bytes()[1..]);
            frame.extend(&number.to_be_bytes()[1..]);
            frame.extend(&symbol);
            let seen = gathering.take(&format!("{PREFIX}{}", BASE32_NOPAD.encode(&frame)));
            let some = matches!(seen, Seen::Some { .. });
            prop_assert!(some, "{:?}", seen);
        }
    }
}
