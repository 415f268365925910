//! What works when everybody keeps the rules.

use twin_sync::machine::Machine;
use twin_sync::mailbox::day::DAY;
use twin_sync::mailbox::envelope::{Letter, MAX_POST};
use twin_sync::mailbox::refusal::Refusal;
use twin_sync::mailbox::{ClientEvent, Limits, Memory, RelayKey, Visit};

use crate::store::Shelf;
use crate::talk::*;

#[test]
fn what_one_leaves_another_finds_once() {
    let (mut store, mut author) = with_posts(3);
    let mut reader = desk();
    let address = reader.open(mailbox(1, NOW), false).unwrap();
    let line = visit(&mut reader, &mut store, NOW, 1);
    let posts = line.posts();
    assert_eq!(posts, [(1, vec![0; 3]), (2, vec![1; 3]), (3, vec![2; 3])]);
    assert_eq!(line.distrust(), []);
    // Whoever comes again finds what is new, and nobody finds their own.
    author.post(NOW, &address, vec![9], &mut rng(9)).unwrap();
    assert_eq!(visit(&mut author, &mut store, NOW, 2).posts(), []);
    assert_eq!(
        visit(&mut reader, &mut store, NOW, 3).posts(),
        [(4, vec![9])]
    );
    assert_eq!(visit(&mut reader, &mut store, NOW, 4).posts(), []);
}

#[test]
fn what_was_not_taken_comes_again_and_what_was_does_not() {
    let (mut store, _) = with_posts(2);
    let mut reader = desk();
    let address = reader.open(mailbox(1, NOW), false).unwrap();
    let mut line = Line::new(1, &Limits::default(), Visit::Once, NOW, 1);
    line.talk(NOW, &mut reader, &mut store).unwrap();
    assert_eq!(line.posts().len(), 2);
    reader.taken(&address, 1);
    // The device starts again from what it kept.
    let mut memory = Memory::default();
    memory
        .load(address, &reader.memory().page(&address).unwrap())
        .unwrap();
    let mut reader = twin_sync::mailbox::Desk::new(RelayKey::from(RELAY), memory);
    reader.open(mailbox(1, NOW), false).unwrap();
    let line = visit(&mut reader, &mut store, NOW, 2);
    assert_eq!(line.posts(), [(2, vec![1; 3])]);
    assert_eq!(line.distrust(), []);
}

#[test]
fn who_watches_hears_at_once_and_asks_for_nothing() {
    let mut store = Shelf::new(Limits::default());
    let limits = Limits::default();
    let (mut one, mut two) = (desk(), desk());
    for desk in [&mut one, &mut two] {
        desk.open(mailbox(1, NOW), true).unwrap();
    }
    let address = mailbox(1, NOW).address();
    let [mut at_one, mut at_two] =
        [1, 2].map(|me| Line::new(me, &limits, Visit::Stay, NOW, me.into()));
    at_one.talk(NOW, &mut one, &mut store).unwrap();
    at_two.talk(NOW, &mut two, &mut store).unwrap();
    assert_eq!(at_two.heard.last(), Some(&ClientEvent::CaughtUp));
    let asked = at_two.frames[0].len();

    one.present(NOW, &address, &device(1), b"here".to_vec(), &mut rng(1))
        .unwrap();
    one.post(NOW, &address, b"news".to_vec(), &mut rng(2))
        .unwrap();
    at_one.client.store_changed(&mut one).unwrap();
    at_one.talk(NOW, &mut one, &mut store).unwrap();
    at_two.server.store_changed(&mut store).unwrap();
    at_two.talk(NOW, &mut two, &mut store).unwrap();
    assert_eq!(at_two.posts(), [(1, b"news".to_vec())]);
    assert_eq!(at_two.presences(), [b"here"]);
    // A list and a post: nothing before it was told.
    assert_eq!(at_two.frames[0].len(), asked + 2);
    // Who has changed it is told nothing: its own frames and their answers are all.
    at_one.server.store_changed(&mut store).unwrap();
    let before = at_one.frames[1].len();
    at_one.talk(NOW, &mut one, &mut store).unwrap();
    assert_eq!(at_one.frames[1].len(), before);
    assert!(at_one.presences().is_empty() && at_one.posts().is_empty());

    one.absent(&address, &device(1)).unwrap();
    at_one.client.store_changed(&mut one).unwrap();
    at_one.talk(NOW, &mut one, &mut store).unwrap();
    at_two.server.store_changed(&mut store).unwrap();
    at_two.talk(NOW, &mut two, &mut store).unwrap();
    let slot = mailbox(1, NOW).slot(&device(1));
    assert!(at_two.heard.contains(&ClientEvent::Left { address, slot }));
    assert!(!at_two.client.is_finished() && at_two.client.deadline().is_none());
    assert_eq!([at_one.distrust(), at_two.distrust()].concat(), []);
}

#[test]
fn nothing_new_costs_little() {
    let (mut store, mut author) = with_posts(5);
    let line = visit(&mut author, &mut store, NOW, 1);
    let bytes: usize = line.frames.iter().flatten().map(Vec::len).sum();
    assert!(bytes <= 450, "{bytes} bytes for one mailbox");
}

