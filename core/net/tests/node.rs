//! Nodes on real loopback sockets: connecting, streams, limits, and every refusal.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod events;

use std::{
    future::pending,
    net::{Ipv4Addr, TcpListener, TcpStream},
    time::Duration,
};

use tokio::time::{Instant, timeout};
use twin_net::{
    Address, Config, Error, Event, Events, Node, Protocol, Reach, Transport, TransportKey,
};

use events::{LONG, incoming, next};

async fn start(reach: Reach) -> (Node, Events) {
    let listen = vec![Address::new(Ipv4Addr::LOCALHOST.into(), 0)];
    Node::start(Config {
        listen,
        mdns: false,
        reach,
    })
    .await
    .unwrap()
}

async fn node() -> (Node, Events) {
    start(Reach::Any).await
}

/// A node that listens on this machine over QUIC alone.
async fn quic_node() -> (Node, Events) {
    let listen = vec![Address::quic(Ipv4Addr::LOCALHOST.into(), 0)];
    let config = Config {
        listen,
        mdns: false,
        reach: Reach::Any,
    };
    Node::start(config).await.unwrap()
}

async fn connected(events: &mut Events) -> TransportKey {
    next(events, |event| match event {
        Event::Connected { peer } => Some(peer),
        _ => None,
    })
    .await
}

async fn disconnected(events: &mut Events) -> TransportKey {
    next(events, |event| match event {
        Event::Disconnected { peer } => Some(peer),
        _ => None,
    })
    .await
}

/// An address of this machine at which nobody listens (any more).
fn deserted() -> Address {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .into()
}

