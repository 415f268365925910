//! Sync: how two replicas of one twin become equal.
//!
//! ```text
//! both   Hello, Proof, Device      see handshake
//! both   Digest                    equal: done
//! both   LogTable, Table           what each side has, in short: O(devices) bytes, whatever the number of records
//! both   Entries, Grants, Ops      what the other lacks, both ways at once, in this order
//! both   Wants, Holes              before a Digest, if there are: keys that this side should have been given, and ops
//!                                  that it has not got all of the content of
//! both   Digest                    nothing more to send; equal: in sync; else what each side has once more, in whole
//! one    AskLinks, the other Links if a log of its own device goes on differently there: where it begins to
//! both   Ask, Chunks               content of files that somebody wants, whenever there is nothing else to send
//! ```
//!
//! The session may then stay open: whatever changes here is sent at once, and a `Digest` follows. A session that is
//! cut leaves what was taken over; the next one goes on from there, because heights say how far each log got.
//!
//! - [`handshake`], `naming`: who may talk; `message`: the frames
//! - `exchange`: what is done with each frame; `replica`, `peer`: what we have, what the other lacks
//! - `selection`: which spaces both keep; `leaving`: those that one is to leave
//! - `pieces`: long ops, of which what has come is kept
//! - `short`: tables by the beginnings of hashes
//! - `branches`: logs of this device that go on differently at the peer
//! - `chunks`: content of files

mod branches;
mod chunks;
mod difference;
mod error;
mod exchange;
pub mod handshake;
mod leaving;
pub(crate) mod message;
mod naming;
pub(crate) mod peer;
mod pieces;
mod progress;
pub(crate) mod replica;
mod selection;
pub(crate) mod short;

use std::collections::{BTreeSet, VecDeque};
use std::marker::PhantomData;

use rand_core::CryptoRng;
use twin_identity::id::DeviceId;
use twin_ops::op::LogId;
use twin_ops::space::SpaceId;
use twin_ops::store::{Hole, MAX_WANTS, OpStore, Want};

pub use difference::Difference;
pub use error::SyncError;
pub use handshake::Side;
pub use progress::{Amount, Progress};

use crate::machine::{Machine, Millis};
use crate::transport::TransportKey;
use branches::Branches;
use chunks::Content;
use handshake::Handshake;
use leaving::Leaving;
use message::{Hello, Message};
use peer::Peer;
use pieces::InPieces;
use progress::Tally;
use short::Form;

const SYNC_VERSION: u8 = 1;
/// How long a peer may take to prove itself, in milliseconds.
const HANDSHAKE_LIFE: Millis = 15_000;
/// How many bytes of entries, grants or ops go into one frame, unless a single one is longer.
pub(crate) const BATCH: usize = 256 << 10;

/// What a session tells the application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SyncEvent {
    /// The other side is this device of the twin.
    Met(DeviceId),
    /// New entries, grants or ops were taken over: so many ops.
    Received {
        /// Ops that were new.
        ops: usize,
    },
    /// Ops were sent.
    Sent {
        /// How many.
        ops: usize,
    },
    /// Content of files has come.
    Content {
        /// How many chunks that were wanted.
        chunks: usize,
        /// Their bytes, as they were sent.
        bytes: usize,
    },
    /// Content of files was sent.
    Gave {
        /// How many chunks.
        chunks: usize,
        /// Their bytes.
        bytes: usize,
    },
    /// So many chunks of files are still wanted, and the peer has not got them. Told when some have come, or when the
    /// number has changed.
    Wanting {
        /// How many, counting all that a missing one names.
        chunks: u64,
    },
    /// How far it has come: at most four times a second, and before [`SyncEvent::InSync`] and [`SyncEvent::Stuck`].
    Progress(Progress),
    /// Both replicas have this digest (see [`digest`]); [`SyncEvent::InSync`] follows.
    Equal([u8; 32]),
    /// Both replicas are equal.
    InSync,
    /// In what the replicas differ; [`SyncEvent::Stuck`] follows.
    Differs(Difference),
    /// The replicas differ and neither side has anything to send.
    Stuck,
    /// A log goes on differently here and there: its device was copied or restored.
    Forked(LogId),
    /// A log of this very device goes on differently there after so many ops: it was copied, or set back to an older
    /// state. The store was told ([`OpStore::branched`]); what was written here is kept.
    Branched {
        /// The log.
        log: LogId,
        /// How many ops both have in common.
        common: u64,
    },
    /// This replica cannot take what the peer has of a log: a limit is reached, or it is of a newer version.
    PassedOver(LogId),
}