#[test]
fn what_is_taken_back_is_gone_for_all_and_nobody_is_suspected() {
    let (mut store, mut author) = with_posts(2);
    let address = mailbox(1, NOW).address();
    let mut reader = desk();
    reader.open(mailbox(1, NOW), false).unwrap();
    visit(&mut reader, &mut store, NOW, 1);
    reader.withdraw(&address, 1).unwrap();
    visit(&mut reader, &mut store, NOW, 2);
    assert!(store.boxes[&address].posts[&1].sealed.is_empty());
    let mut late = desk();
    late.open(mailbox(1, NOW), false).unwrap();
    let line = visit(&mut late, &mut store, NOW, 3);
    assert_eq!(
        (line.posts(), line.distrust()),
        (vec![(2, vec![1; 3])], vec![])
    );
    // Its author learns of it when it next looks all through.
    let line = visit(&mut author, &mut store, NOW + DAY + 1, 4);
    assert!(
        line.heard
            .contains(&ClientEvent::Withdrawn { address, number: 1 })
    );
    assert_eq!(line.distrust(), []);
    assert!(late.withdraw(&address, 1).is_err() && late.withdraw(&address, 7).is_err());
}

#[test]
fn what_expires_is_missed_by_nobody() {
    let (mut store, mut author) = with_posts(2);
    let life = Limits::default().terms.post_life;
    let later = NOW + life - 10;
    let mut second = desk();
    let address = second.open(mailbox(1, NOW), false).unwrap();
    second.post(later, &address, vec![7], &mut rng(1)).unwrap();
    visit(&mut second, &mut store, later, 2);
    let end = NOW + life + 1;
    store.sweep(end);
    let mut late = desk();
    late.open(mailbox(1, NOW), false).unwrap();
    for desk in [&mut late, &mut author] {
        let line = visit(desk, &mut store, end, 3);
        assert_eq!(line.posts(), [(3, vec![7])]);
        assert_eq!(line.distrust(), []);
    }
}

#[test]
fn what_a_broken_line_left_open_is_asked_again_and_kept_once() {
    let mut store = Shelf::new(Limits::default());
    let mut author = desk();
    let address = author.open(mailbox(1, NOW), false).unwrap();
    author.post(NOW, &address, vec![1], &mut rng(1)).unwrap();
    // Only the challenge and the proof's answer arrive.
    let mut line = Line::new(1, &Limits::default(), Visit::Once, NOW, 1);
    let mut left = 2;
    let through = |frame| {
        left -= 1;
        if left >= 0 { vec![frame] } else { Vec::new() }
    };
    line.talk_through(NOW, &mut author, &mut store, through)
        .unwrap();
    assert_eq!(
        (store.boxes[&address].posts.len(), author.waiting()),
        (1, 1)
    );
    let line = visit(&mut author, &mut store, NOW, 2);
    assert_eq!(
        (store.boxes[&address].posts.len(), author.waiting()),
        (1, 0)
    );
    assert_eq!(line.distrust(), []);
    assert_eq!(line.posts(), []);
}

#[test]
fn the_largest_post_travels_and_a_full_mailbox_says_so() {
    let mut store = Shelf::new(Limits::default());
    let mut author = desk();
    let address = author.open(mailbox(1, NOW), false).unwrap();
    let large = || vec![5; MAX_POST];
    let orders: Vec<_> = (0..40)
        .map(|seed| author.post(NOW, &address, large(), &mut rng(seed)).unwrap())
        .collect();
    let line = visit(&mut author, &mut store, NOW, 1);
    // 8 MiB hold 31 of them with their rows.
    let refused = line.heard.iter().filter(|event| {
        matches!(event, ClientEvent::Refused { why: Refusal::MailboxFull, order: Some(order), .. } if orders.contains(order))
    });
    assert_eq!((refused.count(), author.waiting()), (9, 0));
    let mut reader = desk();
    reader.open(mailbox(1, NOW), false).unwrap();
    let posts = visit(&mut reader, &mut store, NOW, 2).posts();
    assert_eq!(posts.len(), 31);
    assert!(posts.iter().all(|(_, content)| *content == large()));
}

#[test]
fn a_relay_that_asks_for_a_pause_gets_it() {
    let limits = Limits {
        burst: 4,
        per_second: 1,
        ..Limits::default()
    };
    let (mut store, _) = with_posts(6);
    let mut reader = desk();
    reader.open(mailbox(1, NOW), false).unwrap();
    let mut line = Line::new(1, &limits, Visit::Once, NOW, 1);
    let mut now = NOW;
    let mut pauses = 0;
    while !line.client.is_finished() {
        line.talk(now, &mut reader, &mut store).unwrap();
        let Some(next) = line.client.deadline() else {
            continue;
        };
        assert!(next > now && next <= now + 10_000);
        now = next;
        pauses += 1;
        line.client.tick(now, &mut reader).unwrap();
    }
    assert_eq!(line.posts().len(), 6);
    assert!(pauses > 2 && now > NOW + 4000, "{pauses}");
    assert_eq!(line.distrust(), []);
}

#[test]
fn a_presence_is_never_older_than_the_one_before() {
    let mut store = Shelf::new(Limits::default());
    let (mut one, mut two) = (desk(), desk());
    let address = one.open(mailbox(1, NOW), false).unwrap();
    two.open(mailbox(1, NOW), true).unwrap();
    // The clock is set back between them.
    for (now, says) in [(NOW, "first"), (NOW - 5000, "second")] {
        one.present(now, &address, &device(1), says.into(), &mut rng(1))
            .unwrap();
        visit(&mut one, &mut store, NOW, 1);
        let mut line = Line::new(2, &Limits::default(), Visit::Stay, NOW, 2);
        line.talk(NOW, &mut two, &mut store).unwrap();
        assert_eq!(line.presences(), [says.as_bytes()]);
        assert_eq!(line.distrust(), []);
    }
    let sealed = mailbox(1, NOW).seal_presence(
        &mailbox(1, NOW).slot(&device(1)),
        &Letter {
            made: NOW,
            seen: 0,
            content: vec![],
        },
        &mut rng(3),
    );
    assert_eq!(sealed.unwrap().len(), 1024);
}