/// Waits until nobody listens there any more.
async fn silenced(address: Address) {
    let gone = async {
        while TcpStream::connect((address.ip(), address.port())).is_ok() {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, gone).await.expect("still listening");
}

#[tokio::test]
async fn two_nodes_connect_by_address_and_exchange_frames() {
    let ((a, mut a_events), (b, mut b_events)) = (node().await, node().await);
    assert_ne!(a.key(), b.key());
    assert_eq!(a.connect(&b.addresses(), None).await.unwrap(), b.key());
    assert_eq!(connected(&mut a_events).await, b.key());
    assert_eq!(connected(&mut b_events).await, a.key());
    assert_eq!((a.peers(), b.peers()), (vec![b.key()], vec![a.key()]));

    for protocol in [Protocol::Link, Protocol::Sync] {
        let mut ours = a.open(b.key(), protocol).await.unwrap();
        ours.send(b"ping").await.unwrap();
        let (peer, announced, mut theirs) = incoming(&mut b_events).await;
        assert_eq!((peer, announced), (a.key(), protocol));
        assert_eq!(theirs.recv().await.unwrap().unwrap(), b"ping");
        theirs.send(b"pong").await.unwrap();
        theirs.close().await.unwrap();
        assert_eq!(ours.recv().await.unwrap().unwrap(), b"pong");
        assert!(ours.recv().await.unwrap().is_none());
    }
    // And the other way, over the same connection.
    let mut theirs = b.open(a.key(), Protocol::Sync).await.unwrap();
    theirs.send(b"hello").await.unwrap();
    let (_, _, mut ours) = incoming(&mut a_events).await;
    assert_eq!(ours.recv().await.unwrap().unwrap(), b"hello");
    assert_eq!(a.traffic().sent, 2 * 8);
    assert_eq!(a.traffic().received, 2 * 8 + 9);
    assert!(a.traffic().wire_sent > 16);
}

#[tokio::test]
async fn two_nodes_connect_over_quic_and_their_streams_are_counted() {
    let ((a, mut a_events), (b, mut b_events)) = (quic_node().await, quic_node().await);
    let address = b.addresses()[0];
    assert_eq!(address.transport(), Transport::Quic);
    assert_eq!(a.connect(&[address], Some(b.key())).await.unwrap(), b.key());
    assert_eq!(connected(&mut b_events).await, a.key());
    let mut ours = a.open(b.key(), Protocol::Sync).await.unwrap();
    let long = vec![7; 1 << 20];
    ours.send(&long).await.unwrap();
    let (peer, _, mut theirs) = incoming(&mut b_events).await;
    assert_eq!(peer, a.key());
    assert_eq!(theirs.recv().await.unwrap().unwrap(), long);
    theirs.send(b"pong").await.unwrap();
    assert_eq!(ours.recv().await.unwrap().unwrap(), b"pong");
    let (sent, received) = (a.traffic(), b.traffic());
    assert_eq!(
        (sent.sent, received.received),
        (4 + (1 << 20), 4 + (1 << 20))
    );
    assert!(sent.wire_sent >= sent.sent && received.wire_received >= received.received);
    b.disconnect(a.key()).await.unwrap();
    assert_eq!(disconnected(&mut a_events).await, b.key());
    // A node that listens over TCP alone dials QUIC as well; nobody else than expected is taken.
    let (c, _c) = node().await;
    let wrong = c.connect(&[address], Some(a.key())).await;
    assert!(
        matches!(wrong, Err(Error::WrongKey(at)) if at == address),
        "{wrong:?}"
    );
    assert_eq!(c.connect(&[address], None).await.unwrap(), b.key());
}

#[tokio::test]
async fn whichever_transport_answers_is_taken() {
    let (a, _a) = node().await;
    let listen = [Transport::Tcp, Transport::Quic];
    let listen = listen.map(|over| Address::new(Ipv4Addr::LOCALHOST.into(), 0).over(over));
    let config = Config {
        listen: listen.to_vec(),
        mdns: false,
        reach: Reach::Any,
    };
    let (b, _b) = Node::start(config).await.unwrap();
    let mut both = b.addresses();
    both.sort_by_key(Address::transport);
    let transports: Vec<_> = both.iter().map(Address::transport).collect();
    assert_eq!(transports, [Transport::Tcp, Transport::Quic]);
    // Nobody is at the one, then at the other.
    let gone = deserted();
    for addresses in [
        vec![gone, both[1]],
        vec![both[0], gone.over(Transport::Quic)],
        both.clone(),
    ] {
        let begun = Instant::now();
        let met = a.connect(&addresses, Some(b.key())).await;
        assert_eq!(met.unwrap(), b.key(), "{addresses:?}");
        assert!(begun.elapsed() < Duration::from_secs(5), "{addresses:?}");
        a.disconnect(b.key()).await.unwrap();
        let parted = async {
            while !a.peers().is_empty() {
                tokio::task::yield_now().await;
            }
        };
        timeout(LONG, parted).await.unwrap();
    }
}

#[tokio::test]
async fn a_node_for_linking_knows_no_quic() {
    let (a, _a) = start(Reach::OnLinkOnly).await;
    let (b, _b) = quic_node().await;
    let refused = a.connect(&b.addresses(), Some(b.key())).await;
    assert!(matches!(refused, Err(Error::NotOnLink)), "{refused:?}");
    let listen = vec![Address::quic(Ipv4Addr::LOCALHOST.into(), 0)];
    let config = Config {
        listen,
        mdns: false,
        reach: Reach::OnLinkOnly,
    };
    let refused = Node::start(config).await.err();
    assert!(matches!(refused, Some(Error::Listen { .. })), "{refused:?}");
    let over = |config: &Config, over| config.listen.iter().any(|a| a.transport() == over);
    let linking = Config::everywhere(false, Reach::OnLinkOnly);
    assert!(over(&linking, Transport::Tcp) && !over(&linking, Transport::Quic));
    let syncing = Config::everywhere(false, Reach::Any);
    assert!(over(&syncing, Transport::Tcp) && over(&syncing, Transport::Quic));
}

#[tokio::test]
async fn nobody_at_the_other_end_of_quic_costs_a_bounded_time() {
    let (a, _a) = quic_node().await;
    let begun = Instant::now();
    let refused = a.connect(&[deserted().over(Transport::Quic)], None).await;
    assert!(matches!(refused, Err(Error::TimedOut)), "{refused:?}");
    assert!(begun.elapsed() < Duration::from_secs(9));
}

#[tokio::test]
async fn addresses_carry_the_real_port() {
    let (a, mut events) = node().await;
    let addresses = a.addresses();
    assert_eq!(addresses.len(), 1);
    assert_ne!(addresses[0].port(), 0);
    let told = next(&mut events, |event| match event {
        Event::Listening(address) => Some(address),
        _ => None,
    });
    assert_eq!(told.await, addresses[0]);

    let (everywhere, _events) = Node::start(Config::everywhere(false, Reach::Any))
        .await
        .unwrap();
    let all = everywhere.addresses();
    assert!(all.iter().all(Address::is_dialable));
    assert!(all.last().unwrap().ip().is_loopback());
    assert_eq!(
        a.connect(&all, Some(everywhere.key())).await.unwrap(),
        everywhere.key()
    );
}

#[tokio::test]
async fn ipv6_works_as_well() {
    let listen = vec!["[::1]:0".parse().unwrap()];
    let (a, _a) = Node::start(Config {
        listen,
        mdns: false,
        reach: Reach::OnLinkOnly,
    })
    .await
    .unwrap();
    let (b, _b) = start(Reach::OnLinkOnly).await;
    assert_eq!(
        b.connect(&a.addresses(), Some(a.key())).await.unwrap(),
        a.key()
    );
}

#[tokio::test]
async fn another_key_than_expected_is_turned_away() {
    let ((a, mut a_events), (b, _b), (c, _c)) = (node().await, node().await, node().await);
    let wrong = a.connect(&b.addresses(), Some(c.key())).await;
    assert!(
        matches!(wrong, Err(Error::WrongKey(address)) if address == b.addresses()[0]),
        "{wrong:?}"
    );
    assert!(a.peers().is_empty());
    // Among several addresses the right one is found.
    let mixed = [b.addresses(), vec![deserted()], c.addresses()].concat();
    assert_eq!(a.connect(&mixed, Some(c.key())).await.unwrap(), c.key());
    assert_eq!(connected(&mut a_events).await, c.key());
    // Connected already: no address is needed.
    assert_eq!(a.connect(&[], Some(c.key())).await.unwrap(), c.key());
    // Bytes that are no key can be nobody's.
    let no_key = (0..=u8::MAX).map(|n| TransportKey::from_bytes([n; 32]));
    for key in no_key {
        assert!(a.connect(&b.addresses(), Some(key)).await.is_err());
    }
}

#[tokio::test]
async fn failures_to_connect_are_told_apart() {
    let (a, _events) = node().await;
    let nobody = deserted();
    let refused = a.connect(&[nobody], None).await;
    assert!(
        matches!(refused, Err(Error::Refused(address)) if address == nobody),
        "{refused:?}"
    );
    let own = a.connect(&a.addresses(), None).await;
    assert!(matches!(own, Err(Error::OwnAddress(_))), "{own:?}");
    assert!(matches!(a.connect(&[], None).await, Err(Error::NoAddress)));

    // A server that answers something else.
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address: Address = server.local_addr().unwrap().into();
    let answering = std::thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        let (mut caller, _) = server.accept().unwrap();
        let page = "HTTP/1.1 400 Bad Request\r\n".to_owned() + &"x".repeat(200);
        caller.write_all(page.as_bytes()).unwrap();
        // Until the caller has had enough.
        caller.read_to_end(&mut Vec::new()).ok();
    });
    let foreign = a.connect(&[address], None).await;
    assert!(matches!(foreign, Err(Error::NotATwin(_))), "{foreign:?}");
    answering.join().unwrap();

    // A server that hangs up.
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address: Address = server.local_addr().unwrap().into();
    let hanging_up = std::thread::spawn(move || drop(server.accept()));
    let hung_up = a.connect(&[address], None).await;
    assert!(matches!(hung_up, Err(Error::HungUp(_))), "{hung_up:?}");
    hanging_up.join().unwrap();

    assert!(matches!(
        a.open(a.key(), Protocol::Sync).await,
        Err(Error::NotConnected)
    ));
}

