//! Staying online: finding the twin's other devices and keeping them equal.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use twin_identity::id::DeviceId;
use twin_net::{
    Address, Config, Event, Events, Frames, Node, Protocol, Reach, Traffic, TransportKey,
};
use twin_sync::session::{Side, Stay, SyncEvent};

use crate::error::{Error, Result};
use crate::sync::{self, Meeting};
use crate::twin::Twin;

/// How often changes by other processes of this device are looked for.
const REFRESH: Duration = Duration::from_millis(500);
/// The first and the longest pause before an address is dialled again.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// How long to leave the dialling of a discovered peer to the other side, when it is its turn.
const COURTESY: Duration = Duration::from_secs(2);
/// How many peers may be kept in mind, and how many events may wait.
const MAX_PEERS: usize = 256;
const EVENTS: usize = 256;

/// How to be online.
#[derive(Debug, Clone)]
pub struct OnlineConfig {
    /// Where to listen; empty for a free port of every interface.
    pub listen: Vec<Address>,
    /// Addresses of other devices, tried until they answer.
    pub peers: Vec<Address>,
    /// Whether to find other devices on the local network by mDNS, and to be found.
    pub discover: bool,
    /// Whether sessions stay open or end once both sides are equal.
    pub stay: Stay,
}

/// What happens while online.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnlineEvent {
    /// Other devices can reach this one here.
    Listening(Address),
    /// A device of this twin is connected.
    Met(DeviceId),
    /// Changes came from a device.
    Received {
        /// Which.
        device: DeviceId,
        /// How many ops.
        ops: usize,
    },
    /// Changes went to a device.
    Sent {
        /// Which.
        device: DeviceId,
        /// How many ops.
        ops: usize,
    },
    /// This device and that one hold the same.
    InSync(DeviceId),
    /// The two differ, and neither has anything to send.
    Stuck(DeviceId),
    /// A device is gone.
    Lost(DeviceId),
    /// Something did not work, in words for a person.
    Problem(String),
}

