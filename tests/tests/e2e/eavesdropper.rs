//! Somebody who writes down every packet of a network, on two days, and wants to know whether it is the same person's
//! twin both times.
//!
//! How it looked: two devices of Ada's twin go online on a network of their own, and two of Bob's on another that is
//! built alike, each pair on two days, with a new start of the program and a clock that is a day ahead, as a phone has
//! it. Each time a record is written and passed on. Everything that passes a device's network card is recorded: mDNS,
//! TCP and QUIC, handshakes and all. What is compared is what these carry. The headers below tell which machine it is,
//! not which twin: hardware and network addresses belong to the network and the system.
//!
//! A mark would be any eight bytes in a row, at any place, that Ada's devices send on both days. Most such pieces are of
//! the protocols, and Bob's devices send them too. Some are half of a protocol and half chance: a port that begins with
//! the same digit, a name that begins with the same letter. So a piece counts when none of its five runs of four bytes
//! is in Bob's traffic. Eight random bytes that stay the same would always be found (but for one case in ten thousand,
//! where Bob happens to have sent a part of them); the test makes sure of that with eight bytes that it puts in by itself.

use std::collections::HashSet;

use twin_tests::e2e::{Device, Kind, Lan, Packet, Tap, eventually, kinds};

use crate::complaints::settle;
use crate::idle::TAP;

/// How long a mark is, and the pieces of it that chance and protocols may share.
const MARK: usize = 8;
const PIECE: usize = 4;

/// Everything that two devices of one twin send in one day, on a network of their own.
fn day(phone: &Device<'_>, laptop: &Device<'_>, record: &str) -> Vec<Packet> {
    let tap = Tap::on(laptop.namespace(), TAP);
    let (first, _) = phone.go_online([]);
    let (second, _) = laptop.go_online([]);
    first.expect("laptop and this device hold the same");
    second.expect("phone and this device hold the same");
    phone.run(["put", record, "word=passed on"]);
    eventually("the record passes on", || {
        let found = laptop.try_run(["get", record]).status.success();
        found.then_some(())
    });
    first.terminate();
    second.terminate();
    first.finish().well();
    second.finish().well();
    let packets = tap.packets();
    let seen = kinds(&packets);
    assert!(seen.contains_key(&Kind::Mdns), "{seen:?}");
    assert!(
        seen.contains_key(&Kind::Tcp) || seen.contains_key(&Kind::Udp),
        "{seen:?}"
    );
    packets
}

/// Two days of one person's twin.
fn two_days(name: &str) -> [Vec<Packet>; 2] {
    let lan = Lan::new();
    let mut phone = Device::new(&lan, "phone");
    let mut laptop = Device::new(&lan, "laptop");
    settle(&phone, name);
    laptop.link(&phone, "laptop", "companion");
    let first = day(&phone, &laptop, "home/notes/monday");
    phone.set_ahead(1);
    laptop.set_ahead(1);
    [first, day(&phone, &laptop, "home/notes/tuesday")]
}

fn runs(packets: &[Packet], length: usize) -> HashSet<&[u8]> {
    let contents = packets.iter().map(Packet::content);
    contents
        .flat_map(|content| content.windows(length))
        .collect()
}

/// What is the same on both days and has nothing in it of what others send.
fn marks<'a>(days: &'a [Vec<Packet>; 2], others: &[Vec<Packet>; 2]) -> Vec<&'a [u8]> {
    let [first, second] = days;
    let [one, other] = others;
    let known: HashSet<&[u8]> = &runs(one, PIECE) | &runs(other, PIECE);
    let second = runs(second, MARK);
    let mut marks = runs(first, MARK);
    marks.retain(|run| second.contains(run));
    marks.retain(|run| run.windows(PIECE).all(|piece| !known.contains(piece)));
    marks.into_iter().collect()
}

#[test]
fn two_days_of_a_twin_have_no_mark_in_common() {
    let (ada, bob) = (two_days("Ada"), two_days("Bob"));
    assert_eq!(marks(&ada, &bob), Vec::<&[u8]>::new());
    assert_eq!(marks(&bob, &ada), Vec::<&[u8]>::new());
    // The same two days, if there were a mark.
    let mark = [0x8e, 0x31, 0xd5, 0x02, 0x77, 0xb9, 0x4c, 0xe6];
    let marked = ada.map(|mut packets| {
        let longest = packets
            .iter_mut()
            .max_by_key(|packet| packet.content().len());
        longest.unwrap().overwrite_end(&mark);
        packets
    });
    assert_eq!(marks(&marked, &bob), [mark]);
}
