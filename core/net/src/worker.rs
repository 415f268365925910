//! The one task that drives a node's libp2p swarm.

use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry},
    sync::Arc,
    time::Duration,
};

use futures::StreamExt as _;
use libp2p::{
    Multiaddr, PeerId, Stream, Swarm,
    core::transport::ListenerId,
    swarm::{
        ConnectionId, SwarmEvent,
        dial_opts::{DialOpts, PeerCondition},
    },
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    time::timeout,
};
use twin_sync::TransportKey;

use crate::{
    Address, Config, Error, Event, Frames, Protocol, dial,
    discovery::Change,
    keys::{key_of, peer_of},
    state::Shared,
    streams::Incoming,
    swarm::{self, Behaviour, BehaviourEvent},
};

/// Streams of our protocols with one peer, in both directions together.
const MAX_STREAMS_PER_PEER: usize = 16;

/// How long the system may take to tell which addresses a listener has.
const LISTEN_TIME: Duration = Duration::from_secs(5);

/// How long saying goodbye may take.
const GOODBYE_TIME: Duration = Duration::from_secs(2);

/// A permit to have one more stream with a peer, and where the stream will arrive.
type Opening = (
    OwnedSemaphorePermit,
    oneshot::Receiver<Result<Stream, Error>>,
);

/// What the node asks of its worker.
pub(crate) enum Command {
    Dial {
        address: Address,
        expected: Option<TransportKey>,
        reply: DialReply,
    },
    Open {
        peer: TransportKey,
        protocol: Protocol,
        reply: oneshot::Sender<Result<Opening, Error>>,
    },
    Disconnect {
        peer: TransportKey,
        reply: oneshot::Sender<()>,
    },
    Rediscover {
        reply: oneshot::Sender<()>,
    },
    Shutdown {
        reply: oneshot::Sender<()>,
    },
}

type DialReply = oneshot::Sender<Result<TransportKey, Error>>;

pub(crate) struct Worker {
    swarm: Swarm<Behaviour>,
    shared: Arc<Shared>,
    commands: mpsc::Receiver<Command>,
    events: mpsc::Sender<Event>,
    /// Whether an event was dropped since the last one that was delivered.
    missed: bool,
    listeners: HashMap<ListenerId, Address>,
    dials: HashMap<ConnectionId, (Address, DialReply)>,
    /// What is left of each connected peer's streams.
    slots: HashMap<PeerId, Arc<Semaphore>>,
}

impl Worker {
    /// Makes the swarm, and waits until each listener has its port.
    pub(crate) async fn start(
        config: &Config,
        shared: Arc<Shared>,
        commands: mpsc::Receiver<Command>,
        events: mpsc::Sender<Event>,
    ) -> Result<(Self, TransportKey), Error> {
        let (swarm, key) = swarm::build(config, shared.counters.clone())?;
        let mut worker = Self {
            swarm,
            shared,
            commands,
            events,
            missed: false,
            listeners: HashMap::new(),
            dials: HashMap::new(),
            slots: HashMap::new(),
        };
        worker.listen(&config.listen).await?;
        Ok((worker, key))
    }

