//! Our own replica as a peer of a given audience may see it.

use twin_identity::context;
use twin_identity::id::DeviceId;
use twin_ops::space::Audience;
use twin_ops::store::{LogHead, OpStore};

use super::error::SyncError;
use super::message::Table;
use super::peer::{is_admins_only, row};

/// What may be shared with a device: the keys space only between admins.
pub(super) fn audience<S: OpStore + ?Sized>(store: &S, peer: &DeviceId) -> Audience {
    let log = store.identity();
    if log.is_admin(peer) && log.is_admin(&store.device()) {
        Audience::Admins
    } else {
        Audience::Members
    }
}

/// The heads of all logs that may be shared.
pub(super) fn heads<S: OpStore + ?Sized>(
    store: &S,
    audience: Audience,
) -> Result<Vec<LogHead>, SyncError> {
    let mut heads = Vec::new();
    for head in store.heads().map_err(SyncError::store)? {
        let Some(origin) = store.origin(&head.log).map_err(SyncError::store)? else {
            continue;
        };
        #[cfg(twin_break)]
        if twin_identity::broken::is("keys_space_shared") {
            heads.push(head);
            continue;
        }
        if audience == Audience::Admins || !is_admins_only(store, origin.space) {
            heads.push(head);
        }
    }
    Ok(heads)
}

/// One digest over everything that may be shared: equal digests, equal replicas.
pub(super) fn digest<S: OpStore + ?Sized>(
    store: &S,
    audience: Audience,
) -> Result<[u8; 32], SyncError> {
    let grants = store.grants().map_err(SyncError::store)?;
    let grants = context::GRANTS_DIGEST.hash(grants.iter().map(|id| id.as_bytes().as_slice()));
    let heads: Vec<[u8; 72]> = heads(store, audience)?.iter().map(packed).collect();
    let heads = context::HEIGHTS_DIGEST.hash(heads.iter().map(<[u8; 72]>::as_slice));
    #[cfg(twin_break)]
    let heads = if twin_identity::broken::is("digest_without_heads") {
        [0; 32]
    } else {
        heads
    };
    let log = store.identity().digest();
    Ok(context::SYNC_DIGEST.hash([log.as_slice(), &grants, &heads]))
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
pub(super) fn table<S: OpStore + ?Sized>(
    store: &S,
    audience: Audience,
) -> Result<Table, SyncError> {
    Ok(Table {
        grants: store.grants().map_err(SyncError::store)?,
        heads: heads(store, audience)?.iter().map(row).collect(),
    })
}
