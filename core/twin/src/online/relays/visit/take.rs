//! Taking in what other devices have left.

use tokio::task::spawn_blocking;
use twin_sync::bundle::{self, BundleError, Received};

use super::{MAX_EARLY, Post, Talk};
use crate::error::{Error, Result};
use crate::online::OnlineEvent;
use crate::sync;

impl Talk<'_> {
    /// Takes in what another device has left. What cannot be taken is not asked for again, unless it has only come too
    /// early.
    pub(super) async fn take(&mut self, post: Post) -> Result<()> {
        let twin = self.visitor.twin.clone();
        let content = post.content.clone();
        let taken = spawn_blocking(move || {
            let now = twin.now();
            bundle::take(&mut *twin.vault(), now, &content)
        });
        match taken.await.map_err(|_| Error::Broken)? {
            Ok(received) => {
                self.took(&received).await;
                if received.changes > 0 {
                    // With new keys there may be new mailboxes.
                    self.open()?;
                }
                if received.early > 0 && self.early.len() < MAX_EARLY {
                    self.early.push_back(post);
                    return Ok(());
                }
            }
            Err(BundleError::Store(error)) => return Err(BundleError::Store(error).into()),
            Err(error) => log::info!("something that lies at a relay is passed over: {error}"),
        }
        self.conversation.desk().taken(&post.address, post.number);
        self.keep(&post.address)
    }

    pub(super) async fn took(&mut self, received: &Received) {
        if received.new == 0 && received.changes == 0 {
            return;
        }
        self.owes_word = true;
        self.visited.taken += received.new;
        let twin = &self.visitor.twin;
        twin.notify();
        sync::tend(twin);
        let ops = usize::try_from(received.new).unwrap_or(usize::MAX);
        let device = received.by;
        self.visitor
            .tell(OnlineEvent::Received { device, ops })
            .await;
    }
}
