//! One running end of the network.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{sync::mpsc, task::JoinHandle};
use twin_sync::TransportKey;

pub use crate::caller::CONNECT_TIME;
use crate::{
    Address, Error, Frames, Protocol, Reach, RelayAddress, Traffic, Transport,
    caller::Caller,
    keeper, keys,
    life::{self, Life, Teller},
    links::{self, Links},
    relay::Tally,
    state::{MAX_ADDRESSES, Shared},
    swarm::{Plan, Role},
    worker::{Command, Worker},
};

/// How many calls may wait for the worker.
const COMMANDS: usize = 32;

/// How many events may wait for the application.
const EVENTS: usize = 256;

/// What a node does from its start on.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen; port 0 takes a free one, `0.0.0.0` and `[::]` stand for every interface.
    pub listen: Vec<Address>,
    /// Whether to announce this node on the local network, and to report others.
    pub mdns: bool,
    /// With whom to exchange packets at all.
    pub reach: Reach,
}

impl Config {
    /// Listens on a free port of every IPv4 and IPv6 interface: of TCP, and where the reach allows it of QUIC too.
    pub fn everywhere(mdns: bool, reach: Reach) -> Self {
        let transports: &[Transport] = match reach {
            Reach::Any => &[Transport::Tcp, Transport::Quic],
            Reach::OnLinkOnly => &[Transport::Tcp],
        };
        let any = [
            std::net::Ipv4Addr::UNSPECIFIED.into(),
            std::net::Ipv6Addr::UNSPECIFIED.into(),
        ];
        let listen = transports
            .iter()
            .flat_map(|transport| any.map(|ip| Address::new(ip, 0).over(*transport)));
        Self {
            listen: listen.collect(),
            mdns,
            reach,
        }
    }
}

/// What happens on a node.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// The node can be dialled here, from now on.
    Listening(Address),
    /// mDNS, or the platform's own discovery, has found a peer, or further addresses of one. Any libp2p software announces itself this way:
    /// whether to connect is the caller's decision, and the proof that it is a twin comes later.
    Discovered {
        /// Who says to be there; proven only by connecting.
        peer: TransportKey,
        /// Where, by what it says.
        addresses: Vec<Address>,
    },
    /// Neither discovery knows of this peer any more.
    Gone {
        /// Whom.
        peer: TransportKey,
    },
    /// A peer has opened a stream.
    Incoming {
        /// Who, as TLS has proven.
        peer: TransportKey,
        /// What for.
        protocol: Protocol,
        /// The stream; dropping it refuses.
        frames: Frames,
    },
    /// There is a connection to this peer now, made by either side.
    Connected {
        /// To whom.
        peer: TransportKey,
    },
    /// A peer that was reached through a relay only is connected directly as well. Streams opened from now on take that
    /// way; those that are open stay on the relay's circuit, which ends when it has been used up, and is closed when the
    /// last of them has ended.
    Direct {
        /// To whom.
        peer: TransportKey,
    },
    /// This relay lets others through to this node, from now on.
    Reachable {
        /// Which.
        relay: TransportKey,
    },
    /// This relay does not do so any more; it will be asked again.
    Unreachable {
        /// Which.
        relay: TransportKey,
    },
    /// The last connection to this peer has ended.
    Disconnected {
        /// To whom.
        peer: TransportKey,
    },
    /// The application fell behind, and events before this one are lost: read [`Node::peers`] and
    /// [`Node::discovered`] for how things are.
    Missed,
}

/// Receives what happens; at most 256 events wait.
#[derive(Debug)]
pub struct Events(mpsc::Receiver<Event>);

impl Events {
    /// The next event, or `None` when the node has stopped. Cancel safe.
    pub async fn recv(&mut self) -> Option<Event> {
        self.0.recv().await
    }
}

/// A running node. Dropping it closes its sockets and ends all its tasks.
pub struct Node {
    caller: Caller,
    task: JoinHandle<()>,
    /// The tasks that keep a place at each relay.
    keepers: Mutex<BTreeMap<TransportKey, JoinHandle<()>>>,
}

impl Node {
    /// Starts a node with a new key, on the current tokio runtime; returns when it listens.
    pub async fn start(config: Config) -> Result<(Self, Events), Error> {
        let plan = Plan {
            listen: config.listen,
            mdns: config.mdns,
            reach: config.reach,
            role: Role::Device,
        };
        Self::start_as(plan, None).await
    }

