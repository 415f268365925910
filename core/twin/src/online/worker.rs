//! Dials, accepts, and runs a session with each peer.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::{Id, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use twin_identity::id::DeviceId;
use twin_net::{
    Address, Event, Events, Frames, Node, Protocol, RelayAddress, SessionError, TransportKey,
};
use twin_sync::session::{Side, Stay, SyncError};
use twin_vault::VaultError;

use super::OnlineEvent;
use super::chores::Chores;
use super::relays::{Found, Relays};
use super::renewal::Renewal;
use super::session::run_session;
use super::sessions::{Sessions, noting};
use super::targets::{Call, TargetId, Targets};
use crate::error::{Error, Result};
use crate::sync::{self, Meeting};
use crate::twin::Twin;

/// How long to rest between two pieces of what is done when nothing else is to be done.
const REST: Duration = Duration::from_millis(500);
/// How often the clock is read, for what waits for it.
const CLOCK: Duration = Duration::from_secs(60);
/// How long to sleep when nobody is to be dialled.
const NOBODY_DUE: Duration = Duration::from_secs(3600);

pub(super) struct Worker {
    twin: Twin,
    node: Arc<Node>,
    stay: Stay,
    events: mpsc::Sender<OnlineEvent>,
    sessions: Sessions,
    /// The peers to which a stream is being opened.
    opening: BTreeSet<TransportKey>,
    running: JoinSet<Done>,
    told_alone: bool,
    targets: Targets,
    chores: Chores,
    /// `None` while this device is suspended, and when none is to be visited any more.
    relays: Option<Relays>,
    /// Those that the twin names.
    in_use: Vec<RelayAddress>,
    /// When it was last looked what the twin names.
    followed: Instant,
    renewal: Renewal,
}

/// What a task came back with.
enum Done {
    Dialled {
        target: TargetId,
        result: Result<TransportKey>,
    },
    Opened {
        peer: TransportKey,
        /// Whom a call had gone to, and the address to be remembered; nothing if the session is to move.
        call: Option<(TargetId, Option<Address>)>,
        result: Result<Frames>,
    },
    Session {
        peer: TransportKey,
        device: Option<DeviceId>,
        result: Result<()>,
    },
}

/// Where this device can be reached in the networks that it is in.
fn here(node: &Node) -> Vec<std::net::IpAddr> {
    node.addresses().iter().map(Address::ip).collect()
}

impl Worker {
    pub fn new(
        twin: Twin,
        node: Arc<Node>,
        stay: Stay,
        events: mpsc::Sender<OnlineEvent>,
    ) -> Result<Self> {
        Ok(Self {
            relays: Some(Relays::begin(&twin, &node, stay, &events)?),
            in_use: twin.relays()?,
            followed: Instant::now(),
            renewal: Renewal::new(Instant::now(), here(&node)),
            chores: Chores::new(twin.clone()),
            twin,
            node,
            stay,
            events,
            sessions: Sessions::default(),
            opening: BTreeSet::new(),
            running: JoinSet::new(),
            told_alone: false,
            targets: Targets::default(),
        })
    }

    /// Works until it is `stopped` or the node ends.
    pub async fn run(
        mut self,
        peers: Vec<Address>,
        mut net: Events,
        mut stopped: watch::Receiver<bool>,
        mut awake: watch::Receiver<bool>,
    ) {
        let now = Instant::now();
        for address in peers {
            self.targets.add_by_hand(address, now);
        }
        for addresses in self.remembered() {
            self.targets.add_remembered(addresses, now);
        }
        self.follow().await;
        let elsewhere = self.twin.elsewhere();
        let mut clock = interval(CLOCK);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // When to look at the vault next.
        let mut look_at: Option<Instant> = None;
        loop {
            if !*awake.borrow() {
                // A clock that is not looked at would still ring once.
                clock.reset_after(NOBODY_DUE);
                tokio::select! {
                    _ = stopped.changed() => return,
                    Ok(()) = awake.changed() => {
                        let is_awake = *awake.borrow_and_update();
                        clock.reset_immediately();
                        self.wake(is_awake).await;
                    }
                    // Sessions end, and have told it.
                    Some(done) = self.running.join_next_with_id() => {
                        if let Ok((task, done)) = done {
                            self.on_done(task, done).await;
                        }
                    }
                    event = net.recv() => match event {
                        Some(event) => self.on_net(event).await,
                        None => return,
                    },
                }
                continue;
            }
            self.tell_if_alone().await;
            let due = self.targets.next_due(|peer| self.sessions.with(peer));
            let due = due.unwrap_or_else(|| Instant::now() + NOBODY_DUE);
            tokio::select! {
                _ = stopped.changed() => return,
                Ok(()) = awake.changed() => {
                    let is_awake = *awake.borrow_and_update();
                    self.wake(is_awake).await;
                    if is_awake {
                        // Somebody who knows it says that the network is another.
                        self.renewal.moved(Instant::now());
                    }
                }
                () = sleep_until(self.renewal.due()), if self.stay == Stay::Online => self.renew().await,
                event = net.recv() => match event {
                    Some(event) => self.on_net(event).await,
                    None => return,
                },
                Some(done) = self.running.join_next_with_id() => {
                    // A session that was called off for another with the same peer has nothing to tell.
                    if let Ok((task, done)) = done {
                        self.on_done(task, done).await;
                    }
                }
                found = found(&mut self.relays) => self.on_found(found).await,
                () = elsewhere.wrote(), if look_at.is_none() => look_at = Some(Instant::now()),
                _ = clock.tick() => look_at = Some(Instant::now()),
                () = sleep_until(look_at.unwrap_or(due)), if look_at.is_some() => {
                    match self.look().await {
                        ControlFlow::Continue(again) => look_at = again.map(|pause| Instant::now() + pause),
                        ControlFlow::Break(()) => return,
                    }
                }
                () = sleep_until(due) => self.dial_due(),
            }
        }
    }

