//! Taking in what other devices have left.

use super::erased::held;
use super::{Around, MAX_EARLY, News, Post, Result, Talk};
use crate::bundle::{self, BundleError, Received};

impl Talk {
    /// Takes in what another device has left. What cannot be taken is not asked for again, unless it has only come too
    /// early.
    pub(super) fn take<A: Around>(&mut self, post: Post, at: &A) -> Result<(), A> {
        let taken = bundle::take_noting(&mut *at.store(), at.now(), &post.content);
        match taken {
            Ok((received, inside)) => {
                let held = held::<A>(&at.store(), &inside)?;
                self.note_held(&post.address, post.number, held, at);
                self.took(&received, at);
                if received.changes > 0 {
                    // With new keys there may be new mailboxes.
                    self.open(at)?;
                }
                if received.early > 0 && self.early.len() < MAX_EARLY {
                    self.early.push_back(post);
                    return Ok(());
                }
            }
            // Perhaps its maker's fault, perhaps the disk's: it is asked for again the next time, and what lies behind it is
            // read.
            Err(BundleError::Store(error)) => {
                self.complain::<A>(&error)?;
                return Ok(());
            }
            Err(error) => log::info!("something that lies at a relay is passed over: {error}"),
        }
        at.desk().taken(&post.address, post.number);
        self.keep(&post.address, at)
    }

    fn took<A: Around>(&mut self, received: &Received, at: &A) {
        if received.new == 0 && received.changes == 0 {
            return;
        }
        self.owes_word = true;
        self.taken += received.new;
        at.tend();
        self.news.push_back(News::Received {
            by: received.by,
            ops: received.new,
        });
    }

    /// What came too early goes on from what is not here, and perhaps not at this relay: the others are told once what is
    /// here, so that they leave what is missing.
    pub(super) fn note_early<A: Around>(&mut self) -> Result<(), A> {
        let early = u64::try_from(self.early.len()).unwrap_or(u64::MAX);
        if early == std::mem::replace(&mut self.used.early, early) || early == 0 {
            return Ok(());
        }
        self.owes_word = true;
        self.complain::<A>(&"what another device has left there goes on from what has not come here; that device hears of it, and leaves it again")
    }
}