    pub(crate) async fn start_as(
        plan: Plan,
        tally: Option<Tally>,
    ) -> Result<(Self, Events), Error> {
        refuse_key_log(std::env::var_os("SSLKEYLOGFILE").as_deref())?;
        let pair = plan.role.key()?;
        let shared = Arc::new(Shared::new(plan.reach, keys::key(&pair)?));
        let (commands, requests) = mpsc::channel(COMMANDS);
        let (happened, events) = mpsc::channel(EVENTS);
        let life = Life {
            plan,
            shared: Arc::clone(&shared),
            commands: requests,
            teller: Teller::new(happened),
            tally,
        };
        let worker = Worker::start(life, &pair)
            .await
            .map_err(|failed| failed.1)?;
        let node = Self {
            caller: Caller { shared, commands },
            task: tokio::spawn(life::live(worker)),
            keepers: Mutex::default(),
        };
        Ok((node, Events(events)))
    }

    /// This node's own key: new at each start, and each time that it is resumed or renewed.
    pub fn key(&self) -> TransportKey {
        self.shared().state().key
    }

    /// What others can dial now: the interfaces are read at each call. The local network first, loopback last.
    pub fn addresses(&self) -> Vec<Address> {
        let (links, listeners) = (Links::now(), self.shared().state().listeners.clone());
        let mut all: Vec<_> = listeners
            .into_iter()
            .flat_map(|(_, listener)| links.dialable(listener, self.shared().reach))
            .collect();
        all.sort_by_key(links::preference);
        all.dedup();
        all
    }

    /// Where a relay has reached this node from outside, behind no router or in spite of one; at most 16 addresses.
    pub fn external_addresses(&self) -> Vec<Address> {
        self.shared().state().external.iter().copied().collect()
    }

    /// The relays that let others through to this node now.
    pub fn relays(&self) -> Vec<TransportKey> {
        self.shared().state().relays.iter().copied().collect()
    }

    /// The peers with a connection now.
    pub fn peers(&self) -> Vec<TransportKey> {
        self.shared().state().connected.iter().copied().collect()
    }

    /// Whether there is a connection to this peer that needs no relay.
    pub fn is_direct(&self, peer: &TransportKey) -> bool {
        self.shared().state().direct.contains(peer)
    }

    /// The peers that mDNS and the platform's discovery know of now, with what they say are their addresses.
    pub fn discovered(&self) -> Vec<(TransportKey, Vec<Address>)> {
        let near = self.shared().state().near().into_iter();
        near.map(|(key, all)| (key, all.into_iter().collect()))
            .collect()
    }

    /// Takes in what the platform's own discovery (NsdManager, NWBrowser) has found of a peer; like what mDNS finds it is
    /// told as [`Event::Discovered`]. At most 256 peers are remembered, and 16 addresses of each; whether anything here
    /// was news.
    pub async fn discovered_by_platform(
        &self,
        peer: TransportKey,
        addresses: &[Address],
    ) -> Result<bool, Error> {
        let addresses = addresses.iter().take(MAX_ADDRESSES).copied().collect();
        self.caller
            .ask(|reply| Command::Fed {
                peer,
                addresses,
                reply,
            })
            .await
    }

    /// The platform's own discovery has lost a peer: told as [`Event::Gone`] unless mDNS still knows of it.
    pub async fn lost_by_platform(&self, peer: TransportKey) -> Result<(), Error> {
        self.caller
            .ask(|reply| Command::Unfed { peer, reply })
            .await
    }

    /// Bytes sent and received since the start.
    pub fn traffic(&self) -> Traffic {
        self.shared().counters.read()
    }

    /// Connects to whoever answers first at one of these addresses, and returns the key it proved. With `expected`,
    /// anybody else is turned away, and an existing connection is enough.
    ///
    /// Gives up after [`CONNECT_TIME`]. Cancel safe: dropping the future calls the attempt off.
    pub async fn connect(
        &self,
        addresses: &[Address],
        expected: Option<TransportKey>,
    ) -> Result<TransportKey, Error> {
        self.caller.connect(addresses, expected).await
    }

    /// Connects to a peer through a relay at which it has a place; any existing connection is enough. Both ends then try
    /// to get through to each other directly, which [`Event::Direct`] tells.
    ///
    /// The relay sees who talks to whom by their keys, when, and how much; what is said is encrypted from end to end.
    /// Each of the two steps gives up after [`CONNECT_TIME`]. Cancel safe.
    pub async fn connect_through(
        &self,
        relay: &RelayAddress,
        peer: TransportKey,
    ) -> Result<(), Error> {
        self.caller.connect_through(relay, peer).await
    }

