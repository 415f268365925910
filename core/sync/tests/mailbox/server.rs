//! What a relay bears: devices that cheat, flood and stall.

use twin_sync::TransportKey;
use twin_sync::machine::Machine;
use twin_sync::mailbox::day::DAY;
use twin_sync::mailbox::refusal::Refusal;
use twin_sync::mailbox::server::{MAX_OPEN, MAX_REFUSALS, PROOF_TIME};
use twin_sync::mailbox::terms::MAX_PRESENCES;
use twin_sync::mailbox::{
    ClientEvent, Limits, MailboxError, MailboxStore, Server, ServerEvent, Visit,
};

use crate::store::Shelf;
use crate::talk::*;

fn server(seed: u64, limits: &Limits) -> Server<Shelf> {
    let me = TransportKey::from_bytes([1; 32]);
    Server::new(RELAY, me, limits, NOW, [seed as u8; 32])
}

/// All that a device sent on a connection whose challenge was drawn from this seed.
fn captured(seed: u64) -> Vec<Vec<u8>> {
    let (mut store, mut desk) = (Shelf::new(Limits::default()), desk());
    let address = desk.open(mailbox(1, NOW), true).unwrap();
    desk.post(NOW, &address, vec![1], &mut rng(1)).unwrap();
    let mut line = Line::new(1, &Limits::default(), Visit::Once, NOW, seed);
    line.talk(NOW, &mut desk, &mut store).unwrap();
    line.frames[0].clone()
}

#[test]
fn a_captured_proof_is_worth_nothing_elsewhere() {
    let limits = Limits::default();
    let mut store = Shelf::new(limits);
    let proof = captured(7).swap_remove(0);
    // On the same connection it would be taken; on another, to another relay or from another device it is not.
    assert_eq!(server(7, &limits).receive(NOW, &proof, &mut store), Ok(()));
    let other = TransportKey::from_bytes([9; 32]);
    let me = TransportKey::from_bytes([1; 32]);
    for (relay, device, seed) in [(RELAY, me, 8), (other, me, 7), (RELAY, other, 7)] {
        let mut server = Server::<Shelf>::new(relay, device, &limits, NOW, [seed as u8; 32]);
        let refused = server.receive(NOW, &proof, &mut store);
        assert_eq!(refused, Err(MailboxError::NotProven));
    }
    assert!(store.boxes.is_empty());
}

#[test]
fn who_has_not_proven_a_mailbox_gets_and_changes_nothing() {
    let (limits, frames) = (Limits::default(), captured(7));
    let mut store = Shelf::new(limits);
    let mut server = server(8, &limits);
    server.next_frame(NOW, &mut store).unwrap();
    // All but the proof, on another connection.
    for frame in &frames[1..] {
        server.receive(NOW, frame, &mut store).unwrap();
        assert_eq!(
            server.next_event(),
            Some(ServerEvent::Refused(Refusal::NotProven))
        );
        assert!(server.next_frame(NOW, &mut store).unwrap().unwrap().len() < 20);
    }
    assert!(store.boxes.is_empty() && frames.len() >= 4);
}

#[test]
fn a_question_sent_again_ends_the_connection() {
    let limits = Limits::default();
    let (mut store, frames) = (Shelf::new(limits), captured(7));
    let mut server = server(7, &limits);
    for frame in &frames {
        server.receive(NOW, frame, &mut store).unwrap();
    }
    let again = server.receive(NOW, &frames[1], &mut store);
    assert_eq!(again, Err(MailboxError::Unexpected));
}

#[test]
fn who_asks_and_does_not_read_is_cut_off_before_it_costs_memory() {
    let limits = Limits::default();
    let (mut store, _) = with_posts(200);
    let mut reader = desk();
    reader.open(mailbox(1, NOW), false).unwrap();
    let asked = visit(&mut reader, &mut store, NOW, 1).frames[0].clone();
    let mut server = server(1, &limits);
    let mut taken = 0;
    let end = asked.iter().find_map(|frame| {
        taken += 1;
        server.receive(NOW, frame, &mut store).err()
    });
    assert_eq!((end, taken), (Some(MailboxError::Flooded), MAX_OPEN));
}

