//! A connection that is cut in the middle of a long op goes on inside it.

use std::collections::VecDeque;

use twin_identity::device::Role;
use twin_ops::change::Kind;
use twin_ops::store::OpStore;
use twin_sync::machine::Machine;
use twin_sync::session::SyncEvent;
use twin_vault::Vault;

use crate::common::*;
use crate::session::Talk;
use crate::twins::*;

/// Numbers of messages in core/docs/formats.md.
const BEGUN: u8 = 20;
const PIECE: u8 = 21;

/// Writes one op of almost a mebibyte; returns its bytes.
fn write_long(vault: &mut Vault) -> usize {
    let text = "x".repeat(60_000);
    let many = (0..16).map(|i| change(Kind::Put, "notes", &i.to_string(), &[("x", &text)]));
    let many: Vec<_> = many.collect();
    commit(vault, NOON, many);
    let (_, ops) = log_of(vault, vault, "home").unwrap();
    let len = ops.last().unwrap().len();
    assert!((900_000..=1 << 20).contains(&len), "{len} bytes");
    len
}

fn pieces(talk: &Talk) -> (usize, usize) {
    let pieces = talk.frames.iter().filter(|(kind, _)| *kind == PIECE);
    pieces.fold((0, 0), |(count, sum), (_, bytes)| (count + 1, sum + bytes))
}

/// Lets them talk until so many pieces have passed, and cuts the connection.
fn cut_after(count: usize, one: &mut Vault, two: &mut Vault) -> usize {
    let mut talk = Talk::new(NOON);
    while pieces(&talk).0 < count {
        let before = talk.frames.len();
        talk.go_on(one, two, 1);
        assert!(talk.frames.len() > before, "no more pieces");
    }
    pieces(&talk).1
}

/// Lets them talk to the end; returns the bytes of all pieces.
fn finish(one: &mut Vault, two: &mut Vault) -> usize {
    let mut talk = Talk::new(NOON);
    talk.go_on(one, two, usize::MAX);
    let (_, bytes) = pieces(&talk);
    for events in talk.events() {
        assert_eq!(events.last(), Some(&SyncEvent::InSync), "{events:?}");
    }
    bytes
}

#[test]
fn what_has_come_of_an_op_is_not_sent_again() {
    let (_dirs, mut phone, [mut laptop]) = family([Role::Member]);
    meet(&mut [&mut phone, &mut laptop], NOON);
    let len = write_long(&mut phone);
    let before = laptop.heads().unwrap();
    // 14 of 15 pieces: nine tenths.
    let came = cut_after(14, &mut phone, &mut laptop);
    assert!(came * 10 >= len * 9);
    assert_eq!(laptop.heads().unwrap(), before, "nothing counts yet");
    let rest = finish(&mut phone, &mut laptop);
    assert!(rest > 0 && rest * 10 <= len, "{rest} of {len} bytes");
    assert_eq!(ids(&mut laptop).len(), 16);
    assert!(laptop.begun().is_empty());
    assert_eq!(laptop.heads().unwrap(), phone.heads().unwrap());
}

#[test]
fn another_device_that_has_the_op_goes_on_with_it() {
    let (_dirs, mut phone, [mut laptop, mut tablet]) = family([Role::Member; 2]);
    meet(&mut [&mut phone, &mut laptop, &mut tablet], NOON);
    let len = write_long(&mut phone);
    assert!(finish(&mut phone, &mut tablet) > len);
    cut_after(8, &mut phone, &mut laptop);
    let rest = finish(&mut laptop, &mut tablet);
    assert!(rest > 0 && rest < len * 6 / 10, "{rest} of {len} bytes");
}

#[test]
fn a_beginning_that_was_spoiled_is_sent_again() {
    let (_dirs, mut phone, [mut laptop]) = family([Role::Member]);
    meet(&mut [&mut phone, &mut laptop], NOON);
    let len = write_long(&mut phone);
    let mut talk = Talk::new(NOON);
    let vaults = [&mut phone, &mut laptop];
    let mut queues: [VecDeque<Vec<u8>>; 2] = Default::default();
    // One byte in the middle of each piece is another.
    let refused = 'all: loop {
        for from in [0, 1] {
            while let Some(mut frame) = talk.sessions[from].next_frame(NOON, vaults[from]).unwrap()
            {
                if frame[1] == PIECE {
                    let middle = frame.len() / 2;
                    frame[middle] ^= 1;
                }
                queues[from].push_back(frame);
            }
            while let Some(frame) = queues[from].pop_front() {
                let to = 1 - from;
                if let Err(error) = talk.sessions[to].receive(NOON, &frame, vaults[to]) {
                    break 'all error;
                }
            }
        }
    };
    assert!(!refused.to_string().is_empty());
    assert_eq!(ids(&mut laptop), Vec::<String>::new());
    assert!(finish(&mut phone, &mut laptop) > len, "all of it, anew");
    assert_eq!(ids(&mut laptop).len(), 16);
}

#[test]
fn what_is_told_of_beginnings_is_bounded() {
    let (_dirs, mut phone, [mut laptop]) = family([Role::Member]);
    meet(&mut [&mut phone, &mut laptop], NOON);
    for count in [4_u8, 5] {
        let mut talk = Talk::new(NOON);
        talk.go_on(&mut phone, &mut laptop, usize::MAX);
        let begun = [&[0x83, 0x58, 32][..], &[7; 32], &[10, 5]].concat();
        let all = begun.repeat(count.into());
        let frame = [&[0x82, BEGUN, 0x81, 0x80 + count], &all[..]].concat();
        let taken = talk.sessions[0].receive(NOON, &frame, &mut phone);
        assert_eq!(taken.is_ok(), count == 4);
    }
}
