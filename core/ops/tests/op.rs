//! Ops and chains: what is altered is refused, what is dropped leaves the rest valid.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use common::{device, origin, space_key, twin_id, write};
use proptest::prelude::*;
use twin_identity::cbor::CborError;
use twin_identity::sign::{SignatureError, Verifier};
use twin_ops::chain::{ChainError, Head, verify_run};
use twin_ops::change::Change;
use twin_ops::op::{MAX_OP_LEN, MAX_PARTS, Op, OpError, Origin, Part, Place};
use twin_ops::seal::{PartPlace, open_part};

/// A log of so many ops, each of two parts.
fn log(origin: &Origin, height: u64) -> Vec<Op> {
    let mut ops: Vec<Op> = Vec::new();
    for seq in 1..=height {
        let prev = ops.last().map(Op::link);
        let texts = [format!("one of {seq}"), format!("two of {seq}")];
        ops.push(write(origin, seq, prev, &texts));
    }
    ops
}

fn verifier(number: u8) -> Verifier {
    Verifier::new(&device(number).id()).unwrap()
}

fn head(ops: &[Op]) -> Option<Head> {
    ops.last().map(|op| Head {
        height: op.header().seq,
        link: op.link(),
    })
}

fn dropped(op: &Op, index: usize) -> Op {
    let mut parts = op.parts().to_vec();
    parts[index] = Part::Dropped(parts[index].hash());
    rebuilt(op, parts).unwrap()
}

#[test]
fn a_part_that_is_dropped_leaves_its_hash() {
    let op = &log(&origin(1), 1)[0];
    let mut less = op.clone();
    less.drop_part(1);
    assert_eq!(less, dropped(op, 1));
    less.drop_part(2);
    assert_eq!(less, dropped(op, 1), "there are two");
    assert_eq!(open(&less, 0), "one of 1");
}

fn rebuilt(op: &Op, parts: Vec<Part>) -> Result<Op, OpError> {
    Op::from_stored(
        op.header_bytes().to_vec(),
        *op.signature(),
        *op.salt(),
        parts,
    )
}

fn open(op: &Op, index: usize) -> String {
    let header = op.header();
    let Part::Sealed(sealed) = &op.parts()[index] else {
        return "dropped".to_owned();
    };
    let place = PartPlace {
        log: &header.log,
        seq: header.seq,
        epoch: &header.epoch,
        salt: op.salt(),
        index: index as u64,
    };
    let opened = open_part(&space_key().part_key(), place, sealed).unwrap();
    String::from_utf8(opened.to_vec()).unwrap()
}

#[test]
fn an_op_survives_the_wire() {
    for op in log(&origin(1), 2) {
        let read = Op::from_bytes(&op.to_bytes()).unwrap();
        assert_eq!(read, op);
        assert_eq!(read.verify(&verifier(1), &twin_id()), Ok(()));
        assert_eq!(open(&read, 1), format!("two of {}", op.header().seq));
    }
}

#[test]
fn a_signature_is_of_one_device_in_one_twin() {
    let op = &log(&origin(1), 1)[0];
    let forged = Err(OpError::Signature(SignatureError));
    assert_eq!(op.verify(&verifier(2), &twin_id()), forged);
    let mut other = *twin_id().as_bytes();
    other[9] ^= 1;
    let other = twin_identity::id::TwinId::from_bytes(&other).unwrap();
    assert_eq!(op.verify(&verifier(1), &other), forged);
}

#[test]
fn parts_are_those_of_the_header() {
    let op = &log(&origin(1), 1)[0];
    let (one, two) = (&op.parts()[0], &op.parts()[1]);
    let sets = [
        vec![two.clone(), one.clone()],
        vec![one.clone()],
        vec![one.clone(), two.clone(), two.clone()],
        vec![one.clone(), Part::Dropped(one.hash())],
        vec![one.clone(), Part::Sealed(vec![0; 48])],
    ];
    for parts in sets {
        assert_eq!(rebuilt(op, parts), Err(OpError::Parts));
    }
    assert_eq!(rebuilt(op, vec![]), Err(OpError::TooLarge));
    let many = vec![one.clone(); MAX_PARTS + 1];
    assert_eq!(rebuilt(op, many), Err(OpError::TooLarge));
    let mut salt = *op.salt();
    salt[0] ^= 1;
    let moved = Op::from_stored(
        op.header_bytes().to_vec(),
        *op.signature(),
        salt,
        op.parts().to_vec(),
    );
    assert_eq!(moved, Err(OpError::Parts));
}

