//! Chains: every op names the one before it, header and signature.

use minicbor::{Decode, Encode};
use twin_identity::id::TwinId;
use twin_identity::sign::Verifier;

use crate::op::{Link, Op, OpError, Origin};

/// How far a log goes and the link of its newest op: what replicas compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(array)]
pub struct Head {
    /// Number of ops.
    #[n(0)]
    pub height: u64,
    /// Link of the last one.
    #[n(1)]
    pub link: Link,
}

/// A run of ops does not continue a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// An op of another log, a hole in the sequence, or a link to something else.
    #[error("operations are missing or out of order: sync again")]
    Broken,
    /// One of the ops cannot be accepted.
    #[error(transparent)]
    Op(#[from] OpError),
}

/// Verifies that `run` continues the log of `origin` from `head` (`None`: from nothing) and returns its new head.
///
/// Every signature is checked, although the newest vouches for the bytes of all others: whoever keeps an op whose own
/// signature is garbage cannot pass it on in a run that ends there, and then no other replica ever gets past it.
pub fn verify_run(
    twin: &TwinId,
    origin: &Origin,
    head: Option<Head>,
    run: &[Op],
) -> Result<Option<Head>, ChainError> {
    let log = origin.log_id(twin);
    let device = Verifier::new(&origin.device).map_err(OpError::from)?;
    let mut height = head.map_or(0, |head| head.height);
    let mut link = head.map(|head| head.link);
    for op in run {
        let header = op.header();
        #[cfg(twin_break)]
        if twin_identity::broken::is("chain_unchecked") {
            height = header.seq;
            link = Some(op.link());
            continue;
        }
        height = height.checked_add(1).ok_or(ChainError::Broken)?;
        if header.log != log || header.seq != height || header.prev != link {
            return Err(ChainError::Broken);
        }
        op.verify(&device, twin)?;
        link = Some(op.link());
    }
    Ok(link.map(|link| Head { height, link }))
}
