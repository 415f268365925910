//! Grants: how epoch keys reach devices, and the recovery words.
//!
//! One grant seals the keys of several spaces to several devices at once. The keys are sealed once under a section
//! key, and each device gets the section keys sealed to itself: about 1.2 kB a device, however many the spaces.

mod recipient;
mod section;

use minicbor::{Decode, Encode};
use rand_core::CryptoRng;
use twin_identity::aead::{AeadError, DataKey};
use twin_identity::cbor::{self, CborError};
use twin_identity::context;
use twin_identity::device::{DeviceKeys, Role};
use twin_identity::entry::{MAX_PREVS, SUITE, VERSION};
use twin_identity::id::{DeviceId, EntryId, TwinId};
use twin_identity::id_type;
use twin_identity::log::{IdentityLog, MAX_DEVICES};
use twin_identity::seal::{SEAL_OVERHEAD, SealError, SealingKey};
use twin_identity::sign::{self, Signature, SignatureError, Use};
use zeroize::Zeroizing;

use crate::space::{Audience, SpaceName};

pub use recipient::{Recipient, Recipients};
pub use section::{GrantedKey, MAX_GRANTED_KEYS};

/// The most bytes of a signed grant.
pub const MAX_GRANT_LEN: usize = 256 << 10;

/// The most recipients of a grant: devices that were added at the same time may be more than [`MAX_DEVICES`].
const MAX_WRAPS: usize = 3 * MAX_DEVICES + 2;

const GRANT_TYPE: u8 = 1;
const INFO: &[u8] = b"digital-twin v1 grant";

id_type! {
    /// A grant: hash of the unsigned grant.
    GrantId
}

/// A signed grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Its id.
    pub id: GrantId,
    body: RawGrant,
    signature: Signature,
    bytes: Vec<u8>,
}

