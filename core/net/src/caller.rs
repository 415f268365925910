//! Asking a node's worker for something, from anywhere.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use twin_sync::TransportKey;

use crate::{
    Address, Error, Frames, Protocol, Reach, RelayAddress,
    dial::{self, Target},
    links::{self, Links},
    state::Shared,
    worker::{Command, Held, Opening},
};

/// How long one attempt to connect, to open a stream, or to be let in by a relay may take.
pub const CONNECT_TIME: Duration = Duration::from_secs(10);

/// How many of the given addresses (and, for link-local ones, interfaces) are tried.
const MAX_ROUTES: usize = 24;

/// One end of the channel to the worker, and what both see.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) shared: Arc<Shared>,
    pub(crate) commands: mpsc::Sender<Command>,
}

impl Caller {
    /// See [`crate::Node::connect`].
    pub(crate) async fn connect(
        &self,
        addresses: &[Address],
        expected: Option<TransportKey>,
    ) -> Result<TransportKey, Error> {
        if let Some(key) = expected.filter(|key| self.is_connected(key)) {
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
        let dial = |address| self.dial(Target::Direct(address), expected);
        timeout(CONNECT_TIME, dial::first_of(&routes, dial))
            .await
            .map_err(|_| Error::TimedOut)?
    }

    /// See [`crate::Node::connect_through`].
    pub(crate) async fn connect_through(
        &self,
        relay: &RelayAddress,
        peer: TransportKey,
    ) -> Result<(), Error> {
        if self.is_connected(&peer) {
            return Ok(());
        }
        let address = self.meet(relay).await?;
        let key = relay.key();
        let dial = self.dial(Target::Circuit(address, key), Some(peer));
        timeout(CONNECT_TIME, dial)
            .await
            .map_err(|_| Error::TimedOut)?
            .map(|_| ())
    }

    /// Asks a relay to let others through to this node, and tells when that is over.
    pub(crate) async fn reserve(&self, relay: &RelayAddress) -> Result<Held, Error> {
        let address = self.meet(relay).await?;
        let reserve = self.ask(|reply| Command::Reserve {
            relay: relay.key(),
            address,
            reply,
        });
        timeout(CONNECT_TIME, reserve)
            .await
            .map_err(|_| Error::TimedOut)??
    }

    /// Connects to a relay, which may then tell this node how it looks from outside; one of its addresses.
    async fn meet(&self, relay: &RelayAddress) -> Result<Address, Error> {
        if self.shared.reach == Reach::OnLinkOnly {
            return Err(Error::NotOnLink);
        }
        let key = relay.key();
        self.ask(|reply| Command::Trust { relay: key, reply })
            .await??;
        let addresses = relay.resolve().await?;
        self.connect(&addresses, Some(key)).await?;
        addresses.first().copied().ok_or(Error::NoAddress)
    }

    async fn dial(
        &self,
        target: Target,
        expected: Option<TransportKey>,
    ) -> Result<TransportKey, Error> {
        self.ask(|reply| Command::Dial {
            target,
            expected,
            reply,
        })
        .await?
    }

    /// See [`crate::Node::open`].
    pub(crate) async fn open(
        &self,
        peer: TransportKey,
        protocol: Protocol,
    ) -> Result<Frames, Error> {
        let opening = async {
            let mut broken = Vec::new();
            loop {
                let without = broken.clone();
                let Opening {
                    connection,
                    place,
                    stream,
                } = self
                    .ask(|reply| Command::Open {
                        peer,
                        protocol,
                        without,
                        reply,
                    })
                    .await??;
                match stream.await.unwrap_or(Err(Error::NotConnected)) {
                    // That connection has ended at this moment; there may be another.
                    Err(Error::NotConnected) => broken.push(connection),
                    stream => {
                        let counters = self.shared.counters.clone();
                        return Ok(Frames::of_node(stream?, counters, place));
                    }
                }
            }
        };
        timeout(CONNECT_TIME, opening)
            .await
            .map_err(|_| Error::TimedOut)?
    }

    fn is_connected(&self, peer: &TransportKey) -> bool {
        self.shared.state().connected.contains(peer)
    }

    pub(crate) async fn ask<T>(
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
