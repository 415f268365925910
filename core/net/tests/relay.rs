//! A relay and those who use it, on this machine: places, circuits, sleep, and who is told what. (That holes are punched
//! takes two routers: see the end-to-end tests.)
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod events;

use std::{net::Ipv4Addr, num::NonZeroU32, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, timeout},
};
use twin_net::{
    Address, Config, Error, Event, Events, Node, Protocol, Reach, Relay, RelayAddress, RelayConfig,
    RelayKey, Transport, TransportKey,
    relay::{Limits, page::Page},
};

use events::{LONG, incoming, next};

async fn relay_with(limits: Limits) -> (Relay, Events, RelayAddress) {
    // One port for both transports: what the system gives for TCP is mostly free for UDP.
    for _ in 0..10 {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let both = [Transport::Tcp, Transport::Quic];
        let both = both.map(|over| Address::new(Ipv4Addr::LOCALHOST.into(), port).over(over));
        let config = RelayConfig {
            listen: both.to_vec(),
            limits: limits.clone(),
            ..RelayConfig::everywhere(RelayKey::fresh().unwrap(), port)
        };
        if let Ok((relay, events)) = Relay::start(config).await {
            let address = RelayAddress::new(relay.key(), relay.addresses()[0]).unwrap();
            return (relay, events, address);
        }
    }
    panic!("no port is free");
}

async fn relay() -> (Relay, Events, RelayAddress) {
    relay_with(Limits::default()).await
}

/// A node that nobody can dial: it listens nowhere.
async fn hidden() -> (Node, Events) {
    let config = Config {
        listen: Vec::new(),
        mdns: false,
        reach: Reach::Any,
    };
    Node::start(config).await.unwrap()
}

async fn reachable(events: &mut Events) -> TransportKey {
    next(events, |event| match event {
        Event::Reachable { relay } => Some(relay),
        _ => None,
    })
    .await
}

async fn unreachable(events: &mut Events) -> TransportKey {
    next(events, |event| match event {
        Event::Unreachable { relay } => Some(relay),
        _ => None,
    })
    .await
}

/// The number of a metric now.
fn metric(relay: &Relay, name: &str) -> u64 {
    let text = relay.render_metrics();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in:\n{text}"))
        .parse()
        .unwrap()
}

