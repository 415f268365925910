//! What sync needs from a device's store, without knowing how it stores.

use std::collections::{BTreeMap, BTreeSet};

use minicbor::{Decode, Encode};
use twin_identity::id::{DeviceId, EntryId};
use twin_identity::log::IdentityLog;
use twin_identity::secret::Secret;
use twin_identity::sign::Signature;
use zeroize::Zeroizing;

use crate::chain::Head;
use crate::epoch::{DiscoveryKey, EpochId};
use crate::file::ChunkId;
use crate::grant::GrantId;
use crate::op::{LogId, Origin};
use crate::piece::{Begun, Pieces};
use crate::space::SpaceId;

/// The most grants by devices that take part that a store keeps and sync lists. Those by others are counted by
/// themselves, so that they leave the rest their room.
pub const MAX_GRANTS: usize = 8192;
/// The most logs of devices that take part that a store keeps and sync lists; of others as many again.
pub const MAX_LOGS: usize = 8192;

/// One row of the table that replicas compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogHead {
    /// The log.
    pub log: LogId,
    /// Its height and newest link.
    pub head: Head,
}

/// The most keys that a device asks a peer for at once.
pub const MAX_WANTS: usize = 256;

/// A key that a device may have and has not: it was never granted to it, or in a way that it cannot open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(map)]
pub struct Want {
    /// The space.
    #[n(0)]
    pub space: SpaceId,
    /// The epoch; absent: the one to be written in.
    #[n(1)]
    pub epoch: Option<EpochId>,
}

/// The most holes that a device asks a peer to fill at once.
pub const MAX_HOLES: usize = 256;

/// An op of which parts are missing here that nobody who may has erased, as far as is known here: a peer that has them
/// is asked for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(array)]
pub struct Hole {
    /// The op's log.
    #[n(0)]
    pub log: LogId,
    /// Its place there.
    #[n(1)]
    pub seq: u64,
}

/// A checkpoint that stands: it counts, all of its snapshot is here, and ops up to its lines are done without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The log that it is written in.
    pub log: LogId,
    /// Its place there.
    pub seq: u64,
    /// The last op of its snapshot.
    pub last: u64,
    /// The logs that may begin after the ops that it supersedes, and where these end. Its own may be among them: that
    /// ends right before it.
    pub lines: BTreeMap<LogId, Head>,
}

/// The most chunks of files that a device has asked a peer for and has no answer of yet.
pub const MAX_ASKED: usize = 64;

/// A chunk of a file, and the space that it is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(array)]
pub struct ChunkName {
    /// The space.
    #[n(0)]
    pub space: SpaceId,
    /// The chunk.
    #[n(1)]
    pub id: ChunkId,
}

/// What a look for chunks that are wanted and not here has come by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sought {
    /// Those that the peer is to be asked for.
    pub ask: Vec<ChunkName>,
    /// How many are missing, counting all below a manifest that is.
    pub missing: u64,
    /// How many of them another device was asked for a moment ago.
    pub elsewhere: u64,
    /// Whether the look is over. Chunks that have come since may name others.
    pub over: bool,
}

/// What another device is known to have, by its own word or because both were found equal. It may have more; if it came
/// back from an old copy, it has less, and says so the next time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// When it said so, in milliseconds since the Unix epoch by its own clock; 0 if it never has.
    pub at: u64,
    /// Entries of the identity log, sorted.
    pub entries: Vec<EntryId>,
    /// Grants, sorted.
    pub grants: Vec<GrantId>,
    /// Logs and how far it has them, sorted.
    pub heads: Vec<LogHead>,
    /// Ops that it lacks content of, at most [`MAX_HOLES`].
    pub holes: Vec<Hole>,
    /// The newest bundle with content of files that it has taken of this device: when that was made, in milliseconds since
    /// the Unix epoch by the clock of this device; 0 if none.
    pub has_taken: u64,
    /// The same the other way round: of those that it has made, the newest that was taken here, by its clock.
    pub was_taken: u64,
}

/// What was done with things that a peer sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Taken {
    /// How many were new.
    pub new: usize,
    /// How many could not be judged yet, for lack of something that they refer to; they were not kept.
    pub early: usize,
    /// How many break a rule or limit of this replica; they were not kept.
    pub refused: usize,
}

/// A device's replica of a twin: identity log, grants and ops.
///
/// Whatever is given to it is verified by the store itself, in one transaction a call: all of it is taken over or
/// nothing, and an error leaves the store as it was.
pub trait OpStore {
    /// Why the store cannot answer, or refuses.
    type Error: std::error::Error + Send + Sync + 'static;

    /// How far a look for missing chunks has come.
    type Look: Default + Send;

    /// Whether an error says that this replica cannot take something over that an honest peer may well have: a limit,
    /// a newer version, a log that was forked. Sync passes it over then and goes on with everything else.
    fn is_refusal(error: &Self::Error) -> bool;

