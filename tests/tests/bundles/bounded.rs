//! Bundles of limited size.

use twin_identity::device::Role;
use twin_ops::store::OpStore;

use super::*;
use crate::common::*;
use crate::twins::*;

fn small(
    from: &Vault,
    to: &Vault,
    beyond: Option<twin_ops::store::Known>,
    most: usize,
    seed: u64,
) -> Result<bundle::Made, BundleError> {
    bundle::make(
        from,
        NOON + seed,
        &[to.device()],
        beyond,
        most,
        &mut rng(seed),
    )
}

#[test]
fn it_never_has_more_bytes_than_were_asked_for() {
    let (_dirs, mut phone, [mut laptop]) = family([Role::Member]);
    carry(&laptop, &mut phone, NOON);
    for i in 0..60 {
        let text = "x".repeat(i * 7);
        put(&mut phone, NOON, "notes", &format!("n{i}"), &[("x", &text)]);
    }
    let mut least = None;
    for most in (0..6000).step_by(7).chain([9000, 20_000, 100_000, 3 << 20]) {
        match small(&phone, &laptop, None, most, most as u64) {
            Ok(made) => {
                least = least.or(Some(most));
                assert!(made.bytes.len() <= most, "{} of {most}", made.bytes.len());
                assert_eq!(
                    made.more,
                    made.carried.ops < 60,
                    "{most}: {:?}",
                    made.carried
                );
                bundle::check(&laptop, &made.bytes).unwrap();
            }
            Err(error) => {
                assert_eq!(error, BundleError::TooSmall(most));
                assert_eq!(least, None, "{most} bytes are not fewer");
            }
        }
    }
    assert!((1300..2000).contains(&least.unwrap()), "{least:?}");
    // All goes at once in the end.
    let made = small(&phone, &laptop, None, 100_000, 1).unwrap();
    take(&mut laptop, NOON + 1, &made.bytes);
    are_same(&mut phone, &mut laptop);
}

#[test]
fn many_small_ones_bring_it_all() {
    let (_dirs, mut phone, [mut laptop]) = family([Role::Member]);
    for i in 0..300 {
        put(
            &mut phone,
            NOON,
            "notes",
            &format!("n{i}"),
            &[("x", "some text")],
        );
    }
    write_in(&mut phone, NOON, "work");
    // One after the other, with no word from the laptop in between.
    let (mut beyond, mut count) = (None, 0);
    loop {
        let made = small(&phone, &laptop, beyond.take(), 12_000, count).unwrap();
        let received = take(&mut laptop, NOON + count, &made.bytes);
        assert_eq!(received.early, 0);
        assert_eq!(received.more, made.more);
        count += 1;
        if !made.more {
            break;
        }
        assert!(made.carried.entries + made.carried.grants + made.carried.ops > 0);
        beyond = Some(made.then);
    }
    assert!((5..60).contains(&count), "{count}");
    are_same(&mut phone, &mut laptop);
}

#[test]
fn what_is_most_urgent_comes_first_and_what_does_not_fit_keeps_nothing_away() {
    let (_dirs, mut phone, [mut laptop]) = family([Role::Member]);
    carry(&laptop, &mut phone, NOON);
    let long = "y".repeat(30_000);
    put(&mut phone, NOON, "notes", "long", &[("x", &long)]);
    write_in(&mut phone, NOON, "work");
    let dir = tempfile::tempdir().unwrap();
    let tablet = linked(dir.path(), &mut phone, 70, Role::Member);
    let made = small(&phone, &laptop, None, 16_000, 1).unwrap();
    assert!(made.more);
    assert_eq!(made.carried.entries, 1);
    assert_eq!(take(&mut laptop, NOON + 1, &made.bytes).early, 0);
    assert!(laptop.identity().device(&tablet.device()).is_some());
    // The log with the long one is left out, the other is there.
    assert!(laptop.get(&space("work"), "c", "r").unwrap().is_some());
    assert_eq!(ids(&mut laptop), Vec::<String>::new());
    carry(&phone, &mut laptop, NOON + 2);
    assert_eq!(ids(&mut laptop), ["long"]);
}
