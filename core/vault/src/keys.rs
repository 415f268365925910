//! The vault key and what is derived from it.

use twin_identity::aead::DataKey;
use twin_identity::context::{self, Context};
use twin_identity::secret::Secret;
use zeroize::Zeroizing;

/// Length of a sealed row's key, in bytes.
pub(crate) const NAME_LEN: usize = 16;

/// Bits of a record's place in the index that come from its id; the 16 above are its collection's number.
pub(crate) const PLACE_BITS: u32 = 48;

/// The sub-keys of a vault key, one a use.
pub(crate) struct VaultKeys {
    /// The vault key itself, for slots to be added.
    vault: Secret<32>,
    /// Seals rows.
    pub rows: DataKey,
    /// Seals what is kept for searching.
    pub search: DataKey,
    names: Secret<32>,
    places: Secret<32>,
    index: Secret<32>,
}

impl VaultKeys {
    /// The sub-keys of `vault`.
    pub fn new(vault: &Secret<32>) -> Self {
        let derive = |what: &Context| {
            let key = Zeroizing::new(what.hash([vault.expose().as_slice()]));
            Secret::new(*key)
        };
        Self {
            vault: Secret::new(*vault.expose()),
            rows: DataKey::new(derive(&context::VAULT_ROWS)),
            search: DataKey::new(derive(&context::VAULT_SEARCH)),
            names: derive(&context::VAULT_NAMES),
            places: derive(&context::VAULT_PLACES),
            index: derive(&context::VAULT_INDEX),
        }
    }

    /// The vault key.
    pub const fn vault(&self) -> &Secret<32> {
        &self.vault
    }

    /// What stands in the file for a row's natural key: PRF(kind ‖ natural key).
    pub fn name(&self, kind: u8, natural: &[u8]) -> [u8; NAME_LEN] {
        prf(&self.names, [[kind].as_slice(), natural])
    }

    /// Where the index first looks for a record: the collection's number, then 48 bits of PRF(number ‖ id).
    pub fn place(&self, collection: u16, id: &str) -> i64 {
        let number = collection.to_be_bytes();
        let hash = prf::<8>(&self.places, [number.as_slice(), id.as_bytes()]);
        #[cfg(test)]
        let hash = crate::index::tests::crowd(hash);
        let low = u64::from_be_bytes(hash) >> (u64::BITS - PLACE_BITS);
        ((u64::from(collection) << PLACE_BITS) | low).cast_signed()
    }

    /// MAC over a row of the index, so that a damaged one cannot pass off old content as new.
    pub fn tag(&self, place: i64, parts: &[u8]) -> i64 {
        i64::from_be_bytes(prf(&self.index, [place.to_be_bytes().as_slice(), parts]))
    }
}

fn prf<const N: usize>(key: &Secret<32>, fields: [&[u8]; 2]) -> [u8; N] {
    let mut hasher = blake3::Hasher::new_keyed(key.expose());
    for field in fields {
        hasher.update(field);
    }
    const { assert!(N <= blake3::OUT_LEN) };
    let mut out = [0; N];
    let hash = hasher.finalize();
    let bytes = out.iter_mut().zip(hash.as_bytes());
    bytes.for_each(|(to, from)| *to = *from);
    out
}