    /// Keeps a place at this relay from now on, so that others can connect through it; [`Event::Reachable`] and
    /// [`Event::Unreachable`] tell how that goes. Relays are not told of each other.
    pub fn use_relay(&self, relay: &RelayAddress) -> Result<(), Error> {
        if self.shared().reach == Reach::OnLinkOnly {
            return Err(Error::NotOnLink);
        }
        let mut keepers = self.keepers();
        let task = tokio::spawn(keeper::keep(self.caller.clone(), relay.clone()));
        if let Some(before) = keepers.insert(relay.key(), task) {
            before.abort();
        }
        Ok(())
    }

    /// Gives up the place at the relay with this key, and the connection to it.
    pub async fn leave_relay(&self, relay: TransportKey) -> Result<(), Error> {
        if let Some(keeper) = self.keepers().remove(&relay) {
            keeper.abort();
        }
        self.caller
            .ask(|reply| Command::Leave { relay, reply })
            .await
    }

    /// Opens a stream to a connected peer. Never dials. Gives up after [`CONNECT_TIME`]; cancel safe.
    pub async fn open(&self, peer: TransportKey, protocol: Protocol) -> Result<Frames, Error> {
        self.caller.open(peer, protocol).await
    }

    /// Ends every connection to this peer, and with them its streams.
    pub async fn disconnect(&self, peer: TransportKey) -> Result<(), Error> {
        self.caller
            .ask(|reply| Command::Disconnect { peer, reply })
            .await
    }

    /// Tells that the machine has joined another network (or come back to one), where the system does not say so
    /// itself: connections from an address that this machine has no more are closed, it is asked at once who is there,
    /// and relays that did not answer are tried again.
    pub async fn network_changed(&self) -> Result<(), Error> {
        self.caller
            .ask(|reply| Command::NetworkChanged { reply })
            .await?;
        self.shared().stirred.notify_waiters();
        Ok(())
    }

    /// Goes on with a new key, so that nobody can tell that it is the same node: every connection ends, as by [`Node::suspend`],
    /// and whoever was connected has to be dialled again. It listens on the same ports if `keep_ports`, where those are to be
    /// had again, or else as at the start. What was fed in by the platform stays. Returns once it listens. On a node that
    /// is suspended it does nothing.
    pub async fn renew(&self, keep_ports: bool) -> Result<(), Error> {
        self.caller
            .ask(|reply| Command::Renew { keep_ports, reply })
            .await?;
        self.shared().stirred.notify_waiters();
        Ok(())
    }

    /// Sends nothing from now on: says goodbye to everybody, within two seconds, and closes every socket (QUIC's a moment
    /// later, when nobody can have missed its goodbye). All other calls fail with [`Error::Asleep`] until [`Node::resume`]. What was fed in by the platform is forgotten.
    pub async fn suspend(&self) -> Result<(), Error> {
        self.caller.ask(|reply| Command::Suspend { reply }).await
    }

    /// Listens again after [`Node::suspend`], with a new key; whoever was connected has to be dialled again, and places
    /// at relays are asked for again. On a node that is not suspended it does nothing.
    pub async fn resume(&self) -> Result<(), Error> {
        self.caller.ask(|reply| Command::Resume { reply }).await??;
        self.shared().stirred.notify_waiters();
        Ok(())
    }

    /// Closes every connection politely, within two seconds, and stops.
    pub async fn shutdown(mut self) {
        self.stop_keepers();
        let asked = self.caller.ask(|reply| Command::Shutdown { reply });
        if asked.await.is_ok() {
            // The worker ends by itself now; a panic in it has been reported by the runtime.
            (&mut self.task).await.ok();
        }
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.caller.shared
    }

    fn keepers(&self) -> MutexGuard<'_, BTreeMap<TransportKey, JoinHandle<()>>> {
        // Nothing panics while holding it.
        self.keepers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stop_keepers(&self) {
        for keeper in std::mem::take(&mut *self.keepers()).into_values() {
            keeper.abort();
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop_keepers();
        self.task.abort();
    }
}

/// libp2p's TLS would honour the variable, and offers no way to turn that off.
fn refuse_key_log(variable: Option<&OsStr>) -> Result<(), Error> {
    if variable.is_some() {
        Err(Error::KeyLog)
    } else {
        Ok(())
    }
}
