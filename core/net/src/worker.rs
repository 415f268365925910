//! The one task that drives a node's libp2p swarm while the node is awake.
//!
//! - `events`: what the swarm tells
//! - `circuits`: places at relays, and connections through relays that are not needed any more
//! - `punches`: asking anew for a direct way to who is reached through a relay

mod circuits;
mod events;
mod punches;

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use futures::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use libp2p::{
    PeerId, Stream, Swarm,
    core::transport::ListenerId,
    identity::Keypair,
    swarm::{
        ConnectionId,
        dial_opts::{DialOpts, PeerCondition},
    },
};
use tokio::{
    sync::{Semaphore, oneshot, watch},
    time::timeout,
};
use twin_sync::TransportKey;

pub(crate) use circuits::Held;
use circuits::Reservation;
use punches::Punches;

use crate::{
    Address, Error, Event, Protocol,
    dial::{self, Target},
    frames::Place,
    keys::{key_of, peer_of},
    life::{End, Life},
    links,
    state::Announced,
    swarm::{self, Behaviour},
};

/// Streams of our protocols with one peer, in both directions together.
const MAX_STREAMS_PER_PEER: usize = 16;

/// How long the system may take to tell which addresses a listener has.
const LISTEN_TIME: Duration = Duration::from_secs(5);

/// How long saying goodbye may take.
const GOODBYE_TIME: Duration = Duration::from_secs(2);

/// A stream that is being opened.
pub(crate) struct Opening {
    pub(crate) connection: ConnectionId,
    pub(crate) place: Place,
    /// Where it will arrive; an end of that means that the connection has ended.
    pub(crate) stream: oneshot::Receiver<Result<Stream, Error>>,
}

/// What the node asks of its worker.
pub(crate) enum Command {
    Dial {
        target: Target,
        expected: Option<TransportKey>,
        reply: DialReply,
    },
    Open {
        peer: TransportKey,
        protocol: Protocol,
        /// Connections on which that was tried in vain.
        without: Vec<ConnectionId>,
        reply: oneshot::Sender<Result<Opening, Error>>,
    },
    Disconnect {
        peer: TransportKey,
        reply: oneshot::Sender<()>,
    },
    /// From the next connection to this relay on it may be asked how this node looks from outside.
    Trust {
        relay: TransportKey,
        reply: oneshot::Sender<Result<(), Error>>,
    },
    Reserve {
        relay: TransportKey,
        address: Address,
        reply: oneshot::Sender<Result<Held, Error>>,
    },
    Leave {
        relay: TransportKey,
        reply: oneshot::Sender<()>,
    },
    Fed {
        peer: TransportKey,
        addresses: Vec<Address>,
        reply: oneshot::Sender<bool>,
    },
    Unfed {
        peer: TransportKey,
        reply: oneshot::Sender<()>,
    },
    NetworkChanged {
        reply: oneshot::Sender<()>,
    },
    /// With another key, on the same ports if so wanted.
    Renew {
        keep_ports: bool,
        reply: oneshot::Sender<()>,
    },
    Suspend {
        reply: oneshot::Sender<()>,
    },
    Resume {
        reply: oneshot::Sender<Result<(), Error>>,
    },
    Shutdown {
        reply: oneshot::Sender<()>,
    },
}

type DialReply = oneshot::Sender<Result<TransportKey, Error>>;

impl Command {
    /// What there is to say to it while the node is asleep.
    pub(crate) fn refuse_asleep(self) {
        match self {
            Self::Dial { reply, .. } => drop(reply.send(Err(Error::Asleep))),
            Self::Open { reply, .. } => drop(reply.send(Err(Error::Asleep))),
            Self::Trust { reply, .. } => drop(reply.send(Err(Error::Asleep))),
            Self::Reserve { reply, .. } => drop(reply.send(Err(Error::Asleep))),
            Self::Resume { reply } => drop(reply.send(Err(Error::Asleep))),
            Self::Fed { reply, .. } => drop(reply.send(false)),
            // Nobody is connected, known or used: it is done already.
            Self::Disconnect { reply, .. }
            | Self::Leave { reply, .. }
            | Self::Unfed { reply, .. }
            | Self::NetworkChanged { reply }
            | Self::Renew { reply, .. }
            | Self::Suspend { reply }
            | Self::Shutdown { reply } => drop(reply.send(())),
        }
    }
}

/// One connection.
struct Connection {
    peer: PeerId,
    is_relayed: bool,
    /// This machine's own address at its end, as far as that is known.
    local: Option<IpAddr>,
    /// Heard by each stream on it.
    needs: Arc<watch::Sender<()>>,
}

pub(crate) struct Worker {
    life: Life,
    swarm: Swarm<Behaviour>,
    listeners: HashMap<ListenerId, Address>,
    dials: HashMap<ConnectionId, (Target, DialReply)>,
    connections: HashMap<ConnectionId, Connection>,
    /// What is left of each connected peer's streams.
    slots: HashMap<PeerId, Arc<Semaphore>>,
    reservations: HashMap<ListenerId, Reservation>,
    /// Connections to be closed once their last stream has ended.
    retiring: FuturesUnordered<BoxFuture<'static, ConnectionId>>,
    punches: Punches,
}

