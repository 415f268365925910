//! The twin's relays, while online: what waits there is read, what others lack is left there, and devices say where they
//! are.
//!
//! - `visit`: one connection to a relay's mailboxes

mod visit;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;
use twin_net::{Address, Node, RelayAddress, TransportKey};
use twin_sync::session::Stay;

use super::OnlineEvent;
use crate::error::Result;
use crate::twin::Twin;
use visit::Visitor;

/// The first and the longest pause before a relay is tried again.
const RETRY: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(5 * 60));
/// How many devices that were found may wait.
const FOUND: usize = 64;

/// Where another device says that it is.
pub(super) struct Found {
    /// Its key on the network.
    pub peer: TransportKey,
    /// Where it can be dialled.
    pub addresses: Vec<Address>,
    /// A relay that lets others through to it.
    pub relay: RelayAddress,
}

/// The relays in use. Dropping it leaves them.
pub(super) struct Relays {
    found: mpsc::Receiver<Found>,
    _visits: JoinSet<()>,
}

impl Relays {
    /// Begins with all relays of the twin.
    pub fn begin(
        twin: &Twin,
        node: &Arc<Node>,
        stay: Stay,
        out: &mpsc::Sender<OnlineEvent>,
    ) -> Result<Self> {
        let (sender, found) = mpsc::channel(FOUND);
        let mut visits = JoinSet::new();
        for relay in twin.relays()? {
            if stay == Stay::Online {
                node.use_relay(&relay)?;
            }
            let visitor = Visitor {
                twin: twin.clone(),
                node: Arc::clone(node),
                relay,
                stay,
                out: out.clone(),
                found: sender.clone(),
            };
            visits.spawn(keep_visiting(visitor));
        }
        Ok(Self {
            found,
            _visits: visits,
        })
    }

    /// The next device that says where it is; `None` when there are no relays, or each was visited or did not answer.
    /// Cancel safe.
    pub async fn found(&mut self) -> Option<Found> {
        self.found.recv().await
    }
}

/// Visits a relay, again when the connection has ended; once only if this is not to stay.
async fn keep_visiting(visitor: Visitor) {
    let (mut pause, mut told) = (RETRY.0, false);
    loop {
        let reached = AtomicBool::new(false);
        let ended = visitor.visit(&reached).await;
        if reached.into_inner() {
            // It was there: this is another time that it is not.
            (pause, told) = (RETRY.0, false);
        }
        match ended {
            Ok(visited) => {
                if visitor.stay == Stay::UntilInSync {
                    visitor.tell(OnlineEvent::Visited(visited)).await;
                    return;
                }
            }
            Err(error) => {
                log::info!("a relay was not reached, or the connection to it has ended: {error}");
                if !std::mem::replace(&mut told, true) {
                    visitor.complain(&error).await;
                }
                if visitor.stay == Stay::UntilInSync {
                    return;
                }
            }
        }
        sleep(pause).await;
        pause = (pause * 2).min(RETRY.1);
    }
}