#[test]
fn who_does_not_prove_anything_is_cut_off_and_who_has_may_wait() {
    let limits = Limits::default();
    let mut store = Shelf::new(limits);
    let mut silent = server(7, &limits);
    assert_eq!(silent.deadline(), Some(NOW + PROOF_TIME));
    assert_eq!(silent.tick(NOW + PROOF_TIME - 1, &mut store), Ok(()));
    assert_eq!(
        silent.tick(NOW + PROOF_TIME, &mut store),
        Err(MailboxError::Silent)
    );
    let mut proven = server(7, &limits);
    proven.receive(NOW, &captured(7)[0], &mut store).unwrap();
    assert_eq!(proven.deadline(), None);
    assert_eq!(proven.tick(NOW + 9 * PROOF_TIME, &mut store), Ok(()));
    assert!(!proven.is_finished());
}

#[test]
fn who_does_not_heed_refusals_is_cut_off() {
    let limits = Limits {
        burst: 3,
        per_second: 1,
        ..Limits::default()
    };
    // Enough questions, by a device that was refused nothing.
    let (mut store, _) = with_posts(255);
    let mut reader = desk();
    reader.open(mailbox(1, NOW), false).unwrap();
    let mut asked = Line::new(1, &Limits::default(), Visit::Once, NOW, 1);
    asked.talk(NOW, &mut reader, &mut store).unwrap();
    let mut impatient = server(1, &limits);
    let mut answered = 0;
    let end = asked.frames[0].iter().find_map(|frame| {
        let end = impatient.receive(NOW, frame, &mut store).err();
        while impatient.next_frame(NOW, &mut store).unwrap().is_some() {
            answered += 1;
        }
        end
    });
    assert_eq!(end, None, "{answered} refusals are not too many");
    assert!(answered < MAX_REFUSALS + 4);
    // One more question after so many refusals is one too many.
    let mut most = None;
    for ask in 1000_u32.. {
        let mut list = vec![0x82, 0x03, 0x81, 0xa3, 0x03, 0x1a];
        list.extend(ask.to_be_bytes().map(|byte| byte));
        list[6] |= 1;
        list.extend([0x04, 0x58, 0x20]);
        list.extend([7; 32]);
        list.extend([0x05, 0x00]);
        most = impatient.receive(NOW, &list, &mut store).err();
        while impatient.next_frame(NOW, &mut store).unwrap().is_some() {}
        if most.is_some() {
            break;
        }
        answered += 1;
    }
    assert_eq!(most, Some(MailboxError::Flooded));
    assert!(answered <= MAX_REFUSALS + 6, "{answered}");
}

#[test]
fn any_bytes_get_an_answer() {
    let limits = Limits::default();
    let mut store = Shelf::new(limits);
    let frames = captured(7);
    for (number, frame) in frames.iter().enumerate() {
        for at in 0..frame.len().min(300) {
            for flip in [1, 0x80] {
                let mut server = server(7, &limits);
                for before in &frames[..number] {
                    server.receive(NOW, before, &mut store).unwrap();
                }
                let mut altered = frame.clone();
                altered[at] ^= flip;
                // An error or an answer, and the relay goes on either way.
                let _ = server.receive(NOW, &altered, &mut store);
                while server.next_frame(NOW, &mut store).unwrap().is_some() {}
            }
        }
    }
    assert_eq!(
        server(7, &limits).receive(NOW, &frames[0], &mut store),
        Ok(())
    );
}

#[test]
fn one_connection_opens_so_many_mailboxes_and_no_more() {
    let mut limits = Limits::default();
    limits.terms.addresses = 2;
    let mut store = Shelf::new(limits);
    let mut reader = desk();
    for day in 0..3 {
        let address = reader.open(mailbox(1, NOW + day * DAY), false).unwrap();
        reader.post(NOW, &address, vec![1], &mut rng(day)).unwrap();
    }
    let mut line = Line::new(1, &limits, Visit::Once, NOW, 1);
    line.talk(NOW, &mut reader, &mut store).unwrap();
    assert!(line.client.is_finished());
    let why = Refusal::TooManyAddresses;
    let refused: Vec<_> = line
        .heard
        .iter()
        .filter_map(|event| match event {
            ClientEvent::Refused { order, why, .. } => Some((order.is_some(), *why)),
            _ => None,
        })
        .collect();
    assert_eq!(refused, [(true, why), (false, why)]);
    assert_eq!((store.boxes.len(), reader.waiting()), (2, 0));
}