/// A device that is online. Dropping it takes it offline.
pub struct Online {
    node: std::sync::Arc<Node>,
    events: mpsc::Receiver<OnlineEvent>,
    stop: Option<watch::Sender<bool>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Online {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Online {
    /// What happens, in order; `None` once offline. Cancel safe.
    pub async fn next(&mut self) -> Option<OnlineEvent> {
        self.events.recv().await
    }

    /// Where other devices can reach this one.
    pub fn addresses(&self) -> Vec<Address> {
        self.node.addresses()
    }

    /// Bytes sent and received so far.
    pub fn traffic(&self) -> Traffic {
        self.node.traffic()
    }

    /// Goes offline once the sessions that are under way have been told.
    pub async fn stop(mut self) {
        self.stop.take();
        // It ends by itself now; a panic in it has been reported by the runtime.
        let _ = (&mut self.task).await;
    }
}

impl Twin {
    /// Goes online.
    pub async fn go_online(&self, config: OnlineConfig) -> Result<Online> {
        let mut net = Config::everywhere(config.discover, Reach::Any);
        if !config.listen.is_empty() {
            net.listen.clone_from(&config.listen);
        }
        let (node, net_events) = Node::start(net).await?;
        let node = std::sync::Arc::new(node);
        let (sender, events) = mpsc::channel(EVENTS);
        let (stop, stopped) = watch::channel(false);
        let worker = Worker {
            twin: self.clone(),
            node: std::sync::Arc::clone(&node),
            stay: config.stay,
            events: sender,
            sessions: BTreeMap::new(),
            running: JoinSet::new(),
            targets: BTreeMap::new(),
            strangers: BTreeSet::new(),
            next_target: 0,
        };
        let task = tokio::spawn(worker.run(config.peers, net_events, stopped));
        Ok(Online {
            node,
            events,
            stop: Some(stop),
            task,
        })
    }

    /// Meets the other devices: returns those that are equal with this one now. Looks until `enough` are, or
    /// `patience` is over; then finishes what is under way.
    pub async fn sync_once(
        &self,
        config: OnlineConfig,
        enough: usize,
        patience: Duration,
        mut progress: impl FnMut(&OnlineEvent),
    ) -> Result<Synced> {
        let config = OnlineConfig {
            stay: Stay::UntilInSync,
            ..config
        };
        let mut online = self.go_online(config).await?;
        let deadline = Instant::now() + patience;
        let (mut open, mut synced) = (BTreeSet::new(), BTreeSet::new());
        let (mut met, mut problem) = (false, None);
        loop {
            if open.is_empty() && synced.len() >= enough {
                break;
            }
            let event = tokio::select! {
                event = online.next() => event.ok_or(Error::Broken)?,
                () = sleep_until(deadline) => break,
            };
            progress(&event);
            match event {
                OnlineEvent::Met(device) => {
                    met = true;
                    open.insert(device);
                }
                OnlineEvent::InSync(device) => {
                    synced.insert(device);
                }
                OnlineEvent::Lost(device) => {
                    open.remove(&device);
                }
                OnlineEvent::Stuck(device) => {
                    open.remove(&device);
                    problem = Some("something that one of them has cannot be passed on".to_owned());
                }
                OnlineEvent::Problem(text) => problem = Some(text),
                _ => {}
            }
        }
        let traffic = online.traffic();
        online.stop().await;
        match (synced.is_empty(), met, problem) {
            (false, ..) => Ok(Synced {
                devices: synced.into_iter().collect(),
                traffic,
            }),
            (true, false, None) => Err(Error::NobodyMet),
            (true, false, Some(problem)) => Err(Error::NotMet(problem)),
            (true, true, problem) => Err(Error::NotInSync(
                problem.unwrap_or_else(|| "it took too long".to_owned()),
            )),
        }
    }
}

/// What came of [`Twin::sync_once`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Synced {
    /// The devices that hold the same as this one now.
    pub devices: Vec<DeviceId>,
    /// Bytes sent and received.
    pub traffic: Traffic,
}

/// Somebody to dial.
struct Target {
    addresses: Vec<Address>,
    /// The key that discovery named; anybody at an address that a person gave.
    expected: Option<TransportKey>,
    /// Who answered last. A device has another key after each start.
    met: Option<TransportKey>,
    /// Whether a person gave it, who wants to hear that it does not work; once.
    by_hand: bool,
    due: Instant,
    pause: Duration,
    busy: bool,
}

struct Worker {
    twin: Twin,
    node: std::sync::Arc<Node>,
    stay: Stay,
    events: mpsc::Sender<OnlineEvent>,
    /// The running session with each peer, and whether this side began it.
    sessions: BTreeMap<TransportKey, (Side, AbortHandle)>,
    running: JoinSet<Done>,
    targets: BTreeMap<usize, Target>,
    /// Peers that turned out not to be of this twin: other software announces itself on the network too.
    strangers: BTreeSet<TransportKey>,
    next_target: usize,
}

/// What a task came back with.
enum Done {
    Dialled {
        target: usize,
        result: Result<(TransportKey, Frames)>,
    },
    Session {
        peer: TransportKey,
        side: Side,
        device: Option<DeviceId>,
        result: Result<()>,
    },
}

impl Worker {
    async fn run(
        mut self,
        peers: Vec<Address>,
        mut net: Events,
        mut stopped: watch::Receiver<bool>,
    ) {
        for address in peers {
            self.add_target(vec![address], None, true, Instant::now());
        }
        for addresses in self.remembered() {
            self.add_target(addresses, None, false, Instant::now());
        }
        let mut refresh = interval(REFRESH);
        refresh.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let due = self.next_due();
            tokio::select! {
                _ = stopped.changed() => return,
                event = net.recv() => match event {
                    Some(event) => self.on_net(event).await,
                    None => return,
                },
                Some(done) = self.running.join_next() => {
                    if let Ok(done) = done {
                        self.on_done(done).await;
                    }
                }
                _ = refresh.tick() => {
                    if let Err(error) = self.twin.refresh() {
                        self.tell(OnlineEvent::Problem(error.to_string())).await;
                    }
                }
                () = sleep_until(due) => self.dial_due(),
            }
        }
    }

    async fn tell(&self, event: OnlineEvent) {
        // Nobody may be listening; that is no reason to stop.
        let _ = self.events.send(event).await;
    }

    /// Where the other devices were reached before.
    fn remembered(&self) -> Vec<Vec<Address>> {
        let vault = self.twin.vault();
        let this = vault.device_keys().id();
        let others = vault.identity().devices().keys().filter(|id| **id != this);
        others
            .filter_map(|id| vault.addresses(id).ok())
            .map(|texts| texts.iter().filter_map(|text| text.parse().ok()).collect())
            .filter(|addresses: &Vec<Address>| !addresses.is_empty())
            .collect()
    }