    /// The identity log as this replica has it.
    fn identity(&self) -> &IdentityLog;

    /// Whether a device may take part now: it is in the identity log, not suspended, and its time has not run out.
    fn admits(&self, device: &DeviceId) -> bool;

    /// The discovery key of the current membership epoch; `None` if this device knows of a removal and has no epoch yet
    /// that excludes it.
    fn discovery_key(&self) -> Option<&DiscoveryKey>;

    /// The secret that this device shares with one other (see [`twin_identity::device::DeviceKeys::shared`]).
    fn shared_secret(&self, other: &DeviceId) -> Option<Secret<32>>;

    /// Signs the transcript of a session with the device's key ([`twin_identity::sign::Use::Session`]).
    fn sign_session(&self, transcript: &[u8; 32]) -> Signature;

    /// Signs a piece of a bundle with the device's key ([`twin_identity::sign::Use::Bundle`]).
    fn sign_bundle(&self, piece: &[u8; 32]) -> Signature;

    /// Opens what is sealed to this device (see [`twin_identity::device::DeviceKeys::open`]); `None` if it is not. A store
    /// without keys opens nothing.
    fn open_sealed(&self, info: &[u8], aad: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let _ = (info, aad, sealed);
        None
    }

    /// The discovery keys of other membership epochs than the current one, as far as they are known here: of devices that
    /// have been away, and of those that know more than this one. A store that keeps none has none.
    fn other_discovery_keys(&self) -> Vec<DiscoveryKey> {
        Vec::new()
    }

    /// This device.
    fn device(&self) -> DeviceId;

    /// Takes over signed identity log entries, in any order, at `now` in milliseconds since the Unix epoch: from when a
    /// rotation by guardians is first seen, its delay is counted.
    fn add_entries(&mut self, now: u64, entries: &[Vec<u8>]) -> Result<Taken, Self::Error>;

    /// The ids of the grants held by devices that are in and not suspended, sorted. What others have granted is given
    /// anew by those who are left.
    fn grants(&self) -> Result<Vec<GrantId>, Self::Error>;

    /// The signed bytes of a grant.
    fn grant(&self, id: &GrantId) -> Result<Option<Vec<u8>>, Self::Error>;

    /// Takes over signed grants.
    fn add_grants(&mut self, grants: &[Vec<u8>]) -> Result<Taken, Self::Error>;

    /// The spaces that a device of the twin, this one or another, does not keep, as far as is known here: nothing of them
    /// is sent to it, and it takes nothing of them. A store that knows of no such choice says none.
    fn unselected(&self, device: &DeviceId) -> BTreeSet<SpaceId> {
        let _ = device;
        BTreeSet::new()
    }

    /// The spaces that this device goes on keeping only until another one holds all of them.
    fn to_leave(&self) -> BTreeSet<SpaceId> {
        BTreeSet::new()
    }

    /// Whether this device keeps a space, is not to leave it and lacks nothing of it that is known here, content of files
    /// neither.
    fn holds_all(&self, space: &SpaceId) -> Result<bool, Self::Error> {
        let _ = space;
        Ok(false)
    }

    /// Another device, whose replica has just been equal to this one, holds all of these spaces: this one may leave them if
    /// it is to.
    fn held(&mut self, now: u64, device: &DeviceId, spaces: &[SpaceId]) -> Result<(), Self::Error> {
        let _ = (now, device, spaces);
        Ok(())
    }

    /// The keys that this device may have and has not, at most [`MAX_WANTS`], sorted.
    fn wants(&self) -> Result<Vec<Want>, Self::Error>;

    /// Takes note of the keys that another device lacks, so that those which it may have and which are here are given to
    /// it.
    fn asked(&mut self, device: &DeviceId, wants: &[Want]);

    /// All logs with their heads as far as they count (see [`IdentityLog::counts`]), sorted by log.
    fn heads(&self) -> Result<Vec<LogHead>, Self::Error>;

    /// Who writes a log.
    fn origin(&self, log: &LogId) -> Result<Option<Origin>, Self::Error>;

    /// The link of the op at `seq` in a log, if there is one.
    fn link_at(&self, log: &LogId, seq: u64) -> Result<Option<crate::op::Link>, Self::Error>;

    /// Whether what is here of a log is known to be what counts of it: its device is out, and it has the head that the
    /// line of the device names. A peer that has another history takes this one then. A store that cannot tell says no.
    fn is_settled(&self, log: &LogId) -> Result<bool, Self::Error>;

    /// Takes note that a peer has a log of this device that goes on differently there after its first `common` ops: this
    /// device was copied, or set back to an older state. A store that does nothing about it keeps both histories apart.
    fn branched(&mut self, log: &LogId, common: u64) {
        let _ = (log, common);
    }

