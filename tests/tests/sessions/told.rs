//! What a session tells of how far it has come, and of why it comes no further.

use twin_identity::device::Role;
use twin_ops::store::OpStore;
use twin_sync::session::{Difference, Progress, SyncEvent, digest};

use crate::common::*;
use crate::session::sync;
use crate::set_back::{copy_of, talk, unnoticed};
use crate::twins::*;

fn progress(events: &[SyncEvent]) -> Vec<Progress> {
    let told = events.iter().filter_map(|event| match event {
        SyncEvent::Progress(progress) => Some(*progress),
        _ => None,
    });
    told.collect()
}

#[test]
fn how_far_it_has_come_is_told_now_and_then_and_at_the_end() {
    let (_dirs, mut phone, [mut laptop]) = family([Role::Member]);
    meet(&mut [&mut phone, &mut laptop], NOON);
    let text = "x".repeat(8192);
    for i in 0..100 {
        put(&mut phone, NOON, "notes", &i.to_string(), &[("x", &text)]);
    }
    put(&mut laptop, NOON, "notes", "one", &[("x", "1")]);
    let [at_phone, at_laptop] = sync(&mut phone, &mut laptop, NOON);
    let told = progress(&at_laptop);
    // All of it in the same moment: once when the first have come or gone, and once when all have.
    let [first, last] = told[..] else {
        panic!("{told:?}");
    };
    assert!(first.to_take > 0, "{first:?}");
    assert_eq!(first.taken.ops + first.to_take, 100);
    assert_eq!((last.taken.ops, last.to_take), (100, 0));
    assert_eq!((last.given.ops, last.to_give), (1, 0));
    assert!((100 * 8192..100 * 9000).contains(&last.taken.bytes));
    let at = |events: &[SyncEvent], event: &SyncEvent| events.iter().rposition(|e| e == event);
    let end = at(&at_laptop, &SyncEvent::InSync);
    assert!(at(&at_laptop, &SyncEvent::Progress(last)) < end);

    let last = progress(&at_phone).pop().unwrap();
    assert_eq!((last.given.ops, last.to_give), (100, 0));
    assert_eq!((last.taken.ops, last.to_take), (1, 0));
    assert_eq!(last.content_taken + last.content_given, 0);
    // Both hold what the digest says that they were found equal by.
    let equal = digest(&phone).unwrap();
    for events in [&at_phone, &at_laptop] {
        assert!(events.contains(&SyncEvent::Equal(equal)), "{events:?}");
    }
    // Nothing comes or goes: there is no progress to tell of.
    for events in sync(&mut phone, &mut laptop, NOON + MINUTE) {
        assert!(progress(&events).is_empty(), "{events:?}");
    }
}

#[test]
fn two_histories_of_a_device_that_is_not_there_are_named() {
    let (dirs, mut phone, [mut laptop, mut tablet]) = family([Role::Admin, Role::Member]);
    meet(&mut [&mut phone, &mut laptop, &mut tablet], NOON);
    put(&mut laptop, NOON, "notes", "1", &[("x", "1")]);
    meet(&mut [&mut phone, &mut laptop, &mut tablet], NOON);
    let writer = laptop.device();
    // It writes, and the phone hears of it; set back to before, it writes something else, and the tablet hears of that.
    drop(laptop);
    let copy = copy_of(dirs[1].path());
    let mut once = unnoticed(dirs[1].path());
    put(&mut once, NOON + 1, "notes", "2a", &[("x", "a")]);
    sync(&mut once, &mut phone, NOON + 1);
    drop(once);
    let mut again = unnoticed(copy.path());
    put(&mut again, NOON + 2, "notes", "2b", &[("x", "b")]);
    sync(&mut again, &mut tablet, NOON + 2);
    let events = talk(&mut phone, &mut tablet, NOON + 3);
    for events in events {
        let differs: Vec<&SyncEvent> = { events.iter() }
            .filter(|event| matches!(event, SyncEvent::Differs(_)))
            .collect();
        let named = SyncEvent::Differs(Difference::TwoHistories(Some(writer)));
        assert_eq!(differs, [&named], "{events:?}");
        assert!(events.contains(&SyncEvent::Stuck), "{events:?}");
        assert!(!events.contains(&SyncEvent::InSync), "{events:?}");
        let forked = { events.iter() }.filter(|event| matches!(event, SyncEvent::Forked(_)));
        assert_eq!(forked.count(), 1, "told once: {events:?}");
    }
}
