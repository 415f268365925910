//! Content of files comes from whoever has it, to whoever wants it, after all records.

use std::collections::BTreeSet;

use tempfile::TempDir;
use twin_identity::device::Role;
use twin_ops::file::ChunkId;
use twin_ops::space::SpaceName;
use twin_ops::store::{ChunkName, MAX_ASKED, OpStore};
use twin_sync::machine::Machine;
use twin_sync::session::SyncEvent;
use twin_vault::Vault;
use twin_vault::files::{Keep, Look};

use crate::common::*;
use crate::files::*;
use crate::session::{Talk, sync};
use crate::twins::*;

/// So many chunks of content are more than are asked for at once.
const MANY: usize = 2 * MAX_ASKED + 7;

/// A phone, a laptop that keeps all files, and a tablet that does not.
fn three() -> (Vec<TempDir>, Vault, [Vault; 2]) {
    let (dirs, mut phone, mut others) = family([Role::Member; 2]);
    let [laptop, tablet] = &mut others;
    meet(&mut [&mut phone, laptop, tablet], NOON);
    laptop.set_keeps(Keep::All).unwrap();
    (dirs, phone, others)
}

/// How many chunks came, and how many are missing as was told last.
fn came(events: &[SyncEvent]) -> (usize, Option<u64>) {
    let chunks = events.iter().map(|event| match event {
        SyncEvent::Content { chunks, .. } => *chunks,
        _ => 0,
    });
    let missing = events.iter().rev().find_map(|event| match event {
        SyncEvent::Wanting { chunks } => Some(*chunks),
        _ => None,
    });
    (chunks.sum(), missing)
}

#[test]
fn a_device_that_keeps_all_gets_it_after_the_records() {
    let (_dirs, mut phone, [mut laptop, _]) = three();
    let photo = of_chunks("photo", MANY);
    add_file(&mut phone, NOON, "photo", &photo);
    put(&mut phone, NOON, "c", "after", &[("a", "one")]);
    let [_, said] = sync(&mut phone, &mut laptop, NOON);
    // With its manifest.
    assert_eq!(came(&said), (MANY + 1, Some(0)));
    assert_eq!(read_file(&mut laptop, "photo").unwrap(), photo);
    let first = said
        .iter()
        .position(|event| matches!(event, SyncEvent::Content { .. }));
    let last = said
        .iter()
        .rposition(|event| matches!(event, SyncEvent::Received { .. }));
    assert!(last < first, "{said:?}");
    // There is nothing left to ask for, not even when everything is looked at anew.
    laptop.set_keeps(Keep::All).unwrap();
    let [_, said] = sync(&mut phone, &mut laptop, NOON);
    assert_eq!(came(&said), (0, None));
}

#[test]
fn others_get_what_somebody_wants_to_see() {
    let (_dirs, mut phone, [_, mut tablet]) = three();
    for id in ["one", "two"] {
        add_file(&mut phone, NOON, id, &of_chunks(id, 3));
    }
    let [_, said] = sync(&mut phone, &mut tablet, NOON);
    assert_eq!(came(&said), (0, None));
    assert_eq!(
        [missing(&mut tablet, "one"), missing(&mut tablet, "two")],
        [4, 4]
    );
    let root = root(&mut tablet, "two");
    let home = space("home");
    let wanted = tablet.want_file(&home, "files", "two", &root).unwrap();
    let [said, _] = sync(&mut tablet, &mut phone, NOON);
    assert_eq!(came(&said), (4, Some(0)));
    assert_eq!(tablet.came(&wanted), 4);
    assert_eq!(read_file(&mut tablet, "two").unwrap(), of_chunks("two", 3));
    assert_eq!(missing(&mut tablet, "one"), 4);
    tablet.unwant_file(&wanted);
    // What is told to keep all gets the rest.
    tablet.set_keeps(Keep::All).unwrap();
    let [said, _] = sync(&mut tablet, &mut phone, NOON);
    assert_eq!(came(&said), (4, Some(0)));
}

#[test]
fn what_is_wanted_while_devices_are_connected_comes_at_once() {
    let (_dirs, mut phone, [_, mut tablet]) = three();
    add_file(&mut phone, NOON, "photo", &of_chunks("photo", 3));
    let mut talk = Talk::new(NOON);
    talk.go_on(&mut phone, &mut tablet, usize::MAX);
    let root = root(&mut tablet, "photo");
    let wanted = tablet
        .want_file(&space("home"), "files", "photo", &root)
        .unwrap();
    talk.sessions[1].store_changed(&mut tablet).unwrap();
    talk.go_on(&mut phone, &mut tablet, usize::MAX);
    assert_eq!(missing(&mut tablet, "photo"), 0);
    tablet.unwant_file(&wanted);
}

