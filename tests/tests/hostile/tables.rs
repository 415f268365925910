//! Tables that name what there is not: heights that nobody has written, more logs than anybody has.

use twin_ops::op::LogId;
use twin_ops::store::{MAX_GRANTS, MAX_LOGS, OpStore};
use twin_sync::session::{SyncError, SyncEvent};

use crate::frames::{ask_links, log_table, some, table};
use crate::scene::{Opened, Scene, heap, held};

/// What a session may hold of one peer's tables, whatever they say: two full ones of everything there is.
const MOST: usize = 16 << 20;

#[test]
fn heights_that_nobody_has_written_bring_nothing() {
    let mut scene = Scene::new();
    let before = held(&mut scene.phone);
    let heads = scene.phone.heads().unwrap();
    for height in [0, 1, 3_000_000_000, u64::MAX - 1, u64::MAX] {
        for link in [some(1), [0; 32]] {
            let mut opened = scene.opened();
            let rows: Vec<_> = heads
                .iter()
                .map(|head| (*head.log.as_bytes(), height, link))
                .collect();
            let (said, peak, _) = heap(|| {
                let mut said = opened.say(&mut scene.phone, &table(&[], &rows));
                // Whatever the phone asks about its own logs, it is told nonsense.
                for _ in 0..100 {
                    let asked = opened.hear(&mut scene.phone).into_iter();
                    let asked: Vec<_> = asked.filter(|f| f.starts_with(&[0x82, 14])).collect();
                    if asked.is_empty() || said.is_err() {
                        break;
                    }
                    for frame in asked {
                        said = said.and(answer(&mut opened, &mut scene.phone, &frame, height));
                    }
                }
                said
            });
            assert!(
                matches!(said, Ok(()) | Err(SyncError::Unexpected)),
                "{said:?}"
            );
            assert!(peak < MOST, "{peak}");
            let events = opened.events();
            assert!(!events.contains(&SyncEvent::InSync), "{events:?}");
            assert_eq!(held(&mut scene.phone), before);
        }
    }
    scene
        .phone
        .tend(crate::common::NOON, &mut crate::common::rng(1))
        .unwrap();
    scene.others_sync();
}

/// Links that are asked for, all of them wrong: 64 of the highest places that were asked about.
fn answer(
    opened: &mut Opened,
    phone: &mut twin_vault::Vault,
    question: &[u8],
    height: u64,
) -> Result<(), SyncError> {
    let log = question[5 + 2..][..32].to_vec();
    let mut frame = vec![0x82, 15, 0x81, 0xa2, 3, 0x58, 32];
    frame.extend(log);
    let heights: Vec<u64> = (0..64).map(|n| height.saturating_sub(64 - n)).collect();
    frame.extend([4, 0x98, 64]);
    for height in heights {
        frame.push(0x82);
        frame.extend(minicbor::to_vec(height).unwrap());
        frame.extend([0x58, 32]);
        frame.extend(some(height));
    }
    opened.say(phone, &frame)
}

#[test]
fn more_logs_than_there_can_be_end_the_session() {
    let rows = |n: u64, len: usize| -> Vec<([u8; 32], u64, [u8; 32])> {
        let numbers = n * 1_000_000..n * 1_000_000 + len as u64;
        numbers.map(|n| (some(n), 1, some(n + 1))).collect()
    };
    let mut scene = Scene::new();
    let before = held(&mut scene.phone);
    let mut opened = scene.opened();
    let said = opened.say(&mut scene.phone, &table(&[], &rows(0, 2 * MAX_LOGS + 1)));
    assert!(matches!(said, Err(SyncError::Format(_))), "{said:?}");
    // A million tiny logs, in as many tables as it takes.
    let mut opened = scene.opened();
    let (sent, peak, stays) = heap(|| {
        let mut sent = 0;
        for n in 0..1_000_000 / MAX_LOGS as u64 {
            let said = opened.say(&mut scene.phone, &table(&[], &rows(n, MAX_LOGS)));
            if let Err(error) = said {
                assert_eq!(error, SyncError::Unexpected);
                break;
            }
            sent += MAX_LOGS;
            opened.hear(&mut scene.phone);
        }
        sent
    });
    assert!(sent <= 4 * MAX_LOGS, "{sent} rows were taken");
    assert!(peak < MOST && stays < MOST, "{peak}, {stays}");
    // The same of grants, and of entries.
    let ids = |n: u64, len: usize| -> Vec<[u8; 32]> {
        (n * 1_000_000..n * 1_000_000 + len as u64)
            .map(some)
            .collect()
    };
    for grants in [true, false] {
        let mut opened = scene.opened();
        let (ended, peak, _) = heap(|| {
            (0..100).find_map(|n| {
                let ids = ids(n, 8000);
                let frame = match grants {
                    true => table(&ids, &[]),
                    false => log_table(&ids),
                };
                let said = opened.say(&mut scene.phone, &frame).err();
                opened.hear(&mut scene.phone);
                said.map(|error| (n, error))
            })
        });
        let (n, error) = ended.unwrap();
        assert_eq!(error, SyncError::Unexpected);
        assert!(n * 8000 <= 3 * MAX_GRANTS as u64, "{n} tables were taken");
        assert!(peak < MOST, "{peak}");
    }
    assert_eq!(held(&mut scene.phone), before);
    scene.others_sync();
}

#[test]
fn questions_without_end_are_answered_one_at_a_time() {
    let mut scene = Scene::new();
    let log = scene.phone.heads().unwrap()[0].log;
    let before = held(&mut scene.phone);
    // Before there is anything to ask about.
    let mut opened = scene.opened();
    let asked = opened.say(&mut scene.phone, &ask_links(&log, 0, u64::MAX));
    assert_eq!(asked, Err(SyncError::Unexpected));
    let mut opened = scene.opened();
    opened.say(&mut scene.phone, &log_table(&[])).unwrap();
    opened.hear(&mut scene.phone);
    let (longest, _, stays) = heap(|| {
        let mut longest = 0;
        for n in 0..5000 {
            let of = match n % 3 {
                0 => LogId::from_bytes(some(n)),
                _ => log,
            };
            let (after, before) = [(0, u64::MAX), (u64::MAX, 0), (n, n + 3)][n as usize % 3];
            opened
                .say(&mut scene.phone, &ask_links(&of, after, before))
                .unwrap();
            let said = opened.hear(&mut scene.phone);
            longest = longest.max(said.iter().map(Vec::len).sum());
        }
        longest
    });
    assert!(longest < 8192, "{longest} bytes were said to one question");
    assert!(stays < 64 << 10, "{stays}");
    // Who does not wait for the answer is not answered any more.
    let ask = ask_links(&log, 0, u64::MAX);
    opened.say(&mut scene.phone, &ask).unwrap();
    let asked = opened.say(&mut scene.phone, &ask);
    assert_eq!(asked, Err(SyncError::Unexpected));
    assert_eq!(held(&mut scene.phone), before);
    scene.others_sync();
}