#[tokio::test]
async fn a_silent_server_costs_a_bounded_time_and_cancelling_calls_off() {
    let (a, _a_events) = node().await;
    // Accepts and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address: Address = silent.local_addr().unwrap().into();
    silent.set_nonblocking(true).unwrap();
    let silent = tokio::net::TcpListener::from_std(silent).unwrap();
    let addresses = [address];
    let held = tokio::select! {
        connected = a.connect(&addresses, None) => panic!("connected to nobody: {connected:?}"),
        accepted = silent.accept() => accepted.unwrap(),
    };
    // The node is none the worse; the silent address does not delay the one that answers.
    let (b, _b) = node().await;
    let started = Instant::now();
    assert_eq!(
        a.connect(&[address, b.addresses()[0]], None).await.unwrap(),
        b.key()
    );
    assert!(started.elapsed() < Duration::from_secs(5));
    let timed_out = a.connect(&[address], None).await;
    assert!(matches!(timed_out, Err(Error::TimedOut)), "{timed_out:?}");
    assert!(started.elapsed() < Duration::from_secs(15));
    drop(held);
}

#[tokio::test]
async fn addresses_off_the_link_are_refused_for_linking() {
    let (a, _events) = start(Reach::OnLinkOnly).await;
    // Reserved: no interface has them.
    for far in ["240.0.0.1:4001", "[2001:db8::1]:4001"] {
        let refused = a.connect(&[far.parse().unwrap()], None).await;
        assert!(
            matches!(refused, Err(Error::NotOnLink)),
            "{far}: {refused:?}"
        );
    }
    let (b, _b) = start(Reach::OnLinkOnly).await;
    assert_eq!(
        a.connect(&b.addresses(), Some(b.key())).await.unwrap(),
        b.key()
    );
}

