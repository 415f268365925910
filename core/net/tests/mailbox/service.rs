//! A relay and devices over pipes.

use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chacha20_rng::ChaCha20Rng;
use chacha20_rng::rand_core::SeedableRng;
use tempfile::tempdir;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use twin_identity::id::DeviceId;
use twin_identity::secret::Secret;
use twin_net::mailbox::{Service, Share};
use twin_net::relay::Metrics;
use twin_net::{
    Config, Event, Frames, Node, Protocol, Reach, Relay, RelayConfig, SessionError, TransportKey,
    drive,
};
use twin_ops::epoch::EpochKey;
use twin_sync::machine::Millis;
use twin_sync::mailbox::day::DAY;
use twin_sync::mailbox::{
    Client, ClientEvent, Day, Desk, Limits, Mailbox, MailboxError, Memory, Refusal, RelayKey, Visit,
};

use crate::common::pipe;

const RELAY: TransportKey = TransportKey::from_bytes([0x55; 32]);
const NOW: Millis = 20_000 * DAY;
const CANARY: &[u8] = b"canary-Wintergoldhaehnchen";
const DEVICE: [u8; 32] = *b"canary-device-Alpenbraunelle-123";

/// What a relay has counted under this name, with `twin_relay_mailbox_` before it.
fn counted(metrics: &Metrics, name: &str) -> u64 {
    let start = format!("twin_relay_mailbox_{name} ");
    let text = metrics.render();
    let mut lines = text.lines();
    let number = lines.find_map(|line| line.strip_prefix(&start));
    number.expect("it is counted").parse().unwrap()
}

fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

fn mailbox() -> Mailbox {
    let discovery = EpochKey::new(Secret::new([1; 32])).discovery();
    Mailbox::new(&discovery, RelayKey::from(RELAY), Day::of(NOW))
}

/// A device that is connected.
struct Device {
    desk: Arc<Mutex<Desk>>,
    change: watch::Sender<u64>,
    events: mpsc::Receiver<ClientEvent>,
    talk: JoinHandle<Result<(), SessionError<MailboxError>>>,
    served: JoinHandle<()>,
}

impl Device {
    fn connect(service: &Arc<Service>, me: u8, visit: Visit) -> Self {
        let me = TransportKey::from_bytes([me; 32]);
        let (here, there) = pipe(64 << 10);
        let service = Arc::clone(service);
        let served = tokio::spawn(async move {
            service
                .serve(Frames::over(there), RELAY, me, || NOW)
                .await
                .unwrap();
        });
        let mut desk = Desk::new(RelayKey::from(RELAY), Memory::default());
        desk.open(mailbox(), true).unwrap();
        let desk = Arc::new(Mutex::new(desk));
        let (change, changed) = watch::channel(0);
        let (tell, events) = mpsc::channel(64);
        let client = Client::new(me, RELAY, visit, NOW);
        let talk = drive(
            Frames::over(here),
            client,
            Arc::clone(&desk),
            changed,
            tell,
            || NOW,
        );
        Self {
            desk,
            change,
            events,
            talk: tokio::spawn(talk),
            served,
        }
    }

    fn change(&self, work: impl FnOnce(&mut Desk)) {
        work(&mut self.desk.lock().unwrap());
        self.change.send_modify(|changes| *changes += 1);
    }

    /// The next event that is wanted; what comes before it is passed over.
    async fn hear<T>(&mut self, want: impl Fn(&ClientEvent) -> Option<T>) -> T {
        let heard = async {
            loop {
                let event = self.events.recv().await.expect("the conversation goes on");
                assert!(!matches!(event, ClientEvent::Distrust(_)), "{event:?}");
                if let Some(wanted) = want(&event) {
                    return wanted;
                }
            }
        };
        timeout(Duration::from_secs(60), heard)
            .await
            .expect("it is told")
    }
}

