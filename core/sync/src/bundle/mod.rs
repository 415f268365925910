//! Bundles: what a device has for others that it does not meet, sealed into bytes that anything may carry: a file on a
//! stick, pictures on a screen, a mailbox. A session without a conversation.
//!
//! ```text
//! Opening                     who made it, and when
//! Wants, Holes                what its maker lacks
//! Table, LogTable             what its maker has, so that the next bundle for it need not bring that
//! Entries, Grants, Ops        what those for whom it is made are not known to have, in this order
//! Chunks                      content of files, if it is to come along
//! ```
//!
//! What a device has is known by its own bundles and by sessions with it (see [`twin_ops::store::OpStore::known`]), never
//! by what was made for it: that may have been lost. So a bundle that is lost, comes twice, late or in another order does
//! no harm; of what is not known to have come the next one brings all again. A bundle that goes on from what has not come
//! yet is early, and its maker learns so from the next bundle of whoever took it.
//!
//! - [`Maker`]: writes one, piece by piece; [`make`]: one of limited size at once
//! - [`Reader`]: reads and verifies one; [`Intake`]: takes in what is in it; [`take`]: both, of one that is small
//! - [`Inside`]: which ops are in one that is small
//! - [`Outline`]: what can be told of one from outside; [`frames`]: a small one as pictures
//! - `envelope`: who can open it; `piece`: its pieces; `core/docs/formats.md` has it byte for byte

mod envelope;
mod error;
pub mod frames;
mod inside;
mod intake;
mod maker;
mod outline;
mod piece;
mod reader;
#[cfg(test)]
mod tests;

use rand_core::CryptoRng;
use twin_identity::cbor;
use twin_identity::id::DeviceId;
use twin_ops::store::{Known, OpStore};

pub use envelope::MAGIC;
pub use error::BundleError;
pub use inside::Inside;
pub use intake::{Intake, Received};
pub use maker::Maker;
pub use outline::Outline;
pub use reader::{Piece, Reader, Step};

use crate::machine::Millis;

/// How large a bundle may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// As large as it takes.
    Any,
    /// So many bytes at most: it holds the most urgent, and says whether there is more. About one megabyte is used of
    /// more than that.
    AtMost(usize),
}

/// What a bundle carries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Carried {
    /// Entries of the identity log.
    pub entries: u64,
    /// Grants of keys.
    pub grants: u64,
    /// Operations.
    pub ops: u64,
    /// Chunks of files.
    pub chunks: u64,
}

impl Carried {
    /// Whether there is nothing in it but what its maker says of itself.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A bundle that is made.
pub struct Made {
    /// All of it.
    pub bytes: Vec<u8>,
    /// What is in it.
    pub carried: Carried,
    /// Which ops that are.
    pub inside: Inside,
    /// Whether there is more for them than there was room for.
    pub more: bool,
    /// What they have once they have taken it: what the next bundle may go on from (see [`Maker::new`]), if this one is
    /// sure to come first.
    pub then: Known,
}

/// Makes a bundle of at most `most` bytes, at once: for arguments see [`Maker::new`].
pub fn make<S: OpStore + ?Sized>(
    store: &S,
    now: Millis,
    to: &[DeviceId],
    beyond: Option<Known>,
    most: usize,
    rng: &mut impl CryptoRng,
) -> Result<Made, BundleError> {
    let mut maker = Maker::new(store, now, to, beyond, Size::AtMost(most), rng)?;
    let mut bytes = maker.begin();
    while let Some(piece) = maker.next(store, rng)? {
        bytes.extend(piece);
    }
    bytes.extend(maker.finish(false, store, rng)?);
    Ok(Made {
        bytes,
        carried: *maker.carried(),
        inside: maker.take_inside(),
        more: maker.has_more(),
        then: maker.then(store)?,
    })
}

/// Takes in a bundle that is here as a whole: only if all of it is as its maker wrote it.
/// `now`: milliseconds since the Unix epoch.
pub fn take<S: OpStore + ?Sized>(
    store: &mut S,
    now: Millis,
    bytes: &[u8],
) -> Result<Received, BundleError> {
    take_noting(store, now, bytes).map(|(received, _)| received)
}

/// The same, and which ops are in it.
pub fn take_noting<S: OpStore + ?Sized>(
    store: &mut S,
    now: Millis,
    bytes: &[u8],
) -> Result<(Received, Inside), BundleError> {
    let (mut pieces, mut inside) = (Vec::new(), Inside::default());
    read(store, bytes, |piece| pieces.push(piece))?;
    let mut intake = Intake::default();
    for piece in pieces {
        let messages = piece.content.messages.iter();
        messages.for_each(|message| inside.add(message));
        intake.take(now, piece, store)?;
    }
    Ok((intake.finish(now, store)?, inside))
}

/// Whether these bytes are one whole bundle for the device of `store`, as its maker wrote it. Nothing is taken of it.
pub fn check<S: OpStore + ?Sized>(store: &S, bytes: &[u8]) -> Result<(), BundleError> {
    read(store, bytes, drop)
}

/// Whether bytes are the content of a piece, and what writing it gives: what a reader asks first of whatever opens, for
/// fuzzers.
pub fn is_content(bytes: &[u8]) -> bool {
    let content = cbor::decode::<piece::Content>(bytes, piece::MAX_CONTENT);
    content.is_ok_and(|content| cbor::encode(&content) == bytes)
}

/// Whether bytes are one bundle from outside, as far as can be told without a key, and writing its header gives what it is,
/// for fuzzers.
pub fn is_bundle(bytes: &[u8]) -> bool {
    let header = envelope::read_prelude(bytes.get(..envelope::PRELUDE_LEN).unwrap_or(bytes));
    let header = header
        .ok()
        .and_then(|len| bytes.get(envelope::PRELUDE_LEN..envelope::PRELUDE_LEN + len));
    header.is_some_and(envelope::is_header) && outline(bytes).is_ok()
}

/// What can be told of a bundle that is here as a whole without a key.
pub fn outline(bytes: &[u8]) -> Result<Outline, BundleError> {
    let (mut outline, mut rest) = (Outline::default(), bytes);
    loop {
        let (next, after) = rest.split_at(outline.wanted().min(rest.len()));
        rest = after;
        if outline.take(next)? {
            return Ok(outline);
        }
    }
}

fn read<S: OpStore + ?Sized>(
    store: &S,
    bytes: &[u8],
    mut show: impl FnMut(Piece),
) -> Result<(), BundleError> {
    let mut reader = Reader::default();
    let mut rest = bytes;
    loop {
        let (next, after) = rest.split_at(reader.wanted().min(rest.len()));
        rest = after;
        match reader.take(store, next)? {
            Step::Frame => {}
            Step::Piece(piece) => show(piece),
            Step::End => return Ok(()),
        }
    }
}
