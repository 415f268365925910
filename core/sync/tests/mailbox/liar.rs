//! What a device notices of a relay that does not keep the rules, one lie after the other; and that it goes on.

use twin_sync::machine::Machine;
use twin_sync::mailbox::client::ANSWER_TIME;
use twin_sync::mailbox::day::DAY;
use twin_sync::mailbox::envelope::Letter;
use twin_sync::mailbox::store::Mark;
use twin_sync::mailbox::{
    Address, ClientEvent, Desk, Distrust, EnvelopeId, Limits, MailboxError, Visit,
};

use crate::store::{Box, Post, Shelf};
use crate::talk::*;

fn reader() -> (Desk, Address) {
    let mut desk = desk();
    let address = desk.open(mailbox(1, NOW), true).unwrap();
    (desk, address)
}

fn hidden(store: &mut Shelf) -> &mut Box {
    store.boxes.get_mut(&mailbox(1, NOW).address()).unwrap()
}

fn post(sealed: Vec<u8>) -> Post {
    Post {
        id: EnvelopeId::of(&sealed),
        sealed,
        expires: NOW + 30 * DAY,
        withdrawn: None,
    }
}

#[test]
fn a_relay_that_has_forgotten_all_is_noticed_and_read_anew() {
    let (mut store, mut author) = with_posts(3);
    let (mut reader, address) = reader();
    visit(&mut reader, &mut store, NOW, 1);
    store.boxes.clear();
    let line = visit(&mut reader, &mut store, NOW, 2);
    let (told, known) = (0, 3);
    assert_eq!(
        line.distrust(),
        [Distrust::Backwards {
            address,
            told,
            known
        }]
    );
    // Whoever has receipts learns which they are, once.
    let noticed = visit(&mut author, &mut store, NOW, 3).distrust();
    let lost = (1..4).map(|number| Distrust::Lost { address, number });
    let expected: Vec<_> = [Distrust::Backwards {
        address,
        told,
        known,
    }]
    .into_iter()
    .chain(lost)
    .collect();
    assert_eq!(noticed, expected);
    assert_eq!(visit(&mut author, &mut store, NOW, 4).distrust(), []);
    // And what is left there again arrives, under numbers that were others before.
    author.post(NOW, &address, vec![8], &mut rng(8)).unwrap();
    visit(&mut author, &mut store, NOW, 5);
    let line = visit(&mut reader, &mut store, NOW, 6);
    assert_eq!(
        (line.posts(), line.distrust()),
        (vec![(1, vec![8])], vec![])
    );
}

#[test]
fn a_relay_restored_from_an_old_copy_is_noticed_and_nothing_comes_twice() {
    let (mut store, mut author) = with_posts(2);
    let (mut reader, address) = reader();
    visit(&mut reader, &mut store, NOW, 1);
    let old = store.clone();
    author.post(NOW, &address, vec![9], &mut rng(9)).unwrap();
    visit(&mut author, &mut store, NOW, 2);
    visit(&mut reader, &mut store, NOW, 3);
    store = old;
    let line = visit(&mut reader, &mut store, NOW, 4);
    assert_eq!(
        line.distrust(),
        [Distrust::Backwards {
            address,
            told: 2,
            known: 3
        }]
    );
    assert_eq!(line.posts(), []);
    let lost = visit(&mut author, &mut store, NOW, 5).distrust();
    assert_eq!(lost.last(), Some(&Distrust::Lost { address, number: 3 }));
}

#[test]
fn a_post_that_is_kept_back_or_lost_is_noticed() {
    let (mut store, mut author) = with_posts(3);
    hidden(&mut store).posts.remove(&2);
    let (mut reader, address) = reader();
    for seed in 1..3 {
        // As long as it is so.
        let line = visit(&mut reader, &mut store, NOW, seed);
        let withheld = Distrust::Withheld {
            address,
            number: 2,
            count: 1,
        };
        assert_eq!(line.distrust(), [withheld]);
        assert_eq!(line.posts().len(), if seed == 1 { 2 } else { 0 });
    }
    // Its author looks once a day.
    let line = visit(&mut author, &mut store, NOW + DAY, 3);
    assert_eq!(line.distrust(), [Distrust::Lost { address, number: 2 }]);
    assert_eq!(
        visit(&mut author, &mut store, NOW + 2 * DAY, 4).distrust(),
        []
    );
}