/// Whether to stay once both replicas are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stay {
    /// End the session.
    UntilInSync,
    /// Go on and send every change at once.
    Online,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Hello,
    Proof,
    Tags,
    Device,
    /// No tag was known.
    Name,
    /// The peer has named itself, and we may know it.
    Answer(Option<DeviceId>),
    Open(DeviceId),
}

/// A sync session with one peer.
pub struct Session<S: OpStore + ?Sized> {
    phase: Phase,
    handshake: Handshake,
    stay: Stay,
    deadline: Option<Millis>,
    outbox: VecDeque<Vec<u8>>,
    events: VecDeque<SyncEvent>,
    peer: Peer,
    /// In which form this side has listed what it has, if it has.
    tables: Option<Form>,
    /// Whether grants and logs were among it.
    table_sent: bool,
    /// Whether what both have of a space is to be listed that they both keep again.
    hears_anew: bool,
    /// The spaces that this device does not keep, as the peer was told.
    not_kept_here: BTreeSet<SpaceId>,
    /// Those that the peer does not keep, by its word.
    not_kept_there: Option<BTreeSet<SpaceId>>,
    leaving: Leaving,
    /// Whether anything has come of the last exchange of tables.
    progress: bool,
    /// Whether there may be something that the peer lacks.
    dirty: bool,
    /// Whether keys may be lacking that the peer was not asked for.
    wanting: bool,
    /// The keys that it was asked for.
    wanted: BTreeSet<Want>,
    /// The ops that it was asked for the content of.
    holes: BTreeSet<Hole>,
    /// The ops that it has asked for the content of.
    to_fill: BTreeSet<Hole>,
    sent: u64,
    received: u64,
    announced: Option<[u8; 32]>,
    heard: Option<[u8; 32]>,
    /// What both last had, as the application was told.
    agreed: Option<[u8; 32]>,
    content: Content<S::Look>,
    side: Side,
    branches: Branches,
    /// The logs of this device that were found to go on differently there, and after how many ops.
    found: Vec<(LogId, u64)>,
    tally: Tally,
    pieces: InPieces,
    store: PhantomData<fn(&mut S)>,
}

impl<S: OpStore + ?Sized> Session<S> {
    /// Begins a session over a connection from `me` to `peer`.
    pub fn new(
        side: Side,
        me: TransportKey,
        peer: TransportKey,
        stay: Stay,
        now: Millis,
        rng: &mut impl CryptoRng,
    ) -> Self {
        let handshake = Handshake::new(side, me, peer, rng);
        let hello = Message::Hello(Hello {
            version: SYNC_VERSION,
            nonce: handshake.my_nonce(),
        });
        Self {
            phase: Phase::Hello,
            handshake,
            stay,
            deadline: Some(now + HANDSHAKE_LIFE),
            outbox: VecDeque::from([hello.to_frame()]),
            events: VecDeque::new(),
            peer: Peer::default(),
            tables: None,
            table_sent: false,
            hears_anew: false,
            not_kept_here: BTreeSet::new(),
            not_kept_there: None,
            leaving: Leaving::default(),
            progress: false,
            dirty: false,
            wanting: true,
            wanted: BTreeSet::new(),
            holes: BTreeSet::new(),
            to_fill: BTreeSet::new(),
            sent: 0,
            received: 0,
            announced: None,
            heard: None,
            agreed: None,
            content: Content::default(),
            side,
            branches: Branches::default(),
            found: Vec::new(),
            tally: Tally::default(),
            pieces: InPieces::default(),
            store: PhantomData,
        }
    }

    /// The same session, in which this side asks for no content of files: it comes later.
    #[must_use]
    pub fn records_only(mut self) -> Self {
        self.content.asks = false;
        self
    }

    /// The device at the other end, once it has proved itself.
    pub fn device(&self) -> Option<DeviceId> {
        match self.phase {
            Phase::Open(device) => Some(device),
            _ => None,
        }
    }