    /// What a log begins after here: the ops up to there are superseded by a checkpoint, or missing. `None` if it
    /// begins with its first op. A store that never forgets an op has no more to say.
    fn base(&self, log: &LogId) -> Result<Option<Head>, Self::Error> {
        let _ = log;
        Ok(None)
    }

    /// The checkpoints that stand here.
    fn checkpoints(&self) -> Vec<Standing> {
        Vec::new()
    }

    /// Takes note that another device has just been found to have all that counts here but for these spaces, which not
    /// both keep. `now`: milliseconds since the Unix epoch.
    fn in_sync(&mut self, now: u64, device: &DeviceId, apart: &BTreeSet<SpaceId>) {
        let _ = (now, device, apart);
    }

    /// What another device is known to have. A store that takes no note of it knows of nothing.
    fn known(&self, device: &DeviceId) -> Result<Known, Self::Error> {
        let _ = device;
        Ok(Known::default())
    }

    /// Takes note of what another device says that it has; `whole` if it named everything. What it said later than that,
    /// by its clock, is not forgotten for it, unless it was more: to know of too little only costs bytes. `now`:
    /// milliseconds since the Unix epoch.
    fn note_known(
        &mut self,
        now: u64,
        device: &DeviceId,
        known: Known,
        whole: bool,
    ) -> Result<(), Self::Error> {
        let _ = (now, device, known, whole);
        Ok(())
    }

    /// The ops of a log after the first `after`, oldest first, as many as fit into `budget` bytes but at least one if
    /// there is one. None if the log begins here after `after`: see [`OpStore::base`].
    fn read_run(&self, log: &LogId, after: u64, budget: usize)
    -> Result<Vec<Vec<u8>>, Self::Error>;

    /// The holes in what counts here, sorted.
    fn holes(&self) -> Result<Vec<Hole>, Self::Error>;

    /// Verifies and takes over ops that continue a log, and merges them. Ops that are there already are passed over,
    /// unless they have content that is missing here.
    /// `now`: milliseconds since the Unix epoch.
    fn append_run(
        &mut self,
        now: u64,
        origin: &Origin,
        run: &[Vec<u8>],
    ) -> Result<Taken, Self::Error>;

    /// As [`OpStore::append_run`], of ops that come right after `base`, which a log may begin after here: only if the
    /// first of them is a checkpoint that counts and says so itself. All else is early: another checkpoint has to come
    /// first. A store that keeps every op takes none.
    fn append_from(
        &mut self,
        now: u64,
        origin: &Origin,
        base: Head,
        run: &[Vec<u8>],
    ) -> Result<Taken, Self::Error> {
        let _ = (now, origin, base);
        Ok(Taken {
            early: run.len(),
            ..Taken::default()
        })
    }

    /// What has come of ops that are sent in pieces. A store that keeps none from one session to the next has none.
    fn pieces(&mut self) -> Option<&mut Pieces> {
        None
    }

    /// The same, to be told to a peer that may have the rest.
    fn begun(&self) -> Vec<Begun> {
        Vec::new()
    }

    /// Changes whenever there may be more chunks of files that are wanted than there were.
    fn wanting(&self) -> u64;

    /// Goes on with a look for chunks that are wanted and not here, so as to ask `peer` for at most `limit` of them. May
    /// come by none and not be over: it takes a bounded time. Each chunk is come by once in a look.
    /// `now`: milliseconds since the Unix epoch.
    fn seek_chunks(
        &mut self,
        now: u64,
        look: &mut Self::Look,
        peer: &DeviceId,
        limit: usize,
    ) -> Result<Sought, Self::Error>;

    /// The sealed bytes of a chunk for a peer that takes part; `None` if it is not here, or the peer may not have what
    /// is in its space.
    fn chunk(&self, peer: &DeviceId, name: &ChunkName) -> Result<Option<Vec<u8>>, Self::Error>;

    /// Takes chunks that come along without being asked for, whether anything names them or not. Those of a space that this
    /// device has no key of are passed over. Returns how many were stored. A store without content takes none.
    /// `now`: milliseconds since the Unix epoch.
    fn take_carried_chunks(
        &mut self,
        now: u64,
        chunks: Vec<(SpaceId, Vec<u8>)>,
    ) -> Result<usize, Self::Error> {
        let _ = (now, chunks);
        Ok(0)
    }

    /// Takes what a peer has answered for chunks that it was asked for: bytes whose hash is the chunk's id, or that it
    /// has none. What nobody wants any more is passed over, and so is everything if there is no room for it: then none is
    /// asked for, for a while. Returns how many were stored.
    /// `now`: milliseconds since the Unix epoch.
    fn add_chunks(
        &mut self,
        now: u64,
        answers: Vec<(ChunkName, Option<Vec<u8>>)>,
    ) -> Result<usize, Self::Error>;
}
