//! What lies at relays, opened with the keys of a device.

use twin_ops::op::{Op, Part};
use twin_ops::store::OpStore;
use twin_sync::bundle::{Reader, Step};
use twin_sync::mailbox::{Day, Mailbox, RelayKey};
use twin_vault::Vault;

use super::relay::Relay;
use super::world::DAY;
use crate::sim::device::{Instant, clock};
use crate::sim::fault::{Held, fault, hold};

/// How many days before and after now there may be mailboxes of.
const AROUND: u64 = 64;

/// No post at a relay holds a part that is erased on this device.
pub fn check_erased(at: Instant, relay: &Relay, vault: &Vault) -> Held {
    let today = Day::of(clock(at, 0)).0;
    let (key, now) = (RelayKey::from(relay.key), clock(at, 0));
    let addresses = relay.addresses();
    let keys = vault.other_discovery_keys();
    for discovery in keys.iter().chain(vault.discovery_key()) {
        for day in today.saturating_sub(AROUND)..today + AROUND {
            let mailbox = Mailbox::new(discovery, key, Day(day));
            if !addresses.contains(&mailbox.address()) {
                continue;
            }
            let posts = &relay.shelf.boxes[&mailbox.address()].posts;
            for (number, post) in posts {
                if post.withdrawn.is_some() || post.expires <= now {
                    continue;
                }
                let letter = mailbox.open_post(&post.sealed);
                let letter = letter.map_err(|error| fault!("a post does not open: {error}"))?;
                let place = format!(
                    "post {number} of the mailbox of {} days ago",
                    i128::from(today) - i128::from(day)
                );
                check_content(&letter.content, vault, &place)?;
            }
        }
    }
    Ok(())
}

fn check_content(content: &[u8], vault: &Vault, place: &str) -> Held {
    let mut reader = Reader::default();
    let mut rest = content;
    loop {
        let (next, after) = rest.split_at(reader.wanted().min(rest.len()));
        rest = after;
        let step = reader.take(vault, next);
        // It may be for others.
        let Ok(step) = step else { return Ok(()) };
        match step {
            Step::Frame => {}
            Step::End => return Ok(()),
            Step::Piece(piece) => {
                for op in piece.ops() {
                    check_op(op, vault, place)?;
                }
            }
        }
    }
}

fn check_op(op: &[u8], vault: &Vault, place: &str) -> Held {
    let op = Op::from_bytes(op).map_err(|error| fault!("{error}"))?;
    let (log, seq) = (op.header().log, op.header().seq);
    let here = vault.read_run(&log, seq - 1, 1)?;
    let Some(here) = here.first() else {
        return Ok(());
    };
    let here = Op::from_bytes(here).map_err(|error| fault!("{error}"))?;
    let parts = op.parts().iter().zip(here.parts());
    for (index, (there, here)) in parts.enumerate() {
        let kept = matches!((there, here), (Part::Sealed(_), Part::Dropped(_)));
        hold!(
            !kept,
            "an honest relay holds what was erased: part {index} of op {seq} of {log:?}, in {place}"
        );
    }
    Ok(())
}

/// So that the days that are looked at are more than any clock is wrong by.
const _: () = assert!(AROUND * DAY > 40 * DAY);
