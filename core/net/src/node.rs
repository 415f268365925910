//! One running end of the network.

use std::{collections::BTreeSet, ffi::OsStr, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::timeout,
};
use twin_sync::TransportKey;

use crate::{
    Address, Error, Frames, Protocol, Reach, Traffic, Transport, dial,
    links::{self, Links},
    state::Shared,
    worker::{Command, Worker},
};

/// How long [`Node::connect`] tries.
pub const CONNECT_TIME: Duration = Duration::from_secs(10);

/// How many of the given addresses (and, for link-local ones, interfaces) are tried.
const MAX_ROUTES: usize = 24;

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
    /// mDNS has found a peer, or further addresses of one. Any libp2p software announces itself this way:
    /// whether to connect is the caller's decision, and the proof that it is a twin comes later.
    Discovered {
        /// Who says to be there; proven only by connecting.
        peer: TransportKey,
        /// Where, by what it says.
        addresses: Vec<Address>,
    },
    /// mDNS has not heard of this peer for a minute.
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
    key: TransportKey,
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
    task: JoinHandle<()>,
}

impl Node {
    /// Starts a node with a new key, on the current tokio runtime; returns when it listens.
    pub async fn start(config: Config) -> Result<(Self, Events), Error> {
        refuse_key_log(std::env::var_os("SSLKEYLOGFILE").as_deref())?;
        let shared = Arc::new(Shared::new(config.reach));
        let (commands, requests) = mpsc::channel(COMMANDS);
        let (happened, events) = mpsc::channel(EVENTS);
        let (worker, key) = Worker::start(&config, Arc::clone(&shared), requests, happened).await?;
        let task = tokio::spawn(worker.run());
        Ok((
            Self {
                key,
                shared,
                commands,
                task,
            },
            Events(events),
        ))
    }

    /// This node's own key, new at each start.
    pub fn key(&self) -> TransportKey {
        self.key
    }

    /// What others can dial now: the interfaces are read at each call. The local network first, loopback last.
    pub fn addresses(&self) -> Vec<Address> {
        let (links, listeners) = (Links::now(), self.shared.state().listeners.clone());
        let mut all: Vec<_> = listeners
            .into_iter()
            .flat_map(|(_, listener)| links.dialable(listener, self.shared.reach))
            .collect();
        all.sort_by_key(links::preference);
        all.dedup();
        all
    }

    /// The peers with a connection now.
    pub fn peers(&self) -> Vec<TransportKey> {
        self.shared.state().connected.iter().copied().collect()
    }

    /// The peers that mDNS knows of now, with what they say are their addresses.
    pub fn discovered(&self) -> Vec<(TransportKey, Vec<Address>)> {
        let listed =
            |(key, all): (&TransportKey, &BTreeSet<Address>)| (*key, all.iter().copied().collect());
        self.shared.state().discovered.iter().map(listed).collect()
    }

    /// Bytes sent and received since the start.
    pub fn traffic(&self) -> Traffic {
        self.shared.counters.read()
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
        if let Some(key) = expected.filter(|key| self.shared.state().connected.contains(key)) {
            return Ok(key);
        }
        if addresses.is_empty() {
            return Err(Error::NoAddress);
        }
        let links = Links::now();
        let mut routes: Vec<_> = addresses
            .iter()
            .flat_map(|a| links.routes(*a, self.shared.reach))
            .collect();
        routes.sort_by_key(links::preference);
        routes.dedup();
        routes.truncate(MAX_ROUTES);
        if routes.is_empty() {
            return Err(Error::NotOnLink);
        }
        let dial = |address| async move {
            self.ask(|reply| Command::Dial {
                address,
                expected,
                reply,
            })
            .await?
        };
        timeout(CONNECT_TIME, dial::first_of(&routes, dial))
            .await
            .map_err(|_| Error::TimedOut)?
    }

    /// Opens a stream to a connected peer. Never dials. Gives up after [`CONNECT_TIME`]; cancel safe.
    pub async fn open(&self, peer: TransportKey, protocol: Protocol) -> Result<Frames, Error> {
        let opening = async {
            let (slot, stream) = self
                .ask(|reply| Command::Open {
                    peer,
                    protocol,
                    reply,
                })
                .await??;
            let stream = stream.await.map_err(|_| Error::NotConnected)??;
            Ok(Frames::of_node(stream, self.shared.counters.clone(), slot))
        };
        timeout(CONNECT_TIME, opening)
            .await
            .map_err(|_| Error::TimedOut)?
    }

    /// Ends every connection to this peer, and with them its streams.
    pub async fn disconnect(&self, peer: TransportKey) -> Result<(), Error> {
        self.ask(|reply| Command::Disconnect { peer, reply }).await
    }

    /// Tells that the machine has joined another network (or come back to one), where the system does not say so
    /// itself: asks at once who is there.
    pub async fn network_changed(&self) -> Result<(), Error> {
        self.ask(|reply| Command::Rediscover { reply }).await
    }

    /// Closes every connection politely, within two seconds, and stops.
    pub async fn shutdown(mut self) {
        if self.ask(|reply| Command::Shutdown { reply }).await.is_ok() {
            // The worker ends by itself now; a panic in it has been reported by the runtime.
            (&mut self.task).await.ok();
        }
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        self.commands
            .send(command(reply))
            .await
            .map_err(|_| Error::Stopped)?;
        answer.await.map_err(|_| Error::Stopped)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
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
