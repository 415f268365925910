//! A device gives up branches of its own logs.

use twin_identity::body::{Body, Fork, Line};
use twin_identity::device::DeviceKeys;
use twin_identity::entry::Entry;
use twin_identity::log::LogError;

use super::roles::{again, three};
use crate::common::{Twin, device, line, place, removal, up_to, words};

fn branch(branch: Line) -> Fork {
    let again = Some(line(9, branch.height, 9));
    Fork { branch, again }
}

fn fork(line: Line) -> Body {
    Body::Fork(Box::new(branch(line)))
}

fn given_up(twin: &Twin, device: &DeviceKeys) -> Vec<Line> {
    let forks = twin.log.given_up(&device.id());
    let mut lines: Vec<Line> = forks.map(|fork| fork.branch).collect();
    lines.sort();
    lines
}

#[test]
fn every_device_that_is_in_says_it_of_itself() {
    let (mut twin, laptop, tablet) = three();
    let phone = again(&twin);
    for keys in [&phone, &laptop, &tablet] {
        assert!(given_up(&twin, keys).is_empty());
        let said = fork(line(1, 5, 1));
        twin.says(keys, &said).unwrap();
        assert_eq!(
            twin.says(keys, &said),
            Err(LogError::NotAllowed),
            "it has said so"
        );
        // Two branches of one log, at one height; and where one was written again changes.
        let mut again = branch(line(1, 5, 1));
        again.again = None;
        twin.says(keys, &Body::Fork(Box::new(again))).unwrap();
        for more in [line(1, 5, 2), line(1, 4, 7), line(2, 1, 0)] {
            twin.says(keys, &fork(more)).unwrap();
        }
        let [higher, other] = [line(1, 5, 1), line(1, 5, 2)];
        let expected = [line(1, 4, 7), higher, higher, other, line(2, 1, 0)];
        assert_eq!(given_up(&twin, keys), expected);
        assert!(twin.log.given_up_in_vain(&keys.id()).is_empty());
    }
    let stranger = device(9);
    assert_eq!(
        twin.says(&stranger, &fork(line(1, 1, 1))),
        Err(LogError::NotAllowed)
    );
    twin.says(&phone, &Body::Suspend(removal(&tablet))).unwrap();
    assert_eq!(
        twin.says(&tablet, &fork(line(3, 1, 1))),
        Err(LogError::NotAllowed)
    );
}

#[test]
fn whoever_takes_its_power_away_takes_that_too() {
    // A thief that has the tablet's key gives up what the tablet has written, as if it had done so before.
    for removes in [Body::Revoke, Body::Suspend] {
        let (mut twin, _, tablet) = three();
        let phone = again(&twin);
        let before = twin.log.heads();
        let known = line(1, 9, 0);
        twin.says(&tablet, &fork(known)).unwrap();
        twin.says(&phone, &removes(up_to(&tablet, &[(1, 8)])))
            .unwrap();
        twin.after(&before, &tablet, &fork(line(1, 2, 0))).unwrap();
        assert_eq!(given_up(&twin, &tablet), [known]);
        assert_eq!(
            twin.log.given_up_in_vain(&tablet.id()),
            [branch(line(1, 2, 0))],
            "of no use to it"
        );
    }
    // What waits counts once it is resumed.
    let (mut twin, _, tablet) = three();
    let phone = again(&twin);
    let before = twin.log.heads();
    twin.says(&phone, &Body::Suspend(removal(&tablet))).unwrap();
    twin.after(&before, &tablet, &fork(line(1, 2, 0))).unwrap();
    assert!(given_up(&twin, &tablet).is_empty());
    twin.says(&phone, &Body::Resume(tablet.id())).unwrap();
    assert_eq!(given_up(&twin, &tablet), [line(1, 2, 0)]);
}

#[test]
fn a_rotation_goes_on_from_what_it_knew_and_the_rest_is_said_again() {
    let (mut twin, laptop, tablet) = three();
    let known = line(1, 3, 0);
    twin.says(&tablet, &fork(known)).unwrap();
    let late = line(2, 4, 0);
    let base = twin.log.rotation().unwrap().id;
    let at = place(&twin.log, &twin.log.heads(), base);
    let beside = Entry::by_device(&twin.id(), at, &fork(late), &tablet).unwrap();
    let rotate = twin.rotation(1, &words(2));
    twin.rotates(rotate, &words(1), 1).unwrap();
    assert_eq!(given_up(&twin, &tablet), [known]);
    assert_eq!(twin.log.insert(beside), Ok(true));
    assert_eq!(given_up(&twin, &tablet), [known]);
    assert_eq!(twin.log.given_up_in_vain(&tablet.id()), [branch(late)]);
    assert!(twin.log.given_up_in_vain(&laptop.id()).is_empty());
    twin.says(&tablet, &fork(late)).unwrap();
    assert_eq!(given_up(&twin, &tablet), [known, late]);
    assert!(twin.log.given_up_in_vain(&tablet.id()).is_empty());
}

#[test]
fn a_branch_begins_somewhere_and_is_written_again_elsewhere() {
    for (branch, again, fits) in [
        (line(1, 1, 0), None, true),
        (line(1, 0, 0), None, false),
        (line(1, 1, 0), Some(line(2, 1, 0)), true),
        (line(1, 1, 0), Some(line(2, 0, 0)), false),
        (line(1, 1, 0), Some(line(1, 9, 0)), false),
    ] {
        let (twin, laptop, _) = three();
        let base = twin.log.rotation().unwrap().id;
        let at = place(&twin.log, &twin.log.heads(), base);
        // What is signed is read first.
        let said = Body::Fork(Box::new(Fork { branch, again }));
        let entry = Entry::by_device(&twin.id(), at, &said, &laptop);
        assert_eq!(entry.is_ok(), fits, "{branch:?} {again:?}");
        if let Ok(entry) = entry {
            let mut log = twin.log.clone();
            assert_eq!(log.insert(entry), Ok(true));
        }
    }
}
