//! The session driver with toy machines: progress in both directions, deadlines, changes, and every way to end.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod common;

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use common::pipe;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, timeout},
};
use twin_net::{
    Address, Config, Event, Events, FrameError, Frames, Node, Protocol, Reach, SessionError, drive,
    session::AHEAD,
};
use twin_sync::machine::{Machine, Millis};

/// Sends so many frames of such a size, and waits for as many.
struct Pump {
    size: usize,
    to_send: usize,
    to_receive: usize,
}

/// What the pump has done, as a store.
#[derive(Default, Debug, PartialEq)]
struct Counts {
    sent: usize,
    received: usize,
    changes: usize,
}

impl Machine for Pump {
    type Store = Counts;
    type Event = usize;
    type Error = Infallible;

    fn receive(&mut self, _: Millis, frame: &[u8], store: &mut Counts) -> Result<(), Infallible> {
        assert_eq!(frame.len(), self.size);
        store.received += 1;
        self.to_receive -= 1;
        Ok(())
    }

    fn next_frame(&mut self, _: Millis, store: &mut Counts) -> Result<Option<Vec<u8>>, Infallible> {
        if self.to_send == 0 {
            return Ok(None);
        }
        self.to_send -= 1;
        store.sent += 1;
        Ok(Some(vec![9; self.size]))
    }

    fn next_event(&mut self) -> Option<usize> {
        None
    }

    fn deadline(&self) -> Option<Millis> {
        None
    }

    fn tick(&mut self, _: Millis, _: &mut Counts) -> Result<(), Infallible> {
        Ok(())
    }

    fn store_changed(&mut self, store: &mut Counts) -> Result<(), Infallible> {
        store.changes += 1;
        Ok(())
    }

    fn is_finished(&self) -> bool {
        self.to_send == 0 && self.to_receive == 0
    }
}

/// Runs a machine with nothing around it.
async fn run<M>(
    frames: Frames,
    machine: M,
    store: &Arc<Mutex<M::Store>>,
) -> Result<(), SessionError<M::Error>>
where
    M: Machine + Send + 'static,
    M::Store: Send + Sized,
    M::Event: Send,
    M::Error: Send,
{
    let (_change, changed) = watch::channel(0);
    let (events, _) = mpsc::channel(1);
    drive(frames, machine, Arc::clone(store), changed, events, || 0).await
}

fn pump(size: usize, frames: usize) -> Pump {
    Pump {
        size,
        to_send: frames,
        to_receive: frames,
    }
}