    /// Whether the last digests of both sides are equal.
    pub fn is_in_sync(&self) -> bool {
        #[cfg(twin_break)]
        if twin_identity::broken::is("digests_not_compared") {
            return !self.dirty && self.heard.is_some() && self.announced.is_some();
        }
        !self.dirty && self.heard.is_some() && self.heard == self.announced
    }

    fn push(&mut self, message: &Message) {
        if self.is_counted(message) {
            self.sent += 1;
        }
        self.outbox.push_back(message.to_frame());
    }

    /// Both sides count the frames that can change what the other has to say of its replica: all after the handshake
    /// but digests, which may cross, and what is about content or about leaving spaces.
    fn is_counted(&self, message: &Message) -> bool {
        matches!(self.phase, Phase::Open(_))
            && !matches!(
                message,
                Message::Digest(_)
                    | Message::Ask(_)
                    | Message::Chunks(_)
                    | Message::Leaving(_)
                    | Message::Holds(_)
            )
    }

    /// A peer that is removed or suspended while a session goes on hears no more from then on. One that was never in may
    /// come in by entries that are still to come.
    fn end_if_out(&self, store: &S) -> Result<(), SyncError> {
        match self.device() {
            Some(device) if is_out(store, &device) => Err(SyncError::NotLinked),
            _ => Ok(()),
        }
    }

    /// The peer, if it is in our identity log.
    fn linked(&self, store: &S) -> bool {
        #[cfg(twin_break)]
        if twin_identity::broken::is("sync_membership_unchecked") {
            return self.device().is_some();
        }
        self.device().is_some_and(|device| store.admits(&device))
    }
}

/// One digest over all that counts in a replica: equal digests, equal replicas.
///
/// # Errors
/// If the store cannot be read.
pub fn digest<S: OpStore + ?Sized>(store: &S) -> Result<[u8; 32], SyncError> {
    replica::digest(store, &BTreeSet::new())
}

/// The same over all that both this device and another keep, as far as is known here: what the two compare.
///
/// # Errors
/// If the store cannot be read.
pub fn digest_with<S: OpStore + ?Sized>(
    store: &S,
    device: &DeviceId,
) -> Result<[u8; 32], SyncError> {
    replica::digest(store, &replica::apart(store, store.unselected(device)))
}

/// Whether bytes are one message of this protocol, and what writing it gives: what a session asks first of every frame, for
/// fuzzers.
pub fn is_message(frame: &[u8]) -> bool {
    Message::from_frame(frame).is_ok_and(|message| message.to_frame() == frame)
}

/// Whether a device was in and is not any more, or is suspended.
pub(crate) fn is_out<S: OpStore + ?Sized>(store: &S, device: &DeviceId) -> bool {
    #[cfg(twin_break)]
    if twin_identity::broken::is("sync_membership_unchecked") {
        return false;
    }
    store.identity().role_once(device).is_some() && !store.admits(device)
}

impl<S: OpStore + ?Sized> Machine for Session<S> {
    type Store = S;
    type Event = SyncEvent;
    type Error = SyncError;

