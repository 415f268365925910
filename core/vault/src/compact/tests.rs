#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use tempfile::tempdir;
use twin_identity::device::Role;
use twin_ops::change::{Seen, SeenHeight};
use twin_ops::store::{LogHead, OpStore};

use super::*;
use crate::common::{MINUTE, NOON, are_equal, linked, phone, put, records, rng, send, space};

/// A phone with another device that has all that it wrote.
fn pair(role: Role) -> ([tempfile::TempDir; 2], Vault, Vault) {
    let dirs = [tempdir().unwrap(), tempdir().unwrap()];
    let mut phone = phone(dirs[0].path());
    let mut other = linked(dirs[1].path(), &mut phone, 10, role);
    for i in 0..9 {
        put(&mut phone, NOON + i, "c", "r", &[("a", &format!("{i}"))]);
        put(&mut phone, NOON + i, "c", "s", &[("a", &format!("{i}"))]);
    }
    send(&phone, &mut other, NOON);
    are_equal(&mut [&mut phone, &mut other], NOON);
    (dirs, phone, other)
}

fn history(vault: &mut Vault) -> usize {
    let history = vault.history(&space("home"), "c", "r", None, 100);
    history.unwrap().len()
}

#[test]
fn what_a_companion_says_lets_nothing_go() {
    let (_dirs, mut phone, mut laptop) = pair(Role::Member);
    // A device that does not keep to the rules.
    let home = space("home");
    let said = laptop.write(|vault| vault.compact_now(&mut rng(1), &home));
    assert!(said.unwrap().gone > 0);
    send(&laptop, &mut phone, NOON);
    assert_eq!(phone.heads().unwrap(), laptop.heads().unwrap());
    for vault in [&mut phone, &mut laptop] {
        assert_eq!(records(vault, "c").len(), 2);
        assert_eq!(history(vault), 9);
        assert!(vault.checkpoints().is_empty());
        vault.rebuild_index().unwrap();
        assert_eq!(history(vault), 9);
        assert!(vault.check().unwrap().is_whole());
    }
    // Nor does a new device begin with it.
    let dir = tempdir().unwrap();
    let mut tablet = linked(dir.path(), &mut phone, 20, Role::Member);
    send(&phone, &mut tablet, NOON);
    let heads = laptop.heads().unwrap().into_iter();
    let mut own = heads.filter(|head| {
        let origin = laptop.origin(&head.log).unwrap().unwrap();
        origin.device == laptop.device() && origin.space == home.id(laptop.twin())
    });
    let head = own.next().unwrap();
    let origin = laptop.origin(&head.log).unwrap().unwrap();
    let run = laptop.read_run(&head.log, 0, usize::MAX).unwrap();
    let link = laptop.link_at(&head.log, head.head.height - 1).unwrap();
    let base = Head {
        height: head.head.height - 1,
        link: link.unwrap(),
    };
    let dir = tempdir().unwrap();
    let mut new = linked(dir.path(), &mut phone, 30, Role::Member);
    let last = run.last().cloned().into_iter().collect::<Vec<_>>();
    let taken = new.append_from(NOON, &origin, base, &last).unwrap();
    assert_eq!((taken.new, taken.early), (0, 1));
}

#[test]
fn nothing_goes_that_a_snapshot_does_not_hold() {
    let (_dirs, mut phone, mut other) = pair(Role::Admin);
    let home = space("home");
    other
        .write(|vault| {
            let id = home.id(vault.twin());
            let mut plan = vault.plan(&id)?.unwrap();
            // It leaves out one of two records.
            plan.ops.iter_mut().for_each(|op| op.truncate(1));
            vault.write_checkpoint(plan, &mut rng(1), &home)?;
            vault.raise_checkpoints()
        })
        .unwrap();
    send(&other, &mut phone, NOON + MINUTE);
    for vault in [&mut phone, &mut other] {
        assert!(!vault.sweep().unwrap());
        assert!(vault.checkpoints().is_empty());
        assert_eq!(records(vault, "c").len(), 2);
        vault.rebuild_index().unwrap();
        assert_eq!(records(vault, "c").len(), 2);
        assert!(vault.check().unwrap().is_whole());
    }
    // An honest one takes its place.
    are_equal(&mut [&mut phone, &mut other], NOON + 2 * MINUTE);
    let compacted = phone.compact(NOON + 2 * MINUTE, &mut rng(2), &home);
    assert!(compacted.unwrap().gone > 18);
    send(&phone, &mut other, NOON + 3 * MINUTE);
    for vault in [&mut phone, &mut other] {
        assert_eq!(records(vault, "c").len(), 2);
        assert_eq!(history(vault), 1);
        assert_eq!(vault.checkpoints().len(), 1);
        assert!(vault.check().unwrap().is_whole());
    }
}