/// A grant cannot be made or accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// Not in the expected format, or made by a newer version.
    #[error("a grant of keys is damaged or made by a newer version of the app")]
    Format(#[from] CborError),
    /// The signature does not verify.
    #[error("a grant of keys is forged or damaged and was refused")]
    Signature(#[from] SignatureError),
    /// The signer is no device of the twin, or may not grant what it grants.
    #[error("a grant of keys comes from a device that may not give it")]
    NotAllowed,
    /// A key could not be sealed or opened.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// A section could not be sealed or opened.
    #[error(transparent)]
    Section(#[from] AeadError),
    /// More keys or devices than one grant may have.
    #[error("too many spaces or devices for one grant of keys")]
    TooLarge,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
struct RawGrant {
    #[n(0)]
    version: u8,
    #[n(1)]
    suite: u8,
    #[n(2)]
    kind: u8,
    /// Heads of the identity log that the granter knew: the set of devices that it meant.
    #[n(3)]
    heads: Vec<EntryId>,
    #[n(4)]
    signer: DeviceId,
    /// Keys for all devices, sealed under the members' section key.
    #[cbor(n(5), with = "minicbor::bytes")]
    members: Vec<u8>,
    /// Keys for admins only, sealed under the admins' section key.
    #[cbor(n(6), with = "minicbor::bytes")]
    admins: Vec<u8>,
    #[n(7)]
    wraps: Vec<Wrap>,
    /// The rotation under which the granter stood.
    #[n(8)]
    base: EntryId,
}

const SECTION_KEY_LEN: usize = 32;
/// The section keys sealed to one recipient: 32 bytes for members, 64 for all others.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
struct Wrap {
    #[n(0)]
    to: Recipient,
    #[cbor(n(1), with = "minicbor::bytes")]
    sealed: Vec<u8>,
}

#[derive(Encode, Decode)]
#[cbor(array)]
struct SignedGrant {
    #[cbor(n(0), with = "minicbor::bytes")]
    grant: Vec<u8>,
    #[cbor(n(1), with = "cbor::fixed")]
    signature: Signature,
}

impl Grant {
    /// Grants `keys` to `recipients` of `log`; each key goes to the audience of its space. `now`, in milliseconds since
    /// the Unix epoch, tells whose time has run out.
    pub fn new(
        log: &IdentityLog,
        now: u64,
        keys: &[GrantedKey],
        recipients: &Recipients<'_>,
        signer: &DeviceKeys,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, GrantError> {
        if keys.len() > MAX_GRANTED_KEYS {
            return Err(GrantError::TooLarge);
        }
        let twin = log.twin();
        let (for_members, for_admins) = (DataKey::random(rng), DataKey::random(rng));
        let members = section::seal(&for_members, Audience::Members, twin, keys, rng)?;
        let admins = section::seal(&for_admins, Audience::Admins, twin, keys, rng)?;
        let aad = wrap_aad(twin, &members, &admins);
        let mut both = Zeroizing::new(for_members.secret().expose().to_vec());
        both.extend_from_slice(for_admins.secret().expose());
        let mut wraps = Vec::new();
        for device in log.devices().values() {
            let meant = match recipients {
                Recipients::All => true,
                Recipients::One(id) => **id == device.public.id,
                Recipients::Words => false,
            };
            let active = device.is_active(now);
            #[cfg(twin_break)]
            let active = active || twin_identity::broken::is("grants_to_suspended");
            if !meant || !active {
                continue;
            }
            let role = device.role;
            #[cfg(twin_break)]
            let role = if twin_identity::broken::is("grants_ignore_roles") {
                Role::Admin
            } else {
                role
            };
            let section_keys = match role {
                Role::Admin => both.as_slice(),
                Role::Member => for_members.secret().expose(),
            };
            let sealed = device.public.sealing.seal(INFO, &aad, section_keys, rng)?;
            wraps.push(Wrap {
                to: Recipient::Device(device.public.id),
                sealed,
            });
        }
        if matches!(recipients, Recipients::All | Recipients::Words) {
            let guardians = log
                .guardians()
                .and_then(|guardians| guardians.sealing.as_ref());
            let all = [
                (Recipient::Words, log.recovery()),
                (Recipient::Guardians, guardians),
            ];
            for (to, key) in all {
                if let Some(key) = key {
                    let sealed = key.seal(INFO, &aad, &both, rng)?;
                    wraps.push(Wrap { to, sealed });
                }
            }
        }
        let body = RawGrant {
            version: VERSION,
            suite: SUITE,
            kind: GRANT_TYPE,
            heads: log.heads(),
            signer: signer.id(),
            members,
            admins,
            wraps,
            base: log.base(),
        };
        let grant = cbor::encode(&body);
        let id = context::GRANT.hash([grant.as_slice()]);
        let signature = signer.sign(Use::Grant, twin, &id);
        let bytes = cbor::encode(&SignedGrant { grant, signature });
        if bytes.len() > MAX_GRANT_LEN {
            return Err(GrantError::TooLarge);
        }
        Self::from_bytes(&bytes)
    }

    /// Reads a grant; at most [`MAX_GRANT_LEN`] bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, GrantError> {
        let signed: SignedGrant = cbor::decode(bytes, MAX_GRANT_LEN)?;
        let body: RawGrant = cbor::decode(&signed.grant, MAX_GRANT_LEN)?;
        if (body.version, body.suite, body.kind) != (VERSION, SUITE, GRANT_TYPE) {
            return Err(GrantError::Format(CborError::Malformed));
        }
        // A grant to nobody would only take up room.
        if body.wraps.is_empty() {
            return Err(GrantError::Format(CborError::Malformed));
        }
        if body.heads.len() > MAX_PREVS || body.wraps.len() > MAX_WRAPS {
            return Err(GrantError::TooLarge);
        }
        Ok(Self {
            id: GrantId::from_bytes(context::GRANT.hash([signed.grant.as_slice()])),
            body,
            signature: signed.signature,
            bytes: bytes.to_vec(),
        })
    }

    /// The signed grant as it is stored and sent.
    pub fn to_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The device that signed it.
    pub const fn signer(&self) -> DeviceId {
        self.body.signer
    }

    /// The rotation under which the granter stood.
    pub const fn base(&self) -> &EntryId {
        &self.body.base
    }

    /// Heads of the identity log that the granter knew.
    pub fn heads(&self) -> &[EntryId] {
        &self.body.heads
    }

    /// Whom it is for.
    pub fn recipients(&self) -> impl Iterator<Item = Recipient> {
        self.body.wraps.iter().map(|wrap| wrap.to)
    }

    /// Those of them that get the admins' keys, too.
    pub fn admin_recipients(&self) -> impl Iterator<Item = Recipient> {
        let wraps = self.body.wraps.iter();
        let both = wraps.filter(|wrap| wrap.sealed.len() > SEAL_OVERHEAD + SECTION_KEY_LEN);
        both.map(|wrap| wrap.to)
    }

    /// Verifies that a device of the twin signed it: one that was in where the grant says that it stood. Who has been
    /// removed since may have made it before, or says so; what a grant gives is therefore only used if whoever began
    /// the epoch knew of every removal (see [`IdentityLog::knew_all_removals`]).
    pub fn verify(&self, log: &IdentityLog) -> Result<(), GrantError> {
        let signer = self.signer();
        if log.role_at(&signer, self.base(), self.heads()).is_none() {
            return Err(GrantError::NotAllowed);
        }
        let id = self.id.as_bytes();
        Ok(sign::verify(
            &signer,
            Use::Grant,
            log.twin(),
            id,
            &self.signature,
        )?)
    }

    /// The keys that this grant gives to a device: none if it is not meant for it. [`Grant::verify`] comes first.
    pub fn open(
        &self,
        log: &IdentityLog,
        device: &DeviceKeys,
    ) -> Result<Vec<GrantedKey>, GrantError> {
        let to = Recipient::Device(device.id());
        self.open_wrap(log, to, |aad, sealed| device.open(INFO, aad, sealed))
    }

    /// The keys that this grant gives to the recovery words or to the guardians, by their sealing key.
    pub fn open_with(
        &self,
        log: &IdentityLog,
        to: Recipient,
        key: &SealingKey,
    ) -> Result<Vec<GrantedKey>, GrantError> {
        self.open_wrap(log, to, |aad, sealed| key.open(INFO, aad, sealed))
    }

    fn open_wrap(
        &self,
        log: &IdentityLog,
        to: Recipient,
        open: impl FnOnce(&[u8], &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError>,
    ) -> Result<Vec<GrantedKey>, GrantError> {
        let Some(wrap) = self.body.wraps.iter().find(|wrap| wrap.to == to) else {
            return Ok(Vec::new());
        };
        let twin = log.twin();
        let aad = wrap_aad(twin, &self.body.members, &self.body.admins);
        let section_keys = open(&aad, &wrap.sealed)?;
        let (for_members, for_admins) = section_keys
            .split_at_checked(SECTION_KEY_LEN)
            .ok_or(GrantError::Section(AeadError::Open))?;
        let mut keys = section::open(for_members, Audience::Members, twin, &self.body.members)?;
        let by_admin = log.role_at(&self.signer(), self.base(), self.heads()) == Some(Role::Admin);
        // Devices find each other by the key of the members' space: what a member gives opens what is old, and nobody
        // writes with it, so that none can split them by giving another.
        if !by_admin {
            let members = keys
                .iter_mut()
                .filter(|granted| granted.space == SpaceName::members());
            members.for_each(|granted| granted.heads.clear());
        }
        // What a member says about the admins' space counts for nothing.
        if !for_admins.is_empty() && by_admin {
            keys.extend(section::open(
                for_admins,
                Audience::Admins,
                twin,
                &self.body.admins,
            )?);
        }
        // Nobody begins an epoch knowing more than when granting it: that would be a removed device that says so.
        let base = std::slice::from_ref(self.base());
        keys.retain(|granted| {
            log.had_seen(self.heads(), &granted.heads)
                && log.had_seen(base, std::slice::from_ref(&granted.base))
        });
        Ok(keys)
    }
}

/// Ties a wrap to its twin and sections, so that it cannot be moved into another grant.
fn wrap_aad(twin: &TwinId, members: &[u8], admins: &[u8]) -> [u8; 32] {
    let len = (members.len() as u64).to_be_bytes();
    context::GRANT_AAD.hash([twin.as_bytes().as_slice(), &len, members, admins])
}

#[cfg(test)]
mod tests;
