//! Content of files: chunks that somebody wants are asked for and given once there is nothing to say about records.
//!
//! ```text
//! both   Ask      at most 64 chunks that this side wants, and no more than 64 that are not answered; none: no more
//! both   Chunks   for each its bytes, or that it is not here
//! ```
//!
//! Each side *looks* for what it wants and asks as it goes; manifests that come name more, so it looks again until a look
//! brings nothing new. Then it says how much nobody here has. What has come is stored at once, so whoever is cut off
//! asks for the rest the next time. These frames are not counted and no digest knows of them: content is not what
//! makes two replicas equal.

use std::collections::{BTreeSet, VecDeque};

use twin_identity::id::DeviceId;
use twin_ops::file::{ChunkId, MAX_SEALED_CHUNK, MIN_SEALED_CHUNK};
use twin_ops::store::{ChunkName, MAX_ASKED, OpStore, Sought};

use super::error::SyncError;
use super::message::{Message, Piece};
use super::{BATCH, Phase, Session, Stay, SyncEvent};
use crate::machine::Millis;

/// How many may be unanswered when more are asked for: frames stay under way meanwhile.
const LOW: usize = MAX_ASKED / 2;
/// After how long it is looked again when another device was asked for what is missing.
const ELSEWHERE: Millis = 1_000;
/// The same when this peer had not got it: it may have got it since. Doubled each time, up to an hour.
const AGAIN: Millis = 60_000;
const LONGEST: Millis = 60 * 60_000;

/// What goes on about content in a session.
pub(super) struct Content<L> {
    /// Whether this side asks at all.
    pub asks: bool,
    look: Option<L>,
    /// What this look has come by.
    found: Sought,
    /// The store's mark when it was last looked.
    mark: Option<u64>,
    /// Asked for and not answered.
    asked: BTreeSet<ChunkName>,
    /// Whether anything has come since the look began.
    got: bool,
    /// Whether it has come to nothing more, and the application knows.
    concluded: bool,
    /// When to look again.
    again: Option<Millis>,
    pause: Millis,
    /// What the peer wants.
    to_give: VecDeque<ChunkName>,
    /// Whether this side, and the peer, have said that they want no more.
    said_all: bool,
    heard_all: bool,
    /// How many are missing, as the application was told, and whether any has come since.
    told: u64,
    came: bool,
}

impl<L> Default for Content<L> {
    fn default() -> Self {
        Self {
            asks: true,
            look: None,
            found: Sought::default(),
            mark: None,
            asked: BTreeSet::new(),
            got: false,
            concluded: false,
            again: None,
            pause: AGAIN,
            to_give: VecDeque::new(),
            said_all: false,
            heard_all: false,
            told: 0,
            came: false,
        }
    }
}

impl<L: Default> Content<L> {
    /// Whether both sides want no more.
    pub fn is_over(&self) -> bool {
        let said = self.said_all && self.concluded && self.again.is_none();
        said && self.heard_all && self.to_give.is_empty()
    }

    pub const fn deadline(&self) -> Option<Millis> {
        self.again
    }

    pub fn tick(&mut self, now: Millis) {
        if self.again.take_if(|again| *again <= now).is_some() && self.look.is_none() {
            self.begin();
        }
    }

    fn begin(&mut self) {
        self.look = Some(L::default());
        self.found = Sought::default();
        (self.got, self.concluded) = (false, false);
    }
}

impl<S: OpStore + ?Sized> Session<S> {
    /// The next frame about content, if there is nothing else to say.
    pub(super) fn next_of_content(
        &mut self,
        now: Millis,
        store: &mut S,
    ) -> Result<Option<Vec<u8>>, SyncError> {
        let Phase::Open(peer) = self.phase else {
            return Ok(None);
        };
        // Records first: nothing before the first digest has come, and nothing while the peer lacks any.
        if self.dirty || self.heard.is_none() || !self.linked(store) {
            return Ok(None);
        }
        if self.leaving.waits()
            && let Some(holds) = self.next_holds(store)?
        {
            return Ok(Some(holds.to_frame()));
        }
        let message = match self.next_ask(now, &peer, store)? {
            Some(ask) => Some(ask),
            None => self.next_gift(&peer, store)?,
        };
        Ok(message.map(|message| message.to_frame()))
    }

