//! Staying online: finding the twin's other devices and keeping them equal.
//!
//! - `worker`: dials, accepts, runs a session with each peer
//! - `targets`: whom to dial, and when
//! - `session`: one session, told to the application; `sessions`: at most one with each peer
//! - `renewal`: when the key on the network is renewed
//! - `relays`: what waits at relays, what is left there, and who says there where it is
//! - `chores`: what is done when nothing else is to be

mod chores;
mod relays;
mod renewal;
mod session;
mod sessions;
mod targets;
mod worker;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use twin_identity::id::DeviceId;
use twin_net::{Address, Config, Node, Reach, RelayAddress, Traffic};
use twin_sync::session::{Difference, Progress as SyncProgress, Stay};

use crate::error::{Error, Result};
use crate::sync;
use crate::twin::Twin;
use worker::Worker;

/// How many events may wait.
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
    /// Content of files came from a device.
    Content {
        /// Which.
        device: DeviceId,
        /// How many bytes, sealed.
        bytes: usize,
    },
    /// Content of files went to a device.
    Gave {
        /// Which.
        device: DeviceId,
        /// How many bytes, sealed.
        bytes: usize,
    },
    /// All content that a device has of what is wanted here has come, and so much is missing still; nothing, if
    /// something was.
    Wanting {
        /// Which.
        device: DeviceId,
        /// How many chunks, of about 64 KiB each.
        chunks: u64,
    },
    /// How far the exchange with a device has come, at most four times a second.
    Progress {
        /// Which.
        device: DeviceId,
        /// How far.
        progress: SyncProgress,
    },
    /// This device and that one hold the same records.
    InSync(DeviceId),
    /// In what the two differ; [`OnlineEvent::Stuck`] follows.
    Differs {
        /// The other device.
        device: DeviceId,
        /// In what, and why it stays so.
        difference: Difference,
    },
    /// The two differ, and neither has anything to send.
    Stuck(DeviceId),
    /// One of the two is out of the twin and the other has heard of it: they have nothing more to say to each other.
    Parted {
        /// The device at the other end.
        device: DeviceId,
        /// Who is out: that device, or this one.
        out: DeviceId,
    },
    /// A device is gone.
    Lost(DeviceId),
    /// A relay was visited, and all that was there is read and all that others lack is left.
    Visited(Visited),
    /// Every relay was visited or did not answer, or there is none; not told while visits go on.
    RelaysOver,
    /// Nobody has answered who was called, no relay is visited any more, and no address that a person gave is waited for:
    /// only who is discovered on the local network, or calls, can still be met. Told once.
    Alone,
    /// Something did not work, in words for a person.
    Problem(String),
}

/// What was done at a relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visited {
    /// Which.
    pub relay: RelayAddress,
    /// How many ops that were new were taken from there.
    pub taken: u64,
    /// How many envelopes were left there.
    pub left: u64,
}

/// A device that is online. Dropping it takes it offline.
pub struct Online {
    node: Arc<Node>,
    events: mpsc::Receiver<OnlineEvent>,
    stop: Option<watch::Sender<bool>>,
    /// Whether it is not suspended.
    awake: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Online {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Online {
    /// What happens, in order; `None` once offline, by itself if this device has to be unlocked again, which
    /// [`Twin::refresh`] then says. Cancel safe.
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

    /// Sends nothing from now on and does nothing, until [`Online::resume`]: for an app that is in the background.
    /// Sessions end, within two seconds, and every socket is closed.
    pub async fn suspend(&self) -> Result<()> {
        self.awake.send_replace(false);
        Ok(self.node.suspend().await?)
    }

    /// Goes on after [`Online::suspend`]: the other devices are looked for as at the start.
    pub async fn resume(&self) -> Result<()> {
        self.node.resume().await?;
        self.awake.send_replace(true);
        Ok(())
    }

    /// Tells that this machine has joined another network, or come back to one, where the system does not say so itself:
    /// the other devices are looked for there at once, under a key that nobody in the old network has seen.
    pub async fn network_changed(&self) -> Result<()> {
        self.node.network_changed().await?;
        // What failed there may work here.
        self.awake.send_modify(|_| ());
        Ok(())
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
        // The others should find done what was this device's to do.
        sync::tend(self);
        let mut net = Config::everywhere(config.discover, Reach::Any);
        if !config.listen.is_empty() {
            net.listen.clone_from(&config.listen);
        }
        let (node, net_events) = Node::start(net).await?;
        let node = Arc::new(node);
        let (sender, events) = mpsc::channel(EVENTS);
        let (stop, stopped) = watch::channel(false);
        let (awake, slept) = watch::channel(true);
        let worker = Worker::new(self.clone(), Arc::clone(&node), config.stay, sender)?;
        let task = tokio::spawn(worker.run(config.peers, net_events, stopped, slept));
        Ok(Online {
            node,
            events,
            stop: Some(stop),
            awake,
            task,
        })
    }

    /// Meets the other devices: returns those that are equal with this one now, and has then got from them what they
    /// have of content that is wanted here. Looks until `enough` are and no relay is visited any more, or nobody is left who could answer, or nobody was met and nothing has come for as long as
    /// `patience`; then finishes what is under way. A device that this one parts with is as good as an equal one: where
    /// one of them is out, there is nothing more to be told.
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
        // Others know where it listens only if it says so, or a person has said where that is to be.
        let can_be_called = config.discover || !config.listen.is_empty();
        let mut online = self.go_online(config).await?;
        let mut deadline = Instant::now() + patience;
        let mut wanting = 0;
        let (mut open, mut synced) = (BTreeSet::new(), BTreeSet::new());
        let mut parted = BTreeMap::new();
        let (mut visited, mut at_relays) = (Vec::new(), true);
        let (mut met, mut problem) = (false, None);
        let mut why: BTreeMap<DeviceId, Vec<String>> = BTreeMap::new();
        loop {
            if open.is_empty() && !at_relays && synced.len() + parted.len() >= enough {
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
                OnlineEvent::Parted { device, out } => {
                    synced.remove(&device);
                    parted.insert(device, out);
                }
                OnlineEvent::Lost(device) => {
                    open.remove(&device);
                }
                OnlineEvent::Differs { device, difference } => {
                    why.entry(device).or_default().push(difference.to_string());
                }
                OnlineEvent::Stuck(device) => {
                    open.remove(&device);
                    synced.remove(&device);
                    problem = why.remove(&device).map(|why| why.join("; "));
                }
                OnlineEvent::Visited(what) => visited.push(what),
                OnlineEvent::RelaysOver => at_relays = false,
                OnlineEvent::Alone if !can_be_called => break,
                OnlineEvent::Problem(text) => problem = Some(text),
                OnlineEvent::Content { .. } | OnlineEvent::Gave { .. } => {
                    deadline = deadline.max(Instant::now() + patience);
                }
                OnlineEvent::Wanting { chunks, .. } => wanting = chunks,
                _ => {}
            }
        }
        let traffic = online.traffic();
        online.stop().await;
        let nobody = synced.is_empty() && parted.is_empty();
        match (nobody && (met || visited.is_empty()), met, problem) {
            (false, ..) => Ok(Synced {
                devices: synced.into_iter().collect(),
                out: parted.into_values().collect(),
                visited,
                wanting,
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
    /// Those that are out of the twin, as a device that was met has heard: that one, or this device itself.
    pub out: BTreeSet<DeviceId>,
    /// The relays that were visited.
    pub visited: Vec<Visited>,
    /// How many chunks of files are wanted here that no device has which was met.
    pub wanting: u64,
    /// Bytes sent and received.
    pub traffic: Traffic,
}
