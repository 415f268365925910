//! What the peer lacks, in messages.

use std::collections::BTreeSet;

use minicbor::bytes::ByteVec;
use twin_identity::cbor;
use twin_identity::id::EntryId;
use twin_ops::chain::Head;
use twin_ops::grant::GrantId;
use twin_ops::op::LogId;
use twin_ops::store::{Hole, OpStore};

use super::Peer;
use crate::session::error::SyncError;
use crate::session::message::{Message, Ops};
use crate::session::replica;

/// How much of what the peer lacks goes into one message.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Room {
    /// About so many bytes, and one entry, grant or op in any case.
    About(usize),
    /// No more than so many bytes, with all that is around them.
    Within(usize),
}

/// What to send next.
pub(crate) enum Lack {
    Entries(Vec<EntryId>),
    Grants(Vec<GrantId>),
    /// The ops of a log after so many; if the peer is to begin the log there, with what comes before them.
    Ops {
        log: LogId,
        after: u64,
        base: Option<Head>,
    },
}

impl Peer {
    /// As much of what it lacks as there is room for, which it has from then on; `None` if nothing of it fits, or what comes
    /// next is damaged here, and then it is passed over.
    pub fn give<S: OpStore + ?Sized>(
        &mut self,
        lack: Lack,
        store: &S,
        room: Room,
    ) -> Result<Option<Message>, SyncError> {
        match lack {
            Lack::Entries(ids) => {
                let entries = store.identity().entries();
                let bytes = |id: &_| entries.get(id).map(|entry| entry.to_bytes().to_vec());
                // Each builds on those before it.
                let (sent, batch) = batch(ids, room, false, |id| Ok(bytes(id)))?;
                self.entries.extend(sent);
                Ok((!batch.is_empty()).then_some(Message::Entries(batch)))
            }
            Lack::Grants(ids) => {
                let all: BTreeSet<GrantId> = ids.iter().copied().collect();
                let (sent, batch) = batch(ids, room, true, |id| {
                    store.grant(id).map_err(SyncError::store)
                })?;
                self.grants.extend(sent);
                if batch.is_empty() {
                    self.left.extend(all);
                    return Ok(None);
                }
                Ok(Some(Message::Grants(batch)))
            }
            Lack::Ops { log, after, base } => self.give_ops(log, after, base, store, room),
        }
    }

    fn give_ops<S: OpStore + ?Sized>(
        &mut self,
        log: LogId,
        after: u64,
        base: Option<Head>,
        store: &S,
        room: Room,
    ) -> Result<Option<Message>, SyncError> {
        let origin = store.origin(&log).map_err(SyncError::store)?;
        let origin = origin.ok_or(SyncError::Unexpected)?;
        let (Room::About(budget) | Room::Within(budget)) = room;
        let run = match store.read_run(&log, after, budget) {
            Err(error) if S::is_damage(&error) => {
                // The other logs, and what the peer has, are no worse for it.
                log::warn!("operations of a log cannot be passed on: {error}");
                self.damaged.insert(log);
                return Ok(None);
            }
            run => run.map_err(SyncError::store)?,
        };
        if run.is_empty() {
            return Err(SyncError::Store(
                "operations are missing in the vault: check it".to_owned(),
            ));
        }
        let mut ops = Ops {
            origin,
            ops: run.into_iter().map(Into::into).collect(),
            base,
        };
        if let Room::Within(most) = room {
            while cbor::len(&ops) + MESSAGE_HEAD > most && ops.ops.pop().is_some() {}
            if ops.ops.is_empty() {
                self.passed_over.insert(log);
                return Ok(None);
            }
        }
        self.has_ops(log, after + ops.ops.len() as u64);
        Ok(Some(Message::Ops(ops)))
    }
}

/// The most bytes of what is around the content of a message.
const MESSAGE_HEAD: usize = 3;
/// The most bytes in front of a byte string or an array.
const ITEM_HEAD: usize = 5;

type Batch<I> = (Vec<I>, Vec<ByteVec>);

/// As many of `ids` as there is room for, with their bytes. If one does not fit, those after it may only `skip` it if
/// they do not build on it.
fn batch<I>(
    ids: Vec<I>,
    room: Room,
    skip: bool,
    read: impl Fn(&I) -> Result<Option<Vec<u8>>, SyncError>,
) -> Result<Batch<I>, SyncError> {
    let (mut sent, mut bytes, mut len) = (Vec::new(), Vec::new(), MESSAGE_HEAD + ITEM_HEAD);
    for id in ids {
        if let Some(item) = read(&id)? {
            let with = len + ITEM_HEAD + item.len();
            match room {
                Room::Within(most) if with > most && skip => continue,
                Room::Within(most) if with > most => break,
                Room::Within(_) | Room::About(_) => {}
            }
            len = with;
            bytes.push(item.into());
        }
        sent.push(id);
        let (Room::About(most) | Room::Within(most)) = room;
        if len >= most {
            break;
        }
    }
    Ok((sent, bytes))
}

/// The next op of `to_fill`, of which the peer lacks content and this side has all; it is not among them any more.
pub(crate) fn filling<S: OpStore + ?Sized>(
    to_fill: &mut BTreeSet<Hole>,
    store: &S,
) -> Result<Option<Ops>, SyncError> {
    // From the end: the beginning of a log that is missing can be verified from what comes after it.
    while let Some(hole) = to_fill.pop_last() {
        let Hole { log, seq } = hole;
        let holes = store.holes().map_err(SyncError::store)?;
        let here = replica::link_at(store, &log, seq)?;
        let origin = store.origin(&log).map_err(SyncError::store)?;
        if let (Some(_), Some(origin), Err(_)) = (here, origin, holes.binary_search(&hole)) {
            let run = match store.read_run(&log, seq.saturating_sub(1), 0) {
                Err(error) if S::is_damage(&error) => continue,
                run => run.map_err(SyncError::store)?,
            };
            if let Some(op) = run.into_iter().next() {
                return Ok(Some(Ops {
                    origin,
                    ops: vec![op.into()],
                    base: None,
                }));
            }
        }
    }
    Ok(None)
}