impl Worker {
    /// Makes the swarm, and waits until each listener has its port.
    pub(crate) async fn start(life: Life, pair: &Keypair) -> Result<Self, Box<(Life, Error)>> {
        let swarm = match swarm::build(&life.plan, pair, &life.shared.counters) {
            Ok(swarm) => swarm,
            Err(error) => return Err(Box::new((life, error))),
        };
        let mut worker = Self {
            life,
            swarm,
            listeners: HashMap::new(),
            dials: HashMap::new(),
            connections: HashMap::new(),
            slots: HashMap::new(),
            reservations: HashMap::new(),
            retiring: FuturesUnordered::new(),
            punches: Punches::default(),
        };
        match worker.listen().await {
            Ok(()) => Ok(worker),
            Err(error) => Err(Box::new((worker.life, error))),
        }
    }

    async fn listen(&mut self) -> Result<(), Error> {
        for address in self.life.plan.listen.clone() {
            let failed = |reason: String| Error::Listen { address, reason };
            let id = self
                .swarm
                .listen_on(address.to_multiaddr())
                .map_err(|error| failed(error.to_string()))?;
            self.listeners.insert(id, address);
            let has_port = async {
                while !self.has_port(id) {
                    let event = self.swarm.select_next_some().await;
                    self.on_swarm_event(event);
                }
            };
            timeout(LISTEN_TIME, has_port)
                .await
                .map_err(|_| failed("no network interface is up".into()))?;
        }
        Ok(())
    }

    /// From the next start on it listens there; this is what the platform had fed in before this one.
    pub(crate) fn as_wanted(&mut self, listen: Vec<Address>, fed: Announced) {
        self.life.plan.listen = listen;
        for (peer, addresses) in fed.into_peers() {
            self.fed(peer, addresses.into_iter().collect());
        }
    }

    fn has_port(&self, listener: ListenerId) -> bool {
        let state = self.life.shared.state();
        state.listeners.iter().any(|(known, _)| *known == listener)
    }

    /// Runs until told to stop or to sleep, or until the node is dropped.
    pub(crate) async fn run(mut self) -> (Life, End) {
        loop {
            tokio::select! {
                event = self.swarm.select_next_some() => self.on_swarm_event(event),
                Some(connection) = self.retiring.next() => {
                    self.swarm.close_connection(connection);
                }
                Some((peer, done)) = self.punches.next() => self.punch_again(peer, done),
                command = self.life.commands.recv() => match command {
                    Some(Command::Shutdown { reply }) => {
                        reply.send(()).ok();
                        return (self.say_goodbye().await, End::Stopped);
                    }
                    Some(Command::Renew { keep_ports, reply }) => {
                        let listening = self.life.shared.state().listeners.clone();
                        let listen = listening.into_iter().map(|(_, address)| address);
                        let listen = keep_ports.then(|| listen.collect());
                        return (self.say_goodbye().await, End::Renewed { listen, reply });
                    }
                    Some(Command::Suspend { reply }) => {
                        return (self.say_goodbye().await, End::Asleep(reply));
                    }
                    Some(command) => self.on_command(command),
                    None => return (self.life, End::Stopped),
                },
            }
        }
    }

    async fn say_goodbye(mut self) -> Life {
        let places = std::mem::take(&mut self.reservations).into_keys();
        let listeners = std::mem::take(&mut self.listeners).into_keys();
        for id in listeners.chain(places) {
            self.swarm.remove_listener(id);
        }
        let peers: Vec<PeerId> = self.swarm.connected_peers().copied().collect();
        for peer in peers {
            self.swarm.disconnect_peer_id(peer).ok();
        }
        let closed = async {
            while self.swarm.connected_peers().next().is_some() {
                let event = self.swarm.select_next_some().await;
                self.on_swarm_event(event);
            }
        };
        // Whoever has not answered by then is cut off.
        timeout(GOODBYE_TIME, closed).await.ok();
        self.life
    }

    /// Nobody waits for a reply whose receiver was dropped: the results of sending are ignored.
    fn on_command(&mut self, command: Command) {
        match command {
            Command::Dial {
                target,
                expected,
                reply,
            } => self.dial(target, expected, reply),
            Command::Open {
                peer,
                protocol,
                without,
                reply,
            } => {
                reply.send(self.open(&peer, protocol, &without)).ok();
            }
            Command::Disconnect { peer, reply } => {
                if let Some(peer) = peer_of(&peer) {
                    self.swarm.disconnect_peer_id(peer).ok();
                }
                reply.send(()).ok();
            }
            Command::Trust { relay, reply } => {
                reply.send(self.trust(&relay)).ok();
            }
            Command::Reserve {
                relay,
                address,
                reply,
            } => self.reserve(&relay, address, reply),
            Command::Leave { relay, reply } => {
                self.leave(&relay);
                reply.send(()).ok();
            }
            Command::Fed {
                peer,
                addresses,
                reply,
            } => {
                reply.send(self.fed(peer, addresses)).ok();
            }
            Command::Unfed { peer, reply } => {
                let was_known = self.life.shared.state().fed.forget_all_of(&peer);
                self.tell_if_gone(peer, was_known);
                reply.send(()).ok();
            }
            Command::NetworkChanged { reply } => {
                if let Some(discovery) = self.swarm.behaviour_mut().discovery.as_mut() {
                    discovery.restart();
                }
                self.close_what_has_lost_its_address();
                reply.send(()).ok();
            }
            // It is awake.
            Command::Resume { reply } => {
                reply.send(Ok(())).ok();
            }
            // The loop sees to these.
            Command::Renew { .. } | Command::Suspend { .. } | Command::Shutdown { .. } => {}
        }
    }