#[test]
fn the_first_ones_kept_back_are_noticed_as_long_as_they_cannot_have_expired() {
    let (mut store, _) = with_posts(3);
    hidden(&mut store).posts.remove(&1);
    for (later, noticed) in [(0, true), (27, true), (29, false)] {
        let (mut reader, address) = reader();
        let line = visit(&mut reader, &mut store, NOW + later * DAY, 1);
        let withheld = Distrust::Withheld {
            address,
            number: 1,
            count: 1,
        };
        assert_eq!(
            line.distrust(),
            vec![withheld; usize::from(noticed)],
            "day {later}"
        );
    }
}

#[test]
fn posts_hidden_from_one_device_are_betrayed_by_the_next_letter_of_another() {
    let (store, mut author) = with_posts(3);
    // To this device the relay shows another mailbox, in which 2 and 3 never were.
    let mut shown = store.clone();
    hidden(&mut shown).posts.retain(|number, _| *number == 1);
    hidden(&mut shown).mark = Mark {
        last: 1,
        version: 1,
    };
    let (mut reader, address) = reader();
    assert_eq!(visit(&mut reader, &mut shown, NOW, 1).distrust(), []);
    author
        .present(NOW, &address, &device(3), b"here".to_vec(), &mut rng(3))
        .unwrap();
    let mut both = store;
    visit(&mut author, &mut both, NOW, 2);
    hidden(&mut shown).presences = hidden(&mut both).presences.clone();
    hidden(&mut shown).mark.version += 9;
    hidden(&mut shown)
        .presences
        .values_mut()
        .for_each(|one| one.version = 9);
    let mut line = Line::new(1, &Limits::default(), Visit::Stay, NOW, 3);
    line.talk(NOW, &mut reader, &mut shown).unwrap();
    assert_eq!(line.presences(), [b"here"]);
    assert_eq!(
        line.distrust(),
        [Distrust::Backwards {
            address,
            told: 1,
            known: 3
        }]
    );
}

#[test]
fn another_post_in_the_same_place_is_noticed() {
    let (mut store, mut author) = with_posts(2);
    let (mut reader, address) = reader();
    visit(&mut reader, &mut store, NOW, 1);
    let other = mailbox(1, NOW).seal_post(
        &Letter {
            made: NOW,
            seen: 0,
            content: b"other".to_vec(),
        },
        &mut rng(5),
    );
    hidden(&mut store).posts.insert(2, post(other.unwrap()));
    let line = visit(&mut author, &mut store, NOW + DAY, 2);
    let replaced = Distrust::Replaced { address, number: 2 };
    assert_eq!(
        line.distrust(),
        [replaced, Distrust::Lost { address, number: 2 }]
    );
    assert_eq!(line.posts(), [(2, b"other".to_vec())]);
}

#[test]
fn the_same_post_twice_is_noticed_and_taken_once() {
    let (mut store, _) = with_posts(1);
    let again = hidden(&mut store).posts[&1].clone();
    hidden(&mut store).posts.insert(2, again);
    hidden(&mut store).mark.last = 2;
    let (mut reader, address) = reader();
    let line = visit(&mut reader, &mut store, NOW, 1);
    assert_eq!(line.distrust(), [Distrust::Repeated { address, number: 2 }]);
    assert_eq!(line.posts(), [(1, vec![0; 3])]);
}

