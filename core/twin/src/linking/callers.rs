//! Callers that have not said a word yet: several are heard at once, so that those who say nothing keep nobody out.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;
use twin_net::{Event, Events, Frames, Protocol, TransportKey};

use crate::error::Result;

/// How long a caller may take for its first word.
const HELLO_TIME: Duration = Duration::from_secs(3);
/// How many callers are heard at once. Of more, the one that has said nothing for longest has to go: whoever means it says
/// its first word at once.
const MAX_CALLERS: usize = 16;

/// Whoever has said something: its key, what it says it over, and its first word.
pub(super) type Said = (TransportKey, Frames, Vec<u8>);

/// All who have called and said nothing yet.
#[derive(Default)]
pub(super) struct Callers {
    tasks: JoinSet<Option<Said>>,
    /// The oldest first.
    order: VecDeque<AbortHandle>,
}

impl Callers {
    /// Waits for the first word of anybody who calls.
    ///
    /// # Errors
    /// [`twin_net::Error::Stopped`] once nobody can call any more.
    pub async fn next(&mut self, events: &mut Events) -> Result<Said> {
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Some(Event::Incoming { peer, protocol: Protocol::Link, frames }) => {
                        self.hear(peer, frames);
                    }
                    Some(_) => {}
                    None => return Err(twin_net::Error::Stopped.into()),
                },
                Some(said) = self.tasks.join_next(), if !self.tasks.is_empty() => {
                    self.order.retain(|task| !task.is_finished());
                    if let Ok(Some(said)) = said {
                        return Ok(said);
                    }
                }
            }
        }
    }

    fn hear(&mut self, peer: TransportKey, mut frames: Frames) {
        self.order.retain(|task| !task.is_finished());
        if self.order.len() >= MAX_CALLERS
            && let Some(oldest) = self.order.pop_front()
        {
            oldest.abort();
        }
        let task = self.tasks.spawn(async move {
            let first = timeout(HELLO_TIME, frames.recv()).await;
            first.ok()?.ok()?.map(|first| (peer, frames, first))
        });
        self.order.push_back(task);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use twin_net::{Address, Config, Node, Reach};

    use super::*;

    async fn node(listen: &[&str]) -> (Node, Events) {
        let listen: Vec<Address> = listen.iter().map(|place| place.parse().unwrap()).collect();
        let config = Config {
            listen,
            mdns: false,
            reach: Reach::Any,
        };
        Node::start(config).await.unwrap()
    }

    /// One after the other, each of those who say nothing would be waited for as long as any caller is.
    #[tokio::test]
    async fn those_who_say_nothing_keep_nobody_out() {
        let (phone, mut events) = node(&["127.0.0.1:0"]).await;
        let mut callers = Callers::default();
        let mut silent = Vec::new();
        for _ in 0..3 {
            let (node, _events) = node(&[]).await;
            let peer = node.connect(&phone.addresses(), None).await.unwrap();
            let mut streams = Vec::new();
            for _ in 0..8 {
                streams.push(node.open(peer, Protocol::Link).await.unwrap());
            }
            silent.push((node, streams));
            // All of them have called before anybody else does.
            while callers.order.len() < (silent.len() * 8).min(MAX_CALLERS) {
                let event = events.recv().await.unwrap();
                if let Event::Incoming { peer, frames, .. } = event {
                    callers.hear(peer, frames);
                }
            }
        }
        let (node, _events) = node(&[]).await;
        let peer = node.connect(&phone.addresses(), None).await.unwrap();
        let mut frames = node.open(peer, Protocol::Link).await.unwrap();
        frames.send(b"a first word").await.unwrap();
        let said = timeout(HELLO_TIME, callers.next(&mut events)).await;
        let (who, _, word) = said.unwrap().unwrap();
        assert_eq!((who, &word[..]), (node.key(), &b"a first word"[..]));
        assert!(callers.order.len() <= MAX_CALLERS);
    }
}