    async fn listen(&mut self, addresses: &[Address]) -> Result<(), Error> {
        for address in addresses {
            let failed = |reason: String| Error::Listen {
                address: *address,
                reason,
            };
            let id = self
                .swarm
                .listen_on(address.to_multiaddr())
                .map_err(|error| failed(error.to_string()))?;
            self.listeners.insert(id, *address);
            let has_port = async {
                while !self
                    .shared
                    .state()
                    .listeners
                    .iter()
                    .any(|(known, _)| *known == id)
                {
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

    /// Runs until told to stop, or until the node is dropped.
    pub(crate) async fn run(mut self) {
        loop {
            tokio::select! {
                event = self.swarm.select_next_some() => self.on_swarm_event(event),
                command = self.commands.recv() => match command {
                    Some(Command::Shutdown { reply }) => {
                        reply.send(()).ok();
                        return self.say_goodbye().await;
                    }
                    Some(command) => self.on_command(command),
                    None => return,
                },
            }
        }
    }

    async fn say_goodbye(mut self) {
        for id in std::mem::take(&mut self.listeners).into_keys() {
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
    }

    /// Nobody waits for a reply whose receiver was dropped: the results of sending are ignored.
    fn on_command(&mut self, command: Command) {
        match command {
            Command::Dial {
                address,
                expected,
                reply,
            } => self.dial(address, expected, reply),
            Command::Open {
                peer,
                protocol,
                reply,
            } => {
                reply.send(self.open(&peer, protocol)).ok();
            }
            Command::Disconnect { peer, reply } => {
                if let Some(peer) = peer_of(&peer) {
                    self.swarm.disconnect_peer_id(peer).ok();
                }
                reply.send(()).ok();
            }
            Command::Rediscover { reply } => {
                if let Some(discovery) = self.swarm.behaviour_mut().discovery.as_mut() {
                    discovery.restart();
                }
                reply.send(()).ok();
            }
            Command::Shutdown { .. } => {}
        }
    }

    fn dial(&mut self, address: Address, expected: Option<TransportKey>, reply: DialReply) {
        let opts = match expected {
            None => DialOpts::unknown_peer_id()
                .address(address.to_multiaddr())
                .build(),
            Some(key) => match peer_of(&key) {
                // Nobody can prove a key that is none.
                None => {
                    reply.send(Err(Error::WrongKey(address))).ok();
                    return;
                }
                Some(peer) => DialOpts::peer_id(peer)
                    .condition(PeerCondition::Always)
                    .addresses(vec![address.to_multiaddr()])
                    .build(),
            },
        };
        let id = opts.connection_id();
        match self.swarm.dial(opts) {
            Ok(()) => {
                self.dials.insert(id, (address, reply));
            }
            Err(error) => {
                reply.send(Err(dial::reason(&error, address))).ok();
            }
        }
    }

    fn open(&mut self, key: &TransportKey, protocol: Protocol) -> Result<Opening, Error> {
        let peer = peer_of(key).ok_or(Error::NotConnected)?;
        let slots = self.slots.get(&peer).ok_or(Error::NotConnected)?;
        let slot = Arc::clone(slots)
            .try_acquire_owned()
            .map_err(|_| Error::TooMany)?;
        let (reply, stream) = oneshot::channel();
        self.swarm
            .behaviour_mut()
            .streams
            .open(peer, protocol, reply);
        Ok((slot, stream))
    }

    fn on_swarm_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::NewListenAddr {
                listener_id,
                address,
            } => {
                if let Some(address) = Address::from_multiaddr(&address) {
                    self.listening(listener_id, address);
                }
            }
            SwarmEvent::ListenerClosed {
                listener_id,
                reason,
                ..
            } => {
                log::warn!("stopped listening: {reason:?}");
                self.listeners.remove(&listener_id);
                self.shared
                    .state()
                    .listeners
                    .retain(|(known, _)| *known != listener_id);
            }
            SwarmEvent::ConnectionEstablished {
                peer_id,
                connection_id,
                ..
            } => {
                self.connected(peer_id, connection_id);
            }
            SwarmEvent::ConnectionClosed {
                peer_id,
                num_established: 0,
                cause,
                ..
            } => {
                log::debug!("connection closed: {cause:?}");
                self.slots.remove(&peer_id);
                if let Some(peer) = key_of(&peer_id) {
                    self.shared.state().connected.remove(&peer);
                    self.tell(Event::Disconnected { peer });
                }
            }
            SwarmEvent::OutgoingConnectionError {
                connection_id,
                error,
                ..
            } => {
                log::debug!("dial failed: {error}");
                if let Some((address, reply)) = self.dials.remove(&connection_id) {
                    reply.send(Err(dial::reason(&error, address))).ok();
                }
            }
            SwarmEvent::IncomingConnectionError { error, .. } => {
                log::debug!("incoming connection failed: {error}")
            }
            SwarmEvent::Behaviour(BehaviourEvent::Streams(incoming)) => self.incoming(incoming),
            SwarmEvent::Behaviour(BehaviourEvent::Discovery(event)) => self.discovery(event),
            _ => {}
        }
    }

    fn listening(&mut self, listener: ListenerId, address: Address) {
        if let Some(asked) = self.listeners.get(&listener) {
            let bound = Address::new(asked.ip(), address.port())
                .with_scope(asked.scope())
                .over(asked.transport());
            let mut state = self.shared.state();
            if !state.listeners.iter().any(|(known, _)| *known == listener) {
                state.listeners.push((listener, bound));
            }
        }
        self.tell(Event::Listening(address));
    }

    fn connected(&mut self, peer: PeerId, connection: ConnectionId) {
        // The gate lets nobody in without a key.
        let Some(key) = key_of(&peer) else { return };
        if let Entry::Vacant(slots) = self.slots.entry(peer) {
            slots.insert(Arc::new(Semaphore::new(MAX_STREAMS_PER_PEER)));
            self.shared.state().connected.insert(key);
            self.tell(Event::Connected { peer: key });
        }
        if let Some((_, reply)) = self.dials.remove(&connection)
            && reply.send(Ok(key)).is_err()
        {
            // Another address was faster, or the caller has given up. It is gone only when the other end agrees.
            self.swarm.behaviour_mut().streams.forget(&peer, connection);
            self.swarm.close_connection(connection);
        }
    }

    fn incoming(&mut self, incoming: Incoming) {
        let peer = incoming.peer;
        let slot = self
            .slots
            .get(&peer)
            .and_then(|slots| Arc::clone(slots).try_acquire_owned().ok());
        if let (Some(peer), Some(slot)) = (key_of(&peer), slot) {
            let frames = Frames::of_node(incoming.stream, self.shared.counters.clone(), slot);
            self.tell(Event::Incoming {
                peer,
                protocol: incoming.protocol,
                frames,
            });
        }
    }

    fn discovery(&mut self, change: Change) {
        let named = |(peer, address): (PeerId, Multiaddr)| {
            Some((key_of(&peer)?, Address::from_multiaddr(&address)?))
        };
        match change {
            Change::Found(found) => {
                let mut news: BTreeMap<TransportKey, Vec<Address>> = BTreeMap::new();
                for (peer, address) in found.into_iter().filter_map(named) {
                    if self.shared.state().remember(peer, address) {
                        news.entry(peer).or_default().push(address);
                    }
                }
                for (peer, addresses) in news {
                    self.tell(Event::Discovered { peer, addresses });
                }
            }
            Change::Lost(lost) => {
                for (peer, address) in lost.into_iter().filter_map(named) {
                    let gone = self.shared.state().forget(&peer, &address);
                    if gone {
                        self.tell(Event::Gone { peer });
                    }
                }
            }
            Change::Restarted => {
                let all = std::mem::take(&mut self.shared.state().discovered);
                for peer in all.into_keys() {
                    self.tell(Event::Gone { peer });
                }
            }
        }
    }

    /// Never waits: the swarm must go on while the application is busy, perhaps waiting for the swarm.
    fn tell(&mut self, event: Event) {
        if self.missed {
            self.missed = self.events.try_send(Event::Missed).is_err();
        }
        if !self.missed {
            self.missed = self.events.try_send(event).is_err();
        }
    }
}