#[test]
fn a_dropped_part_leaves_chain_and_neighbours_valid() {
    let origin = origin(1);
    let mut ops = log(&origin, 3);
    let whole = verify_run(&twin_id(), &origin, None, &ops).unwrap();
    ops[1] = dropped(&ops[1], 0);
    ops[2] = dropped(&dropped(&ops[2], 0), 1);
    let read: Vec<Op> = ops
        .iter()
        .map(|op| Op::from_bytes(&op.to_bytes()).unwrap())
        .collect();
    assert_eq!(read, ops);
    assert_eq!(verify_run(&twin_id(), &origin, None, &read), Ok(whole));
    assert_eq!(open(&read[1], 0), "dropped");
    assert_eq!(open(&read[1], 1), "two of 2");
}

#[test]
fn a_run_continues_its_log_without_holes() {
    let origin = origin(1);
    let ops = log(&origin, 5);
    let verify = |from: Option<Head>, run: &[Op]| verify_run(&twin_id(), &origin, from, run);
    for cut in 0..=5 {
        let middle = verify(None, &ops[..cut]).unwrap();
        assert_eq!(middle, head(&ops[..cut]));
        assert_eq!(verify(middle, &ops[cut..]), Ok(head(&ops)));
    }
    let broken = Err(ChainError::Broken);
    let pick = |places: &[usize]| places.iter().map(|at| ops[*at].clone()).collect::<Vec<_>>();
    assert_eq!(verify(None, &pick(&[0, 2])), broken, "a hole");
    assert_eq!(verify(None, &pick(&[1, 0])), broken, "out of order");
    assert_eq!(verify(None, &pick(&[0, 0])), broken, "twice");
    assert_eq!(verify(None, &pick(&[1, 2])), broken, "the first is missing");
    assert_eq!(
        verify(head(&ops[..1]), &pick(&[2])),
        broken,
        "a hole at the head"
    );
    assert_eq!(
        verify(head(&ops[..3]), &pick(&[0])),
        broken,
        "from the beginning again"
    );
    assert_eq!(verify(head(&ops[..3]), &[]), Ok(head(&ops[..3])), "nothing");

    // The same device has written something else at the same height.
    let first = write(&origin, 1, None, &["another beginning".to_owned()]);
    assert_eq!(verify(head(&[first]), &ops[1..]), broken);
    let other_link = write(&origin, 3, Some(ops[0].link()), &["x".to_owned()]);
    let run = [ops[0].clone(), ops[1].clone(), other_link];
    assert_eq!(verify(None, &run), broken);
}

#[test]
fn a_log_is_of_one_incarnation_of_one_device_in_one_space() {
    let ops = log(&origin(1), 2);
    let mut reborn = origin(1);
    reborn.incarnation[0] ^= 1;
    let mut elsewhere = origin(1);
    elsewhere.space = twin_ops::space::SpaceName::keys().id(&twin_id());
    for other in [origin(2), reborn, elsewhere] {
        let run = verify_run(&twin_id(), &other, None, &ops);
        assert_eq!(run, Err(ChainError::Broken));
    }
}

#[test]
fn every_signature_of_a_run_is_verified() {
    let origin = origin(1);
    let ops = log(&origin, 3);
    let flip = |op: &Op| {
        let mut signature = *op.signature();
        signature[0] ^= 1;
        Op::from_stored(
            op.header_bytes().to_vec(),
            signature,
            *op.salt(),
            op.parts().to_vec(),
        )
        .unwrap()
    };
    for index in 0..3 {
        let mut run = ops.clone();
        run[index] = flip(&ops[index]);
        assert_eq!(
            verify_run(&twin_id(), &origin, None, &run),
            Err(ChainError::Op(OpError::Signature(SignatureError)))
        );
    }
    // The device itself has signed badly, and linked to that: the op could not be passed on alone.
    let bad = flip(&ops[0]);
    let after = write(&origin, 2, Some(bad.link()), &["more".to_owned()]);
    assert_eq!(
        verify_run(&twin_id(), &origin, None, &[bad, after]),
        Err(ChainError::Op(OpError::Signature(SignatureError)))
    );
    // Somebody else cannot go on with the log.
    let place = Place {
        log: origin.log_id(&twin_id()),
        seq: 4,
        prev: Some(ops[2].link()),
        epoch: space_key().id(),
    };
    let forged = Op::sign(place, [0; 16], vec![vec![0; 48]], &twin_id(), &device(2)).unwrap();
    let run = [ops, vec![forged]].concat();
    assert_eq!(
        verify_run(&twin_id(), &origin, None, &run),
        Err(ChainError::Op(OpError::Signature(SignatureError)))
    );
}