#[test]
fn what_was_cut_goes_on_where_it_stopped() {
    let (_dirs, mut phone, [mut laptop, _]) = three();
    let film = of_chunks("film", MANY);
    add_file(&mut phone, NOON, "film", &film);
    let mut sum = 0;
    // Each connection lasts for so many frames; the first of them are about who is who and what there is.
    for frames in (20..).step_by(7) {
        let mut talk = Talk::new(NOON);
        talk.go_on(&mut phone, &mut laptop, frames);
        let [_, said] = talk.events();
        sum += came(&said).0;
        if missing(&mut laptop, "film") == 0 {
            break;
        }
    }
    assert_eq!(sum, MANY + 1, "each came once");
    assert_eq!(read_file(&mut laptop, "film").unwrap(), film);
}

#[test]
fn what_nobody_has_is_told_and_comes_when_somebody_has_it() {
    let (_dirs, mut phone, [mut laptop, mut tablet]) = three();
    add_file(&mut phone, NOON, "photo", &of_chunks("photo", 3));
    send(&phone, &mut laptop, NOON);
    send(&phone, &mut tablet, NOON);
    let [said, other] = sync(&mut laptop, &mut tablet, NOON);
    assert_eq!(came(&said), (0, Some(4)));
    assert_eq!(came(&other), (0, None));
    // Somebody who has some of it gives that.
    let root_there = root(&mut phone, "photo");
    let home = space("home");
    let wanted = tablet
        .want_file(&home, "files", "photo", &root_there)
        .unwrap();
    let mut talk = Talk::new(NOON);
    talk.go_on(&mut phone, &mut tablet, 22);
    let left = missing(&mut tablet, "photo");
    tablet.unwant_file(&wanted);
    let [said, _] = sync(&mut laptop, &mut tablet, NOON);
    assert_eq!(came(&said).1.unwrap_or(0), left);
    let [said, _] = sync(&mut laptop, &mut phone, NOON);
    assert_eq!(missing(&mut laptop, "photo"), 0);
    assert_eq!(came(&said).0 as u64, left);
}

#[test]
fn two_devices_are_not_asked_for_the_same() {
    let (_dirs, mut phone, [mut laptop, tablet]) = three();
    add_file(&mut phone, NOON, "photo", &of_chunks("photo", 9));
    send(&phone, &mut laptop, NOON);
    let peers = [phone.device(), tablet.device()];
    let mut looks = [Look::default(), Look::default()];
    let [first, second] = &mut looks;
    let asked = laptop.seek_chunks(NOON, first, &peers[0], 64).unwrap();
    assert_eq!((asked.ask.len(), asked.missing, asked.over), (1, 10, true));
    let other = laptop.seek_chunks(NOON, second, &peers[1], 64).unwrap();
    assert_eq!((other.ask.len(), other.elsewhere), (0, 1));
    // Nor again the same one in one look. But another after a while, and at once if the first one has not got it.
    let later = NOON + 30_000;
    let other = laptop
        .seek_chunks(later, &mut Look::default(), &peers[1], 64)
        .unwrap();
    assert_eq!(other.ask, asked.ask);
    laptop
        .add_chunks(later, vec![(asked.ask[0], None)])
        .unwrap();
    let again = laptop
        .seek_chunks(later, &mut Look::default(), &peers[0], 64)
        .unwrap();
    assert_eq!(again.ask, asked.ask);
}

