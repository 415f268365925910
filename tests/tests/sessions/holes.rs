//! Content that somebody left out comes back from whoever has it.

use twin_identity::device::Role;
use twin_ops::op::Op;
use twin_ops::store::{LogHead, OpStore};
use twin_sync::session::SyncEvent;
use twin_vault::Vault;

use crate::common::*;
use crate::session::sync;
use crate::twins::*;

/// Gives `to` what `from` has, but no content of ops of more than one part.
fn send_stripped(from: &Vault, to: &mut Vault) {
    send_identity(from, to, NOON);
    let grants = from.grants().unwrap();
    let grants = grants.iter().map(|id| from.grant(id).unwrap().unwrap());
    to.add_grants(&grants.collect::<Vec<_>>()).unwrap();
    for LogHead { log, .. } in from.heads().unwrap() {
        let origin = from.origin(&log).unwrap().unwrap();
        let run = from.read_run(&log, 0, usize::MAX).unwrap();
        let stripped = run.iter().map(|bytes| {
            let mut op = Op::from_bytes(bytes).unwrap();
            let parts = op.parts().len();
            (0..parts)
                .filter(|_| parts > 1)
                .for_each(|index| op.drop_part(index));
            op.to_bytes()
        });
        let stripped: Vec<_> = stripped.collect();
        to.append_run(NOON, &origin, &stripped).unwrap();
    }
}

#[test]
fn it_is_asked_for_and_sent_again() {
    let (_dirs, mut phone, [mut laptop, mut tablet]) = family([Role::Member; 2]);
    meet(&mut [&mut phone, &mut laptop, &mut tablet], NOON);
    let twenty = (0..20).map(|i| {
        let id = format!("r{i}");
        change(twin_ops::change::Kind::Put, "c", &id, &[("a", "one")])
    });
    commit(&mut phone, NOON, twenty.collect());
    put(&mut phone, NOON, "c", "alone", &[("a", "one")]);
    send_stripped(&phone, &mut laptop);
    send_stripped(&phone, &mut tablet);
    let holes = laptop.holes().unwrap();
    assert!(!holes.is_empty());
    assert_eq!(tablet.holes().unwrap(), holes);
    assert_eq!(records(&mut laptop, "c").len(), 1);

    // Who lacks the same is equal, and asks in vain.
    let said = sync(&mut laptop, &mut tablet, NOON);
    assert!(
        said.iter()
            .all(|events| events.contains(&SyncEvent::InSync))
    );
    assert_eq!(laptop.holes().unwrap(), holes);
    for other in [&mut laptop, &mut tablet] {
        let said = sync(other, &mut phone, NOON);
        assert!(
            said.iter()
                .all(|events| events.contains(&SyncEvent::InSync))
        );
        assert!(other.holes().unwrap().is_empty());
        assert_eq!(records(other, "c"), records(&mut phone, "c"));
    }
    assert_eq!(records(&mut phone, "c").len(), 21);
}