    fn add_target(
        &mut self,
        addresses: Vec<Address>,
        expected: Option<TransportKey>,
        by_hand: bool,
        due: Instant,
    ) {
        if self.targets.len() >= MAX_PEERS {
            return;
        }
        self.targets.insert(
            self.next_target,
            Target {
                addresses,
                expected,
                met: expected,
                by_hand,
                due,
                pause: RETRY.0,
                busy: false,
            },
        );
        self.next_target += 1;
    }

    fn next_due(&self) -> Instant {
        let far = Instant::now() + Duration::from_secs(3600);
        let idle = self.targets.values().filter(|target| !target.busy);
        idle.map(|target| target.due).min().unwrap_or(far)
    }

    fn dial_due(&mut self) {
        let now = Instant::now();
        for (id, target) in &mut self.targets {
            if target.busy || target.due > now {
                continue;
            }
            if target
                .met
                .is_some_and(|key| self.sessions.contains_key(&key))
            {
                target.due = now + RETRY.1;
                continue;
            }
            target.busy = true;
            let (node, addresses) = (self.node.clone(), target.addresses.clone());
            let (id, expected) = (*id, target.expected);
            self.running.spawn(async move {
                let dial = async {
                    let peer = node.connect(&addresses, expected).await?;
                    match node.open(peer, Protocol::Sync).await {
                        Ok(frames) => Ok((peer, frames)),
                        Err(error) => {
                            // The connection may have died unnoticed; the next attempt makes a new one.
                            node.disconnect(peer).await?;
                            Err(error.into())
                        }
                    }
                };
                Done::Dialled {
                    target: id,
                    result: dial.await,
                }
            });
        }
    }

    async fn on_net(&mut self, event: Event) {
        match event {
            Event::Listening(address) => self.tell(OnlineEvent::Listening(address)).await,
            Event::Discovered { peer, addresses } => self.on_discovered(peer, addresses),
            Event::Gone { peer } => {
                self.targets
                    .retain(|_, target| target.expected != Some(peer));
            }
            Event::Incoming {
                peer,
                protocol: Protocol::Sync,
                frames,
            } => self.begin(Side::Responder, peer, None, frames),
            _ => {}
        }
    }

    /// Both sides discover each other; the one with the lower key dials, the other only if that did not happen.
    fn on_discovered(&mut self, peer: TransportKey, addresses: Vec<Address>) {
        if self.strangers.contains(&peer) {
            return;
        }
        let known = self
            .targets
            .values_mut()
            .find(|target| target.expected == Some(peer));
        match known {
            Some(target) => target.addresses = addresses,
            None => {
                let now = Instant::now();
                let first = self.node.key() < peer;
                let due = if first { now } else { now + COURTESY };
                self.add_target(addresses, Some(peer), false, due);
            }
        }
    }

    /// At most one session a peer: of two begun at once, the one by the side with the lower key stays.
    fn begin(&mut self, side: Side, peer: TransportKey, address: Option<Address>, frames: Frames) {
        let ours_stays = self.node.key() < peer;
        if let Some((running, abort)) = self.sessions.get(&peer) {
            let new_stays = (side == Side::Initiator) == ours_stays;
            if *running == side || !new_stays {
                return;
            }
            abort.abort();
        }
        let meeting = Meeting {
            side,
            me: self.node.key(),
            peer,
            stay: self.stay,
        };
        let (twin, events) = (self.twin.clone(), self.events.clone());
        let abort = self.running.spawn(async move {
            let (device, result) = run_session(&twin, meeting, address, frames, &events).await;
            Done::Session {
                peer,
                side,
                device,
                result,
            }
        });
        self.sessions.insert(peer, (side, abort));
    }

    async fn on_done(&mut self, done: Done) {
        match done {
            Done::Dialled {
                target,
                result: Ok((peer, frames)),
            } => {
                let mut address = None;
                if let Some(target) = self.targets.get_mut(&target) {
                    target.busy = false;
                    target.pause = RETRY.0;
                    target.due = Instant::now() + RETRY.1;
                    target.met = Some(peer);
                    // Discovery finds its own way again; what a person typed is worth remembering.
                    if target.expected.is_none() {
                        address = target.addresses.first().copied();
                    }
                }
                self.begin(Side::Initiator, peer, address, frames);
            }
            Done::Dialled {
                target,
                result: Err(error),
            } => {
                log::info!("a device was not reached: {error}");
                self.complain(target, &error).await;
                self.retry(target);
            }
            Done::Session {
                peer,
                side,
                device,
                result,
            } => {
                if self.sessions.get(&peer).is_some_and(|(s, _)| *s == side) {
                    self.sessions.remove(&peer);
                }
                self.ended(peer, device, result).await;
            }
        }
    }