#[test]
fn what_was_not_asked_for_is_not_stored() {
    let (dirs, mut phone, [mut laptop, _]) = three();
    add_file(&mut phone, NOON, "photo", &of_chunks("photo", 2));
    send(&phone, &mut laptop, NOON);
    let home = space("home").id(phone.twin());
    let name = |id| ChunkName { space: home, id };
    let give = |laptop: &mut Vault| {
        let answers = chunk_ids(dirs[0].path()).into_iter().map(|id| {
            let sealed = phone.chunk(&laptop.device(), &name(id)).unwrap();
            (name(id), sealed)
        });
        let answers = answers.collect();
        laptop.add_chunks(NOON, answers).unwrap()
    };
    assert_eq!(give(&mut laptop), 0);
    let peer = phone.device();
    let asked = laptop
        .seek_chunks(NOON, &mut Look::default(), &peer, 64)
        .unwrap();
    // The manifest alone is known.
    assert_eq!(give(&mut laptop), 1);
    assert_eq!(chunk_ids(dirs[1].path()), [asked.ask[0].id]);
    // Nor bytes that are others.
    laptop
        .seek_chunks(NOON, &mut Look::default(), &peer, 64)
        .unwrap();
    let ids = chunk_ids(dirs[0].path());
    let wrong = sealed_chunks(dirs[0].path()).swap_remove(1);
    assert!(
        laptop
            .add_chunks(NOON, vec![(name(ids[0]), Some(wrong))])
            .is_err()
    );
}

#[test]
fn content_of_the_keys_space_is_for_admins() {
    let (_dirs, mut phone, [laptop, _]) = three();
    let keys = SpaceName::keys();
    let mut writer = phone.begin_file(NOON, &mut rng(5), &keys).unwrap();
    phone.push_file(NOON, &mut writer, b"for admins").unwrap();
    let added = phone.finish_file(NOON, writer).unwrap();
    let name = ChunkName {
        space: keys.id(phone.twin()),
        id: *added.root().top(),
    };
    assert_eq!(phone.chunk(&laptop.device(), &name).unwrap(), None);
    assert!(phone.chunk(&phone.device(), &name).unwrap().is_some());
    let nothing = ChunkName {
        id: ChunkId::from_bytes([7; 32]),
        ..name
    };
    assert_eq!(phone.chunk(&laptop.device(), &nothing).unwrap(), None);
}

#[test]
fn what_is_erased_on_one_device_goes_on_all() {
    let (dirs, mut phone, [mut laptop, _]) = three();
    let (film, letter) = (of_chunks("film", 5), of_chunks("letter", 2));
    add_file(&mut phone, NOON, "film", &film);
    add_file(&mut phone, NOON, "letter", &letter);
    sync(&mut phone, &mut laptop, NOON);
    assert_eq!(sealed_chunks(dirs[1].path()).len(), 9);
    phone
        .erase(NOON, &mut rng(8), &space("home"), "files", "film")
        .unwrap();
    let left: BTreeSet<Vec<u8>> = sealed_chunks(dirs[0].path()).into_iter().collect();
    assert_eq!(left.len(), 3, "the letter, at once");
    sync(&mut phone, &mut laptop, NOON);
    let there: BTreeSet<Vec<u8>> = sealed_chunks(dirs[1].path()).into_iter().collect();
    assert_eq!(there, left);
    assert_eq!(read_file(&mut laptop, "letter").unwrap(), letter);
}

#[test]
fn what_was_erased_while_it_was_on_its_way_is_not_stored() {
    let (dirs, mut phone, [mut laptop, _]) = three();
    add_file(&mut phone, NOON, "film", &of_chunks("film", 3));
    send(&phone, &mut laptop, NOON);
    let peer = phone.device();
    let asked = laptop
        .seek_chunks(NOON, &mut Look::default(), &peer, 64)
        .unwrap();
    let sealed = phone.chunk(&laptop.device(), &asked.ask[0]).unwrap();
    assert!(sealed.is_some());
    phone
        .erase(NOON, &mut rng(8), &space("home"), "files", "film")
        .unwrap();
    send(&phone, &mut laptop, NOON);
    let answers = vec![(asked.ask[0], sealed)];
    assert_eq!(laptop.add_chunks(NOON, answers).unwrap(), 0);
    assert!(sealed_chunks(dirs[1].path()).is_empty());
}

#[test]
fn a_device_that_was_removed_gets_nothing_more() {
    let (_dirs, mut phone, [mut laptop, _]) = three();
    add_file(&mut phone, NOON, "film", &of_chunks("film", MANY));
    let mut talk = Talk::new(NOON);
    talk.go_on(&mut phone, &mut laptop, 30);
    let before = missing(&mut laptop, "film");
    assert!(before > 0 && before < MANY as u64);
    phone.revoke(&laptop.device(), &mut rng(9)).unwrap();
    assert!(talk.sessions[0].next_frame(NOON, &mut phone).is_err());
    assert_eq!(missing(&mut laptop, "film"), before);
}