#[test]
fn a_checkpoint_does_not_go_without_the_end_of_its_snapshot() {
    let (_dirs, mut phone, mut other) = pair(Role::Admin);
    let dir = tempdir().unwrap();
    let mut tablet = linked(dir.path(), &mut phone, 20, Role::Member);
    let home = space("home");
    // So much that the snapshot takes several ops.
    let long = "long".repeat(64 << 10);
    for id in ["t", "u", "v"] {
        put(&mut phone, NOON, "c", id, &[("a", &long)]);
    }
    send(&phone, &mut other, NOON);
    send(&phone, &mut tablet, NOON);
    are_equal(&mut [&mut phone, &mut other, &mut tablet], NOON);
    assert!(phone.compact(NOON, &mut rng(1), &home).unwrap().snapshot > 1);
    send(&phone, &mut other, NOON);
    let log = phone.checkpoints()[0].log;
    let checkpoint = phone.checkpoints()[0].seq;
    put(&mut other, NOON, "c", "r", &[("a", "more")]);
    put(&mut other, NOON, "c", "r", &[("a", "even more")]);
    let id = home.id(other.twin());
    // The tablet has got no further than to the middle of it.
    let seen = |LogHead { log: of, head }: &LogHead| SeenHeight {
        log: *of,
        height: head
            .height
            .min(if *of == log { checkpoint + 1 } else { u64::MAX }),
    };
    let seen = Seen::new([].into(), other.heads().unwrap().iter().map(seen).collect());
    let device = tablet.device();
    other
        .write(|vault| vault.note_seen(&device, &id, &seen))
        .unwrap();
    are_equal(&mut [&mut other, &mut phone], NOON);
    let lines = other.lines(&id).unwrap().unwrap();
    assert_eq!(lines[&log].1.height, checkpoint - 1);
    // Who draws a line there all the same lets nothing go by it.
    other
        .write(|vault| {
            let (origin, _) = lines[&log];
            let height = checkpoint + 1;
            let link = vault
                .state
                .link_at(&vault.file.store, &log, height)?
                .unwrap();
            let line = Line::new(&origin, Head { height, link });
            let mut plan = vault.plan(&id)?.unwrap();
            plan.lines.retain(|(of, _)| *of != log);
            plan.lines.push((log, line));
            plan.lines
                .sort_unstable_by(|(_, a), (_, b)| a.order().cmp(&b.order()));
            vault.write_checkpoint(plan, &mut rng(2), &home)?;
            vault.raise_checkpoints()
        })
        .unwrap();
    send(&other, &mut phone, NOON);
    for vault in [&mut phone, &mut other] {
        while vault.sweep().unwrap() {}
        assert_eq!(records(vault, "c").len(), 5);
        assert!(vault.check().unwrap().is_whole());
        vault.rebuild_index().unwrap();
        assert_eq!(records(vault, "c").len(), 5);
    }
}

#[test]
fn what_a_device_tells_in_its_ops_is_enough() {
    let (_dirs, mut phone, mut laptop) = pair(Role::Member);
    put(&mut phone, NOON + MINUTE, "c", "r", &[("a", "more")]);
    let home = space("home");
    let waits = phone.compact(NOON + MINUTE, &mut rng(1), &home).unwrap();
    assert_eq!((waits.gone, waits.waiting.len()), (0, 1));
    send(&phone, &mut laptop, NOON + MINUTE);
    put(&mut laptop, NOON + MINUTE, "c", "t", &[("a", "1")]);
    send(&laptop, &mut phone, NOON + MINUTE);
    let compacted = phone.compact(NOON + MINUTE, &mut rng(1), &home).unwrap();
    assert!(compacted.gone > 18);
    assert!(compacted.waiting.is_empty());
    assert_eq!(history(&mut phone), 1);
}
