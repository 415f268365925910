//! Every use of the hash, one context string each, all of them here.
//!
//! BLAKE3 in `derive_key` mode (BLAKE3 paper, section 2.3) keeps the uses apart: the same bytes hashed for two uses
//! give unrelated results. Inputs are concatenated, so a use feeds fixed-length fields and at most one field of
//! variable length, the last one.

use std::sync::OnceLock;

use blake3::hazmat::{HasherExt, hash_derive_key_context};

/// Length of every hash in this project, in bytes.
pub const HASH_LEN: usize = 32;

/// One use of the hash.
pub struct Context {
    name: &'static str,
    // Hashing the context string costs as much as hashing a short message, so it is done once.
    key: OnceLock<[u8; 32]>,
}

impl Context {
    const fn new(name: &'static str) -> Self {
        Self {
            name,
            key: OnceLock::new(),
        }
    }

    /// The BLAKE3 context string.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Hashes the concatenation of `fields`; 32 bytes.
    pub fn hash<'a>(&self, fields: impl IntoIterator<Item = &'a [u8]>) -> [u8; HASH_LEN] {
        self.begin(fields).end(&[])
    }

    /// Begins to hash what many messages have in common.
    pub fn begin<'a>(&self, fields: impl IntoIterator<Item = &'a [u8]>) -> Begun {
        let key = self.key.get_or_init(|| hash_derive_key_context(self.name));
        let mut hasher = blake3::Hasher::new_from_context_key(key);
        for field in fields {
            hasher.update(field);
        }
        Begun(hasher)
    }
}

/// What many messages begin with, hashed once.
#[derive(Clone)]
pub struct Begun(blake3::Hasher);

impl Begun {
    /// The hash of a message that ends with `rest`; the same as [`Context::hash`] of all of it.
    pub fn hash(&self, rest: &[u8]) -> [u8; HASH_LEN] {
        self.clone().end(rest)
    }

    fn end(mut self, rest: &[u8]) -> [u8; HASH_LEN] {
        self.0.update(rest);
        *self.0.finalize().as_bytes()
    }
}

