//! What it costs two devices to find out what they lack, in bytes on the wire: the same in every run.

use tempfile::TempDir;
use twin_identity::device::Role;
use twin_ops::store::OpStore;
use twin_sync::session::SyncEvent;
use twin_vault::Vault;

use crate::common::*;
use crate::session::Talk;
use crate::twins::*;

/// Numbers of messages in core/docs/formats.md: what is said before anything about the replicas, and operations.
const HANDSHAKE: [u8; 4] = [0, 1, 2, 9];
const OPS: u8 = 7;
/// A frame is preceded by its length.
const PREFIX: usize = 4;
/// A height of a million operations has so many bytes more than one of a few.
const TALL: usize = 4;

/// A phone, a laptop and others, of which each has written into a log of its own: half of them something more that only
/// the phone has, the others something that only the laptop has.
fn scattered<const N: usize>() -> (Vec<TempDir>, Vault, Vault) {
    let (dirs, mut phone, others) = family([Role::Member; N]);
    let mut others: Vec<Vault> = others.into();
    let mut laptop = others.remove(0);
    for other in &mut others {
        put(other, NOON, "notes", "one", &[("x", "1")]);
        send(other, &mut phone, NOON);
        send(other, &mut laptop, NOON);
    }
    for vaults in [&mut phone, &mut laptop] {
        vaults.tend(NOON, &mut rng(7)).unwrap();
    }
    meet(&mut [&mut phone, &mut laptop], NOON);
    for (number, other) in others.iter_mut().enumerate() {
        let to = if number % 2 == 0 {
            &mut phone
        } else {
            &mut laptop
        };
        put(other, NOON, "notes", "two", &[("x", "2")]);
        send(other, to, NOON);
    }
    (dirs, phone, laptop)
}

/// What is said in a session that ends in sync: the number of each message, and its bytes on the wire.
fn said(phone: &mut Vault, laptop: &mut Vault) -> Vec<(u8, usize)> {
    let mut talk = Talk::new(NOON);
    talk.go_on(phone, laptop, usize::MAX);
    let frames = std::mem::take(&mut talk.frames).into_iter();
    for events in talk.events() {
        assert_eq!(events.last(), Some(&SyncEvent::InSync), "{events:?}");
    }
    frames.map(|(kind, bytes)| (kind, bytes + PREFIX)).collect()
}

fn bytes(said: &[(u8, usize)], is: impl Fn(u8) -> bool) -> usize {
    let said = said.iter().filter(|(kind, _)| is(*kind));
    said.map(|(_, bytes)| bytes).sum()
}

fn to_find_out<const N: usize>() -> usize {
    let (_dirs, mut phone, mut laptop) = scattered::<N>();
    let logs = phone.heads().unwrap().len() + laptop.heads().unwrap().len();
    let said = said(&mut phone, &mut laptop);
    assert!(bytes(&said, |kind| kind == OPS) > 0);
    let whole = bytes(&said, |kind| [3, 4].contains(&kind));
    assert_eq!(whole, 0, "nothing is said in whole");
    bytes(&said, |kind| !HANDSHAKE.contains(&kind) && kind != OPS) + logs * TALL
}

#[test]
fn what_is_lacking_is_found_out_for_a_kilobyte() {
    let few = to_find_out::<3>();
    assert!(few <= 1000, "4 devices: {few} bytes");
    let many = to_find_out::<15>();
    assert!(many <= 3000, "16 devices: {many} bytes");
}

#[test]
fn a_removal_is_told_in_25_kilobytes() {
    let (_dirs, mut phone, others) = family([Role::Member; 15]);
    let mut others: Vec<Vault> = others.into();
    let mut laptop = others.remove(0);
    meet(&mut [&mut phone, &mut laptop], NOON);
    said(&mut phone, &mut laptop);
    phone.revoke(&others[3].device(), &mut rng(5)).unwrap();
    let told = bytes(&said(&mut phone, &mut laptop), |_| true);
    assert!(laptop.identity().device(&others[3].device()).is_none());
    assert!(told <= 25_000, "{told} bytes");
}

#[test]
fn two_that_are_equal_say_little() {
    let (_dirs, mut phone, others) = family([Role::Member; 1]);
    let mut laptop = others.into_iter().next().unwrap();
    said(&mut phone, &mut laptop);
    let said = said(&mut phone, &mut laptop);
    let nothing = bytes(&said, |kind| !HANDSHAKE.contains(&kind));
    assert!(nothing <= 200, "{nothing} bytes");
}