async fn loopback() -> (Node, Events) {
    let listen = vec!["127.0.0.1:0".parse::<Address>().unwrap()];
    Node::start(Config {
        listen,
        mdns: false,
        reach: Reach::Any,
    })
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn both_send_64_mib_at_once_over_a_real_connection() {
    const SIZE: usize = 1 << 20;
    let ((a, _a_events), (b, mut b_events)) = (loopback().await, loopback().await);
    a.connect(&b.addresses(), Some(b.key())).await.unwrap();
    let ours = a.open(b.key(), Protocol::Sync).await.unwrap();
    let theirs = loop {
        if let Some(Event::Incoming { frames, .. }) = b_events.recv().await {
            break frames;
        }
    };
    let (left, right) = (Arc::default(), Arc::default());
    let both = async {
        tokio::join!(
            run(ours, pump(SIZE, 64), &left),
            run(theirs, pump(SIZE, 64), &right)
        )
    };
    let (one, other) = timeout(Duration::from_secs(60), both)
        .await
        .expect("a deadlock");
    one.unwrap();
    other.unwrap();
    let expected = Counts {
        sent: 64,
        received: 64,
        changes: 0,
    };
    assert_eq!(*left.lock().unwrap(), expected);
    assert_eq!(*right.lock().unwrap(), expected);
    let bytes = 64 * (SIZE as u64 + 4);
    assert_eq!((a.traffic().sent, a.traffic().received), (bytes, bytes));
    assert!(a.traffic().wire_sent > bytes && b.traffic().wire_received > bytes);
}

#[tokio::test]
async fn both_send_through_the_narrowest_pipe() {
    let (a, b) = pipe(1);
    let (left, right) = (Arc::default(), Arc::default());
    let (one, other) = tokio::join!(
        run(Frames::over(a), pump(1000, 20), &left),
        run(Frames::over(b), pump(1000, 20), &right)
    );
    one.unwrap();
    other.unwrap();
    assert_eq!(
        *left.lock().unwrap(),
        Counts {
            sent: 20,
            received: 20,
            changes: 0
        }
    );
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_read_is_not_written_for() {
    let (a, b) = pipe(64);
    let store = Arc::default();
    let ended = run(Frames::over(a), pump(1000, 500), &store).await;
    assert!(
        matches!(ended, Err(SessionError::Frames(FrameError::Stalled))),
        "{ended:?}"
    );
    // The frame being written, and those that wait for it.
    let sent = store.lock().unwrap().sent;
    assert!((2..=AHEAD + 1).contains(&sent), "{sent}");
    drop(b);
}

#[tokio::test]
async fn a_peer_that_leaves_early_ends_the_session_but_loses_nothing() {
    let (a, b) = pipe(1 << 16);
    let mut peer = Frames::over(b);
    for _ in 0..10 {
        peer.send(&[9; 100]).await.unwrap();
    }
    drop(peer);
    let store = Arc::default();
    let machine = Pump {
        size: 100,
        to_send: 0,
        to_receive: 11,
    };
    let ended = run(Frames::over(a), machine, &store).await;
    assert!(matches!(ended, Err(SessionError::Ended)), "{ended:?}");
    assert_eq!(store.lock().unwrap().received, 10);
}

#[tokio::test]
async fn a_broken_frame_ends_the_session_after_the_whole_ones() {
    use futures::AsyncWriteExt as _;
    let (a, mut b) = pipe(1 << 16);
    b.write_all(b"\0\0\0\x01a\0\0\0\x01b\xff\xff\xff\xff")
        .await
        .unwrap();
    let store = Arc::default();
    let machine = Pump {
        size: 1,
        to_send: 0,
        to_receive: 9,
    };
    let ended = run(Frames::over(a), machine, &store).await;
    assert!(
        matches!(ended, Err(SessionError::Frames(FrameError::TooLong(_)))),
        "{ended:?}"
    );
    assert_eq!(store.lock().unwrap().received, 2);
}

/// Answers to everything: ticks every second, reports what happens, fails or panics when told.
#[derive(Default)]
struct Clockwork {
    next_tick: Millis,
    events: Vec<&'static str>,
    finished: bool,
}

#[derive(Debug, thiserror::Error)]
#[error("told to fail")]
struct Told;

impl Machine for Clockwork {
    type Store = Counts;
    type Event = &'static str;
    type Error = Told;

    fn receive(&mut self, _: Millis, frame: &[u8], _: &mut Counts) -> Result<(), Told> {
        match frame {
            b"fail" => {
                self.events.push("failing");
                return Err(Told);
            }
            b"panic" => panic!("told to"),
            b"finish" => self.finished = true,
            _ => self.events.push("frame"),
        }
        Ok(())
    }

    fn next_frame(&mut self, _: Millis, _: &mut Counts) -> Result<Option<Vec<u8>>, Told> {
        Ok(None)
    }

    fn next_event(&mut self) -> Option<&'static str> {
        (!self.events.is_empty()).then(|| self.events.remove(0))
    }

    fn deadline(&self) -> Option<Millis> {
        Some(self.next_tick)
    }

    fn tick(&mut self, now: Millis, _: &mut Counts) -> Result<(), Told> {
        assert!(now >= self.next_tick, "too early");
        self.next_tick = now + 1000;
        self.events.push("tick");
        Ok(())
    }

    fn store_changed(&mut self, _: &mut Counts) -> Result<(), Told> {
        self.events.push("changed");
        Ok(())
    }

    fn is_finished(&self) -> bool {
        self.finished
    }
}

/// A clockwork over a pipe, its peer, what it tells, and the switch for changes.
struct Bench {
    peer: Frames,
    events: mpsc::Receiver<&'static str>,
    change: watch::Sender<u64>,
    store: Arc<Mutex<Counts>>,
    session: tokio::task::JoinHandle<Result<(), SessionError<Told>>>,
}

fn bench() -> Bench {
    let (a, b) = pipe(1 << 10);
    let (change, changed) = watch::channel(0);
    let (told, events) = mpsc::channel(1);
    let store = Arc::default();
    let started = Instant::now();
    let clock = move || started.elapsed().as_millis() as Millis;
    let machine = Clockwork {
        next_tick: 1000,
        ..Clockwork::default()
    };
    let session = tokio::spawn(drive(
        Frames::over(a),
        machine,
        Arc::clone(&store),
        changed,
        told,
        clock,
    ));
    Bench {
        peer: Frames::over(b),
        events,
        change,
        store,
        session,
    }
}

#[tokio::test(start_paused = true)]
async fn deadlines_changes_and_frames_reach_the_machine() {
    let mut bench = bench();
    let started = Instant::now();
    assert_eq!(bench.events.recv().await, Some("tick"));
    assert_eq!(bench.events.recv().await, Some("tick"));
    assert_eq!(started.elapsed().as_secs(), 2);
    bench.change.send(1).unwrap();
    assert_eq!(bench.events.recv().await, Some("changed"));
    bench.peer.send(b"hello").await.unwrap();
    assert_eq!(bench.events.recv().await, Some("frame"));
    // Nobody can change the store any more: the session goes on.
    drop(bench.change);
    assert_eq!(bench.events.recv().await, Some("tick"));
    bench.peer.send(b"finish").await.unwrap();
    assert!(bench.peer.recv().await.unwrap().is_none());
    bench.peer.close().await.unwrap();
    bench.session.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_full_event_queue_holds_the_session_and_a_closed_one_does_not() {
    let mut bench = bench();
    tokio::time::sleep(Duration::from_secs(100)).await;
    bench.events.close();
    bench.peer.send(b"finish").await.unwrap();
    bench.peer.close().await.unwrap();
    bench.session.await.unwrap().unwrap();
    assert_eq!(bench.events.recv().await, Some("tick"));
    assert_eq!(bench.events.recv().await, None);
}

#[tokio::test]
async fn an_error_of_the_machine_closes_the_stream_after_its_events() {
    let mut bench = bench();
    bench.peer.send(b"fail").await.unwrap();
    assert_eq!(bench.events.recv().await, Some("failing"));
    assert!(matches!(
        bench.session.await.unwrap(),
        Err(SessionError::Machine(Told))
    ));
    assert!(bench.peer.recv().await.unwrap().is_none());
}

#[tokio::test]
async fn a_panic_of_the_machine_spoils_the_store_visibly() {
    let mut bench = bench();
    bench.peer.send(b"panic").await.unwrap();
    assert!(matches!(
        bench.session.await.unwrap(),
        Err(SessionError::Broken)
    ));
    let (a, _b) = pipe(64);
    let again = run(Frames::over(a), Clockwork::default(), &bench.store).await;
    assert!(matches!(again, Err(SessionError::Broken)));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_never_hangs_up_is_hung_up_on() {
    let mut bench = bench();
    let started = Instant::now();
    bench.peer.send(b"finish").await.unwrap();
    bench.session.await.unwrap().unwrap();
    assert_eq!(started.elapsed().as_secs(), 5);
}

/// Changes its store in two steps, and lets the test stop it between them.
struct TwoSteps {
    begun: std::sync::mpsc::Sender<()>,
    go_on: std::sync::mpsc::Receiver<()>,
}

impl Machine for TwoSteps {
    type Store = Counts;
    type Event = ();
    type Error = Infallible;

    fn receive(&mut self, _: Millis, _: &[u8], store: &mut Counts) -> Result<(), Infallible> {
        store.sent += 1;
        self.begun.send(()).unwrap();
        self.go_on.recv().unwrap();
        store.received += 1;
        Ok(())
    }

    fn next_frame(&mut self, _: Millis, _: &mut Counts) -> Result<Option<Vec<u8>>, Infallible> {
        Ok(None)
    }

    fn next_event(&mut self) -> Option<()> {
        None
    }

    fn deadline(&self) -> Option<Millis> {
        None
    }

    fn tick(&mut self, _: Millis, _: &mut Counts) -> Result<(), Infallible> {
        Ok(())
    }

    fn store_changed(&mut self, _: &mut Counts) -> Result<(), Infallible> {
        Ok(())
    }

    fn is_finished(&self) -> bool {
        false
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_dropped_in_the_middle_of_a_turn_leaves_the_store_whole() {
    let (a, b) = pipe(64);
    let mut peer = Frames::over(b);
    peer.send(b"x").await.unwrap();
    let (begun, has_begun) = std::sync::mpsc::channel();
    let (release, go_on) = std::sync::mpsc::channel();
    let store: Arc<Mutex<Counts>> = Arc::default();
    let session = {
        let store = Arc::clone(&store);
        tokio::spawn(async move { run(Frames::over(a), TwoSteps { begun, go_on }, &store).await })
    };
    tokio::task::spawn_blocking(move || has_begun.recv().unwrap())
        .await
        .unwrap();
    session.abort();
    assert!(session.await.unwrap_err().is_cancelled());
    // The stream is closed at once, although the turn still runs and holds the store.
    assert!(peer.recv().await.unwrap().is_none());
    assert!(store.try_lock().is_err());
    release.send(()).unwrap();
    let counts = tokio::task::spawn_blocking(move || {
        let counts = store.lock().unwrap();
        (counts.sent, counts.received)
    });
    assert_eq!(counts.await.unwrap(), (1, 1));
}
