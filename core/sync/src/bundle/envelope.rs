//! What a bundle begins with: its key, sealed for the epoch that its maker takes for the current one, and to each device
//! that it is made for. It names nobody.

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};
use rand_core::CryptoRng;
use twin_identity::aead::{DATA_OVERHEAD, DataKey};
use twin_identity::cbor;
use twin_identity::context::{self, HASH_LEN};
use twin_identity::entry::{SUITE, VERSION};
use twin_identity::id::DeviceId;
use twin_identity::id_type;
use twin_identity::log::MAX_DEVICES;
use twin_identity::seal::SEAL_OVERHEAD;
use twin_identity::secret::Secret;
use twin_ops::epoch::DiscoveryKey;
use twin_ops::store::OpStore;
use zeroize::Zeroizing;

use super::error::BundleError;

/// What a bundle begins with: a byte that no text has, a name, and line ends that a careless copy would change.
pub const MAGIC: [u8; 8] = *b"\x89TWBN\r\n\x1a";
/// Magic, version, length of the header.
pub const PRELUDE_LEN: usize = MAGIC.len() + 2 + 4;

const FORMAT: u16 = 1;
const HEADER_TYPE: u8 = 1;
const INFO: &[u8] = b"digital-twin v1 bundle";
const KEY_LEN: usize = 32;
const SEAL_LEN: usize = KEY_LEN + SEAL_OVERHEAD;
const FOR_EPOCH_LEN: usize = KEY_LEN + DATA_OVERHEAD;
/// The most bytes of a header: a seal for each device, and what is around them.
const MAX_HEADER_LEN: usize = MAX_DEVICES * (SEAL_LEN + 3) + 256;

id_type! {
    /// A bundle: hash of its key, so that the header commits to the key that opens it.
    BundleId
}

/// The key of one bundle, random.
pub(super) struct BundleKey(Secret<KEY_LEN>);

impl BundleKey {
    fn id(&self) -> BundleId {
        BundleId::from_bytes(context::BUNDLE.hash([self.0.expose().as_slice()]))
    }

    /// The key that seals pieces.
    pub fn data_key(&self) -> DataKey {
        let key = Zeroizing::new(context::BUNDLE_KEY.hash([self.0.expose().as_slice()]));
        DataKey::new(Secret::new(*key))
    }
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct Header {
    #[n(0)]
    version: u8,
    #[n(1)]
    suite: u8,
    #[n(2)]
    kind: u8,
    #[n(3)]
    id: BundleId,
    /// The key, for whoever has the discovery key of the epoch; chance if the maker has none.
    #[cbor(n(4), with = "minicbor::bytes")]
    for_epoch: Vec<u8>,
    /// The key, to each device that it is made for; sorted, so that their order says nothing.
    #[n(5)]
    seals: Vec<ByteVec>,
}

/// The beginning of a bundle, with a hash of it that every piece is bound to.
pub(super) struct Beginning {
    pub bytes: Vec<u8>,
    pub check: [u8; HASH_LEN],
    pub key: BundleKey,
}

#[cfg(test)]
impl Beginning {
    /// Of a bundle that is for nobody.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        Self {
            bytes: Vec::new(),
            check: [3; HASH_LEN],
            key: BundleKey(Secret::random(rng)),
        }
    }
}

/// Begins a bundle for devices that take part.
pub(super) fn begin<S: OpStore + ?Sized>(
    store: &S,
    to: &[DeviceId],
    rng: &mut impl CryptoRng,
) -> Result<Beginning, BundleError> {
    if !(1..=MAX_DEVICES).contains(&to.len()) {
        return Err(BundleError::Recipients);
    }
    let key = BundleKey(Secret::random(rng));
    let id = key.id();
    let chance = Secret::random(rng);
    let epoch = store.discovery_key().map(DiscoveryKey::bundle_key);
    let epoch = epoch.unwrap_or_else(|| DataKey::new(chance));
    let mut seals: Vec<ByteVec> = Vec::new();
    for device in to {
        let known = store.identity().device(device);
        let known = known.filter(|_| store.admits(device));
        let known = known.ok_or(BundleError::Recipient)?;
        let sealing = &known.public.sealing;
        let seal = sealing.seal(INFO, id.as_bytes(), key.0.expose(), rng)?;
        seals.push(seal.into());
    }
    seals.sort_by(|one, other| one.as_slice().cmp(other.as_slice()));
    let header = cbor::encode(&Header {
        version: VERSION,
        suite: SUITE,
        kind: HEADER_TYPE,
        id,
        for_epoch: epoch.seal(id.as_bytes(), key.0.expose(), rng)?,
        seals,
    });
    let len = u32::try_from(header.len()).unwrap_or(u32::MAX);
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&FORMAT.to_be_bytes());
    bytes.extend_from_slice(&len.to_be_bytes());
    bytes.extend(header);
    let check = context::BUNDLE_HEADER.hash([bytes.as_slice()]);
    Ok(Beginning { bytes, check, key })
}

