//! What the relay's side asks of its store.
//!
//! Every call is whole: it is done and will be there after a power cut, or it is not done at all. The store holds the
//! quotas ([`Limits`](super::Limits)) and the lives of envelopes; a machine holds what counts for one connection.

use twin_identity::sign::Signature;

use super::refusal::Refusal;
use super::{Address, EnvelopeId, Slot};
use crate::machine::Millis;

/// The most rows that are listed at once.
pub const MAX_LISTED: usize = 256;

/// What became of a change: it is there, or why it is not.
pub type Outcome<T> = Result<T, Refusal>;

/// A post that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// Its number in its mailbox, from 1, without holes.
    pub number: u64,
    /// Until when it is kept, by the relay's clock.
    pub expires: Millis,
    /// The version of the mailbox after it.
    pub version: u64,
}

/// A post, as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its number.
    pub number: u64,
    /// What it is.
    pub id: EnvelopeId,
    /// Until when it is kept.
    pub expires: Millis,
    /// The signature by which it was taken back; its bytes are gone.
    pub withdrawn: Option<Signature>,
}

/// Where a mailbox stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mark {
    /// The highest number that was given; 0 if none was.
    pub last: u64,
    /// Goes up with every change.
    pub version: u64,
}

/// A presence that has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Present {
    /// Where it lies.
    pub slot: Slot,
    /// The version of the mailbox with which it changed.
    pub version: u64,
    /// Its bytes; `None` if it was taken back.
    pub sealed: Option<Vec<u8>>,
}

/// A relay's store.
pub trait MailboxStore {
    /// Why the store itself failed. Told to the operator, never to a device.
    type Error: std::error::Error;

    /// Keeps a post. The same bytes again, while they are kept, are the same post: a device that did not hear the answer
    /// asks again.
    fn put(
        &mut self,
        now: Millis,
        address: &Address,
        sealed: &[u8],
    ) -> Result<Outcome<Kept>, Self::Error>;

    /// The posts after a number that have not expired, at most [`MAX_LISTED`], by number.
    fn list(
        &mut self,
        now: Millis,
        address: &Address,
        after: u64,
    ) -> Result<Vec<Listed>, Self::Error>;

    /// How many bytes a post has, if it is there.
    fn size(
        &mut self,
        now: Millis,
        address: &Address,
        number: u64,
    ) -> Result<Option<usize>, Self::Error>;

    /// The bytes of a post, if it is there.
    fn get(
        &mut self,
        now: Millis,
        address: &Address,
        number: u64,
    ) -> Result<Option<Vec<u8>>, Self::Error>;

    /// Drops the bytes of a post, and keeps the signature in their place until it would have expired. The signature has
    /// been verified for this id. Twice is once. Returns the mailbox's version.
    fn withdraw(
        &mut self,
        now: Millis,
        address: &Address,
        number: u64,
        id: &EnvelopeId,
        signature: &Signature,
    ) -> Result<Outcome<u64>, Self::Error>;

    /// Puts a presence into a slot, in place of the one before; with `None` takes it back. Returns the mailbox's version.
    fn present(
        &mut self,
        now: Millis,
        address: &Address,
        slot: &Slot,
        sealed: Option<&[u8]>,
    ) -> Result<Outcome<u64>, Self::Error>;

    /// The presences that changed after a version and have not expired, at most 64, by version.
    fn presences(
        &mut self,
        now: Millis,
        address: &Address,
        after: u64,
    ) -> Result<Vec<Present>, Self::Error>;

    /// Where a mailbox stands.
    fn mark(&mut self, address: &Address) -> Result<Mark, Self::Error>;
}
