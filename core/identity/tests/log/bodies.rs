//! What an entry says is in order and within its bounds, or the entry is refused.

use twin_identity::body::{Body, Kept, MAX_DELAY_DAYS, MAX_ROOTS_LEN, Rotate};
use twin_identity::body::{Guardians, Removal};
use twin_identity::cbor::{self, CborError};
use twin_identity::device::{DeviceKeys, Role};
use twin_identity::entry::Entry;
use twin_identity::log::{IdentityLog, LogError};

use super::refusals::{SIGNATURE, insert};
use crate::common::{ADD_DEVICE, RAISE, ROTATE, RawEntry, Twin, device, line, twin};

fn first(twin: &Twin, index: u32, devices: &[&DeviceKeys]) -> RawEntry {
    let genesis = twin.log.genesis().entry_id();
    let body = Rotate {
        keeps: Vec::new(),
        devices: devices
            .iter()
            .map(|keys| keys.statement(&twin.id(), Role::Admin))
            .collect(),
        ..twin.rotation(index, &twin.recovery)
    };
    RawEntry {
        signer: None,
        prevs: vec![genesis],
        seq: 1,
        base: genesis,
        ..twin.raw(ROTATE, cbor::encode(&body))
    }
}

#[test]
fn entry_1_reveals_key_0_and_names_an_admin() {
    let (twin, other) = (twin(1), twin(2));
    let twice = [&device(5), &device(5)];
    let mut member = first(&twin, 0, &[]);
    let mut rotate = twin.rotation(0, &twin.recovery);
    rotate.keeps = Vec::new();
    rotate.devices = vec![device(5).statement(&twin.id(), Role::Member)];
    member.body = cbor::encode(&rotate);
    rotate.devices = vec![device(5).statement(&other.id(), Role::Admin)];
    let foreign = RawEntry {
        body: cbor::encode(&rotate),
        ..member.clone()
    };
    rotate.devices = vec![device(5).statement(&twin.id(), Role::Admin)];
    rotate.generation = 1;
    let generation = RawEntry {
        body: cbor::encode(&rotate),
        ..member.clone()
    };
    rotate.generation = 0;
    rotate.keeps = vec![Kept {
        device: device(6).id(),
        role: Role::Admin,
        suspended: false,
    }];
    let keeps = RawEntry {
        body: cbor::encode(&rotate),
        ..member.clone()
    };
    let by_device = RawEntry {
        signer: Some(device(5).id()),
        ..first(&twin, 0, &[&device(5)])
    };
    let later = first(&twin, 1, &[&device(5)]);
    let good = first(&twin, 0, &[&device(5)]);
    let mut half = good.signed_by_authority(&twin, 0);
    let ed25519 = half.len() - 3309 - 64;
    half[ed25519] ^= 1;
    let mut other_half = good.signed_by_authority(&twin, 0);
    *other_half.last_mut().unwrap() ^= 1;
    let cases = [
        (later.signed_by_authority(&twin, 1), LogError::Rule),
        (good.signed_by_authority(&twin, 1), SIGNATURE),
        (half, SIGNATURE),
        (other_half, SIGNATURE),
        (foreign.signed_by_authority(&twin, 0), SIGNATURE),
        (
            first(&twin, 0, &[]).signed_by_authority(&twin, 0),
            LogError::Rule,
        ),
        (
            first(&twin, 0, &twice).signed_by_authority(&twin, 0),
            LogError::Rule,
        ),
        (member.signed_by_authority(&twin, 0), LogError::Rule),
        (generation.signed_by_authority(&twin, 0), LogError::Rule),
        (keeps.signed_by_authority(&twin, 0), LogError::Rule),
        (by_device.signed(&twin.id(), &device(5)), LogError::Rule),
    ];
    for (bytes, error) in cases {
        let mut log = IdentityLog::new(twin.log.genesis().clone());
        assert_eq!(insert(&mut log, &bytes), Err(error));
    }
    let mut log = IdentityLog::new(twin.log.genesis().clone());
    assert_eq!(
        insert(&mut log, &good.signed_by_authority(&twin, 0)),
        Ok(true)
    );
    assert!(log.is_admin(&device(5).id()));
}

#[test]
fn an_entry_of_this_suite_has_a_signer_unless_it_rotates() {
    let twin = twin(1);
    let statement = device(3).statement(&twin.id(), Role::Member);
    for (kind, body) in [(ADD_DEVICE, cbor::encode(&statement)), (99, vec![0])] {
        let unsigned = RawEntry {
            signer: None,
            ..twin.raw(kind, body)
        };
        let signed = unsigned.signed_by_authority(&twin, 1);
        assert_eq!(
            insert(&mut twin.log.clone(), &signed),
            Err(LogError::NotAllowed)
        );
    }
    let rotate = twin.rotation(1, &twin.recovery);
    let by_device = twin.raw(ROTATE, cbor::encode(&rotate));
    let signed = by_device.signed(&twin.id(), &twin.phone);
    assert_eq!(insert(&mut twin.log.clone(), &signed), Err(LogError::Rule));
}