/// Reads the first [`PRELUDE_LEN`] bytes; how long the header is that follows. Fewer are cut off if they begin as a bundle
/// does.
pub(super) fn read_prelude(bytes: &[u8]) -> Result<usize, BundleError> {
    let begins = bytes.iter().zip(MAGIC).all(|(is, should)| *is == should);
    if !begins || bytes.is_empty() {
        return Err(BundleError::Foreign);
    }
    let rest = bytes.get(MAGIC.len()..).unwrap_or_default();
    let Some(&[v1, v2, l1, l2, l3, l4]) = rest.first_chunk() else {
        return Err(BundleError::Cut(bytes.len() as u64));
    };
    if u16::from_be_bytes([v1, v2]) != FORMAT {
        return Err(BundleError::Newer);
    }
    let len = u32::from_be_bytes([l1, l2, l3, l4]) as usize;
    if len <= MAX_HEADER_LEN {
        Ok(len)
    } else {
        Err(BundleError::Damaged(MAGIC.len() as u64))
    }
}

fn read_header(bytes: &[u8]) -> Result<Header, BundleError> {
    const DAMAGED: BundleError = BundleError::Damaged(MAGIC.len() as u64);
    let header: Header = cbor::decode(bytes, MAX_HEADER_LEN).map_err(|_| DAMAGED)?;
    if (header.version, header.suite, header.kind) != (VERSION, SUITE, HEADER_TYPE) {
        return Err(BundleError::Newer);
    }
    let lens = header.seals.iter().all(|seal| seal.len() == SEAL_LEN);
    let fits = header.for_epoch.len() == FOR_EPOCH_LEN && header.seals.len() <= MAX_DEVICES;
    if fits && lens {
        Ok(header)
    } else {
        Err(DAMAGED)
    }
}

/// For how many devices the bundle with this header was made.
pub(super) fn devices(bytes: &[u8]) -> Result<usize, BundleError> {
    read_header(bytes).map(|header| header.seals.len())
}

/// Whether bytes are a header, and what writing it gives.
pub(super) fn is_header(bytes: &[u8]) -> bool {
    read_header(bytes).is_ok_and(|header| cbor::encode(&header) == bytes)
}

/// Reads prelude and header, and opens the key with what this device has.
pub(super) fn open<S: OpStore + ?Sized>(bytes: &[u8], store: &S) -> Result<Beginning, BundleError> {
    let header = read_header(bytes.get(PRELUDE_LEN..).unwrap_or_default())?;
    let key = open_key(&header, store).ok_or(BundleError::Stranger)?;
    Ok(Beginning {
        bytes: Vec::new(),
        check: context::BUNDLE_HEADER.hash([bytes]),
        key,
    })
}

fn open_key<S: OpStore + ?Sized>(header: &Header, store: &S) -> Option<BundleKey> {
    let aad = header.id.as_bytes();
    let by_epoch = |key: &DiscoveryKey| key.bundle_key().open(aad, &header.for_epoch).ok();
    let current = store.discovery_key().and_then(by_epoch);
    let opened = current.or_else(|| store.other_discovery_keys().iter().find_map(by_epoch));
    let opened = opened.or_else(|| {
        let mut seals = header.seals.iter();
        seals.find_map(|seal| store.open_sealed(INFO, aad, seal))
    });
    let key = BundleKey(Secret::from_slice(&opened?)?);
    (key.id() == header.id).then_some(key)
}
