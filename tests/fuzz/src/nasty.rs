//! One megabyte of anything in, an answer out: without taking much more memory than the input, and soon.

use std::time::{Duration, Instant};

use peak_alloc::PeakAlloc;

use crate::parsers::{TARGETS, seeds};

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// The length of every input, in bytes.
const LEN: usize = 1_000_000;

/// Feeds every target every input. `refuses` says whether a target must refuse them all: some take a list or a text of
/// any length. No answer may take more than `most` times the input's length in memory at any moment.
///
/// Prints what was worst of each target; `cargo xtask bench parsers` reads that.
pub fn check(most: usize, refuses: impl Fn(&str) -> bool) {
    let seeds = seeds();
    let anything = anything();
    for (name, target) in TARGETS {
        let (mut worst, mut longest) = (0, Duration::ZERO);
        let begun = seeds
            .iter()
            .filter(|(of, _)| of == name)
            .flat_map(|(_, seed)| continued(seed));
        for (what, input) in anything.iter().cloned().chain(begun) {
            target(&input);
            HEAP.reset_peak_usage();
            let before = HEAP.current_usage();
            let start = Instant::now();
            let accepted = target(&input);
            longest = longest.max(start.elapsed());
            let taken = HEAP.peak_usage() - before;
            worst = worst.max(taken);
            assert!(taken <= most * LEN, "{name} takes {taken} bytes for {what}");
            assert!(!(accepted && refuses(name)), "{name} accepts {what}");
        }
        let (times, ms) = (worst as f64 / LEN as f64, longest.as_secs_f64() * 1e3);
        println!("bounded: {name} {times:.1} times the input, {ms:.2} ms");
    }
}

/// Bytes that are nothing, CBOR that is too much, and texts.
fn anything() -> Vec<(&'static str, Vec<u8>)> {
    let filled = |head: &[u8], body: &[u8]| {
        let body = body.iter().copied().cycle().take(LEN - head.len());
        head.iter().copied().chain(body).collect::<Vec<u8>>()
    };
    let count =
        |major: u8, count: u32| [&[major << 5 | 26], count.to_be_bytes().as_slice()].concat();
    let items = |item: usize| u32::try_from((LEN - 5) / item).unwrap();
    let mut map = count(5, items(6));
    for key in 0..items(6) {
        map.extend(count(0, key | 1 << 16));
        map.push(0);
    }
    map.resize(LEN, 0);
    let huge = |major: u8| filled(&[&[major << 5 | 27], [0xff; 8].as_slice()].concat(), &[0]);
    vec![
        ("zeros", filled(&[], &[0])),
        ("ones", filled(&[], &[0xff])),
        ("nested arrays", filled(&[], &[0x81])),
        ("nested maps", filled(&[], &[0xa1, 0])),
        ("nested tags", filled(&[], &[0xc1])),
        ("endless arrays", filled(&[], &[0x9f])),
        ("endless strings", filled(&[], &[0x5f, 0x41, 0])),
        ("a list of numbers", filled(&count(4, items(1)), &[0])),
        (
            "a list of empty strings",
            filled(&count(4, items(1)), &[0x40]),
        ),
        (
            "a list of empty texts",
            filled(&count(4, items(1)), &[0x60]),
        ),
        (
            "a list of empty lists",
            filled(&count(4, items(1)), &[0x80]),
        ),
        (
            "a list of parts",
            filled(&count(4, items(17)), &[&[0x50][..], &[7; 16]].concat()),
        ),
        (
            "a list of ids",
            filled(&count(4, items(34)), &[&[0x58, 32][..], &[7; 32]].concat()),
        ),
        ("a map of many keys", map),
        ("one long string", filled(&count(2, items(1)), &[7])),
        ("one long text", filled(&count(3, items(1)), b"a")),
        ("a string that claims too much", huge(2)),
        ("a text that claims too much", huge(3)),
        ("a list that claims too much", huge(4)),
        ("a map that claims too much", huge(5)),
        ("white space", filled(&[], b" ")),
        ("letters", filled(&[], b"A")),
        (
            "capital letters that grow",
            filled(&[], "\u{130}".as_bytes()),
        ),
        ("words", filled(&[], b"abandon ")),
        ("short words", filled(&[], b"a ")),
        ("a share", filled(b"TWIN:SHARE:", b"A")),
        ("a share with spaces", filled(b"TWIN:SHARE:", b"A ")),
        ("a twin id", filled(b"twin1", b"q")),
        ("a host", filled(b"web:", b"a.")),
        ("an origin", filled(b"url:https://", b"a")),
        ("a did", filled(b"did:web:", b"%41:")),
    ]
}

/// Something valid, gone on with; and with a list in it made long.
fn continued(seed: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let mut inputs = Vec::new();
    for (what, more) in [("itself and zeros", 0), ("itself and ones", 0xff)] {
        let mut bytes = seed.to_vec();
        bytes.resize(LEN, more);
        inputs.push((what, bytes));
    }
    // Whatever begins at a byte that could be the head of a list or a string is replaced by a long one.
    let step = seed.len() / 48 + 1;
    for at in (0..seed.len()).filter(|at| at % step == 0 || *at < 48) {
        for (what, head, item) in [
            ("itself with a list of empty strings", 0x9a, 0x40),
            ("itself with a list of numbers", 0x9a, 0),
            ("itself with a long string", 0x5a, 7),
        ] {
            let len = u32::try_from(LEN - at - 5).unwrap();
            let mut bytes = seed[..at].to_vec();
            bytes.push(head);
            bytes.extend(len.to_be_bytes());
            bytes.resize(LEN, item);
            inputs.push((what, bytes));
        }
    }
    inputs
}
