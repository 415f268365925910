//! Asking anew for a direct way to peers that were reached through a relay, and are still.
//!
//! libp2p's DCUtR tries three times when a circuit comes up, and never again as long as that lasts. It may have come too
//! early, before both ends knew how they look from outside, or on a bad moment of a busy network; so the end that has
//! opened the circuit opens another one now and then, over which both try again. Where routers let nothing through it is
//! given up after a while: a circuit lasts an hour, and there is another attempt with the next.

use std::{collections::HashMap, time::Duration};

use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use libp2p::{
    Multiaddr, PeerId,
    core::ConnectedPoint,
    swarm::{
        ConnectionId,
        dial_opts::{DialOpts, PeerCondition},
    },
};
use tokio::time::sleep;

use super::Worker;

/// How long after a circuit has come up the next one is opened; from then on twice as long each time. Three attempts that
/// nobody answers are over by then.
const WAIT: Duration = Duration::from_secs(30);
/// How many times it is tried again.
const MOST: u32 = 5;

/// The peers that this node has reached through relays.
#[derive(Default)]
pub(super) struct Punches {
    /// How each is reached.
    circuits: HashMap<PeerId, Multiaddr>,
    /// Whom it is time to try again, and how many times that was done before.
    due: FuturesUnordered<BoxFuture<'static, (PeerId, u32)>>,
}

impl Punches {
    /// A connection has come up. Only the end that opened a circuit does anything.
    pub(super) fn connected(&mut self, peer: PeerId, endpoint: &ConnectedPoint) {
        if let ConnectedPoint::Dialer { address, .. } = endpoint
            && endpoint.is_relayed()
            && self.circuits.insert(peer, address.clone()).is_none()
        {
            self.wait_for(peer, 0);
        }
    }

    /// Nothing connects the peer any more.
    pub(super) fn disconnected(&mut self, peer: &PeerId) {
        self.circuits.remove(peer);
    }

    /// The next peer to try again, and how many times that was done before; `None` if there is none.
    pub(super) async fn next(&mut self) -> Option<(PeerId, u32)> {
        self.due.next().await
    }

    fn wait_for(&self, peer: PeerId, done: u32) {
        let wait = WAIT * 2_u32.saturating_pow(done);
        self.due
            .push(sleep(wait).map(move |()| (peer, done)).boxed());
    }
}

impl Worker {
    /// Opens another circuit to a peer that there is still no direct way to, and closes those on which nothing goes on.
    pub(super) fn punch_again(&mut self, peer: PeerId, done: u32) {
        let of_peer = self.connections.iter();
        let of_peer = of_peer.filter(|(_, connection)| connection.peer == peer);
        let (mut idle, mut is_used, mut is_direct) = (Vec::<ConnectionId>::new(), false, false);
        for (id, connection) in of_peer {
            is_direct |= !connection.is_relayed;
            if connection.needs.is_closed() {
                idle.push(*id);
            } else {
                is_used = true;
            }
        }
        let Some(circuit) = self.punches.circuits.get(&peer).cloned() else {
            return;
        };
        if is_direct {
            self.punches.disconnected(&peer);
            return;
        }
        if is_used {
            for id in idle {
                self.hang_up(&peer, id);
            }
        }
        if done == MOST {
            return;
        }
        if is_used {
            let again = DialOpts::peer_id(peer).addresses(vec![circuit]);
            let again = again.condition(PeerCondition::Always).build();
            if let Err(error) = self.swarm.dial(again) {
                log::debug!("no other circuit was opened: {error}");
            }
        }
        self.punches.wait_for(peer, done + 1);
    }
}