    async fn on_found(&mut self, found: Option<Found>) {
        if let Some(Found {
            peer,
            addresses,
            relay,
        }) = found
        {
            let me = self.node.key();
            self.targets
                .found(me, peer, addresses, relay, Instant::now());
        } else {
            self.relays = None;
            self.tell(OnlineEvent::RelaysOver).await;
        }
    }

    /// Says so when nobody can be met any more by what this device does itself.
    async fn tell_if_alone(&mut self) {
        let is_alone =
            self.relays.is_none() && self.running.is_empty() && !self.targets.may_answer();
        if is_alone && !std::mem::replace(&mut self.told_alone, true) {
            self.tell(OnlineEvent::Alone).await;
        }
    }

    /// Goes on, or stops doing anything.
    async fn wake(&mut self, is_awake: bool) {
        if !is_awake {
            self.relays = None;
            return;
        }
        if self.relays.is_none() {
            // It was asleep, and its key is new.
            self.renewal = Renewal::new(Instant::now(), here(&self.node));
            self.begin_relays().await;
        }
        self.targets.all_at_once(Instant::now());
    }

    /// Goes on with another key on the network. Sessions end, and begin again with that; so do visits at relays.
    async fn renew(&mut self) {
        let keep_ports = self.renewal.begin(Instant::now());
        if let Err(error) = self.node.renew(keep_ports).await {
            log::warn!("the key on the network was not renewed: {error}");
            return;
        }
        self.renewal.saw(Instant::now(), here(&self.node));
        if self.relays.is_some() {
            self.begin_relays().await;
        }
        self.targets.all_at_once(Instant::now());
    }

    /// Goes by what the twin's records say of relays and of devices that are always on, which can change at any time.
    async fn follow(&mut self) {
        self.followed = Instant::now();
        match self.twin.places() {
            Ok(mut places) => {
                places.remove(&self.twin.device_id());
                let places = places.into_values().collect();
                self.targets.set_places(places, Instant::now());
            }
            Err(error) => log::warn!("where devices are is not known: {error}"),
        }
        let relays = match self.twin.relays() {
            Ok(relays) if self.stay == Stay::Online && relays != self.in_use => relays,
            Ok(_) => return,
            Err(error) => {
                log::warn!("which relays are in use is not known: {error}");
                return;
            }
        };
        let before = std::mem::replace(&mut self.in_use, relays);
        for relay in before {
            if !self.in_use.contains(&relay) {
                let _ = self.node.leave_relay(relay.key()).await;
            }
        }
        self.begin_relays().await;
    }

    /// Those that were begun before end.
    async fn begin_relays(&mut self) {
        match Relays::begin(&self.twin, &self.node, self.stay, &self.events) {
            Ok(relays) => self.relays = Some(relays),
            Err(error) => self.tell(OnlineEvent::Problem(error.to_string())).await,
        }
    }

