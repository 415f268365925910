//! Linking: [`NewDevice`] on the device that joins or recovers, [`Twin::link_accept`](crate::Twin::link_accept) and
//! [`Twin::recovery_help`](crate::Twin::recovery_help) on the one that is in already. From afar:
//! [`Twin::link_invite`](crate::Twin::link_invite) there, and [`NewDevice::join`].

mod afar;
mod callers;
mod nameplate;
mod new_device;
mod phone;

use std::time::Duration;

use tokio::time::timeout;
use twin_net::{Frames, Node, Traffic, TransportKey};
use twin_sync::link::{Abort, abort};
use twin_sync::session::{Side, Stay};

use crate::error::{Error, Result};
use crate::sync::{self, Meeting};
use crate::twin::Twin;

pub use afar::{AFAR_WARNING, PhoneAt, ShownPasscode};
pub use new_device::{Invitation, NewDevice};
pub use phone::{MAX_DAYS, PendingLink};

/// How long the other machine may take for one answer.
const ANSWER_TIME: Duration = Duration::from_secs(15);
/// How long the person may take to type what is asked for there.
const PERSON_TIME: Duration = Duration::from_secs(180);

/// The connection of a link, on either side.
struct Link {
    node: Node,
    frames: Frames,
}

impl Link {
    async fn send(&mut self, frame: &[u8]) -> Result<()> {
        Ok(self.frames.send(frame).await?)
    }

    /// What the other machine answers by itself.
    async fn answer(&mut self) -> Result<Vec<u8>> {
        self.answer_within(ANSWER_TIME).await
    }

    /// What the other machine answers once its person has done something.
    async fn answer_of_person(&mut self) -> Result<Vec<u8>> {
        self.answer_within(PERSON_TIME).await
    }

    async fn answer_within(&mut self, time: Duration) -> Result<Vec<u8>> {
        timeout(time, self.frames.recv())
            .await
            .map_err(|_| Error::TooSlow)??
            .ok_or(Error::HungUp)
    }

    /// Syncs with the other side for the first time, over a stream of its own.
    async fn sync(
        &self,
        twin: &Twin,
        side: Side,
        peer: TransportKey,
        stream: Frames,
    ) -> Result<()> {
        let meeting = Meeting {
            side,
            me: self.node.key(),
            peer,
            stay: Stay::UntilInSync,
            // Nobody stands before two devices until all photos have come.
            content: false,
        };
        sync::run_to_end(twin, meeting, stream).await
    }

    /// The link has come to nothing: tells the other side by a last frame, and waits until it was read.
    async fn give_up(mut self, last: &[u8]) {
        // What the other side cannot be told, it sees by the end of the connection.
        let _ = self.frames.send(last).await;
        self.close().await;
    }

    async fn close(self) {
        let _ = self.frames.finish().await;
        self.node.shutdown().await;
    }

    /// Before this device has said or stored anything that counts: an error ends the link for both sides.
    async fn or_give_up<T>(self, outcome: Result<T>) -> Result<(Self, T)> {
        match outcome {
            Ok(done) => Ok((self, done)),
            Err(error) => {
                self.give_up(&abort(Abort::Failed)).await;
                Err(error)
            }
        }
    }

    /// After this device has said or stored what counts: an error leaves something to be done by a later sync.
    async fn end<T>(self, finished: Result<()>, done: T) -> Result<(T, Traffic)> {
        let traffic = self.node.traffic();
        self.close().await;
        match finished {
            Ok(()) => Ok((done, traffic)),
            Err(error) => Err(Error::LinkedButUnfinished(error.to_string())),
        }
    }
}
