//! What tests of nodes wait for.

use std::time::Duration;

use tokio::time::timeout;
use twin_net::{Event, Events, Frames, Protocol, TransportKey};

/// Nothing should take this long; a test that waits longer has failed.
pub const LONG: Duration = Duration::from_secs(20);

/// The first event that is picked.
pub async fn next<T>(events: &mut Events, mut pick: impl FnMut(Event) -> Option<T>) -> T {
    let found = async {
        loop {
            if let Some(found) = pick(events.recv().await.expect("the node has stopped")) {
                return found;
            }
        }
    };
    timeout(LONG, found).await.expect("no such event")
}

/// The next stream that a peer has opened.
pub async fn incoming(events: &mut Events) -> (TransportKey, Protocol, Frames) {
    next(events, |event| match event {
        Event::Incoming {
            peer,
            protocol,
            frames,
        } => Some((peer, protocol, frames)),
        _ => None,
    })
    .await
}
