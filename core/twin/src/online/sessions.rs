//! The running sessions: at most one with each peer.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use tokio::sync::mpsc;
use tokio::task::{AbortHandle, Id};
use twin_identity::id::DeviceId;
use twin_net::TransportKey;
use twin_sync::session::Side;

use super::{EVENTS, OnlineEvent};

/// Which device is at the other end, once it has proved that: of a session, and of those that took its place.
pub(super) type Met = Arc<OnceLock<DeviceId>>;

/// All of them.
#[derive(Default)]
pub(super) struct Sessions(BTreeMap<TransportKey, Session>);

struct Session {
    side: Side,
    is_relayed: bool,
    task: AbortHandle,
    met: Met,
}

impl Sessions {
    /// Whether there is one with this peer.
    pub fn with(&self, peer: &TransportKey) -> bool {
        self.0.contains_key(peer)
    }

    /// Whether it is for this device to move the one with this peer to a direct way: it has begun it, through a relay.
    pub fn may_move(&self, peer: &TransportKey) -> bool {
        let session = self.0.get(peer);
        session.is_some_and(|session| session.is_relayed && session.side == Side::Initiator)
    }

    /// Makes room for a new one, if it is to be. Of two that both sides have begun at once, the one by the side with the
    /// lower key stays. Whoever begins another one has lost the first, which this side may not have noticed, or has found
    /// a better way.
    pub fn make_room(&self, me: TransportKey, peer: &TransportKey, side: Side) -> Option<Met> {
        let Some(running) = self.0.get(peer) else {
            return Some(Met::default());
        };
        let new_stays = (side == Side::Initiator) == (me < *peer);
        if running.side != side && !new_stays {
            return None;
        }
        running.task.abort();
        Some(Arc::clone(&running.met))
    }

    /// One has begun.
    pub fn began(
        &mut self,
        peer: TransportKey,
        side: Side,
        is_relayed: bool,
        task: AbortHandle,
        met: Met,
    ) {
        let session = Session {
            side,
            is_relayed,
            task,
            met,
        };
        self.0.insert(peer, session);
    }

    /// The task with this number has ended; which device it was with, or nothing if another has taken its place.
    pub fn ended(&mut self, peer: &TransportKey, task: Id) -> Option<Met> {
        if self.0.get(peer)?.task.id() != task {
            return None;
        }
        self.0.remove(peer).map(|session| session.met)
    }
}

/// Runs a session and passes on what it tells; takes down whom it meets.
pub(super) async fn noting<F: Future>(
    met: &Met,
    out: &mpsc::Sender<OnlineEvent>,
    session: impl FnOnce(mpsc::Sender<OnlineEvent>) -> F,
) -> F::Output {
    let (sender, mut told) = mpsc::channel(EVENTS);
    let pass_on = async {
        while let Some(event) = told.recv().await {
            if let OnlineEvent::Met(device) = event {
                // A peer that is another device now would be another peer.
                let _ = met.set(device);
            }
            // Nobody may be listening; that is no reason to stop.
            let _ = out.send(event).await;
        }
    };
    tokio::join!(session(sender), pass_on).0
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const LOW: TransportKey = TransportKey::from_bytes([1; 32]);
    const HIGH: TransportKey = TransportKey::from_bytes([2; 32]);

    fn task() -> tokio::task::JoinHandle<()> {
        tokio::spawn(std::future::pending())
    }

    #[tokio::test]
    async fn of_two_begun_at_once_the_lower_keys_stays() {
        use Side::{Initiator, Responder};
        for (me, peer, running, new, new_stays) in [
            (LOW, HIGH, Initiator, Responder, false),
            (LOW, HIGH, Responder, Initiator, true),
            (HIGH, LOW, Initiator, Responder, true),
            (HIGH, LOW, Responder, Initiator, false),
            // Another one by the same side.
            (LOW, HIGH, Initiator, Initiator, true),
            (HIGH, LOW, Responder, Responder, true),
        ] {
            let mut sessions = Sessions::default();
            let first = task();
            sessions.began(peer, running, true, first.abort_handle(), Met::default());
            assert_eq!(sessions.may_move(&peer), running == Initiator);
            let room = sessions.make_room(me, &peer, new);
            assert_eq!(room.is_some(), new_stays, "{running:?} {new:?}");
            if new_stays {
                assert!(first.await.unwrap_err().is_cancelled());
            } else {
                assert!(!first.is_finished());
            }
        }
    }

    #[tokio::test]
    async fn one_whose_place_was_taken_ends_unheard() {
        let mut sessions = Sessions::default();
        let (first, second) = (task().abort_handle(), task().abort_handle());
        let (gone, here) = (first.id(), second.id());
        sessions.began(HIGH, Side::Responder, false, first, Met::default());
        let met = sessions.make_room(LOW, &HIGH, Side::Responder).unwrap();
        sessions.began(HIGH, Side::Responder, false, second, met);
        assert!(sessions.ended(&HIGH, gone).is_none());
        assert!(sessions.with(&HIGH));
        assert!(sessions.ended(&HIGH, here).is_some());
        assert!(!sessions.with(&HIGH));
    }
}