/// Bodies that are not written in the one way there is, or beyond a bound.
#[test]
fn a_body_is_in_order_and_within_its_bounds() {
    let twin = twin(1);
    let read = |kind, body: Vec<u8>, signer| {
        let raw = RawEntry {
            signer,
            ..twin.raw(kind, body)
        };
        let bytes = match signer {
            Some(_) => raw.signed(&twin.id(), &twin.phone),
            None => raw.with_signature(&[0; 64 + 3309]),
        };
        Entry::from_bytes(&bytes).map(|entry| entry.body)
    };
    let bad =
        |kind, body, signer| assert_eq!(read(kind, body, signer).err(), Some(CborError::Malformed));
    let phone = Some(twin.phone.id());
    let removal = |lines: &[_]| Removal {
        device: device(2).id(),
        lines: lines.to_vec(),
    };
    for kind in [3, 4, RAISE] {
        bad(
            kind,
            cbor::encode(&removal(&[line(2, 1, 0), line(1, 1, 0)])),
            phone,
        );
        bad(
            kind,
            cbor::encode(&removal(&[line(1, 1, 0), line(1, 1, 1)])),
            phone,
        );
        bad(kind, cbor::encode(&removal(&[line(1, 0, 0)])), phone);
        assert!(
            read(
                kind,
                cbor::encode(&removal(&[line(1, 1, 0), line(2, 1, 0)])),
                phone
            )
            .is_ok()
        );
    }
    assert_eq!(read(6, vec![0xa0], phone), Ok(Body::Acknowledge));
    bad(6, vec![0xa1, 0, 0], phone);
    assert_eq!(
        read(99, vec![1], phone),
        Ok(Body::Unknown { suite: 1, kind: 99 })
    );
    let good = Rotate {
        keeps: vec![],
        ..twin.rotation(1, &twin.recovery)
    };
    let rotate = |alter: &dyn Fn(&mut Rotate)| {
        let mut rotate = good.clone();
        alter(&mut rotate);
        read(ROTATE, cbor::encode(&rotate), None)
    };
    let kept = |number| Kept {
        device: device(number).id(),
        role: Role::Member,
        suspended: false,
    };
    let mut sorted = [kept(2), kept(3)];
    sorted.sort_by_key(|kept| kept.device);
    let guardians = |delay_days| {
        Some(Guardians {
            authority: [1; 32],
            delay_days,
            sealing: None,
        })
    };
    let removals = |keys: &[Kept]| -> Vec<Removal> {
        let removals = keys.iter().map(|kept| Removal {
            device: kept.device,
            lines: vec![],
        });
        removals.collect()
    };
    let reversed = [sorted[1], sorted[0]];
    let bad: &[&dyn Fn(&mut Rotate)] = &[
        &|rotate| rotate.keeps = reversed.to_vec(),
        &|rotate| rotate.keeps = vec![kept(2), kept(2)],
        &|rotate| rotate.removals = removals(&reversed),
        &|rotate| rotate.removals = removals(&[kept(2), kept(2)]),
        &|rotate| rotate.removals = vec![removal(&[line(1, 0, 0)])],
        &|rotate| rotate.guardians = guardians(0),
        &|rotate| rotate.guardians = guardians(MAX_DELAY_DAYS + 1),
        &|rotate| rotate.roots = Some(vec![0; MAX_ROOTS_LEN + 1]),
    ];
    for (number, alter) in bad.iter().enumerate() {
        assert_eq!(
            rotate(alter).err(),
            Some(CborError::Malformed),
            "number {number}"
        );
    }
    let good: &[&dyn Fn(&mut Rotate)] = &[
        &|rotate| rotate.keeps = sorted.to_vec(),
        &|rotate| rotate.removals = removals(&sorted),
        &|rotate| rotate.guardians = guardians(1),
        &|rotate| rotate.guardians = guardians(MAX_DELAY_DAYS),
        &|rotate| rotate.roots = Some(vec![0; MAX_ROOTS_LEN]),
    ];
    for alter in good {
        let Ok(Body::Rotate(read)) = rotate(alter) else {
            panic!("a good rotation");
        };
        let mut expected = read.clone();
        alter(&mut expected);
        assert_eq!(read, expected);
    }
}
