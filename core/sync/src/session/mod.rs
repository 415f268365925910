//! Sync: how two replicas of one twin become equal.
//!
//! ```text
//! both   Hello, Proof, Device      see handshake
//! both   Digest                    equal: done
//! both   LogTable, Table           what each side has: O(devices) bytes, whatever the number of records
//! both   Entries, Grants, Ops      what the other lacks, both ways at once, in this order
//! both   Digest                    nothing more to send; equal: in sync
//! ```
//!
//! The session may then stay open: whatever changes here is sent at once, and a `Digest` follows. A session that is
//! cut leaves what was taken over; the next one goes on from there, because heights say how far each log got.
//!
//! - [`handshake`]: who may talk; `message`: the frames
//! - `replica`, `peer`: what we have, what the other lacks

mod error;
pub mod handshake;
mod message;
mod peer;
mod replica;

use std::collections::VecDeque;
use std::marker::PhantomData;

use rand_core::CryptoRng;
use twin_identity::id::{DeviceId, EntryId};
use twin_ops::op::LogId;
use twin_ops::space::Audience;
use twin_ops::store::OpStore;

pub use error::SyncError;
pub use handshake::Side;

use crate::machine::{Machine, Millis};
use crate::transport::TransportKey;
use handshake::Handshake;
use message::{Device, Digest, Hello, Message, Ops};
use peer::{Lack, Peer};

const SYNC_VERSION: u8 = 1;
/// How long a peer may take to prove itself, in milliseconds.
const HANDSHAKE_LIFE: Millis = 15_000;
/// How many bytes of entries, grants or ops go into one frame, unless a single one is longer.
const BATCH: usize = 256 << 10;

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
    /// Both replicas are equal.
    InSync,
    /// The replicas differ and neither side has anything to send.
    Stuck,
    /// A log goes on differently here and there: its device was copied or restored.
    Forked(LogId),
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
    Device,
    Open(DeviceId),
}