    async fn ended(&mut self, peer: TransportKey, device: Option<DeviceId>, result: Result<()>) {
        let target = self
            .targets
            .iter()
            .find(|(_, target)| target.met == Some(peer))
            .map(|(id, target)| (*id, target.by_hand));
        if let Err(error) = &result {
            log::info!("a sync session ended: {error}");
        }
        match (device, result) {
            (Some(device), result) => {
                if let Err(error) = result {
                    self.tell(OnlineEvent::Problem(error.to_string())).await;
                }
                self.tell(OnlineEvent::Lost(device)).await;
            }
            (None, Err(error)) => match target {
                Some((id, true)) => self.complain(id, &error).await,
                // Other software announces itself on the network too: leave it alone from now on.
                Some((id, false)) => {
                    if self.strangers.len() < MAX_PEERS {
                        self.strangers.insert(peer);
                    }
                    self.targets.remove(&id);
                }
                None => {}
            },
            (None, Ok(())) => {}
        }
        if let Some((id, _)) = target {
            self.retry(id);
        }
    }

    /// Tells the person, the first time that an address of theirs does not work.
    async fn complain(&mut self, id: usize, error: &Error) {
        let by_hand = self.targets.get_mut(&id).map(|target| &mut target.by_hand);
        if by_hand.is_some_and(std::mem::take) {
            self.tell(OnlineEvent::Problem(error.to_string())).await;
        }
    }

    fn retry(&mut self, id: usize) {
        if let Some(target) = self.targets.get_mut(&id) {
            target.busy = false;
            target.due = Instant::now() + target.pause;
            target.pause = (target.pause * 2).min(RETRY.1);
        }
    }
}

/// Runs a session and tells the application; returns the device at the other end, once it had proved itself.
async fn run_session(
    twin: &Twin,
    meeting: Meeting,
    address: Option<Address>,
    frames: Frames,
    out: &mpsc::Sender<OnlineEvent>,
) -> (Option<DeviceId>, Result<()>) {
    let (sender, mut events) = mpsc::channel(EVENTS);
    let mut device = None;
    let watch = async {
        while let Some(event) = events.recv().await {
            if let SyncEvent::Met(met) = event {
                device = Some(met);
                if let Some(address) = address {
                    remember(twin, met, address);
                }
            }
            if matches!(event, SyncEvent::Received { .. }) {
                twin.notify();
            }
            if event == SyncEvent::InSync
                && let Err(error) = sync::grant_missing(twin)
            {
                log::warn!("keys could not be granted: {error}");
            }
            let Some(device) = device else { continue };
            let told = match event {
                SyncEvent::Met(device) => OnlineEvent::Met(device),
                SyncEvent::Received { ops: 0 } => continue,
                SyncEvent::Received { ops } => OnlineEvent::Received { device, ops },
                SyncEvent::Sent { ops } => OnlineEvent::Sent { device, ops },
                SyncEvent::InSync => OnlineEvent::InSync(device),
                SyncEvent::Stuck => OnlineEvent::Stuck(device),
                SyncEvent::Forked(_) => OnlineEvent::Problem(
                    "a device was copied or restored and has written two histories: link it again"
                        .to_owned(),
                ),
            };
            // Nobody may be listening; that is no reason to stop.
            let _ = out.send(told).await;
        }
    };
    let session = sync::run(twin, meeting, frames, sender);
    let (result, ()) = tokio::join!(session, watch);
    (device, result)
}

/// Keeps the address at which a device was reached, for the next time.
fn remember(twin: &Twin, device: DeviceId, address: Address) {
    let mut vault = twin.vault();
    // Met, but not (yet) in the identity log: no device of ours.
    if vault.identity().device(&device).is_none() {
        return;
    }
    if let Err(error) = vault.remember_address(device, &address.to_string()) {
        log::warn!("an address could not be remembered: {error}");
    }
}
