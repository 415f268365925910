//! Finding devices on the local network by mDNS, as libp2p does it.
//!
//! libp2p's mDNS behaviour leaves its per-interface tasks running, and answering, when it is dropped, and keeps
//! every peer it is told of. So it runs its tasks on a small runtime of its own, which ends with it, and it is
//! started afresh, which asks everybody anew, when an interface has come up and when it has heard of too many peers.
//!
//! Asking costs each device a packet, so it is rare while nothing happens. Whoever has lost a device asks anew, at once and
//! then after 1, 2, 4 seconds and so on until somebody answers: one that was cut off is found again within about the time
//! that it was away.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use libp2p::{
    Multiaddr, PeerId,
    core::{
        Endpoint,
        transport::{ListenerId, PortUse},
    },
    mdns,
    swarm::{
        ConnectionDenied, ConnectionId, ExpiredListenAddr, FromSwarm, ListenAddresses,
        NetworkBehaviour, NewListenAddr, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
        dummy,
    },
};
use tokio::{
    runtime::{Builder, Runtime},
    time::{Instant, Sleep, sleep},
};

use crate::address::is_relayed;

/// How often to ask who is there, at most (an answer to another's question on the same network counts).
const ASK_EVERY: Duration = Duration::from_secs(300);

/// How long an answer is good for; a device that left is forgotten after this time.
const VALID_FOR: Duration = Duration::from_secs(720);

/// How long the questions that follow a start make another start needless.
const ASKING: Duration = Duration::from_secs(30);

/// How many (peer, address) pairs are remembered before starting afresh.
const MAX_KNOWN: usize = 1024;

/// How long to wait for further addresses after one has come up.
const SETTLING: Duration = Duration::from_millis(300);

/// What has become known.
#[derive(Debug)]
pub(crate) enum Change {
    /// These peers say they are there.
    Found(Vec<(PeerId, Multiaddr)>),
    /// These have not been heard of for [`VALID_FOR`].
    Lost(Vec<(PeerId, Multiaddr)>),
    /// All that was known is to be forgotten; who is there will be found again.
    Restarted,
}

/// mDNS with a beginning and an end.
pub(crate) struct Discovery {
    me: PeerId,
    listening: ListenAddresses,
    mdns: mdns::tokio::Behaviour,
    /// Where the tasks of `mdns` live; `Some` until dropped.
    tasks: Option<Runtime>,
    started: Instant,
    /// Set when an interface has come up: when to ask anew.
    restart_at: Option<Pin<Box<Sleep>>>,
    restarted: bool,
}

impl Discovery {
    pub(crate) fn new(me: PeerId) -> io::Result<Self> {
        let (mdns, tasks) = start(me)?;
        Ok(Self {
            me,
            listening: ListenAddresses::default(),
            mdns,
            tasks: Some(tasks),
            started: Instant::now(),
            restart_at: None,
            restarted: false,
        })
    }

    /// Forgets everybody and asks anew on every interface, as at the start.
    pub(crate) fn restart(&mut self) {
        self.restart_at = None;
        match start(self.me) {
            Ok((mdns, tasks)) => {
                self.mdns = mdns;
                if let Some(old) = self.tasks.replace(tasks) {
                    old.shutdown_background();
                }
                for addr in self.listening.iter() {
                    let listener_id = ListenerId::next();
                    let event = FromSwarm::NewListenAddr(NewListenAddr { listener_id, addr });
                    self.mdns.on_swarm_event(event);
                }
                self.started = Instant::now();
                self.restarted = true;
            }
            Err(error) => log::warn!("discovery on the local network goes on as it was: {error}"),
        }
    }

    /// A device of this network has vanished: asks anew, unless that is being done already.
    pub(crate) fn has_lost_one(&mut self) {
        if self.started.elapsed() > ASKING {
            self.restart();
        }
    }

    /// Whether it is time to start afresh.
    fn poll_restart(&mut self, cx: &mut Context<'_>) -> bool {
        let settled = self
            .restart_at
            .as_mut()
            .is_some_and(|at| at.as_mut().poll(cx).is_ready());
        settled || self.mdns.discovered_nodes().len() > MAX_KNOWN
    }
}

fn start(me: PeerId) -> io::Result<(mdns::tokio::Behaviour, Runtime)> {
    let tasks = Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("twin-mdns")
        .enable_all()
        .build()?;
    let config = mdns::Config {
        ttl: VALID_FOR,
        query_interval: ASK_EVERY,
        enable_ipv6: false,
    };
    let mdns = {
        let _inside = tasks.enter();
        mdns::tokio::Behaviour::new(config, me)?
    };
    Ok((mdns, tasks))
}

impl Drop for Discovery {
    fn drop(&mut self) {
        if let Some(tasks) = self.tasks.take() {
            tasks.shutdown_background();
        }
    }
}

impl NetworkBehaviour for Discovery {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Change;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        // Which relay this node uses is not to be announced to everybody around.
        if let FromSwarm::NewListenAddr(NewListenAddr { addr, .. })
        | FromSwarm::ExpiredListenAddr(ExpiredListenAddr { addr, .. }) = &event
            && is_relayed(addr)
        {
            return;
        }
        // The addresses that come up right after the start are part of it.
        let is_news = self.listening.on_swarm_event(&event);
        if is_news
            && matches!(event, FromSwarm::NewListenAddr(_))
            && self.started.elapsed() > SETTLING
        {
            self.restart_at = Some(Box::pin(sleep(SETTLING)));
        }
        self.mdns.on_swarm_event(event);
    }

    fn on_connection_handler_event(
        &mut self,
        _: PeerId,
        _: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {}
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        if self.poll_restart(cx) {
            self.restart();
        }
        if std::mem::take(&mut self.restarted) {
            return Poll::Ready(ToSwarm::GenerateEvent(Change::Restarted));
        }
        // New interfaces get their tasks from inside this call.
        let _inside = self.tasks.as_ref().map(Runtime::enter);
        self.mdns.poll(cx).map(|to_swarm| {
            to_swarm.map_out(|event| match event {
                mdns::Event::Discovered(found) => Change::Found(found),
                mdns::Event::Expired(lost) => Change::Lost(lost),
            })
        })
    }
}
