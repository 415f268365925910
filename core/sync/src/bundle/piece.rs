//! The pieces of a bundle: each sealed for its place and signed by the maker, so that none can be changed, left out, moved,
//! taken for the last one, or made by another device that can open the bundle.
//!
//! ```text
//! piece   last (u8) ‖ length (u32) ‖ sealed        sealed: signature (64) ‖ content, padded
//! ```

use minicbor::{Decode, Encode};
use rand_core::CryptoRng;
use twin_identity::aead::{DATA_OVERHEAD, DataKey, TAG_LEN};
use twin_identity::cbor;
use twin_identity::context::{self, HASH_LEN};
use twin_identity::id::{DeviceId, TwinId};
use twin_identity::log::MAX_DEVICES;
use twin_identity::sign::{self, Signature, Use};
use twin_ops::seal::{pad, sealed_len, unpad};
use zeroize::Zeroizing;

use super::envelope::Beginning;
use super::error::BundleError;
use crate::machine::MAX_FRAME;
use crate::session::message::Message;

/// Whether it is the last, and the length of what follows.
pub(super) const HEAD_LEN: usize = 1 + 4;
const SIGNATURE_LEN: usize = 64;
/// The most bytes of a piece's content: a message, and what is around it.
pub(super) const MAX_CONTENT: usize = MAX_FRAME + 256;
const MAX_SEALED: usize = piece_len(MAX_CONTENT) - HEAD_LEN;
const MIN_SEALED: usize = piece_len(0) - HEAD_LEN;
/// Of what the first piece says.
const SAYING: u8 = 1;

/// How many bytes a piece has whose content has so many.
pub(super) const fn piece_len(content: usize) -> usize {
    HEAD_LEN + sealed_len(SIGNATURE_LEN + content) - TAG_LEN + DATA_OVERHEAD
}

/// Who made a bundle, and when: in its first piece.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(super) struct Opening {
    #[n(0)]
    pub version: u8,
    #[n(3)]
    pub maker: DeviceId,
    /// Milliseconds since the Unix epoch, by its clock.
    #[n(4)]
    pub made: u64,
    /// Whether the tables in the bundle name all that the maker has.
    #[n(5)]
    pub whole: bool,
    /// What the maker has taken of those for whom it is made.
    #[n(6)]
    pub taken: Vec<TakenOf>,
}

/// The newest bundle with content of files that was taken of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(super) struct TakenOf {
    #[n(0)]
    pub maker: DeviceId,
    /// When it was made, by the clock of that device.
    #[n(1)]
    pub made: u64,
}

impl Opening {
    pub const fn new(maker: DeviceId, made: u64, whole: bool, taken: Vec<TakenOf>) -> Self {
        Self {
            version: SAYING,
            maker,
            made,
            whole,
            taken,
        }
    }
}

/// What a piece holds.
#[derive(Debug, Default, Encode, Decode)]
#[cbor(map)]
pub(super) struct Content {
    /// In the first one.
    #[n(0)]
    pub opening: Option<Opening>,
    /// As in a session.
    #[n(1)]
    pub messages: Vec<Message>,
    /// In the last one: whether the maker has more for whom it is made.
    #[n(2)]
    pub more: Option<bool>,
    /// In the last one: whether the content of files came along that may be new for them.
    #[n(3)]
    pub with_files: Option<bool>,
}

/// Seals the pieces of a bundle, in their order.
pub(super) struct Sealer {
    key: DataKey,
    check: [u8; HASH_LEN],
    index: u64,
}

impl Sealer {
    pub fn new(beginning: &Beginning) -> Self {
        Self {
            key: beginning.key.data_key(),
            check: beginning.check,
            index: 0,
        }
    }

