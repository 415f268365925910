//! Taking in what a bundle holds, through the same door as what a peer sends.

use std::collections::{BTreeMap, BTreeSet};

use minicbor::bytes::ByteVec;
use twin_identity::id::{DeviceId, EntryId};
use twin_identity::log::{MAX_ENTRIES, MAX_ROTATIONS};
use twin_ops::chain::Head;
use twin_ops::file::{ChunkId, MAX_SEALED_CHUNK, MIN_SEALED_CHUNK};
use twin_ops::grant::GrantId;
use twin_ops::op::LogId;
use twin_ops::store::{
    Hole, Known, LogHead, MAX_GRANTS, MAX_HOLES, MAX_LOGS, MAX_WANTS, OpStore, Taken, Want,
};

use super::error::BundleError;
use super::piece::Opening;
use super::reader::Piece;
use crate::machine::Millis;
use crate::session::is_out;
use crate::session::message::{self, Message, Table};
use crate::session::replica;

const TOO_MUCH: BundleError = BundleError::Content("it says too much of its maker");

/// What came of a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// The device that made it.
    pub by: DeviceId,
    /// When, in milliseconds since the Unix epoch by its clock.
    pub made: u64,
    /// Entries and grants that were new.
    pub changes: u64,
    /// Ops that were new.
    pub new: u64,
    /// Ops that were here already.
    pub here: u64,
    /// Entries, grants and ops that go on from what has not come here yet: they were not kept, and its maker sends them
    /// again once it knows what is here.
    pub early: u64,
    /// Entries, grants and ops that do not count here, or that this replica cannot take.
    pub refused: u64,
    /// Chunks of files that were new.
    pub chunks: u64,
    /// Whether its maker had more than there was room for.
    pub more: bool,
}

/// A bundle that is being taken in.
#[derive(Default)]
pub struct Intake {
    opening: Option<Opening>,
    entries: BTreeSet<EntryId>,
    grants: BTreeSet<GrantId>,
    heads: BTreeMap<LogId, Head>,
    holes: Vec<Hole>,
    wants: Vec<Want>,
    changes: Taken,
    ops: Taken,
    here: u64,
    chunks: u64,
    more: bool,
    with_files: bool,
}

impl Intake {
    /// Takes in the next piece. What is in it is verified by the store, and taken over piece by piece.
    /// `now`: milliseconds since the Unix epoch.
    pub fn take<S: OpStore + ?Sized>(
        &mut self,
        now: Millis,
        piece: Piece,
        store: &mut S,
    ) -> Result<(), BundleError> {
        let maker = piece.opening.maker;
        self.opening = Some(piece.opening);
        self.more |= piece.content.more.unwrap_or(false);
        self.with_files |= piece.content.with_files.unwrap_or(false);
        for message in piece.content.messages {
            // Who is known to be out is heard no more; who is not known may be linked by entries that are still to come.
            if is_out(store, &maker) {
                return Err(BundleError::NotLinked);
            }
            self.take_message(now, &maker, message, store)?;
        }
        Ok(())
    }

    /// After the last piece: takes note of what the maker has, and lacks.
    pub fn finish<S: OpStore + ?Sized>(
        self,
        now: Millis,
        store: &mut S,
    ) -> Result<Received, BundleError> {
        let opening = self.opening.ok_or(BundleError::Content("it is empty"))?;
        let (by, made) = (opening.maker, opening.made);
        let early = (self.changes.early + self.ops.early) as u64;
        if !store.admits(&by) {
            return Err(BundleError::NotLinked);
        }
        if by != store.device() {
            let heads = self.heads.into_iter();
            let known = Known {
                at: made,
                entries: self.entries.into_iter().collect(),
                grants: self.grants.into_iter().collect(),
                heads: heads.map(|(log, head)| LogHead { log, head }).collect(),
                holes: self.holes,
                has_taken: { opening.taken.iter() }
                    .find(|taken| taken.maker == store.device())
                    .map_or(0, |taken| taken.made),
                // Content that nothing here names yet does not stay.
                was_taken: if self.with_files && early == 0 {
                    made
                } else {
                    0
                },
            };
            let noted = store.note_known(now, &by, known, opening.whole);
            noted.map_err(BundleError::store)?;
            store.asked(&by, &self.wants);
        }
        Ok(Received {
            by,
            made,
            changes: self.changes.new as u64,
            new: self.ops.new as u64,
            here: self.here,
            early,
            refused: (self.changes.refused + self.ops.refused) as u64,
            chunks: self.chunks,
            more: self.more,
        })
    }