    /// Sees what was written elsewhere and what waited for the clock; if nothing was, does a little of what is to be
    /// done. How long until it should be called again, if there may be more; a break if nothing can be read or written
    /// any more: this device has to be unlocked again.
    async fn look(&mut self) -> ControlFlow<(), Option<Duration>> {
        // Whoever has put the twin to sleep does not want its files opened.
        if self.twin.is_asleep() {
            return ControlFlow::Continue(None);
        }
        let refreshed = self.twin.refresh();
        let is_due = self.followed.elapsed() >= CLOCK;
        if refreshed.as_ref().is_ok_and(|news| *news || is_due) {
            self.follow().await;
        }
        match refreshed {
            Err(Error::Vault(VaultError::Renewed)) => ControlFlow::Break(()),
            Err(error) => {
                self.tell(OnlineEvent::Problem(error.to_string())).await;
                ControlFlow::Continue(None)
            }
            Ok(true) => {
                sync::tend(&self.twin);
                ControlFlow::Continue(Some(REST))
            }
            Ok(false) => {
                self.twin.note_all_equal();
                ControlFlow::Continue(self.chores.do_some().then_some(REST))
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

    fn dial_due(&mut self) {
        let sessions = &self.sessions;
        let calls = self.targets.due(Instant::now(), |peer| sessions.with(peer));
        for call in calls {
            let node = Arc::clone(&self.node);
            self.running.spawn(async move {
                Done::Dialled {
                    target: call.target,
                    result: dial(&node, &call).await,
                }
            });
        }
    }

    async fn on_net(&mut self, event: Event) {
        let me = self.node.key();
        match event {
            Event::Listening(address) => {
                // There is another network, or there is one again.
                self.targets.all_at_once(Instant::now());
                self.renewal.saw(Instant::now(), here(&self.node));
                self.tell(OnlineEvent::Listening(address)).await;
            }
            Event::Discovered { peer, addresses } => {
                self.targets.discovered(me, peer, addresses, Instant::now());
            }
            Event::Gone { peer } => self.targets.gone(peer),
            Event::Missed => {
                for (peer, addresses) in self.node.discovered() {
                    self.targets.discovered(me, peer, addresses, Instant::now());
                }
            }
            Event::Incoming {
                peer,
                protocol: Protocol::Sync,
                frames,
            } => self.begin(Side::Responder, peer, None, frames),
            Event::Direct { peer } => self.move_from_relay(peer),
            _ => {}
        }
    }

    /// Opens a stream for a session, unless one is being opened.
    fn open(&mut self, peer: TransportKey, call: Option<(TargetId, Option<Address>)>) {
        if !self.opening.insert(peer) {
            return;
        }
        let node = Arc::clone(&self.node);
        self.running.spawn(async move {
            let result = open(&node, peer, call.is_some()).await;
            Done::Opened { peer, call, result }
        });
    }

    /// Begins the session with this peer anew, if it goes through a relay and need not: that way ends when nothing uses it
    /// any more.
    fn move_from_relay(&mut self, peer: TransportKey) {
        if self.sessions.may_move(&peer) && self.node.is_direct(&peer) {
            self.open(peer, None);
        }
    }

    /// Begins a session, unless there is one that stays.
    fn begin(&mut self, side: Side, peer: TransportKey, address: Option<Address>, frames: Frames) {
        let me = self.node.key();
        let Some(met) = self.sessions.make_room(me, &peer, side) else {
            return;
        };
        let meeting = Meeting {
            side,
            me,
            peer,
            stay: self.stay,
            content: true,
        };
        let is_relayed = frames.are_relayed();
        let (twin, events, noted) = (self.twin.clone(), self.events.clone(), Arc::clone(&met));
        let task = self.running.spawn(async move {
            let run = |out| async move { run_session(&twin, meeting, address, frames, &out).await };
            let (device, result) = noting(&noted, &events, run).await;
            Done::Session {
                peer,
                device,
                result,
            }
        });
        self.sessions.began(peer, side, is_relayed, task, met);
        // The direct way may have come up while this was being opened.
        self.move_from_relay(peer);
    }

    async fn on_done(&mut self, task: Id, done: Done) {
        match done {
            Done::Dialled {
                target,
                result: Ok(peer),
            } => {
                let address = self.targets.answered(target, peer, Instant::now());
                // Another address of the same device may have been faster, or it has called meanwhile.
                if !self.sessions.with(&peer) {
                    self.open(peer, Some((target, address)));
                }
            }
            Done::Dialled {
                target,
                result: Err(error),
            } => self.not_reached(target, &error).await,
            Done::Opened { peer, call, result } => {
                self.opening.remove(&peer);
                match (result, call) {
                    (Ok(frames), None) if frames.are_relayed() => {
                        log::info!("a session stays on its way: the direct one has ended");
                    }
                    (Ok(frames), call) => {
                        let address = call.and_then(|(_, address)| address);
                        self.begin(Side::Initiator, peer, address, frames);
                    }
                    (Err(error), Some((target, _))) => self.not_reached(target, &error).await,
                    (Err(error), None) => log::info!("a session stays on its way: {error}"),
                }
            }
            Done::Session {
                peer,
                device,
                result,
            } => {
                if let Some(met) = self.sessions.ended(&peer, task) {
                    let device = device.or_else(|| met.get().copied());
                    self.ended(peer, device, result).await;
                }
            }
        }
    }

    async fn not_reached(&mut self, target: TargetId, error: &Error) {
        log::info!("a device was not reached: {error}");
        self.complain(target, error).await;
        self.targets.retry(target, Instant::now());
    }

    async fn ended(&mut self, peer: TransportKey, device: Option<DeviceId>, result: Result<()>) {
        let target = self.targets.of(peer);
        if let Err(error) = &result {
            log::info!("a sync session ended: {error}");
        }
        match (device, result) {
            (Some(device), result) => {
                // Devices come and go, and nobody has to do anything about that; a sync that should end equal has failed.
                let expected = |error: &Error| self.stay == Stay::Online && is_parting(error);
                if let Err(error) = result {
                    if let Some(out) = self.out(&device, &error) {
                        self.tell(OnlineEvent::Parted { device, out }).await;
                        if let Some(id) = target {
                            self.targets.is_stranger(id, peer);
                        }
                    } else if !expected(&error) {
                        self.tell(OnlineEvent::Problem(error.to_string())).await;
                    }
                }
                self.tell(OnlineEvent::Lost(device)).await;
            }
            (None, Err(error)) => {
                // Whoever sees first that the other is a stranger hangs up.
                let error = match error {
                    error if is_parting(&error) => Error::Unproven,
                    error if is_stranger(&error) => Error::Stranger,
                    error => error,
                };
                if let Some(id) = target {
                    self.complain(id, &error).await;
                    if matches!(error, Error::Stranger) {
                        self.targets.is_stranger(id, peer);
                    }
                }
            }
            (None, Ok(())) => {}
        }
        if let Some(id) = target {
            self.targets.retry(id, Instant::now());
        }
    }

    /// Who of the two is out, if a session ended because of that: the other device has hung up on this one, which is out
    /// as it knows itself, or this one on the other.
    fn out(&self, device: &DeviceId, error: &Error) -> Option<DeviceId> {
        let vault = self.twin.vault();
        let (log, me) = (vault.identity(), vault.device_keys().id());
        let is_removed =
            |device: &DeviceId| log.role_once(device).is_some() && log.device(device).is_none();
        match error {
            error if is_parting(error) && is_removed(&me) => Some(me),
            Error::Session(SessionError::Machine(SyncError::NotLinked)) if is_removed(device) => {
                Some(*device)
            }
            _ => None,
        }
    }

    /// Tells the person, the first time that an address of theirs does not work.
    async fn complain(&mut self, id: TargetId, error: &Error) {
        if self.targets.should_complain(id) {
            self.tell(OnlineEvent::Problem(error.to_string())).await;
        }
    }
}

/// Whether the other device went away, politely or not.
const fn is_parting(error: &Error) -> bool {
    matches!(
        error,
        Error::Session(SessionError::Ended | SessionError::Frames(_))
    )
}

const fn is_stranger(error: &Error) -> bool {
    matches!(
        error,
        Error::Session(SessionError::Machine(SyncError::Stranger))
    )
}

/// The next device that says at a relay where it is. Cancel safe.
async fn found(relays: &mut Option<Relays>) -> Option<Found> {
    match relays {
        Some(relays) => relays.found().await,
        None => std::future::pending().await,
    }
}

async fn dial(node: &Node, call: &Call) -> Result<TransportKey> {
    let addresses = match &call.place {
        Some(place) => place.resolve().await?,
        None => call.addresses.clone(),
    };
    match (node.connect(&addresses, call.expected).await, call) {
        (Ok(peer), _) => Ok(peer),
        // Both ends then try to get through to each other directly.
        (
            Err(_),
            Call {
                expected: Some(peer),
                through: Some(relay),
                ..
            },
        ) => {
            node.connect_through(relay, *peer).await?;
            Ok(*peer)
        }
        (Err(error), _) => Err(error.into()),
    }
}

/// Opens a stream to a peer that was just called (`is_new`), or has been connected for long.
async fn open(node: &Node, peer: TransportKey, is_new: bool) -> Result<Frames> {
    let opened = node.open(peer, Protocol::Sync).await;
    if opened.is_err() && is_new {
        // The connection may have died unnoticed; the next attempt makes a new one.
        node.disconnect(peer).await?;
    }
    Ok(opened?)
}