    fn next_ask(
        &mut self,
        now: Millis,
        peer: &DeviceId,
        store: &mut S,
    ) -> Result<Option<Message>, SyncError> {
        if self.content.asks && self.content.mark != Some(store.wanting()) {
            self.content.mark = Some(store.wanting());
            self.content.pause = AGAIN;
            self.content.begin();
        }
        loop {
            let content = &mut self.content;
            if let Some(look) = &mut content.look {
                if content.asked.len() > LOW {
                    return Ok(None);
                }
                let room = MAX_ASKED - content.asked.len();
                let sought = store.seek_chunks(now, look, peer, room);
                let Sought {
                    mut ask,
                    missing,
                    elsewhere,
                    over,
                } = sought.map_err(SyncError::store)?;
                content.found.missing = content.found.missing.saturating_add(missing);
                content.found.elsewhere += elsewhere;
                if over {
                    content.look = None;
                }
                ask.retain(|name| content.asked.insert(*name));
                if !ask.is_empty() {
                    content.said_all = false;
                    return Ok(Some(Message::Ask(ask)));
                }
                if !over {
                    // The store is others' in between.
                    content.again = Some(now);
                    return Ok(None);
                }
            }
            if !content.asked.is_empty() {
                return Ok(None);
            }
            if !content.got {
                break;
            }
            content.begin();
        }
        // With what has come all may be here, and who waits for that is not to go before it knows.
        if !self.content.concluded
            && let Some(holds) = self.next_holds(store)?
        {
            return Ok(Some(holds));
        }
        Ok(self.conclude(now))
    }

    /// Nothing more is to be had here for now.
    fn conclude(&mut self, now: Millis) -> Option<Message> {
        let content = &mut self.content;
        if std::mem::replace(&mut content.concluded, true) {
            return None;
        }
        let Sought {
            missing, elsewhere, ..
        } = content.found;
        if std::mem::take(&mut content.came) || missing != content.told {
            content.told = missing;
            self.events
                .push_back(SyncEvent::Wanting { chunks: missing });
        }
        if elsewhere > 0 {
            content.again = Some(now + ELSEWHERE);
        } else if missing > 0 && self.stay == Stay::Online {
            content.again = Some(now + content.pause);
            content.pause = (content.pause * 2).min(LONGEST);
        }
        let said = std::mem::replace(&mut content.said_all, true);
        (!said).then(|| Message::Ask(Vec::new()))
    }

    /// As many of the chunks that the peer waits for as go into one frame.
    fn next_gift(&mut self, peer: &DeviceId, store: &S) -> Result<Option<Message>, SyncError> {
        let (mut pieces, mut chunks, mut bytes) = (Vec::new(), 0, 0);
        while bytes < BATCH
            && let Some(name) = self.content.to_give.pop_front()
        {
            let sealed = store.chunk(peer, &name).map_err(SyncError::store)?;
            if let Some(sealed) = &sealed {
                chunks += 1;
                bytes += sealed.len();
            }
            pieces.push(Piece {
                space: name.space,
                id: name.id,
                sealed: sealed.map(Into::into),
            });
        }
        if chunks > 0 {
            self.tally.gave_content(bytes);
            self.events.push_back(SyncEvent::Gave { chunks, bytes });
        }
        Ok((!pieces.is_empty()).then_some(Message::Chunks(pieces)))
    }

    pub(super) fn on_ask(&mut self, names: Vec<ChunkName>) -> Result<(), SyncError> {
        if self.content.to_give.len() + names.len() > MAX_ASKED {
            return Err(SyncError::Content("it asked for too many chunks at once"));
        }
        self.content.heard_all = names.is_empty();
        self.content.to_give.extend(names);
        Ok(())
    }

    pub(super) fn on_chunks(
        &mut self,
        now: Millis,
        pieces: Vec<Piece>,
        store: &mut S,
    ) -> Result<(), SyncError> {
        let mut answers = Vec::with_capacity(pieces.len());
        for Piece { space, id, sealed } in pieces {
            let name = ChunkName { space, id };
            if !self.content.asked.remove(&name) {
                return Err(SyncError::Content("it sent a chunk that nobody asked for"));
            }
            let sealed: Option<Vec<u8>> = sealed.map(Into::into);
            if let Some(bytes) = &sealed {
                let fits = (MIN_SEALED_CHUNK..=MAX_SEALED_CHUNK).contains(&bytes.len());
                if !fits || ChunkId::of(bytes) != id {
                    return Err(SyncError::Content(
                        "the bytes of a chunk are not what was asked for",
                    ));
                }
            }
            answers.push((name, sealed));
        }
        let came = answers.iter().filter_map(|(_, sealed)| sealed.as_ref());
        let bytes = came.map(Vec::len).sum();
        let chunks = store.add_chunks(now, answers).map_err(SyncError::store)?;
        if chunks > 0 {
            (self.content.got, self.content.came) = (true, true);
            self.tally.took_content(bytes);
            self.events.push_back(SyncEvent::Content { chunks, bytes });
        }
        self.tell_progress(now, false, store)
    }
}