    fn take_message<S: OpStore + ?Sized>(
        &mut self,
        now: Millis,
        maker: &DeviceId,
        message: Message,
        store: &mut S,
    ) -> Result<(), BundleError> {
        match message {
            Message::LogTable(entries) => {
                self.entries.extend(entries);
                within(self.entries.len(), MAX_ENTRIES + MAX_ROTATIONS)
            }
            Message::Entries(entries) => {
                let entries = owned(entries);
                let taken = store.add_entries(now, &entries);
                add(&mut self.changes, taken.map_err(BundleError::store)?);
                Ok(())
            }
            // What it says of itself counts at the end, if it is linked then.
            Message::Table(table) => self.take_table(*table),
            Message::Wants(wants) if wants.len() <= MAX_WANTS => {
                self.wants = wants;
                Ok(())
            }
            Message::Holes(holes) if holes.len() <= MAX_HOLES => {
                self.holes = holes;
                Ok(())
            }
            // The rest only from who takes part by now.
            _ if !store.admits(maker) => Err(BundleError::NotLinked),
            Message::Grants(grants) => self.take_grants(&owned(grants), store),
            Message::Ops(ops) => self.take_ops(now, ops, store),
            Message::Chunks(pieces) => self.take_chunks(now, pieces, store),
            _ => Err(BundleError::Content(
                "something is in it that belongs into a session",
            )),
        }
    }

    fn take_table(&mut self, table: Table) -> Result<(), BundleError> {
        self.grants.extend(table.grants);
        let heads = table.heads.into_iter();
        self.heads.extend(heads.map(|row| {
            let (height, link) = (row.height, row.link);
            (row.log, Head { height, link })
        }));
        within(self.grants.len(), MAX_GRANTS)?;
        within(self.heads.len(), MAX_LOGS)
    }

    /// A grant by who was out already, as this device knows and the maker did not, keeps the others away in no case.
    fn take_grants<S: OpStore + ?Sized>(
        &mut self,
        grants: &[Vec<u8>],
        store: &mut S,
    ) -> Result<(), BundleError> {
        if let Ok(taken) = store.add_grants(grants) {
            add(&mut self.changes, taken);
            return Ok(());
        }
        for grant in grants {
            match store.add_grants(std::slice::from_ref(grant)) {
                Ok(taken) => add(&mut self.changes, taken),
                Err(error) => {
                    log::warn!("a grant in a bundle is passed over: {error}");
                    self.changes.refused += 1;
                }
            }
        }
        Ok(())
    }

    fn take_ops<S: OpStore + ?Sized>(
        &mut self,
        now: Millis,
        ops: message::Ops,
        store: &mut S,
    ) -> Result<(), BundleError> {
        // Its maker has not heard that it is not kept here, or another device keeps it for whom the bundle is, too.
        let unselected = store.unselected(&store.device());
        if unselected.contains(&ops.origin.space) {
            return Ok(());
        }
        let len = ops.ops.len();
        match replica::append(now, ops, store)? {
            Some(taken) => {
                add(&mut self.ops, taken);
                let rest = len.saturating_sub(taken.new + taken.early + taken.refused);
                self.here += rest as u64;
            }
            None => self.ops.refused += len,
        }
        Ok(())
    }

    fn take_chunks<S: OpStore + ?Sized>(
        &mut self,
        now: Millis,
        pieces: Vec<message::Piece>,
        store: &mut S,
    ) -> Result<(), BundleError> {
        const WRONG: BundleError = BundleError::Content("content of a file is not what it says");
        let mut chunks = Vec::with_capacity(pieces.len());
        for message::Piece { space, id, sealed } in pieces {
            let sealed: Vec<u8> = sealed.ok_or(WRONG)?.into();
            let fits = (MIN_SEALED_CHUNK..=MAX_SEALED_CHUNK).contains(&sealed.len());
            if !fits || ChunkId::of(&sealed) != id {
                return Err(WRONG);
            }
            chunks.push((space, sealed));
        }
        let stored = store.take_carried_chunks(now, chunks);
        self.chunks += stored.map_err(BundleError::store)? as u64;
        Ok(())
    }
}

fn owned(list: Vec<ByteVec>) -> Vec<Vec<u8>> {
    list.into_iter().map(Into::into).collect()
}

const fn add(sum: &mut Taken, taken: Taken) {
    sum.new += taken.new;
    sum.early += taken.early;
    sum.refused += taken.refused;
}

/// A maker may have twice as much as this replica takes, as in a session.
const fn within(said: usize, most: usize) -> Result<(), BundleError> {
    if said <= 2 * most {
        Ok(())
    } else {
        Err(TOO_MUCH)
    }
}
