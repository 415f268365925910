//! Our own replica as a peer sees it. Every device of the twin holds all ops; those of the keys space are sealed to
//! admins and to the words, and companions carry them unread, so that the words bring everything back from any of them.
//! Of a space that one of the two does not keep, nothing is compared, said or sent (`apart`).

use std::collections::BTreeSet;

use twin_identity::context;
use twin_ops::op::LogId;
use twin_ops::space::SpaceId;
use twin_ops::store::{Hole, LogHead, OpStore, Taken};

use super::error::SyncError;
use super::message::{Message, Ops, Table};
use super::peer::row;
use super::short::{Form, ShortTable};
use crate::machine::Millis;

/// The spaces that not both keep, this device and another that does not keep these.
pub(crate) fn apart<S: OpStore + ?Sized>(
    store: &S,
    theirs: BTreeSet<SpaceId>,
) -> BTreeSet<SpaceId> {
    let mut apart = theirs;
    apart.extend(store.unselected(&store.device()));
    #[cfg(twin_break)]
    if twin_identity::broken::is("selection_ignored") {
        apart.clear();
    }
    apart
}

/// Whether a log that is known here is of none of these spaces.
pub(crate) fn is_outside<S: OpStore + ?Sized>(
    log: &LogId,
    store: &S,
    apart: &BTreeSet<SpaceId>,
) -> Result<bool, SyncError> {
    let origin = store.origin(log).map_err(SyncError::store)?;
    Ok(origin.is_none_or(|origin| !apart.contains(&origin.space)))
}

/// The logs that are here, but those of these spaces.
pub(crate) fn heads<S: OpStore + ?Sized>(
    store: &S,
    apart: &BTreeSet<SpaceId>,
) -> Result<Vec<LogHead>, SyncError> {
    let mut heads = Vec::new();
    let all = store.heads().map_err(SyncError::store)?;
    if apart.is_empty() {
        return Ok(all);
    }
    for head in all {
        if is_outside(&head.log, store, apart)? {
            heads.push(head);
        }
    }
    Ok(heads)
}

/// The holes here, but those in these spaces.
pub(crate) fn holes<S: OpStore + ?Sized>(
    store: &S,
    apart: &BTreeSet<SpaceId>,
) -> Result<Vec<Hole>, SyncError> {
    let mut holes = Vec::new();
    for hole in store.holes().map_err(SyncError::store)? {
        if is_outside(&hole.log, store, apart)? {
            holes.push(hole);
        }
    }
    Ok(holes)
}

/// One digest over everything outside these spaces: equal digests, equal replicas.
pub(crate) fn digest<S: OpStore + ?Sized>(
    store: &S,
    apart: &BTreeSet<SpaceId>,
) -> Result<[u8; 32], SyncError> {
    let grants = store.grants().map_err(SyncError::store)?;
    let grants = context::GRANTS_DIGEST.hash(grants.iter().map(|id| id.as_bytes().as_slice()));
    let heads: Vec<[u8; 72]> = heads(store, apart)?.iter().map(packed).collect();
    let heads = context::HEIGHTS_DIGEST.hash(heads.iter().map(<[u8; 72]>::as_slice));
    #[cfg(twin_break)]
    let heads = if twin_identity::broken::is("digest_without_heads") {
        [0; 32]
    } else {
        heads
    };
    let log = store.identity().digest();
    // Who lacks content is not equal to who has it, though both know the same ops.
    let holes = holes(store, apart)?;
    let hole = |hole: &Hole| {
        let seq = hole.seq.to_be_bytes();
        [hole.log.as_bytes().as_slice(), &seq].concat()
    };
    let holes: Vec<u8> = holes.iter().flat_map(hole).collect();
    Ok(context::SYNC_DIGEST.hash([log.as_slice(), &grants, &heads, &holes]))
}

fn packed(head: &LogHead) -> [u8; 72] {
    let mut packed = [0; 72];
    let fields = head.log.as_bytes().iter().copied();
    let fields = fields
        .chain(head.head.height.to_be_bytes())
        .chain(head.head.link.as_bytes().iter().copied());
    packed
        .iter_mut()
        .zip(fields)
        .for_each(|(to, from)| *to = from);
    packed
}

/// Takes ops over; `None` if this replica cannot take them though an honest peer may have them.
pub(crate) fn append<S: OpStore + ?Sized>(
    now: Millis,
    ops: Ops,
    store: &mut S,
) -> Result<Option<Taken>, SyncError> {
    let run: Vec<Vec<u8>> = ops.ops.into_iter().map(Into::into).collect();
    let taken = match ops.base {
        Some(base) => store.append_from(now, &ops.origin, base, &run),
        None => store.append_run(now, &ops.origin, &run),
    };
    match taken {
        Err(error) if S::is_refusal(&error) => {
            log::warn!("a log is passed over: {error}");
            Ok(None)
        }
        taken => taken.map(Some).map_err(SyncError::store),
    }
}

/// The table to send when digests differ; whole, too, if it cannot be said in short.
pub(crate) fn table<S: OpStore + ?Sized>(
    form: Form,
    store: &S,
    apart: &BTreeSet<SpaceId>,
) -> Result<Message, SyncError> {
    let grants = store.grants().map_err(SyncError::store)?;
    let heads = heads(store, apart)?;
    let in_short = match form {
        Form::Short => ShortTable::of(&grants, &heads),
        Form::Whole => None,
    };
    Ok(match in_short {
        Some(table) => Message::ShortTable(table),
        None => Message::Table(Box::new(Table {
            grants,
            heads: heads.iter().map(row).collect(),
        })),
    })
}
