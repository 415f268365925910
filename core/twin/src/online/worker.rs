//! Dials, accepts, and runs a session with each peer.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use twin_identity::id::DeviceId;
use twin_net::{Address, Event, Events, Frames, Node, Protocol, SessionError, TransportKey};
use twin_sync::session::{Side, Stay, SyncError};
use twin_vault::VaultError;

use super::OnlineEvent;
use super::chores::Chores;
use super::relays::{Found, Relays};
use super::session::run_session;
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
    /// The running session with each peer, and which side this is.
    sessions: BTreeMap<TransportKey, (Side, AbortHandle)>,
    running: JoinSet<Done>,
    targets: Targets,
    chores: Chores,
    relays: Relays,
}

/// What a task came back with.
enum Done {
    Dialled {
        target: TargetId,
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
    pub fn new(
        twin: Twin,
        node: Arc<Node>,
        stay: Stay,
        events: mpsc::Sender<OnlineEvent>,
    ) -> Result<Self> {
        Ok(Self {
            relays: Relays::begin(&twin, &node, stay, &events)?,
            chores: Chores::new(twin.clone()),
            twin,
            node,
            stay,
            events,
            sessions: BTreeMap::new(),
            running: JoinSet::new(),
            targets: Targets::default(),
        })
    }

    /// Works until it is `stopped` or the node ends.
    pub async fn run(
        mut self,
        peers: Vec<Address>,
        mut net: Events,
        mut stopped: watch::Receiver<bool>,
    ) {
        let now = Instant::now();
        for address in peers {
            self.targets.add_by_hand(address, now);
        }
        for addresses in self.remembered() {
            self.targets.add_remembered(addresses, now);
        }
        let elsewhere = self.twin.elsewhere();
        let mut clock = interval(CLOCK);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // When to look at the vault next.
        let mut look_at: Option<Instant> = None;
        loop {
            let due = self.targets.next_due();
            let due = due.unwrap_or_else(|| Instant::now() + NOBODY_DUE);
            tokio::select! {
                _ = stopped.changed() => return,
                event = net.recv() => match event {
                    Some(event) => self.on_net(event).await,
                    None => return,
                },
                Some(done) = self.running.join_next() => {
                    // A session that was called off for another with the same peer has nothing to tell.
                    if let Ok(done) = done {
                        self.on_done(done).await;
                    }
                }
                found = self.relays.found() => {
                    let Found { peer, addresses, relay } = found;
                    let me = self.node.key();
                    self.targets.found(me, peer, addresses, relay, Instant::now());
                }
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

    /// Sees what was written elsewhere and what waited for the clock; if nothing was, does a little of what is to be
    /// done. How long until it should be called again, if there may be more; a break if nothing can be read or written
    /// any more: this device has to be unlocked again.
    async fn look(&mut self) -> ControlFlow<(), Option<Duration>> {
        // Whoever has put the twin to sleep does not want its files opened.
        if self.twin.is_asleep() {
            return ControlFlow::Continue(None);
        }
        match self.twin.refresh() {
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
        let calls = self
            .targets
            .due(Instant::now(), |peer| sessions.contains_key(peer));
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
            Event::Listening(address) => self.tell(OnlineEvent::Listening(address)).await,
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
            _ => {}
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
            content: true,
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
                let address = self.targets.answered(target, peer, Instant::now());
                self.begin(Side::Initiator, peer, address, frames);
            }
            Done::Dialled {
                target,
                result: Err(error),
            } => {
                log::info!("a device was not reached: {error}");
                self.complain(target, &error).await;
                self.targets.retry(target, Instant::now());
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

async fn dial(node: &Node, call: &Call) -> Result<(TransportKey, Frames)> {
    let peer = match (node.connect(&call.addresses, call.expected).await, call) {
        (Ok(peer), _) => peer,
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
            *peer
        }
        (Err(error), _) => return Err(error.into()),
    };
    match node.open(peer, Protocol::Sync).await {
        Ok(frames) => Ok((peer, frames)),
        Err(error) => {
            // The connection may have died unnoticed; the next attempt makes a new one.
            node.disconnect(peer).await?;
            Err(error.into())
        }
    }
}