#[tokio::test]
async fn streams_per_peer_are_limited_and_given_back() {
    let ((a, _a), (b, mut b_events)) = (node().await, node().await);
    a.connect(&b.addresses(), None).await.unwrap();
    let mut ours = Vec::new();
    let mut theirs = Vec::new();
    for n in 0..16u8 {
        let mut frames = a.open(b.key(), Protocol::Sync).await.unwrap();
        frames.send(&[n]).await.unwrap();
        ours.push(frames);
        theirs.push(incoming(&mut b_events).await.2);
    }
    let refused = a.open(b.key(), Protocol::Sync).await;
    assert!(matches!(refused, Err(Error::TooMany)), "{refused:?}");
    // Each stream carries its own.
    for (n, frames) in theirs.iter_mut().enumerate() {
        assert_eq!(frames.recv().await.unwrap().unwrap(), [n as u8]);
    }
    drop((ours, theirs));
    let mut again = a.open(b.key(), Protocol::Sync).await.unwrap();
    again.send(b"again").await.unwrap();
    assert_eq!(
        incoming(&mut b_events)
            .await
            .2
            .recv()
            .await
            .unwrap()
            .unwrap(),
        b"again"
    );
}

#[tokio::test]
async fn a_stream_that_nobody_wants_is_closed() {
    let ((a, _a), (b, b_events)) = (node().await, node().await);
    a.connect(&b.addresses(), None).await.unwrap();
    drop(b_events);
    let mut frames = a.open(b.key(), Protocol::Sync).await.unwrap();
    let end = timeout(LONG, frames.recv()).await.unwrap();
    assert!(!matches!(end, Ok(Some(_))), "{end:?}");
}

