//! Our own replica as a peer sees it. Every device of the twin holds all ops; those of the keys space are sealed to
//! admins and to the words, and companions carry them unread, so that the words bring everything back from any of them.

use twin_identity::context;
use twin_ops::store::{Hole, LogHead, OpStore};

use super::error::SyncError;
use super::message::Table;
use super::peer::row;

/// One digest over everything: equal digests, equal replicas.
pub(super) fn digest<S: OpStore + ?Sized>(store: &S) -> Result<[u8; 32], SyncError> {
    let grants = store.grants().map_err(SyncError::store)?;
    let grants = context::GRANTS_DIGEST.hash(grants.iter().map(|id| id.as_bytes().as_slice()));
    let heads: Vec<[u8; 72]> = store
        .heads()
        .map_err(SyncError::store)?
        .iter()
        .map(packed)
        .collect();
    let heads = context::HEIGHTS_DIGEST.hash(heads.iter().map(<[u8; 72]>::as_slice));
    #[cfg(twin_break)]
    let heads = if twin_identity::broken::is("digest_without_heads") {
        [0; 32]
    } else {
        heads
    };
    let log = store.identity().digest();
    // Who lacks content is not equal to who has it, though both know the same ops.
    let holes = store.holes().map_err(SyncError::store)?;
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

/// The table to send when digests differ.
pub(super) fn table<S: OpStore + ?Sized>(store: &S) -> Result<Table, SyncError> {
    Ok(Table {
        grants: store.grants().map_err(SyncError::store)?,
        heads: store
            .heads()
            .map_err(SyncError::store)?
            .iter()
            .map(row)
            .collect(),
    })
}