/// A sync session with one peer.
pub struct Session<S: ?Sized> {
    phase: Phase,
    handshake: Handshake,
    stay: Stay,
    deadline: Option<Millis>,
    outbox: VecDeque<Vec<u8>>,
    events: VecDeque<SyncEvent>,
    peer: Peer,
    tables_sent: bool,
    table_sent: bool,
    /// Whether anything has come of the last exchange of tables.
    progress: bool,
    /// Whether there may be something that the peer lacks.
    dirty: bool,
    sent: u64,
    received: u64,
    announced: Option<[u8; 32]>,
    heard: Option<[u8; 32]>,
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
            tables_sent: false,
            table_sent: false,
            progress: false,
            dirty: false,
            sent: 0,
            received: 0,
            announced: None,
            heard: None,
            store: PhantomData,
        }
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
        !self.dirty && self.heard.is_some() && self.heard == self.announced
    }

    fn push(&mut self, message: &Message) {
        if self.is_counted(message) {
            self.sent += 1;
        }
        self.outbox.push_back(message.to_frame());
    }

    /// Both sides count the frames that can change what the other has to say: all after the handshake but digests,
    /// which may cross.
    fn is_counted(&self, message: &Message) -> bool {
        matches!(self.phase, Phase::Open(_)) && !matches!(message, Message::Digest(_))
    }

    /// The peer, if it is in our identity log.
    fn linked(&self, store: &S) -> bool {
        #[cfg(twin_break)]
        if twin_identity::broken::is("sync_membership_unchecked") {
            return self.device().is_some();
        }
        self.device()
            .is_some_and(|device| store.identity().device(&device).is_some())
    }

    fn audience(&self, store: &S) -> Audience {
        match self.device() {
            Some(device) => replica::audience(store, &device),
            None => Audience::Members,
        }
    }

    fn on_hello(&mut self, hello: &Hello, store: &S) -> Result<(), SyncError> {
        if hello.version != SYNC_VERSION || !self.handshake.set_peer_nonce(hello.nonce) {
            return Err(SyncError::Unexpected);
        }
        let current = store.discovery_keys().first().ok_or(SyncError::Stranger)?;
        let proof = *self.handshake.prove(current).expose();
        self.push(&Message::Proof(proof));
        self.phase = Phase::Proof;
        Ok(())
    }

    fn on_proof(&mut self, proof: &[u8; 32], store: &S) -> Result<(), SyncError> {
        if !self.handshake.check(store.discovery_keys(), proof) {
            return Err(SyncError::Stranger);
        }
        let signature = store.sign_session(&self.handshake.to_sign());
        self.push(&Message::Device(Device {
            device: store.device(),
            signature,
        }));
        self.phase = Phase::Device;
        Ok(())
    }

    fn on_device(&mut self, device: &Device, store: &S) -> Result<(), SyncError> {
        let twin = store.identity().twin();
        if !self
            .handshake
            .check_device(twin, &device.device, &device.signature)
        {
            return Err(SyncError::NotLinked);
        }
        self.phase = Phase::Open(device.device);
        self.deadline = None;
        self.events.push_back(SyncEvent::Met(device.device));
        if self.linked(store) {
            self.announce(store)
        } else {
            self.send_tables(store)
        }
    }

    fn announce(&mut self, store: &S) -> Result<(), SyncError> {
        let digest = replica::digest(store, self.audience(store))?;
        self.announced = Some(digest);
        self.push(&Message::Digest(Digest {
            digest,
            received: self.received,
        }));
        Ok(())
    }

    fn send_tables(&mut self, store: &S) -> Result<(), SyncError> {
        self.tables_sent = true;
        self.progress = false;
        let entries: Vec<EntryId> = store.identity().entries().keys().copied().collect();
        self.push(&Message::LogTable(entries));
        self.send_table_if_linked(store)
    }

    fn send_table_if_linked(&mut self, store: &S) -> Result<(), SyncError> {
        self.table_sent = self.linked(store);
        if self.table_sent {
            let table = replica::table(store, self.audience(store))?;
            self.push(&Message::Table(Box::new(table)));
        }
        Ok(())
    }

    fn on_log_table(&mut self, entries: &[EntryId], store: &S) -> Result<(), SyncError> {
        self.peer.learn_log(entries)?;
        self.look_again();
        if !self.tables_sent {
            self.send_tables(store)?;
        }
        self.refuse_if_not_linked(store)
    }

    /// Once all that the peer lists of the identity log is here, the peer must be in it.
    fn refuse_if_not_linked(&self, store: &S) -> Result<(), SyncError> {
        if !self.linked(store) && self.peer.lists_no_other_entries(store) {
            return Err(SyncError::NotLinked);
        }
        Ok(())
    }

    fn on_entries(&mut self, entries: &[Vec<u8>], store: &mut S) -> Result<(), SyncError> {
        let known: Vec<EntryId> = store.identity().entries().keys().copied().collect();
        let taken = store.add_entries(entries).map_err(SyncError::store)?;
        let all = store.identity().entries().keys().copied();
        self.peer.has_entries(all.filter(|id| !known.contains(id)));
        self.took(taken.new, 0);
        if !self.table_sent {
            self.send_table_if_linked(store)?;
        }
        self.refuse_if_not_linked(store)
    }

    fn on_grants(&mut self, grants: &[Vec<u8>], store: &mut S) -> Result<(), SyncError> {
        let known = store.grants().map_err(SyncError::store)?;
        let taken = store.add_grants(grants).map_err(SyncError::store)?;
        let mut all = store.grants().map_err(SyncError::store)?;
        all.retain(|id| known.binary_search(id).is_err());
        self.peer.has_grants(all);
        self.took(taken.new, 0);
        Ok(())
    }

    fn on_ops(&mut self, now: Millis, ops: Ops, store: &mut S) -> Result<(), SyncError> {
        let admins_only = peer::is_admins_only(store, ops.origin.space);
        if admins_only && self.audience(store) == Audience::Members {
            return Err(SyncError::Unexpected);
        }
        let run: Vec<Vec<u8>> = ops.ops.into_iter().map(Into::into).collect();
        let taken = store
            .append_run(now, &ops.origin, &run)
            .map_err(SyncError::store)?;
        let log = ops.origin.log_id(store.identity().twin());
        if let Some(head) = store
            .heads()
            .map_err(SyncError::store)?
            .iter()
            .find(|head| head.log == log)
        {
            // The peer has at least what it has just sent; what we had beyond that, it may lack.
            if taken.new > 0 {
                self.peer.has_ops(log, head.head.height);
            }
        }
        self.took(taken.new, taken.new);
        Ok(())
    }

    fn took(&mut self, new: usize, ops: usize) {
        self.look_again();
        if new > 0 {
            self.progress = true;
            self.events.push_back(SyncEvent::Received { ops });
        }
    }

    /// After whatever came, the peer may lack something, and in any case wants to hear how things stand.
    fn look_again(&mut self) {
        self.dirty = true;
        self.announced = None;
    }

    fn on_digest(&mut self, theirs: &Digest, store: &S) -> Result<(), SyncError> {
        self.heard = Some(theirs.digest);
        if !self.linked(store) {
            return Ok(());
        }
        let audience = self.audience(store);
        if replica::digest(store, audience)? == theirs.digest {
            self.peer.equals(store, audience)?;
            self.events.push_back(SyncEvent::InSync);
            return Ok(());
        }
        if !self.tables_sent {
            return self.send_tables(store);
        }
        // The peer has seen all that we sent, neither side has more to send, and yet the replicas differ.
        let settled = theirs.received == self.sent && self.outbox.is_empty();
        if settled && self.peer.lacks(store, audience)?.is_none() {
            if self.progress {
                return self.send_tables(store);
            }
            self.events.push_back(SyncEvent::Stuck);
        }
        Ok(())
    }

    fn next_lack(&mut self, store: &S) -> Result<Option<Message>, SyncError> {
        let audience = self.audience(store);
        let Some(lack) = self.peer.lacks(store, audience)? else {
            return Ok(None);
        };
        // A peer may be linked by entries that are still to come from it: until then it gets no more than the log.
        if !matches!(lack, Lack::Entries(_)) && !self.linked(store) {
            return Ok(None);
        }
        self.progress = true;
        Ok(Some(match lack {
            Lack::Entries(ids) => {
                let (sent, batch) = batch(ids, |id| Ok(store.entry(id)))?;
                self.peer.has_entries(sent);
                Message::Entries(batch)
            }
            Lack::Grants(ids) => {
                let (sent, batch) = batch(ids, |id| store.grant(id).map_err(SyncError::store))?;
                self.peer.has_grants(sent);
                Message::Grants(batch)
            }
            Lack::Ops { log, after } => {
                let origin = store.origin(&log).map_err(SyncError::store)?;
                let origin = origin.ok_or(SyncError::Unexpected)?;
                let run = store
                    .read_run(&log, after, BATCH)
                    .map_err(SyncError::store)?;
                if run.is_empty() {
                    return Err(SyncError::Store(
                        "operations are missing in the vault: check it".to_owned(),
                    ));
                }
                self.peer.has_ops(log, after + run.len() as u64);
                self.events.push_back(SyncEvent::Sent { ops: run.len() });
                Message::Ops(Ops {
                    origin,
                    ops: run.into_iter().map(Into::into).collect(),
                })
            }
        }))
    }
}