#[test]
fn a_full_relay_says_so_and_what_is_there_stays() {
    let limits = Limits {
        total: 3000,
        ..Limits::default()
    };
    let mut store = Shelf::new(limits);
    let mut author = desk();
    let address = author.open(mailbox(1, NOW), false).unwrap();
    for seed in 0..3 {
        author.post(NOW, &address, vec![1], &mut rng(seed)).unwrap();
    }
    let line = visit(&mut author, &mut store, NOW, 1);
    let refused = line.heard.iter().filter(|event| {
        matches!(
            event,
            ClientEvent::Refused {
                why: Refusal::RelayFull,
                ..
            }
        )
    });
    assert_eq!((refused.count(), store.boxes[&address].posts.len()), (1, 2));
}

#[test]
fn presences_are_as_many_as_devices() {
    let mut store = Shelf::new(Limits::default());
    for number in 0..=MAX_PRESENCES as u8 {
        let mut one = desk();
        let address = one.open(mailbox(1, NOW), false).unwrap();
        one.present(NOW, &address, &device(number), vec![number], &mut rng(1))
            .unwrap();
        let line = visit(&mut one, &mut store, NOW, 1);
        let refused = line.heard.iter().any(|event| {
            matches!(
                event,
                ClientEvent::Refused {
                    why: Refusal::MailboxFull,
                    ..
                }
            )
        });
        assert_eq!(refused, u32::from(number) == MAX_PRESENCES);
    }
    let mut reader = desk();
    reader.open(mailbox(1, NOW), true).unwrap();
    let mut line = Line::new(1, &Limits::default(), Visit::Stay, NOW, 1);
    line.talk(NOW, &mut reader, &mut store).unwrap();
    assert_eq!(line.presences().len(), MAX_PRESENCES as usize);
    assert_eq!(line.distrust(), []);
    // Later they are gone, and room is again.
    let later = NOW + Limits::default().terms.presence_life;
    let mut reader = desk();
    reader.open(mailbox(1, NOW), true).unwrap();
    let mut line = Line::new(1, &Limits::default(), Visit::Stay, later, 1);
    line.talk(later, &mut reader, &mut store).unwrap();
    assert_eq!(line.presences().len(), 0);
}

#[test]
fn a_store_that_fails_is_told_to_the_operator_and_refused_to_the_device() {
    struct Broken;
    #[derive(Debug, thiserror::Error)]
    #[error("the disk is on fire")]
    struct Fire;
    use twin_sync::mailbox::store::{Kept, Listed, Mark, Outcome, Present};
    use twin_sync::mailbox::{Address, EnvelopeId, Slot};
    impl MailboxStore for Broken {
        type Error = Fire;
        fn put(&mut self, _: u64, _: &Address, _: &[u8]) -> Result<Outcome<Kept>, Fire> {
            Err(Fire)
        }
        fn list(&mut self, _: u64, _: &Address, _: u64) -> Result<Vec<Listed>, Fire> {
            Err(Fire)
        }
        fn size(&mut self, _: u64, _: &Address, _: u64) -> Result<Option<usize>, Fire> {
            Err(Fire)
        }
        fn get(&mut self, _: u64, _: &Address, _: u64) -> Result<Option<Vec<u8>>, Fire> {
            Err(Fire)
        }
        fn withdraw(
            &mut self,
            _: u64,
            _: &Address,
            _: u64,
            _: &EnvelopeId,
            _: &[u8; 64],
        ) -> Result<Outcome<u64>, Fire> {
            Err(Fire)
        }
        fn present(
            &mut self,
            _: u64,
            _: &Address,
            _: &Slot,
            _: Option<&[u8]>,
        ) -> Result<Outcome<u64>, Fire> {
            Err(Fire)
        }
        fn presences(&mut self, _: u64, _: &Address, _: u64) -> Result<Vec<Present>, Fire> {
            Err(Fire)
        }
        fn mark(&mut self, _: &Address) -> Result<Mark, Fire> {
            Err(Fire)
        }
    }
    let mut author = desk();
    let address = author.open(mailbox(1, NOW), true).unwrap();
    author.post(NOW, &address, vec![1], &mut rng(1)).unwrap();
    let mut line = Line::new(1, &Limits::default(), Visit::Once, NOW, 1);
    line.talk(NOW, &mut author, &mut Broken).unwrap();
    assert!(line.client.is_finished());
    assert!(
        line.told
            .contains(&ServerEvent::Failed("the disk is on fire".to_owned()))
    );
    assert!(line.heard.iter().any(|event| matches!(
        event,
        ClientEvent::Refused {
            why: Refusal::Failed,
            order: Some(_),
            ..
        }
    )));
}