fn caught_up(event: &ClientEvent) -> Option<()> {
    matches!(event, ClientEvent::CaughtUp).then_some(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_leaves_another_hears_of_and_the_relay_cannot_read_it() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("relay");
    let metrics = Metrics::default();
    let service = Arc::new(Service::open(&path, Limits::default(), &metrics).unwrap());
    let mut one = Device::connect(&service, 1, Visit::Stay);
    let mut two = Device::connect(&service, 2, Visit::Stay);
    one.hear(caught_up).await;
    two.hear(caught_up).await;
    let address = mailbox().address();
    one.change(|desk| {
        let device = DeviceId::from_bytes(DEVICE);
        desk.post(NOW, &address, CANARY.repeat(3000), &mut rng(1))
            .unwrap();
        desk.present(NOW, &address, &device, CANARY.to_vec(), &mut rng(2))
            .unwrap();
    });
    let content = two
        .hear(|event| match event {
            ClientEvent::Presence { letter, .. } => Some(letter.content.clone()),
            _ => None,
        })
        .await;
    assert_eq!(content, CANARY);
    let late = Device::connect(&service, 3, Visit::Once);
    let mut late = late;
    let content = late
        .hear(|event| match event {
            ClientEvent::Post { letter, .. } => Some(letter.content.clone()),
            _ => None,
        })
        .await;
    assert_eq!(content, CANARY.repeat(3000));
    late.hear(caught_up).await;
    late.talk.await.unwrap().unwrap();
    late.served.await.unwrap();
    let count = |name| counted(&metrics, name);
    assert_eq!((count("connections_total"), count("open")), (3, 2));

    // What whoever has the relay's disk finds, before and after it is closed.
    let canaries = [CANARY, &CANARY[7..], &DEVICE, &DEVICE[14..28], &[1; 32]];
    let look = || {
        for entry in fs::read_dir(dir.path()).unwrap() {
            let path = entry.unwrap().path();
            let bytes = fs::read(&path).unwrap();
            for canary in canaries {
                let found = bytes.windows(canary.len()).any(|window| window == canary);
                assert!(!found, "{canary:?} in {path:?}");
            }
        }
    };
    look();
    // It would be found: the address, which the relay has to know, is.
    let known = |bytes: &[u8]| bytes.windows(32).any(|window| window == address.as_bytes());
    let files = || {
        fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| fs::read(entry.unwrap().path()).unwrap())
    };
    assert!(files().any(|bytes| known(&bytes)));

    let mut order = 0;
    one.change(|desk| order = desk.withdraw(&address, 1).unwrap());
    one.hear(|event| (*event == ClientEvent::Done(order)).then_some(()))
        .await;
    // All is counted once the connections are gone.
    for device in [one, two] {
        device.talk.abort();
        device.served.await.unwrap();
    }
    for name in ["open", "cut_off_total", "turned_away_total"] {
        assert_eq!(count(name), 0, "{name}");
    }
    assert_eq!((count("proven_total"), count("kept_total")), (3, 1));
    assert_eq!(count("kept_bytes_total"), 256 << 10);
    assert_eq!((count("presences_total"), count("withdrawn_total")), (1, 1));
    let given = count("given_total");
    assert!(given >= 1 && count("given_bytes_total") == given * (256 << 10));
    let size = service.size().await.unwrap();
    assert_eq!((size.mailboxes, size.posts, size.presences), (1, 1, 1));
    let swept = service.sweep(NOW + 40 * DAY).await.unwrap();
    assert_eq!((swept.posts, swept.presences, swept.mailboxes), (1, 1, 1));
    assert_eq!(
        (count("expired_total"), count("envelopes"), count("bytes")),
        (1, 0, 0)
    );
    drop(Arc::try_unwrap(service).expect("all are gone"));
    look();
    assert!(
        !files().any(|bytes| known(&bytes)),
        "nor is what has expired"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_finds_it_at_a_node_by_its_name() {
    let dir = tempdir().unwrap();
    let config = || Config {
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        mdns: false,
        reach: Reach::Any,
    };
    let relay = RelayConfig {
        listen: config().listen,
        ..RelayConfig::everywhere(twin_net::RelayKey::fresh().unwrap(), 0)
    };
    let (relay, mut events) = Relay::start(relay).await.unwrap();
    let service = Service::open(
        &dir.path().join("relay"),
        Limits::default(),
        relay.metrics(),
    );
    let service = service.unwrap();
    let (device, _events) = Node::start(config()).await.unwrap();
    let (me, key) = (device.key(), relay.key());
    let serving = async {
        loop {
            let event = events.recv().await.unwrap();
            if let Event::Incoming {
                peer,
                protocol: Protocol::Mailbox,
                frames,
            } = event
            {
                assert_eq!(peer, me);
                let from = frames.came_from().unwrap();
                assert!(from.is_loopback(), "{from}");
                return service.serve(frames, key, peer, || NOW).await.unwrap();
            }
        }
    };
    let visiting = async {
        device.connect(&relay.addresses(), Some(key)).await.unwrap();
        let frames = device.open(key, Protocol::Mailbox).await.unwrap();
        let discovery = EpochKey::new(Secret::new([1; 32])).discovery();
        let mut desk = Desk::new(RelayKey::from(key), Memory::default());
        let address = desk.open(
            Mailbox::new(&discovery, RelayKey::from(key), Day::of(NOW)),
            true,
        );
        desk.post(NOW, &address.unwrap(), vec![1; 100], &mut rng(1))
            .unwrap();
        let desk = Arc::new(Mutex::new(desk));
        let (_change, changed) = watch::channel(0);
        let (tell, mut heard) = mpsc::channel(64);
        let client = Client::new(me, key, Visit::Once, NOW);
        drive(frames, client, Arc::clone(&desk), changed, tell, || NOW)
            .await
            .unwrap();
        let mut kept = 0;
        while let Ok(event) = heard.try_recv() {
            kept += usize::from(matches!(event, ClientEvent::Kept { number: 1, .. }));
        }
        assert_eq!((kept, desk.lock().unwrap().waiting()), (1, 0));
    };
    let both = async { tokio::join!(serving, visiting) };
    timeout(Duration::from_secs(60), both)
        .await
        .expect("both come to an end");
    assert_eq!(counted(relay.metrics(), "kept_total"), 1);
}

#[tokio::test]
async fn one_network_address_leaves_so_much_in_a_day() {
    let dir = tempdir().unwrap();
    let metrics = Metrics::default();
    let service = Service::open(&dir.path().join("relay"), Limits::default(), &metrics);
    let share = Share {
        posts: 2,
        ..Share::default()
    };
    let service = Arc::new(service.unwrap().sharing(share));
    // Two devices of which nobody knows where they come from, which counts as one place.
    let mut one = Device::connect(&service, 1, Visit::Stay);
    let mut two = Device::connect(&service, 2, Visit::Stay);
    let address = mailbox().address();
    for seed in 1..=3 {
        let device = if seed == 2 { &mut two } else { &mut one };
        if seed < 3 {
            device.hear(caught_up).await;
        }
        device.change(|desk| {
            desk.post(NOW, &address, vec![1], &mut rng(seed)).unwrap();
        });
        let left = device
            .hear(|event| match event {
                ClientEvent::Kept { number, .. } => Some(Ok(*number)),
                ClientEvent::Refused { why, .. } => Some(Err(*why)),
                _ => None,
            })
            .await;
        match seed {
            3 => assert_eq!(left, Err(Refusal::SourceFull)),
            number => assert_eq!(left, Ok(number)),
        }
    }
    assert_eq!(counted(&metrics, "refused_source_full_total"), 1);
    assert_eq!(counted(&metrics, "kept_total"), 2);
}

#[tokio::test]
async fn who_breaks_a_rule_is_cut_off_and_others_go_on() {
    let dir = tempdir().unwrap();
    let metrics = Metrics::default();
    let service = Service::open(&dir.path().join("relay"), Limits::default(), &metrics);
    let service = Arc::new(service.unwrap());
    let mut good = Device::connect(&service, 1, Visit::Stay);
    good.hear(caught_up).await;
    let (here, there) = pipe(64 << 10);
    let bad = {
        let service = Arc::clone(&service);
        let peer = TransportKey::from_bytes([9; 32]);
        tokio::spawn(async move {
            service
                .serve(Frames::over(there), RELAY, peer, || NOW)
                .await
        })
    };
    let mut frames = Frames::over(here);
    frames.recv().await.unwrap().expect("a challenge");
    frames.send(b"not a message").await.unwrap();
    let end = bad.await.unwrap();
    assert!(end.unwrap_err().to_string().contains("damaged"));
    let count = |name| counted(&metrics, name);
    assert_eq!((count("open"), count("cut_off_total")), (1, 1));
    let address = mailbox().address();
    good.change(|desk| {
        desk.post(NOW, &address, vec![1], &mut rng(1)).unwrap();
    });
    let number = good
        .hear(|event| match event {
            ClientEvent::Kept { number, .. } => Some(*number),
            _ => None,
        })
        .await;
    assert_eq!(number, 1);
}
