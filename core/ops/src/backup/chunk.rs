//! The chunks of a backup, sealed one by one, each for its place: STREAM (Hoang, Reyhanitabar, Rogaway, Vizár: Online
//! Authenticated-Encryption and its Nonce-Reuse Misuse-Resistance, CRYPTO 2015), so that none can be changed, left out,
//! moved or taken for the last one.
//!
//! Place and end are in the associated data, not in the nonce as there: a writer that goes on after it was broken off
//! seals the place where it stopped once more, with other content, and no nonce may repeat then.

use rand_core::CryptoRng;
use twin_identity::aead::{DATA_OVERHEAD, DataKey};
use twin_identity::context;
use zeroize::Zeroizing;

use super::BackupError;
use super::container::{Chunk, Place};
use super::header::FileKey;

/// What a chunk begins with: where the first item begins in it.
const BEGINS_LEN: usize = 4;
/// In a chunk in which none does.
const NOWHERE: u32 = u32::MAX;
/// Bytes of content in a chunk.
pub const CHUNK_LEN: usize = (64 << 10) - BEGINS_LEN;
pub(super) const SEALED_LEN: usize = BEGINS_LEN + CHUNK_LEN + DATA_OVERHEAD;

/// A chunk that was opened.
pub struct Opened {
    padded: Zeroizing<Vec<u8>>,
}

/// Seals the chunks of a backup in their order.
pub struct Sealer {
    key: DataKey,
    place: Place,
}

/// Opens the chunks of a backup.
pub struct Opener {
    key: DataKey,
    header: [u8; 32],
}

impl Sealer {
    /// Goes on at a place.
    pub fn new(key: &FileKey, place: Place) -> Self {
        Self {
            key: key.data_key(),
            place,
        }
    }

    /// The next chunk as it stands in the file: `content`, at most [`CHUNK_LEN`] bytes, then zeros. The first item that
    /// begins in it begins at `begins`: who has lost a chunk goes on there.
    pub fn seal(
        &mut self,
        content: &[u8],
        begins: Option<usize>,
        last: bool,
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<u8>, BackupError> {
        let begins = begins.and_then(|begins| u32::try_from(begins).ok());
        let mut padded = Zeroizing::new(Vec::with_capacity(BEGINS_LEN + CHUNK_LEN));
        padded.extend_from_slice(&begins.unwrap_or(NOWHERE).to_be_bytes());
        padded.extend_from_slice(content);
        padded.resize(BEGINS_LEN + CHUNK_LEN, 0);
        let aad = aad(&self.place.header, self.place.chunks(), last);
        let sealed = self.key.seal(&aad, &padded, rng)?;
        Ok(self.place.add(last, &sealed))
    }

    /// The end of the file, after the last chunk.
    pub fn trailer(&self) -> Vec<u8> {
        self.place.trailer()
    }
}

impl Opener {
    /// For the file of this place.
    pub fn new(key: &FileKey, place: &Place) -> Self {
        Self {
            key: key.data_key(),
            header: place.header,
        }
    }

    /// What is in a chunk.
    pub fn open(&self, chunk: &Chunk<'_>) -> Result<Opened, BackupError> {
        let aad = aad(&self.header, chunk.index, chunk.last);
        let opened = self.key.open(&aad, chunk.sealed);
        let padded = opened.map_err(|_| BackupError::Damaged(chunk.at))?;
        Ok(Opened { padded })
    }
}

impl Opened {
    /// Its [`CHUNK_LEN`] bytes.
    pub fn content(&self) -> &[u8] {
        self.padded.get(BEGINS_LEN..).unwrap_or_default()
    }

    /// Where the first item that begins in it begins; `None` if none does.
    pub fn begins(&self) -> Option<usize> {
        let begins = u32::from_be_bytes(*self.padded.first_chunk()?);
        usize::try_from(begins)
            .ok()
            .filter(|begins| *begins < CHUNK_LEN)
    }
}

fn aad(header: &[u8; 32], index: u64, last: bool) -> [u8; 32] {
    let fields = [header.as_slice(), &index.to_be_bytes(), &[u8::from(last)]];
    context::BACKUP_AAD.hash(fields)
}
