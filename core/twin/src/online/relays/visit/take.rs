//! Taking in what other devices have left.

use tokio::task::spawn_blocking;
use twin_sync::bundle::{self, BundleError, Received};

use super::erased::held;
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
            let mut vault = twin.vault();
            let received = bundle::take(&mut *vault, now, &content)?;
            Ok((received, bundle::inside(&*vault, &content)?))
        });
        match taken.await.map_err(|_| Error::Broken)? {
            Ok((received, inside)) => {
                let held = held(&self.visitor.twin.vault(), &inside)?;
                self.note_held(&post.address, post.number, held);
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
            // Perhaps its maker's fault, perhaps the disk's: it is asked for again the next time, and what lies behind it is
            // read.
            Err(BundleError::Store(error)) => {
                self.complain(&error).await?;
                return Ok(());
            }
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

    /// What came too early goes on from what is not here, and perhaps not at this relay: the others are told once what is
    /// here, so that they leave what is missing.
    pub(super) async fn note_early(&mut self) -> Result<()> {
        let early = u64::try_from(self.early.len()).unwrap_or(u64::MAX);
        if early == std::mem::replace(&mut self.used.early, early) || early == 0 {
            return Ok(());
        }
        self.owes_word = true;
        self.complain(&"what another device has left there goes on from what has not come here; that device hears of it, and leaves it again")
            .await
    }
}