    /// The next piece, signed by its maker.
    pub fn seal(
        &mut self,
        content: &Content,
        sign: impl FnOnce(&[u8; HASH_LEN]) -> Signature,
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<u8>, BundleError> {
        let last = content.more.is_some();
        let content = cbor::encode(content);
        let place = Place::new(&self.check, self.index, last);
        self.index += 1;
        let mut plaintext = Zeroizing::new(Vec::with_capacity(SIGNATURE_LEN + content.len()));
        plaintext.extend_from_slice(&sign(&place.signs(&content)));
        plaintext.extend(content);
        let padded = Zeroizing::new(pad(&plaintext));
        let sealed = self.key.seal(&place.aad(), &padded, rng)?;
        let mut piece = Vec::with_capacity(HEAD_LEN + sealed.len());
        piece.push(u8::from(last));
        let len = u32::try_from(sealed.len()).unwrap_or(u32::MAX);
        piece.extend_from_slice(&len.to_be_bytes());
        piece.extend(sealed);
        Ok(piece)
    }
}

/// Opens the pieces of a bundle, in their order.
pub(super) struct Opener {
    key: DataKey,
    check: [u8; HASH_LEN],
    index: u64,
    opening: Option<Opening>,
}

impl Opener {
    pub fn new(beginning: &Beginning) -> Self {
        Self {
            key: beginning.key.data_key(),
            check: beginning.check,
            index: 0,
            opening: None,
        }
    }

    /// Who made it; `None` before the first piece.
    pub const fn opening(&self) -> Option<&Opening> {
        self.opening.as_ref()
    }

    /// Opens the next piece, which begins at `at`, and verifies that its maker has signed it.
    pub fn open(
        &mut self,
        twin: &TwinId,
        at: u64,
        last: bool,
        sealed: &[u8],
    ) -> Result<Content, BundleError> {
        let place = Place::new(&self.check, self.index, last);
        self.index += 1;
        let opened = self.key.open(&place.aad(), sealed);
        let mut plaintext = opened.map_err(|_| BundleError::Damaged(at))?;
        unpad(&mut plaintext).map_err(|_| BundleError::Damaged(at))?;
        let (signature, bytes) = plaintext
            .split_first_chunk::<SIGNATURE_LEN>()
            .ok_or(BundleError::Damaged(at))?;
        let signature: &Signature = signature;
        let content: Content = cbor::decode(bytes, MAX_CONTENT)
            .map_err(|_| BundleError::Content("a piece is not in its format"))?;
        match (&self.opening, &content.opening) {
            (None, Some(opening)) if opening.version != SAYING => return Err(BundleError::Newer),
            (None, Some(opening)) if opening.taken.len() > MAX_DEVICES => {
                return Err(BundleError::Content("it was made for too many"));
            }
            (None, Some(opening)) => self.opening = Some(opening.clone()),
            (Some(_), None) => {}
            _ => return Err(BundleError::Content("it does not begin with its maker")),
        }
        if content.more.is_some() != last || content.with_files.is_some() != last {
            return Err(BundleError::Content("its end is in the wrong place"));
        }
        let maker = self.opening.as_ref().map(|opening| opening.maker);
        let maker = maker.ok_or(BundleError::Content("it has no maker"))?;
        let id = place.signs(bytes);
        sign::verify(&maker, Use::Bundle, twin, &id, signature)
            .map_err(|_| BundleError::Content("its maker has not signed it"))?;
        Ok(content)
    }
}

/// Reads the head of a piece: whether it is the last, and how long the rest is.
pub(super) fn read_head(at: u64, bytes: &[u8]) -> Result<(bool, usize), BundleError> {
    let Some(&[last, l1, l2, l3, l4]) = bytes.first_chunk::<HEAD_LEN>() else {
        return Err(BundleError::Cut(at + bytes.len() as u64));
    };
    let len = u32::from_be_bytes([l1, l2, l3, l4]) as usize;
    if last <= 1 && (MIN_SEALED..=MAX_SEALED).contains(&len) {
        Ok((last == 1, len))
    } else {
        Err(BundleError::Damaged(at))
    }
}

/// Where a piece stands.
struct Place<'a> {
    check: &'a [u8; HASH_LEN],
    index: [u8; 8],
    last: [u8; 1],
}

impl<'a> Place<'a> {
    const fn new(check: &'a [u8; HASH_LEN], index: u64, last: bool) -> Self {
        Self {
            check,
            index: index.to_be_bytes(),
            last: [last as u8],
        }
    }

    fn aad(&self) -> [u8; HASH_LEN] {
        let fields = [self.check.as_slice(), &self.index, &self.last];
        context::BUNDLE_AAD.hash(fields)
    }

    fn signs(&self, content: &[u8]) -> [u8; HASH_LEN] {
        let fields = [self.check.as_slice(), &self.index, &self.last, content];
        context::BUNDLE_PIECE.hash(fields)
    }
}