type Batch<I> = (Vec<I>, Vec<minicbor::bytes::ByteVec>);

/// As many of `ids` as fit into one frame, with their bytes.
fn batch<I>(
    ids: Vec<I>,
    read: impl Fn(&I) -> Result<Option<Vec<u8>>, SyncError>,
) -> Result<Batch<I>, SyncError> {
    let (mut sent, mut bytes, mut len) = (Vec::new(), Vec::new(), 0);
    for id in ids {
        if let Some(item) = read(&id)? {
            len += item.len();
            bytes.push(item.into());
        }
        sent.push(id);
        if len >= BATCH {
            break;
        }
    }
    Ok((sent, bytes))
}

impl<S: OpStore + ?Sized> Machine for Session<S> {
    type Store = S;
    type Event = SyncEvent;
    type Error = SyncError;

    fn receive(&mut self, now: Millis, frame: &[u8], store: &mut S) -> Result<(), SyncError> {
        let message = Message::from_frame(frame)?;
        if self.is_counted(&message) {
            self.received += 1;
        }
        let owned = |list: Vec<minicbor::bytes::ByteVec>| -> Vec<Vec<u8>> {
            list.into_iter().map(Into::into).collect()
        };
        match (self.phase, message) {
            (Phase::Hello, Message::Hello(hello)) => self.on_hello(&hello, store),
            (Phase::Proof, Message::Proof(proof)) => self.on_proof(&proof, store),
            (Phase::Device, Message::Device(device)) => self.on_device(&device, store),
            (Phase::Open(_), Message::LogTable(entries)) => self.on_log_table(&entries, store),
            (Phase::Open(_), Message::Table(table)) => {
                let forked = self.peer.learn(&table, store)?;
                self.events
                    .extend(forked.into_iter().map(SyncEvent::Forked));
                self.look_again();
                Ok(())
            }
            (Phase::Open(_), Message::Entries(entries)) => self.on_entries(&owned(entries), store),
            (Phase::Open(_), Message::Digest(digest)) => self.on_digest(&digest, store),
            (Phase::Open(_), Message::Grants(grants)) if self.linked(store) => {
                self.on_grants(&owned(grants), store)
            }
            (Phase::Open(_), Message::Ops(ops)) if self.linked(store) => {
                self.on_ops(now, ops, store)
            }
            _ => Err(SyncError::Unexpected),
        }
    }

    fn next_frame(&mut self, _: Millis, store: &mut S) -> Result<Option<Vec<u8>>, SyncError> {
        let open = matches!(self.phase, Phase::Open(_));
        if self.outbox.is_empty() && open && self.dirty {
            match self.next_lack(store)? {
                Some(message) => {
                    self.announced = None;
                    self.push(&message);
                }
                None => {
                    self.dirty = false;
                    if self.announced.is_none() && self.linked(store) {
                        self.announce(store)?;
                    }
                }
            }
        }
        Ok(self.outbox.pop_front())
    }

    fn next_event(&mut self) -> Option<SyncEvent> {
        self.events.pop_front()
    }

    fn deadline(&self) -> Option<Millis> {
        self.deadline
    }

    fn tick(&mut self, now: Millis, _: &mut S) -> Result<(), SyncError> {
        match self.deadline {
            Some(deadline) if now >= deadline => Err(SyncError::Silent),
            _ => Ok(()),
        }
    }

    fn store_changed(&mut self, _: &mut S) -> Result<(), SyncError> {
        self.dirty |= matches!(self.phase, Phase::Open(_));
        Ok(())
    }

    fn is_finished(&self) -> bool {
        self.stay == Stay::UntilInSync && self.outbox.is_empty() && self.is_in_sync()
    }
}
