//! One chunk: `ciphertext ‖ tag`, the same for the same content in the same space.
//!
//! The chunk's key is a keyed hash of its content, so a chunk has one key and a key seals one chunk: the nonce can be
//! fixed. Its id is the hash of the sealed bytes. So whoever holds the key of a space's files, but not the reference
//! to a chunk, can tell whether the chunk is one that they know or guess, and cannot open it.

use std::fmt;

use twin_identity::aead::{AeadError, DataKey, SALT_LEN, Salt, TAG_LEN};
use twin_identity::context;
use twin_identity::id_type;
use twin_identity::secret::Secret;
use zeroize::Zeroizing;

use super::FileError;
use crate::epoch::EpochKey;
use crate::seal::{MIN_PADDED, pad, unpad};
use crate::space::SpaceId;

/// The most bytes of content in a chunk, and the number in every chunk but the last: with one byte of padding it is
/// 64 KiB. Larger ones would cost more where one byte is read or one chunk is lost on the way; smaller ones more rows.
pub const CHUNK_LEN: usize = (64 << 10) - 1;
/// The most bytes of a sealed chunk.
pub const MAX_SEALED_CHUNK: usize = CHUNK_LEN + 1 + TAG_LEN;
/// The least bytes of a sealed chunk.
pub const MIN_SEALED_CHUNK: usize = MIN_PADDED + TAG_LEN;
/// Length of a reference in a manifest, in bytes.
pub(super) const REF_LEN: usize = 64;

/// A key seals one message.
const ONLY: (Salt, u64) = ([0; SALT_LEN], 0);

id_type! {
    /// A chunk: hash of its sealed bytes.
    ChunkId
}

impl ChunkId {
    /// The id of the chunk with these sealed bytes.
    pub fn of(sealed: &[u8]) -> Self {
        Self(context::FILE_CHUNK.hash([sealed]))
    }
}

/// What the keys of a space's chunks are made with, so that the same content is the same chunk. Opens nothing.
#[derive(Debug, PartialEq, Eq)]
pub struct FileKey(Secret<32>);

impl EpochKey {
    /// The key for the files of a space of which this is the first epoch.
    pub fn file_key(&self) -> FileKey {
        FileKey(Secret::new(
            context::FILE_KEY.hash([self.secret().expose().as_slice()]),
        ))
    }
}

/// What it takes to find and open a chunk.
#[derive(PartialEq, Eq)]
pub struct ChunkRef {
    pub(super) key: Secret<32>,
    pub(super) id: ChunkId,
}

/// A chunk as it is stored and sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Hash of the bytes.
    pub id: ChunkId,
    /// `ciphertext ‖ tag`.
    pub bytes: Vec<u8>,
}

impl ChunkRef {
    /// The chunk.
    pub const fn id(&self) -> &ChunkId {
        &self.id
    }

    /// A reference as a manifest holds it: key ‖ id.
    pub(super) fn from_slice(bytes: &[u8]) -> Option<Self> {
        let (key, id) = bytes.split_at_checked(REF_LEN / 2)?;
        Some(Self {
            key: Secret::from_slice(key)?,
            id: ChunkId::from_bytes(id.try_into().ok()?),
        })
    }

    /// Opens the chunk, after its bytes were found to be those of its id. `level` is 0 for content and the height
    /// above it for a manifest.
    pub(super) fn open(
        &self,
        space: &SpaceId,
        level: u32,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, FileError> {
        let fits = (MIN_SEALED_CHUNK..=MAX_SEALED_CHUNK).contains(&sealed.len());
        if !fits || ChunkId::of(sealed) != self.id {
            return Err(FileError::Malformed);
        }
        let opened = open(&self.key, space, level, sealed);
        let content = opened.map_err(|_| FileError::Malformed)?;
        if content.len() > CHUNK_LEN {
            return Err(FileError::Malformed);
        }
        Ok(content)
    }
}

impl fmt::Debug for ChunkRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChunkRef({:?})", self.id)
    }
}

/// Seals at most [`CHUNK_LEN`] bytes.
pub(super) fn seal(
    key: &FileKey,
    space: &SpaceId,
    level: u32,
    content: &[u8],
) -> Result<(ChunkRef, Sealed), AeadError> {
    let padded = Zeroizing::new(pad(content));
    let mut hasher = blake3::Hasher::new_keyed(key.0.expose());
    hasher.update(space.as_bytes());
    hasher.update(&level.to_be_bytes());
    hasher.update(&padded);
    let chunk_key = Secret::new(*hasher.finalize().as_bytes());
    let (salt, index) = ONLY;
    let salted = data_key(&chunk_key).salted(&salt)?;
    // A copy of the padded content that becomes the sealed bytes in place; the other is wiped.
    let mut message = Vec::with_capacity(padded.len() + TAG_LEN);
    message.extend_from_slice(&padded);
    let bytes = salted.seal(index, &aad(space, level), message)?;
    let id = ChunkId::of(&bytes);
    Ok((ChunkRef { key: chunk_key, id }, Sealed { id, bytes }))
}

fn open(
    key: &Secret<32>,
    space: &SpaceId,
    level: u32,
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, AeadError> {
    let (salt, index) = ONLY;
    let salted = data_key(key).salted(&salt)?;
    let mut padded = salted.open(index, &aad(space, level), sealed)?;
    unpad(&mut padded)?;
    Ok(padded)
}

fn data_key(key: &Secret<32>) -> DataKey {
    DataKey::new(Secret::new(*key.expose()))
}

fn aad(space: &SpaceId, level: u32) -> [u8; 32] {
    context::FILE_CHUNK_AAD.hash([space.as_bytes().as_slice(), &level.to_be_bytes()])
}