#[test]
fn an_op_has_its_limits() {
    let place = Place {
        log: origin(1).log_id(&twin_id()),
        seq: 1,
        prev: None,
        epoch: space_key().id(),
    };
    let sign = |parts| Op::sign(place, [0; 16], parts, &twin_id(), &device(1));
    assert_eq!(sign(vec![]), Err(OpError::TooLarge));
    assert_eq!(
        sign(vec![vec![0; 48]; MAX_PARTS + 1]),
        Err(OpError::TooLarge)
    );
    assert_eq!(sign(vec![vec![0; MAX_OP_LEN]]), Err(OpError::TooLarge));
    let full = sign(vec![vec![0; 48]; MAX_PARTS]).unwrap();
    assert_eq!(Op::from_bytes(&full.to_bytes()), Ok(full));
    // A part is longer than the hash of one that was erased.
    for (len, reads) in [(0, false), (32, false), (47, false), (48, true)] {
        let op = sign(vec![vec![0; len]]).unwrap();
        assert_eq!(Op::from_bytes(&op.to_bytes()).is_ok(), reads);
    }
    // As long as it may be, and a byte longer.
    let overhead = sign(vec![vec![0; 1 << 19]]).unwrap().to_bytes().len() - (1 << 19);
    let longest = MAX_OP_LEN - overhead;
    let op = sign(vec![vec![0; longest]]).unwrap();
    assert_eq!(op.to_bytes().len(), MAX_OP_LEN);
    assert_eq!(sign(vec![vec![0; longest + 1]]), Err(OpError::TooLarge));
    let long = vec![0; MAX_OP_LEN + 1];
    assert!(matches!(
        Op::from_bytes(&long),
        Err(OpError::Format(CborError::TooLong { .. }))
    ));
}

#[test]
fn only_the_first_op_follows_nothing() {
    let prev = Some(write(&origin(1), 1, None, &["one".to_owned()]).link());
    let reread = |seq, prev| {
        let op = write(&origin(1), seq, prev, &["a part".to_owned()]);
        Op::from_bytes(&op.to_bytes()).map(|_| ())
    };
    assert_eq!(reread(1, None), Ok(()));
    assert_eq!(reread(2, prev), Ok(()));
    for (seq, prev) in [(0, None), (0, prev), (1, prev), (2, None)] {
        let malformed = Err(OpError::Format(CborError::Malformed));
        assert_eq!(reread(seq, prev), malformed);
    }
}

fn almost(edits: &[(usize, u8, u8)], valid: &[u8]) -> Vec<u8> {
    let mut bytes = valid.to_vec();
    for (at, byte, how) in edits {
        let at = at % bytes.len();
        match how % 3 {
            0 => bytes.insert(at, *byte),
            1 => bytes[at] = *byte,
            _ => drop(bytes.remove(at)),
        }
    }
    bytes
}

fn read(bytes: &[u8]) {
    if let Ok(op) = Op::from_bytes(bytes) {
        assert_eq!(op.to_bytes(), bytes);
    }
    match Change::from_bytes(bytes) {
        Ok(Change::Unknown) | Err(_) => {}
        Ok(change) => assert_eq!(change.to_bytes(), bytes),
    }
}

proptest! {
    #[test]
    fn any_bytes_get_an_answer(bytes: Vec<u8>) {
        read(&bytes);
    }

    #[test]
    fn almost_an_op_gets_an_answer(edits in prop::collection::vec(any::<(usize, u8, u8)>(), 1..4)) {
        let op = &log(&origin(1), 1)[0];
        read(&almost(&edits, &op.to_bytes()));
    }

    #[test]
    fn almost_a_change_gets_an_answer(edits in prop::collection::vec(any::<(usize, u8, u8)>(), 1..4)) {
        for change in common::changes() {
            read(&almost(&edits, &change.to_bytes()));
        }
    }
}
