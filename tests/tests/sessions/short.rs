//! Short tables that are wrong, as if two ids began in the same way: that hides nothing for good.

use std::collections::{BTreeMap, VecDeque};

use twin_identity::device::Role;
use twin_sync::machine::Machine;
use twin_sync::session::SyncEvent;
use twin_vault::Vault;

use crate::common::*;
use crate::session::Talk;
use crate::twins::*;

/// Numbers of messages in core/docs/formats.md.
const DIGEST: u8 = 8;
const SHORT: [u8; 2] = [18, 19];
const WHOLE: [u8; 2] = [3, 4];

/// Lets two vaults talk; the first hears its own short tables for those of the second. Returns what each was told, and the
/// numbers of the messages that the first has sent.
fn deluded(one: &mut Vault, two: &mut Vault) -> ([Vec<SyncEvent>; 2], Vec<u8>) {
    let mut talk = Talk::new(NOON);
    let vaults = [one, two];
    let mut queues: [VecDeque<Vec<u8>>; 2] = Default::default();
    let (mut own, mut sent) = (BTreeMap::new(), Vec::new());
    loop {
        let mut quiet = true;
        for from in [0, 1] {
            while let Some(frame) = talk.sessions[from].next_frame(NOON, vaults[from]).unwrap() {
                quiet = false;
                if from == 0 {
                    sent.push(frame[1]);
                    own.insert(frame[1], frame.clone());
                }
                queues[from].push_back(frame);
            }
        }
        for from in [0, 1] {
            while let Some(mut frame) = queues[from].pop_front() {
                if from == 1 && SHORT.contains(&frame[1]) {
                    let Some(other) = own.get(&frame[1]) else {
                        queues[from].push_front(frame);
                        break;
                    };
                    frame.clone_from(other);
                }
                quiet = false;
                talk.sessions[1 - from]
                    .receive(NOON, &frame, vaults[1 - from])
                    .unwrap();
            }
        }
        if quiet {
            return (talk.events(), sent);
        }
    }
}

#[test]
fn what_ids_that_begin_in_the_same_way_hide_comes_all_the_same() {
    let (_dirs, mut phone, [mut laptop, tablet]) = family([Role::Member; 2]);
    meet(&mut [&mut phone, &mut laptop], NOON);
    // An entry, grants and operations that the laptop lacks, and one that the phone lacks.
    phone
        .revoke(&tablet.device_keys().id(), &mut rng(5))
        .unwrap();
    write_in(&mut phone, NOON, "work");
    put(&mut phone, NOON, "notes", "of the phone", &[("x", "1")]);
    put(&mut laptop, NOON, "notes", "of the laptop", &[("x", "1")]);
    let (events, sent) = deluded(&mut phone, &mut laptop);
    let at = |kinds: [u8; 2]| sent.iter().position(|kind| kinds.contains(kind)).unwrap();
    assert!(at(SHORT) < at(WHOLE), "in whole after in short");
    assert!(sent[at(SHORT)..at(WHOLE)].contains(&DIGEST));
    for events in events {
        assert_eq!(events.last(), Some(&SyncEvent::InSync), "{events:?}");
        let is_lost = |event: &SyncEvent| matches!(event, SyncEvent::Forked(_) | SyncEvent::Stuck);
        assert!(!events.iter().any(is_lost), "{events:?}");
    }
    assert_eq!(ids(&mut phone), ids(&mut laptop));
    assert_eq!(ids(&mut phone).len(), 2);
    assert_eq!(
        phone.identity().digest(),
        laptop.identity().digest(),
        "who is in"
    );
}