macro_rules! contexts {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        $($(#[$doc])* pub static $name: Context = Context::new(concat!("digital-twin v1 ", $text));)*

        /// Every context, for the golden vectors.
        pub static ALL: &[&Context] = &[$(&$name),*];
    };
}

contexts! {
    /// Twin id: the genesis, CBOR.
    GENESIS = "genesis";
    /// Entry id: the unsigned entry, CBOR.
    ENTRY = "entry";
    /// Commitment to an authority key: Ed25519 key ‖ ML-DSA-65 key.
    AUTHORITY = "authority";
    /// What a new device key signs: Ed25519 key ‖ X-Wing key.
    DEVICE = "device";
    /// Secret of a pair of devices: X25519 shared secret.
    DEVICE_PAIR = "device pair";
    /// Head statement id: unsigned statement, CBOR.
    HEAD = "head statement";
    /// Digest of an identity log: the sorted entry ids.
    LOG_DIGEST = "identity log digest";
    /// Ed25519 seed of authority key i: recovery secret ‖ i (u32, big-endian).
    AUTHORITY_ED25519 = "authority ed25519";
    /// ML-DSA-65 seed of authority key i: recovery secret ‖ i (u32, big-endian).
    AUTHORITY_ML_DSA = "authority ml-dsa-65";
    /// Input key material of the recovery sealing key: recovery secret.
    RECOVERY_SEALING = "recovery sealing";
    /// Pseudonym root: recovery secret ‖ generation (u32, big-endian).
    PSEUDONYM_ROOT = "pseudonym root";
    /// Backup root: recovery secret.
    BACKUP_ROOT = "backup root";
    /// Ed25519 seed of the guardians' authority key: guardian secret.
    GUARDIAN_ED25519 = "guardian authority ed25519";
    /// ML-DSA-65 seed of the guardians' authority key: guardian secret.
    GUARDIAN_ML_DSA = "guardian authority ml-dsa-65";
    /// X-Wing seed of the guardians' sealing key: guardian secret.
    GUARDIAN_SEALING = "guardian sealing";
    /// Commitment to a guardian's share, of which the first 16 bytes are used: number (u8) ‖ value.
    GUARDIAN_SHARE = "guardian share";
    /// Id of a set of shares: needed (u8) ‖ guardians (u8) ‖ commitments ‖ name.
    GUARDIAN_SET = "guardian set";
    /// Checksum of a guardian's share, of which the first 4 bytes are used: share, CBOR.
    SHARE_CHECKSUM = "guardian share checksum";
    /// Key of the nonce PRF: data key.
    NONCE = "nonce";
    /// Space id: twin id ‖ name.
    SPACE = "space";
    /// Epoch id: epoch key.
    EPOCH = "epoch";
    /// Key that seals the parts of ops: epoch key.
    PART_KEY = "part key";
    /// Key that seals the key of the epoch before: epoch key.
    PREDECESSOR_KEY = "predecessor key";
    /// Discovery key: epoch key of the members space.
    DISCOVERY = "discovery";
    /// Log id: space id ‖ twin id ‖ device id ‖ incarnation.
    LOG = "log";
    /// Op id: header, CBOR.
    OP = "op";
    /// Link to the op before: header ‖ signature.
    LINK = "link";
    /// Part hash: sealed part.
    PART = "part";
    /// Parts hash: salt ‖ part hashes.
    PARTS = "parts";
    /// Associated data of a part: log id ‖ seq ‖ epoch id ‖ part index.
    PART_AAD = "part aad";
    /// Key of the keyed hash that makes the keys of a space's chunks: epoch key.
    FILE_KEY = "file key";
    /// Chunk id: sealed chunk.
    FILE_CHUNK = "file chunk";
    /// Associated data of a chunk: space id ‖ level (u32, big-endian).
    FILE_CHUNK_AAD = "file chunk aad";
    /// Id of an imported record, of which the first 16 bytes are used: what it was made of.
    IMPORTED = "imported record";
    /// Grant id: unsigned grant, CBOR.
    GRANT = "grant";
    /// Associated data of a grant's wraps: twin id ‖ length of the members' section (u64, big-endian) ‖ members'
    /// section ‖ admins' section.
    GRANT_AAD = "grant aad";
    /// Digest of a set of grants: the sorted grant ids.
    GRANTS_DIGEST = "grants digest";
    /// Digest over all (log, height, head): sorted by log.
    HEIGHTS_DIGEST = "heights digest";
    /// Name under which a persona at a site is kept: counter (u32, big-endian) ‖ site id.
    PERSONA = "persona";
    /// Digest of a replica: identity log digest ‖ grants digest ‖ heights digest.
    SYNC_DIGEST = "sync digest";
    /// Id of a sealed backup: its file key.
    BACKUP_FILE = "backup file";
    /// Key that seals the chunks of a backup: its file key.
    BACKUP_KEY = "backup key";
    /// Check of a backup's beginning: prelude ‖ header, CBOR.
    BACKUP_HEADER = "backup header";
    /// Check after each chunk of a backup: check before it ‖ whether it is the last (u8) ‖ sealed chunk.
    BACKUP_CHUNK = "backup chunk";
    /// Associated data of a backup's chunk: check of the beginning ‖ index (u64, big-endian) ‖ whether it is the last (u8).
    BACKUP_AAD = "backup aad";
    /// Check of a whole backup: check after the last chunk ‖ number of chunks (u64, big-endian).
    BACKUP_END = "backup end";
    /// Id of a backup's manifest: manifest, CBOR.
    BACKUP_MANIFEST = "backup manifest";
    /// Id of a bundle: its key.
    BUNDLE = "bundle";
    /// Key that seals the key of a bundle for a membership epoch: discovery key.
    BUNDLE_EPOCH = "bundle epoch";
    /// Key that seals the pieces of a bundle: its key.
    BUNDLE_KEY = "bundle key";
    /// Check of a bundle's beginning: prelude ‖ header, CBOR.
    BUNDLE_HEADER = "bundle header";
    /// Associated data of a bundle's piece: check of the beginning ‖ index (u64, big-endian) ‖ whether it is the last (u8).
    BUNDLE_AAD = "bundle aad";
    /// What a device signs of a bundle's piece: check of the beginning ‖ index (u64, big-endian) ‖ whether it is the last
    /// (u8) ‖ content, CBOR.
    BUNDLE_PIECE = "bundle piece";
    /// What tells the pictures of one bundle from those of others, of which the first 8 bytes are used: the bundle.
    BUNDLE_FRAMES = "bundle frames";
    /// What both sides sign to prove their device in a session: transcript.
    SESSION = "session";
    /// Key that seals the vault's rows: vault key.
    VAULT_ROWS = "vault rows";
    /// Key of the PRF that hides the vault's row keys: vault key.
    VAULT_NAMES = "vault names";
    /// Key of the PRF that places records in the vault's index: vault key.
    VAULT_PLACES = "vault places";
    /// Key of the MAC over the rows of the vault's index: vault key.
    VAULT_INDEX = "vault index";
    /// Key that seals what the vault keeps for searching: vault key.
    VAULT_SEARCH = "vault search";
    /// Checksum of a key slot, so that a damaged one is not taken for a wrong password: slot.
    VAULT_SLOT = "vault slot";
    /// Hash of a transport key in a linking QR code.
    TRANSPORT = "transport key";
    /// Checksum of a linking QR code, of which the first 4 bytes are used: offer, CBOR.
    LINK_CHECKSUM = "link checksum";
    /// Key of the linking proofs: one-time secret of the QR code.
    LINK_MAC = "link mac";
    /// Commitment to the new device's nonce: nonce.
    LINK_COMMITMENT = "link commitment";
    /// Linking transcript, of which the six digits are made.
    LINK_TRANSCRIPT = "link transcript";
    /// Secret of a link from afar: key that SPAKE2 gives ‖ phone's transport key ‖ new device's transport key ‖ what both
    /// have said until then.
    LINK_AFAR = "link afar";
    /// Secret of a mailbox: discovery key ‖ relay key ‖ day (u64, big-endian).
    MAILBOX = "mailbox";
    /// Secret of the mailbox of a passcode's nameplate: nameplate (u32, big-endian) ‖ relay key ‖ day (u64, big-endian).
    MAILBOX_NAMEPLATE = "mailbox nameplate";
    /// Ed25519 seed of a mailbox's address: secret of the mailbox.
    MAILBOX_ADDRESS = "mailbox address";
    /// Key that seals a mailbox's envelopes: secret of the mailbox.
    MAILBOX_KEY = "mailbox key";
    /// Slot of a device in a mailbox, of which the first 16 bytes are used: secret of the mailbox ‖ device id.
    MAILBOX_SLOT = "mailbox slot";
    /// Associated data of an envelope: relay key ‖ day (u64, big-endian) ‖ address ‖ kind (u8) ‖ slot (16; zeros for a
    /// post).
    MAILBOX_AAD = "mailbox aad";
    /// Envelope id: sealed envelope.
    MAILBOX_ENVELOPE = "mailbox envelope";
    /// What an address signs to prove itself to a relay: challenge ‖ device's transport key ‖ relay's ‖ address.
    MAILBOX_PROOF = "mailbox proof";
    /// What an address signs to take an envelope back: address ‖ number (u64, big-endian) ‖ envelope id.
    MAILBOX_WITHDRAWAL = "mailbox withdrawal";
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn is_blake3_derive_key() {
        assert_eq!(
            SPACE.hash([b"ab".as_slice(), b"c"]),
            blake3::derive_key("digital-twin v1 space", b"abc")
        );
    }

    #[test]
    fn what_is_begun_ends_as_if_hashed_at_once() {
        let begun = SPACE.begin([[7; 100].as_slice()]);
        for rest in [b"".as_slice(), b"one", &[3; 2000]] {
            assert_eq!(begun.hash(rest), SPACE.hash([[7; 100].as_slice(), rest]));
        }
    }

    #[test]
    fn no_two_uses_share_a_context() {
        let names: BTreeSet<_> = ALL.iter().map(|context| context.name()).collect();
        assert_eq!(names.len(), ALL.len());
    }
}