    fn dial(&mut self, target: Target, expected: Option<TransportKey>, reply: DialReply) {
        let peer = expected.map(|key| peer_of(&key));
        let (Some(address), false) = (target.to_multiaddr(), peer == Some(None)) else {
            // Nobody can prove a key that is none.
            reply.send(Err(target.wrong_key())).ok();
            return;
        };
        let opts = match peer.flatten() {
            None => DialOpts::unknown_peer_id().address(address).build(),
            Some(peer) => DialOpts::peer_id(peer)
                .condition(PeerCondition::Always)
                .addresses(vec![address])
                .build(),
        };
        let id = opts.connection_id();
        match self.swarm.dial(opts) {
            Ok(()) => {
                self.dials.insert(id, (target, reply));
            }
            Err(error) => {
                reply.send(Err(dial::reason(&error, target))).ok();
            }
        }
    }

    fn open(
        &mut self,
        key: &TransportKey,
        protocol: Protocol,
        without: &[ConnectionId],
    ) -> Result<Opening, Error> {
        let peer = peer_of(key).ok_or(Error::NotConnected)?;
        let streams = &self.swarm.behaviour().streams;
        let best = streams.best(&peer, without);
        let connection = best.ok_or(Error::NotConnected)?;
        if !self.slots.contains_key(&peer) {
            return Err(Error::NotConnected);
        }
        let place = self.place(&peer, connection).ok_or(Error::TooMany)?;
        let (reply, stream) = oneshot::channel();
        let streams = &mut self.swarm.behaviour_mut().streams;
        streams.open(peer, connection, protocol, reply);
        Ok(Opening {
            connection,
            place,
            stream,
        })
    }

    /// Room for one more stream on this connection, if there is any.
    fn place(&self, peer: &PeerId, connection: ConnectionId) -> Option<Place> {
        let slots = Arc::clone(self.slots.get(peer)?);
        let connection = self.connections.get(&connection)?;
        Some(Place {
            _permit: slots.try_acquire_owned().ok()?,
            needs: connection.needs.subscribe(),
            is_relayed: connection.is_relayed,
        })
    }

    fn fed(&mut self, peer: TransportKey, addresses: Vec<Address>) -> bool {
        let mut news = Vec::new();
        if peer_of(&peer).is_some() && peer != self.life.shared.state().key {
            let mut state = self.life.shared.state();
            news.extend(
                addresses
                    .into_iter()
                    .filter(|address| state.fed.remember(peer, *address)),
            );
        }
        let is_news = !news.is_empty();
        if is_news {
            self.life.teller.tell(Event::Discovered {
                peer,
                addresses: news,
            });
        }
        is_news
    }

    /// Says that a peer is gone, if one discovery has lost it and the other does not know it.
    fn tell_if_gone(&mut self, peer: TransportKey, was_lost: bool) {
        if was_lost && !self.life.shared.state().near().contains_key(&peer) {
            self.life.teller.tell(Event::Gone { peer });
        }
    }

    /// A connection from an address that this machine had on another network hangs: nothing comes back, and that would
    /// be noticed late.
    fn close_what_has_lost_its_address(&mut self) {
        let own: BTreeSet<IpAddr> = links::own_addresses();
        let hanging = self.connections.iter().filter(|(_, connection)| {
            let local = connection.local;
            local.is_some_and(|local| !local.is_loopback() && !own.contains(&local))
        });
        let hanging: Vec<(ConnectionId, PeerId)> = hanging
            .map(|(id, connection)| (*id, connection.peer))
            .collect();
        for (id, peer) in hanging {
            self.hang_up(&peer, id);
        }
    }

    /// Closes a connection, and opens no more streams on it: it is gone only when the other end agrees.
    fn hang_up(&mut self, peer: &PeerId, id: ConnectionId) {
        self.swarm.behaviour_mut().streams.forget(peer, id);
        self.swarm.close_connection(id);
        self.see_whether_direct(peer);
    }

    /// Notes it where no stream to this peer would take a direct way any more.
    fn see_whether_direct(&self, peer: &PeerId) {
        if !self.swarm.behaviour().streams.is_direct(peer)
            && let Some(key) = key_of(peer)
        {
            self.life.shared.state().direct.remove(&key);
        }
    }
}