#[test]
fn a_post_of_another_day_does_not_open_here() {
    let (mut store, _) = with_posts(1);
    let yesterday = mailbox(1, NOW - DAY).seal_post(
        &Letter {
            made: NOW,
            seen: 0,
            content: b"old".to_vec(),
        },
        &mut rng(5),
    );
    hidden(&mut store).posts.insert(2, post(yesterday.unwrap()));
    hidden(&mut store).mark.last = 2;
    let (mut reader, address) = reader();
    let line = visit(&mut reader, &mut store, NOW, 1);
    assert_eq!(
        line.distrust(),
        [Distrust::Unreadable { address, number: 2 }]
    );
    // It is not fetched again.
    assert_eq!(visit(&mut reader, &mut store, NOW, 2).distrust(), []);
}

#[test]
fn other_bytes_than_were_listed_are_noticed_and_asked_for_again_another_time() {
    let (mut store, _) = with_posts(2);
    let good = hidden(&mut store).posts[&1].sealed.clone();
    hidden(&mut store).posts.get_mut(&1).unwrap().sealed[100] ^= 1;
    let (mut reader, address) = reader();
    let line = visit(&mut reader, &mut store, NOW, 1);
    assert_eq!(line.distrust(), [Distrust::Altered { address, number: 1 }]);
    assert_eq!(line.posts(), [(2, vec![1; 3])]);
    hidden(&mut store).posts.get_mut(&1).unwrap().sealed = good;
    assert_eq!(
        visit(&mut reader, &mut store, NOW, 2).posts(),
        [(1, vec![0; 3])]
    );
}

#[test]
fn a_withdrawal_that_nobody_signed_is_noticed() {
    let (mut store, _) = with_posts(2);
    let (mut reader, address) = reader();
    let mut line = Line::new(1, &Limits::default(), Visit::Once, NOW, 1);
    let forged = [7; 64];
    hidden(&mut store).posts.get_mut(&1).unwrap().withdrawn = Some(forged);
    line.talk(NOW, &mut reader, &mut store).unwrap();
    assert_eq!(line.distrust(), [Distrust::Forged { address, number: 1 }]);
    assert_eq!(line.posts(), [(2, vec![1; 3])]);
}

#[test]
fn an_old_presence_and_a_made_up_one_are_noticed() {
    let (mut store, _) = with_posts(0);
    let mut one = desk();
    let address = one.open(mailbox(1, NOW), false).unwrap();
    let slot = mailbox(1, NOW).slot(&device(1));
    one.present(NOW, &address, &device(1), b"old".to_vec(), &mut rng(1))
        .unwrap();
    visit(&mut one, &mut store, NOW, 1);
    let old = store.clone();
    one.present(NOW + 1, &address, &device(1), b"new".to_vec(), &mut rng(2))
        .unwrap();
    visit(&mut one, &mut store, NOW, 2);
    let (mut reader, _) = reader();
    let mut look = |store: &mut Shelf| {
        let mut line = Line::new(2, &Limits::default(), Visit::Stay, NOW, 3);
        line.talk(NOW, &mut reader, store).unwrap();
        (line.presences(), line.distrust())
    };
    assert_eq!(look(&mut store), (vec![b"new".to_vec()], vec![]));
    assert_eq!(
        look(&mut old.clone()),
        (vec![], vec![Distrust::Stale { address, slot }])
    );
    let presence = hidden(&mut store).presences.get_mut(&slot).unwrap();
    presence.sealed.as_mut().unwrap()[30] ^= 1;
    let unreadable = Distrust::UnreadablePresence { address, slot };
    assert_eq!(look(&mut store), (vec![], vec![unreadable]));
}

#[test]
fn a_relay_that_claims_no_end_of_posts_is_not_followed() {
    let (mut store, _) = with_posts(1);
    hidden(&mut store).mark.last = u64::MAX;
    let (mut reader, address) = reader();
    let line = visit(&mut reader, &mut store, NOW, 1);
    assert!(line.distrust().contains(&Distrust::TooMany { address }));
    assert!(line.posts().is_empty());
}