    fn receive(&mut self, now: Millis, frame: &[u8], store: &mut S) -> Result<(), SyncError> {
        self.end_if_out(store)?;
        self.see_selection(store)?;
        let message = Message::from_frame(frame)?;
        if self.is_counted(&message) {
            self.received += 1;
        }
        self.on_first_word(&message, store)?;
        let owned = |list: Vec<minicbor::bytes::ByteVec>| -> Vec<Vec<u8>> {
            list.into_iter().map(Into::into).collect()
        };
        match (self.phase, message) {
            (Phase::Hello, Message::Hello(hello)) => self.on_hello(&hello, store),
            (Phase::Proof, Message::Proof(proof)) => self.on_proof(&proof, store),
            (Phase::Tags, Message::Tags(tags)) => self.on_tags(&tags, store),
            (Phase::Device, Message::Device(device)) => self.on_device(&device, store),
            // It has found a tag of its own among ours, and there is none of ours among its.
            (Phase::Name, Message::Device(_)) => Err(SyncError::Stranger),
            (Phase::Name, Message::Name(name)) => self.on_name(&name, store),
            (Phase::Answer(named), Message::Answer(answer)) => {
                self.on_answer(&answer, named, store)
            }
            (Phase::Open(_), Message::LogTable(entries)) => self.on_log_table(&entries, store),
            (Phase::Open(_), Message::ShortLogTable(entries)) => {
                self.on_short_log_table(entries, store)
            }
            (Phase::Open(_), Message::Table(table)) => self.on_table(&table, store),
            (Phase::Open(_), Message::ShortTable(table)) => self.on_short_table(table, store),
            (Phase::Open(_), Message::Entries(entries)) => {
                self.on_entries(now, &owned(entries), store)
            }
            (Phase::Open(_), Message::Digest(digest)) => self.on_digest(now, &digest, store),
            (Phase::Open(device), Message::Wants(wants)) => {
                if wants.len() > MAX_WANTS {
                    return Err(SyncError::Unexpected);
                }
                if self.linked(store) {
                    store.asked(&device, &wants);
                }
                self.look_again();
                Ok(())
            }
            (Phase::Open(_), Message::NotKept(spaces)) => self.on_not_kept(spaces, store),
            (Phase::Open(_), Message::Leaving(spaces)) if self.linked(store) => {
                self.on_leaving(spaces)
            }
            (Phase::Open(_), Message::Holds(spaces)) if self.linked(store) => {
                self.on_holds(now, spaces, store)
            }
            (Phase::Open(_), Message::Holes(holes)) if self.linked(store) => self.on_holes(holes),
            (Phase::Open(_), Message::AskLinks(ask)) if self.linked(store) => {
                self.on_ask_links(ask)
            }
            (Phase::Open(_), Message::Links(links)) if self.linked(store) => {
                self.on_links(&links, store)?;
                self.tell_found(store);
                Ok(())
            }
            (Phase::Open(_), Message::Ask(names)) if self.linked(store) => self.on_ask(names),
            (Phase::Open(_), Message::Chunks(pieces)) if self.linked(store) => {
                self.on_chunks(now, pieces, store)
            }
            (Phase::Open(_), Message::Grants(grants)) if self.linked(store) => {
                self.on_grants(&owned(grants), store)
            }
            (Phase::Open(_), Message::Begun(begun)) if self.linked(store) => self.on_begun(begun),
            (Phase::Open(_), Message::OpPiece(piece)) if self.linked(store) => {
                self.on_piece(now, piece, store)
            }
            (Phase::Open(_), Message::Ops(ops)) if self.linked(store) => {
                self.on_ops(now, ops, store)
            }
            _ => Err(SyncError::Unexpected),
        }
    }

    fn next_frame(&mut self, now: Millis, store: &mut S) -> Result<Option<Vec<u8>>, SyncError> {
        self.end_if_out(store)?;
        self.see_selection(store)?;
        let open = matches!(self.phase, Phase::Open(_));
        if self.outbox.is_empty() && open && self.dirty {
            match self.next_lack(store)? {
                Some(message) => {
                    self.announced = None;
                    self.push_in_pieces(message);
                }
                // Before the digest, which differs until then.
                None if self.hears_anew && self.linked(store) => {
                    self.send_tables(Form::Short, store)?;
                }
                None => {
                    self.dirty = false;
                    if self.announced.is_none() && self.linked(store) {
                        self.announce(store)?;
                        self.agree_late(now, store)?;
                    }
                }
            }
        }
        let frame = match self.outbox.pop_front() {
            Some(frame) => Some(frame),
            None => self.next_of_content(now, store)?,
        };
        self.tell_progress(now, false, store)?;
        Ok(frame)
    }

    fn next_event(&mut self) -> Option<SyncEvent> {
        self.events.pop_front()
    }

    fn deadline(&self) -> Option<Millis> {
        self.deadline.or(self.content.deadline())
    }

    fn tick(&mut self, now: Millis, _: &mut S) -> Result<(), SyncError> {
        match self.deadline {
            Some(deadline) if now >= deadline => Err(SyncError::Silent),
            _ => {
                self.content.tick(now);
                Ok(())
            }
        }
    }

    fn store_changed(&mut self, _: &mut S) -> Result<(), SyncError> {
        self.dirty |= matches!(self.phase, Phase::Open(_));
        Ok(())
    }

    fn is_finished(&self) -> bool {
        self.stay == Stay::UntilInSync
            && self.outbox.is_empty()
            && self.is_in_sync()
            && self.leaving.is_over()
            && self.content.is_over()
    }
}