async fn until_metric(relay: &Relay, name: &str, value: u64) {
    let reached = async {
        while metric(relay, name) != value {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let result = timeout(LONG, reached).await;
    assert!(result.is_ok(), "{name}: {}", metric(relay, name));
}

#[tokio::test]
async fn a_device_that_nobody_can_dial_is_reached_through_a_relay() {
    let (relay, _events, address) = relay().await;
    let ((a, _a), (b, mut b_events)) = (hidden().await, hidden().await);
    b.use_relay(&address).unwrap();
    assert_eq!(reachable(&mut b_events).await, relay.key());
    assert_eq!(b.relays(), [relay.key()]);
    a.connect_through(&address, b.key()).await.unwrap();
    let mut ours = a.open(b.key(), Protocol::Sync).await.unwrap();
    // More than libp2p's own limit of a circuit, both ways.
    let long = vec![7; 700_000];
    let there = async {
        let (peer, protocol, mut theirs) = incoming(&mut b_events).await;
        assert_eq!((peer, protocol), (a.key(), Protocol::Sync));
        assert_eq!(theirs.recv().await.unwrap().unwrap(), long);
        theirs.send(&long).await.unwrap();
    };
    let here = async {
        ours.send(&long).await.unwrap();
        assert_eq!(ours.recv().await.unwrap().unwrap(), long);
    };
    timeout(LONG, async { tokio::join!(here, there) })
        .await
        .unwrap();
    // Nobody listens: no direct way can be found.
    assert!(!a.is_direct(&b.key()) && !b.is_direct(&a.key()));
    // What went through the circuit is counted once, in the connection to the relay.
    let (sent, received) = (a.traffic(), b.traffic());
    assert!((700_000..800_000).contains(&sent.wire_sent), "{sent:?}");
    assert!(
        (700_000..800_000).contains(&received.wire_received),
        "{received:?}"
    );
    assert_eq!(metric(&relay, "twin_relay_places"), 1);
    assert_eq!(metric(&relay, "twin_relay_circuits"), 1);
    assert!(metric(&relay, "twin_relay_received_bytes_total") > 1_400_000);
    // Each of the two gives up what it has.
    a.disconnect(b.key()).await.unwrap();
    until_metric(&relay, "twin_relay_circuits", 0).await;
    b.leave_relay(relay.key()).await.unwrap();
    assert_eq!(unreachable(&mut b_events).await, relay.key());
    until_metric(&relay, "twin_relay_places", 0).await;
    let refused = a.connect_through(&address, b.key()).await;
    assert!(matches!(refused, Err(Error::NotAtRelay)), "{refused:?}");
    assert_eq!(metric(&relay, "twin_relay_circuits_refused_total"), 1);
}

#[tokio::test]
async fn two_that_can_dial_each_other_leave_the_relay_once_they_have_met() {
    let (relay, _events, address) = relay().await;
    let config = || Config::everywhere(false, Reach::Any);
    let (a, mut a_events) = Node::start(config()).await.unwrap();
    let (b, mut b_events) = Node::start(config()).await.unwrap();
    b.use_relay(&address).unwrap();
    reachable(&mut b_events).await;
    a.connect_through(&address, b.key()).await.unwrap();
    let direct = |event| match event {
        Event::Direct { peer } => Some(peer),
        _ => None,
    };
    assert_eq!(next(&mut a_events, direct).await, b.key());
    assert_eq!(next(&mut b_events, direct).await, a.key());
    assert!(a.is_direct(&b.key()) && b.is_direct(&a.key()));
    // The circuit is not needed any more.
    until_metric(&relay, "twin_relay_circuits", 0).await;
    let mut ours = a.open(b.key(), Protocol::Sync).await.unwrap();
    ours.send(b"direct").await.unwrap();
    let (_, _, mut theirs) = incoming(&mut b_events).await;
    assert_eq!(theirs.recv().await.unwrap().unwrap(), b"direct");
}

#[tokio::test]
async fn a_relay_that_comes_back_is_asked_again() {
    let seed = RelayKey::fresh().unwrap().seed().unwrap();
    let key = || RelayKey::from_seed(seed.clone()).unwrap();
    let config = |listen| RelayConfig {
        listen,
        ..RelayConfig::everywhere(key(), 0)
    };
    let any: Address = "127.0.0.1:0".parse().unwrap();
    let (relay, _events) = Relay::start(config(vec![any])).await.unwrap();
    let at = relay.addresses();
    let address = RelayAddress::new(relay.key(), at[0]).unwrap();
    let (b, mut b_events) = hidden().await;
    b.use_relay(&address).unwrap();
    reachable(&mut b_events).await;
    relay.shutdown().await;
    assert_eq!(unreachable(&mut b_events).await, address.key());
    assert!(b.relays().is_empty());
    // Its users know it by its key.
    let (_relay, _events) = Relay::start(config(at)).await.unwrap();
    assert_eq!(reachable(&mut b_events).await, address.key());
}

#[tokio::test]
async fn another_relay_than_the_one_named_is_turned_away() {
    let ((relay, _r, address), (other, _o, _)) = (relay().await, relay().await);
    let (a, _events) = hidden().await;
    let posing = RelayAddress::new(other.key(), relay.addresses()[0]).unwrap();
    let refused = a.connect_through(&posing, other.key()).await;
    assert!(matches!(refused, Err(Error::WrongKey(_))), "{refused:?}");
    // Who has no place there is not reached, nor is somebody else reached in their place.
    let nobody = hidden().await.0.key();
    let refused = a.connect_through(&address, nobody).await;
    assert!(matches!(refused, Err(Error::NotAtRelay)), "{refused:?}");
    // A device is no relay.
    let (device, _d) = Node::start(Config {
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        mdns: false,
        reach: Reach::Any,
    })
    .await
    .unwrap();
    let device = RelayAddress::new(device.key(), device.addresses()[0]).unwrap();
    let refused = a.connect_through(&device, nobody).await;
    assert!(matches!(refused, Err(Error::NotAtRelay)), "{refused:?}");
}

#[tokio::test]
async fn a_node_for_linking_has_nothing_to_do_with_relays() {
    let (relay, _events, address) = relay().await;
    let config = Config {
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        mdns: false,
        reach: Reach::OnLinkOnly,
    };
    let (node, _node) = Node::start(config).await.unwrap();
    assert!(matches!(node.use_relay(&address), Err(Error::NotOnLink)));
    let refused = node.connect_through(&address, relay.key()).await;
    assert!(matches!(refused, Err(Error::NotOnLink)), "{refused:?}");
}

#[tokio::test]
async fn a_relay_serves_what_its_owner_answers() {
    let (relay, mut events, address) = relay().await;
    let (a, _a) = hidden().await;
    let addresses = address.resolve().await.unwrap();
    a.connect(&addresses, Some(relay.key())).await.unwrap();
    let mut ours = a.open(relay.key(), Protocol::Mailbox).await.unwrap();
    ours.send(b"anything?").await.unwrap();
    let (peer, protocol, mut theirs) = incoming(&mut events).await;
    assert_eq!((peer, protocol), (a.key(), Protocol::Mailbox));
    assert_eq!(theirs.recv().await.unwrap().unwrap(), b"anything?");
    // It is no device of anybody's.
    let refused = a.open(relay.key(), Protocol::Sync).await;
    assert!(matches!(refused, Err(Error::Unsupported)), "{refused:?}");
    assert_eq!(metric(&relay, "twin_relay_streams_total"), 1);
}

#[tokio::test]
async fn nobody_gets_more_of_a_relay_than_the_limits_say() {
    let limits = Limits {
        connections_per_ip: 3,
        requests_per_peer: NonZeroU32::new(2).unwrap(),
        ..Limits::default()
    };
    let (relay, _events, address) = relay_with(limits).await;
    let addresses = address.resolve().await.unwrap();
    // Over TCP alone: whoever dials both ways takes two for a moment.
    let tcp = [addresses[1]];
    assert_eq!(tcp[0].transport(), Transport::Tcp);
    let mut held = Vec::new();
    for _ in 0..3 {
        let (node, events) = hidden().await;
        node.connect(&tcp, Some(relay.key())).await.unwrap();
        held.push((node, events));
    }
    let (late, _late) = hidden().await;
    let refused = late.connect(&tcp, Some(relay.key())).await;
    assert!(matches!(refused, Err(Error::HungUp(_))), "{refused:?}");
    assert!(metric(&relay, "twin_relay_connections_refused_total") >= 1);
    assert_eq!(metric(&relay, "twin_relay_connections"), 3);
    // One device asks too often: for circuits to somebody who is not there.
    let nobody = late.key();
    for _ in 0..4 {
        let refused = held[0].0.connect_through(&address, nobody).await;
        assert!(matches!(refused, Err(Error::NotAtRelay)), "{refused:?}");
    }
    assert_eq!(metric(&relay, "twin_relay_circuits_refused_total"), 4);
    // Who leaves makes room.
    drop(held.pop());
    until_metric(&relay, "twin_relay_connections", 2).await;
    late.connect(&tcp, Some(relay.key())).await.unwrap();
}

#[tokio::test]
async fn a_circuit_ends_when_it_has_been_used_up() {
    let limits = Limits {
        circuit_bytes: 200_000,
        ..Limits::default()
    };
    let (relay, _events, address) = relay_with(limits).await;
    let ((a, _a), (b, mut b_events)) = (hidden().await, hidden().await);
    b.use_relay(&address).unwrap();
    reachable(&mut b_events).await;
    a.connect_through(&address, b.key()).await.unwrap();
    let mut ours = a.open(b.key(), Protocol::Sync).await.unwrap();
    let begun = Instant::now();
    let sent = async {
        for _ in 0..8 {
            ours.send(&[7; 100_000]).await?;
        }
        // Until the other end answers, which it never does.
        ours.recv().await.map(|_| ())
    };
    timeout(LONG, sent).await.unwrap().ok();
    assert!(begun.elapsed() < LONG);
    until_metric(&relay, "twin_relay_circuits", 0).await;
    // The place is still there, and so is another circuit.
    a.disconnect(b.key()).await.unwrap();
    let again = async {
        while a.connect_through(&address, b.key()).await.is_err() || a.peers().len() < 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(LONG, again).await.unwrap();
}

#[tokio::test]
async fn the_page_shows_the_metrics_and_nothing_else() {
    let (relay, _events, _) = relay().await;
    let page = Page::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let at = page.address().unwrap();
    let relay = Arc::new(relay);
    let serving = tokio::spawn(page.serve(Arc::clone(&relay)));
    let get = async |path: &str| {
        let mut stream = TcpStream::connect(at).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: relay\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        timeout(LONG, stream.read_to_string(&mut answer))
            .await
            .unwrap()
            .unwrap();
        answer
    };
    let shown = get("/metrics").await;
    assert!(shown.starts_with("HTTP/1.1 200"), "{shown}");
    assert!(shown.contains("text/plain; version=0.0.4"), "{shown}");
    assert!(shown.contains("\ntwin_relay_connections 0\n"), "{shown}");
    let other = get("/").await;
    assert!(other.starts_with("HTTP/1.1 404"), "{other}");
    // Those who say nothing do not keep others out for good.
    let mute: Vec<_> = futures::future::join_all((0..8).map(|_| TcpStream::connect(at))).await;
    assert!(get("/metrics").await.starts_with("HTTP/1.1 200"));
    drop(mute);
    serving.abort();
}

#[tokio::test]
async fn a_node_that_sleeps_is_gone_and_comes_back_as_another() {
    let (relay, _events, address) = relay().await;
    let config = || Config {
        listen: vec![
            "127.0.0.1:0".parse().unwrap(),
            "quic://127.0.0.1:0".parse().unwrap(),
        ],
        mdns: false,
        reach: Reach::Any,
    };
    let (a, mut a_events) = Node::start(config()).await.unwrap();
    let (b, mut b_events) = Node::start(config()).await.unwrap();
    b.use_relay(&address).unwrap();
    reachable(&mut b_events).await;
    let (before, at) = (b.key(), b.addresses());
    a.connect(&at, Some(before)).await.unwrap();
    let someone = hidden().await.0.key();
    assert!(b.discovered_by_platform(someone, &at).await.unwrap());

    b.suspend().await.unwrap();
    let gone = |event| match event {
        Event::Disconnected { peer } => Some(peer),
        _ => None,
    };
    assert_eq!(next(&mut a_events, gone).await, before);
    assert!(b.peers().is_empty() && b.addresses().is_empty() && b.relays().is_empty());
    assert!(b.discovered().is_empty());
    until_metric(&relay, "twin_relay_connections", 0).await;
    // QUIC takes a moment until those who were told goodbye cannot have missed it.
    for address in &at {
        let silent = async {
            loop {
                match a.connect(&[*address], None).await {
                    Err(Error::Refused(_) | Error::TimedOut) => return,
                    Err(Error::HungUp(_)) => {}
                    other => panic!("somebody is there: {other:?}"),
                }
            }
        };
        timeout(LONG, silent).await.unwrap();
    }
    let asleep = b.connect(&a.addresses(), None).await;
    assert!(matches!(asleep, Err(Error::Asleep)), "{asleep:?}");
    let asleep = b.open(a.key(), Protocol::Sync).await;
    assert!(matches!(asleep, Err(Error::Asleep)), "{asleep:?}");
    // Told twice, it sleeps on; a change of network does not wake it.
    b.suspend().await.unwrap();
    b.network_changed().await.unwrap();

    b.resume().await.unwrap();
    assert_ne!(b.key(), before);
    reachable(&mut b_events).await;
    a.connect(&b.addresses(), Some(b.key())).await.unwrap();
    let mut ours = a.open(b.key(), Protocol::Sync).await.unwrap();
    ours.send(b"good morning").await.unwrap();
    let (_, _, mut theirs) = incoming(&mut b_events).await;
    assert_eq!(theirs.recv().await.unwrap().unwrap(), b"good morning");
    b.resume().await.unwrap();
    assert_eq!(b.peers().len(), 2, "it was awake: nothing happens");

    b.suspend().await.unwrap();
    timeout(LONG, b.shutdown()).await.unwrap();
}

#[tokio::test]
async fn what_the_platform_finds_is_told_once_and_bounded() {
    let (a, mut events) = hidden().await;
    let peer = hidden().await.0.key();
    let at = |n: u8| Address::new([192, 168, 7, n].into(), 4001);
    assert!(
        a.discovered_by_platform(peer, &[at(1), at(2)])
            .await
            .unwrap()
    );
    let found = next(&mut events, |event| match event {
        Event::Discovered { peer, addresses } => Some((peer, addresses)),
        _ => None,
    });
    assert_eq!(found.await, (peer, vec![at(1), at(2)]));
    assert!(!a.discovered_by_platform(peer, &[at(2)]).await.unwrap());
    let many: Vec<_> = (0..=255).map(at).collect();
    a.discovered_by_platform(peer, &many).await.unwrap();
    assert_eq!(a.discovered()[0].1.len(), 16);
    // Nonsense, and this node itself, are nobody.
    assert!(!a.discovered_by_platform(a.key(), &[at(1)]).await.unwrap());
    let nobody: Address = "0.0.0.0:1".parse().unwrap();
    let other = hidden().await.0.key();
    assert!(!a.discovered_by_platform(other, &[nobody]).await.unwrap());
    a.lost_by_platform(peer).await.unwrap();
    let gone = next(&mut events, |event| match event {
        Event::Gone { peer } => Some(peer),
        _ => None,
    });
    assert_eq!(gone.await, peer);
    assert!(a.discovered().is_empty());
}