#[tokio::test]
async fn both_dial_each_other_at_once() {
    let ((a, mut a_events), (b, mut b_events)) = (node().await, node().await);
    let (to_b, to_a) = (b.addresses(), a.addresses());
    let (one, other) = tokio::join!(
        a.connect(&to_b, Some(b.key())),
        b.connect(&to_a, Some(a.key()))
    );
    assert_eq!((one.unwrap(), other.unwrap()), (b.key(), a.key()));
    assert_eq!(
        (
            connected(&mut a_events).await,
            connected(&mut b_events).await
        ),
        (b.key(), a.key())
    );
    // One peer, whatever the number of connections.
    let mut ours = a.open(b.key(), Protocol::Link).await.unwrap();
    ours.send(b"hello").await.unwrap();
    assert_eq!(
        incoming(&mut b_events)
            .await
            .2
            .recv()
            .await
            .unwrap()
            .unwrap(),
        b"hello"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_comes_too_late_harms_no_stream() {
    let ((a, _a_events), (b, _b_events)) = (node().await, node().await);
    let addresses = b.addresses();
    a.connect(&addresses, None).await.unwrap();
    for _ in 0..20 {
        // Called off as soon as it has begun, as the slower of two addresses is: it is made and closed again.
        tokio::select! {
            biased;
            _ = a.connect(&addresses, None) => {}
            () = std::future::ready(()) => {}
        }
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(30) {
            let open = || a.open(b.key(), Protocol::Sync);
            let (one, other, third) = tokio::join!(open(), open(), open());
            for opened in [one, other, third] {
                opened.unwrap();
            }
        }
    }
}

#[tokio::test]
async fn disconnecting_ends_streams_on_both_sides() {
    let ((a, mut a_events), (b, mut b_events)) = (node().await, node().await);
    a.connect(&b.addresses(), None).await.unwrap();
    let mut ours = a.open(b.key(), Protocol::Sync).await.unwrap();
    ours.send(b"x").await.unwrap();
    let (_, _, mut theirs) = incoming(&mut b_events).await;
    theirs.recv().await.unwrap();
    b.disconnect(a.key()).await.unwrap();
    assert_eq!(disconnected(&mut a_events).await, b.key());
    assert_eq!(disconnected(&mut b_events).await, a.key());
    assert!(!matches!(
        timeout(LONG, ours.recv()).await.unwrap(),
        Ok(Some(_))
    ));
    assert!(a.peers().is_empty() && b.peers().is_empty());
    // And back again.
    a.connect(&b.addresses(), Some(b.key())).await.unwrap();
    assert_eq!(connected(&mut b_events).await, a.key());
}

#[tokio::test]
async fn an_application_that_fell_behind_is_told_so() {
    let ((a, _a), (b, mut b_events)) = (node().await, node().await);
    let address = b.addresses();
    for _ in 0..140 {
        a.connect(&address, None).await.unwrap();
        a.disconnect(b.key()).await.unwrap();
        let gone = async {
            while !a.peers().is_empty() || !b.peers().is_empty() {
                tokio::task::yield_now().await;
            }
        };
        timeout(LONG, gone).await.unwrap();
    }
    let mut waiting = 0;
    while waiting < 256 {
        assert!(!matches!(b_events.recv().await.unwrap(), Event::Missed));
        waiting += 1;
    }
    a.connect(&address, None).await.unwrap();
    let missed = next(&mut b_events, |event| Some(matches!(event, Event::Missed))).await;
    assert!(missed);
    assert_eq!(b.peers(), [a.key()]);
}

#[tokio::test]
async fn dropping_a_node_stops_everything() {
    let ((a, mut a_events), (b, mut b_events)) = (node().await, node().await);
    let address = b.addresses()[0];
    a.connect(&[address], None).await.unwrap();
    let mut frames = a.open(b.key(), Protocol::Sync).await.unwrap();
    let key = b.key();
    drop(b);
    assert_eq!(disconnected(&mut a_events).await, key);
    assert!(!matches!(
        timeout(LONG, frames.recv()).await.unwrap(),
        Ok(Some(_))
    ));
    silenced(address).await;
    let ended = async { while b_events.recv().await.is_some() {} };
    timeout(LONG, ended).await.unwrap();
}

#[tokio::test]
async fn a_renewed_node_has_another_key_where_it_was() {
    let (a, mut events) = node().await;
    let (b, mut b_events) = node().await;
    let (place, before) = (a.addresses(), a.key());
    assert_eq!(b.connect(&place, None).await.unwrap(), before);
    assert_eq!(connected(&mut events).await, b.key());
    a.renew(true).await.unwrap();
    let after = a.key();
    assert_ne!(after, before);
    assert_eq!(disconnected(&mut events).await, b.key());
    assert_eq!(disconnected(&mut b_events).await, before);
    assert_eq!(a.addresses(), place);
    assert!(b.connect(&place, Some(before)).await.is_err());
    assert_eq!(b.connect(&place, None).await.unwrap(), after);
    // Elsewhere not even the ports are the same, and what the platform has found stays known.
    let stranger = node().await.0;
    let near = stranger.addresses();
    a.discovered_by_platform(stranger.key(), &near)
        .await
        .unwrap();
    a.renew(false).await.unwrap();
    assert!(a.key() != after && a.key() != before);
    assert_eq!(a.discovered().len(), 1);
    assert_eq!(b.connect(&a.addresses(), None).await.unwrap(), a.key());
}

#[tokio::test]
async fn shutting_down_says_goodbye() {
    let ((a, mut a_events), (b, _b)) = (node().await, node().await);
    let address = b.addresses()[0];
    a.connect(&[address], None).await.unwrap();
    let key = b.key();
    timeout(LONG, b.shutdown()).await.unwrap();
    assert!(TcpStream::connect((address.ip(), address.port())).is_err());
    assert_eq!(disconnected(&mut a_events).await, key);
}

#[test]
fn ending_the_runtime_ends_a_node_with_discovery() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let listen = vec![Address::new(Ipv4Addr::LOCALHOST.into(), 0)];
    let config = Config {
        listen,
        mdns: true,
        reach: Reach::Any,
    };
    let (node, _events) = runtime.block_on(Node::start(config)).unwrap();
    let address = node.addresses()[0];
    runtime.block_on(node.network_changed()).unwrap();
    drop(runtime);
    assert!(TcpStream::connect((address.ip(), address.port())).is_err());
}

#[tokio::test]
async fn an_address_in_use_cannot_be_listened_on() {
    let (a, _events) = node().await;
    let taken = a.addresses()[0];
    let config = Config {
        listen: vec![taken],
        mdns: false,
        reach: Reach::Any,
    };
    // The system lets two listeners share an address only if both ask for it, as libp2p does: so take one that
    // does not ask.
    let plain = TcpListener::bind("127.0.0.1:0").unwrap();
    let held: Address = plain.local_addr().unwrap().into();
    let refused = Node::start(Config {
        listen: vec![held],
        ..config
    })
    .await;
    assert!(matches!(refused, Err(Error::Listen { address, .. }) if address == held));
}

#[tokio::test]
async fn a_node_without_listeners_can_dial() {
    let (b, _b) = node().await;
    let config = Config {
        listen: Vec::new(),
        mdns: false,
        reach: Reach::Any,
    };
    let (a, _a) = Node::start(config).await.unwrap();
    assert!(a.addresses().is_empty());
    assert_eq!(a.connect(&b.addresses(), None).await.unwrap(), b.key());
}

/// The child of the next test: only there the variable is set.
#[tokio::test]
async fn with_a_key_log_file() {
    if std::env::var_os("SSLKEYLOGFILE").is_none() {
        return;
    }
    let config = Config {
        listen: Vec::new(),
        mdns: false,
        reach: Reach::Any,
    };
    let refused = Node::start(config)
        .await
        .err()
        .expect("started with a key log");
    use std::io::Write as _;
    writeln!(std::io::stdout(), "{refused}").unwrap();
}

#[test]
fn a_key_log_file_keeps_a_node_from_starting() {
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "with_a_key_log_file", "--nocapture"])
        .env("SSLKEYLOGFILE", "keys.log")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("SSLKEYLOGFILE is set"), "{said}");
}

#[tokio::test]
async fn a_stock_libp2p_peer_is_met_but_offers_nothing() {
    use futures::StreamExt as _;
    use libp2p::{SwarmBuilder, ping, swarm::SwarmEvent, tcp, tls, yamux};

    let mut swarm = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(
            tcp::Config::default(),
            tls::Config::new,
            yamux::Config::default,
        )
        .unwrap()
        .with_behaviour(|_| ping::Behaviour::default())
        .unwrap()
        .build();
    swarm
        .listen_on("/ip4/127.0.0.1/tcp/0".parse().unwrap())
        .unwrap();
    let address = loop {
        if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
            break Address::from_multiaddr(&address).unwrap();
        }
    };
    let foreign = tokio::spawn(async move {
        while swarm.next().await.is_some() {}
        pending::<()>().await
    });
    let (a, _events) = node().await;
    let peer = a.connect(&[address], None).await.unwrap();
    let refused = a.open(peer, Protocol::Sync).await;
    assert!(matches!(refused, Err(Error::Unsupported)), "{refused:?}");
    foreign.abort();
}