/// What becomes of a visit when this is done with what the relay says; and whether it was noticed at all.
fn on_a_line(
    through: impl FnMut(Vec<u8>) -> Vec<Vec<u8>>,
) -> (Result<(), MailboxError>, Line<Shelf>, Desk) {
    let (mut store, _) = with_posts(3);
    let (mut reader, _) = reader();
    let mut line = Line::new(1, &Limits::default(), Visit::Once, NOW, 1);
    let end = line.talk_through(NOW, &mut reader, &mut store, through);
    (end, line, reader)
}

#[test]
fn an_answer_that_comes_twice_ends_it() {
    for nth in 1..6 {
        let mut count = 0;
        let (end, _, mut reader) = on_a_line(|frame| {
            count += 1;
            if count == nth + 1 {
                vec![frame.clone(), frame]
            } else {
                vec![frame]
            }
        });
        // News may come twice: they say where things are, not what has happened.
        assert!(
            matches!(end, Err(MailboxError::Unasked)) || nth == 6,
            "{nth}: {end:?}"
        );
        let (mut store, _) = with_posts(3);
        assert_eq!(visit(&mut reader, &mut store, NOW, 2).posts().len(), 3);
    }
}

#[test]
fn an_answer_that_does_not_come_is_waited_for_and_no_longer() {
    for nth in 0..6 {
        let mut count = 0;
        let (end, mut line, mut reader) = on_a_line(|frame| {
            count += 1;
            if count == nth + 1 {
                vec![]
            } else {
                vec![frame]
            }
        });
        assert_eq!(end, Ok(()));
        let waits = line.client.deadline();
        assert!(
            waits.is_none_or(|until| until == NOW + ANSWER_TIME),
            "{nth}"
        );
        assert!(!line.client.is_finished() || waits.is_none());
        if waits.is_some() {
            assert_eq!(line.client.tick(NOW + ANSWER_TIME - 1, &mut reader), Ok(()));
            let late = line.client.tick(NOW + ANSWER_TIME, &mut reader);
            assert_eq!(late, Err(MailboxError::Silent));
        } else {
            assert_eq!(line.posts().len(), 3, "only news were lost");
        }
    }
}

#[test]
fn any_bytes_get_an_answer() {
    let (_, honest, _) = on_a_line(|frame| vec![frame]);
    assert!(honest.frames[1].len() > 7);
    for nth in 0..honest.frames[1].len() {
        for at in (0..60).chain([300, 1000]) {
            let mut count = 0;
            let (end, line, _) = on_a_line(|mut frame| {
                count += 1;
                if count == nth + 1 && at < frame.len() {
                    frame[at] ^= 1;
                }
                vec![frame]
            });
            // Whatever it was: it ended with a reason, something was noticed, or nothing was lost.
            let posts = line.posts().len();
            let told = line.heard.iter().any(|event| {
                matches!(
                    event,
                    ClientEvent::Distrust(_) | ClientEvent::Refused { .. }
                )
            });
            let waits = line.client.deadline().is_some();
            assert!(
                end.is_err() || told || waits || posts == 3,
                "{nth} {at}: {end:?}"
            );
        }
    }
}

#[test]
fn what_is_told_without_watching_ends_it() {
    let (mut store, mut author) = with_posts(1);
    let (mut watcher, _) = reader();
    let mut line = Line::new(1, &Limits::default(), Visit::Stay, NOW, 1);
    line.talk(NOW, &mut watcher, &mut store).unwrap();
    // The same frames to a device that does not watch.
    let mut other = Line::<Shelf>::new(1, &Limits::default(), Visit::Stay, NOW, 1);
    other
        .client
        .receive(NOW, &line.frames[1][0], &mut author)
        .unwrap();
    assert!(other.client.next_frame(NOW, &mut author).unwrap().is_some());
    let news = line.frames[1].iter().find(|frame| frame[1] == 13).unwrap();
    let end = other.client.receive(NOW, news, &mut author);
    assert_eq!(end, Err(MailboxError::Unasked));
}
