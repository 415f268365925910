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

/// Bytes of content in a chunk.
pub const CHUNK_LEN: usize = 64 << 10;
pub(super) const SEALED_LEN: usize = CHUNK_LEN + DATA_OVERHEAD;

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

    /// The next chunk as it stands in the file: `content`, at most [`CHUNK_LEN`] bytes, then zeros.
    pub fn seal(
        &mut self,
        content: &[u8],
        last: bool,
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<u8>, BackupError> {
        let mut padded = Zeroizing::new(Vec::with_capacity(CHUNK_LEN));
        padded.extend_from_slice(content);
        padded.resize(CHUNK_LEN, 0);
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

    /// The [`CHUNK_LEN`] bytes of a chunk.
    pub fn open(&self, chunk: &Chunk<'_>) -> Result<Zeroizing<Vec<u8>>, BackupError> {
        let aad = aad(&self.header, chunk.index, chunk.last);
        let opened = self.key.open(&aad, chunk.sealed);
        opened.map_err(|_| BackupError::Damaged(chunk.at))
    }
}

fn aad(header: &[u8; 32], index: u64, last: bool) -> [u8; 32] {
    let fields = [header.as_slice(), &index.to_be_bytes(), &[u8::from(last)]];
    context::BACKUP_AAD.hash(fields)
}
