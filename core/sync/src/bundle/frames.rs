//! A bundle as a row of pictures: texts for QR codes that are shown one after the other, over and over. Any of them will
//! do, in any order, a few more than the bundle is long: a fountain code (RaptorQ, RFC 6330).
//!
//! ```text
//! text    "TWIN:BUNDLE:" ‖ BASE32(frame), no padding
//! frame   version (u8) ‖ id (8) ‖ length (u24) ‖ number (u24) ‖ symbol (352)
//! ```
//!
//! A text has 600 characters that a QR code packs densely, which is version 13 at level L: it fits into a terminal of 80
//! columns. All parameters of the code follow from the length, so no frame can ask for others. What comes out is not
//! verified here but for damage: it is a bundle, and [`super::take`] looks at it as at any other.

use std::collections::BTreeSet;

use data_encoding::BASE32_NOPAD;
use raptorq::{
    EncodingPacket, ObjectTransmissionInformation, PayloadId, SourceBlockDecoder,
    SourceBlockEncoder,
};
use twin_identity::context;

/// The most bytes that pictures carry: about 190 of them.
pub const MAX_PICTURED: usize = 64 << 10;
/// How many frames differ; after that they begin again.
pub const MAX_FRAMES: u32 = 1 << 16;

const PREFIX: &str = "TWIN:BUNDLE:";
const VERSION: u8 = 1;
const ID_LEN: usize = 8;
const NUMBER_LEN: usize = 3;
const HEAD_LEN: usize = 1 + ID_LEN + 2 * NUMBER_LEN;
const SYMBOL_LEN: u16 = 352;
const FRAME_LEN: usize = HEAD_LEN + SYMBOL_LEN as usize;
/// How many objects are gathered at a time; one more, and the one goes that has got nothing for the longest time.
const MAX_OBJECTS: usize = 4;
/// How many frames more than it is long an object gets before it is begun anew: mostly none are needed, and more than
/// two never, unless some are forged.
const MAX_SPARE: u32 = 32;

/// Pictures cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FramesError {
    /// More than pictures carry.
    #[error(
        "this is more than {MAX_PICTURED} bytes, too much for pictures: carry it over in a file"
    )]
    TooLarge,
    /// Nothing at all.
    #[error("there is nothing to be shown")]
    Empty,
}

/// What became of a text that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// It is no frame, or damaged.
    Foreign,
    /// A frame of a later version: the app is to be updated.
    Newer,
    /// So many frames of an object are here, of about so many.
    Some {
        /// How many are here.
        have: u32,
        /// How many it takes.
        need: u32,
    },
    /// The object.
    Whole(Vec<u8>),
}

/// The frames of a bundle.
pub struct Frames {
    encoder: SourceBlockEncoder,
    object: Object,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Object {
    id: [u8; ID_LEN],
    len: usize,
}

impl Object {
    fn of(bytes: &[u8]) -> Self {
        let hash = context::BUNDLE_FRAMES.hash([bytes]);
        let id = *hash.first_chunk().unwrap_or(&[0; ID_LEN]);
        let len = bytes.len();
        Self { id, len }
    }

    /// How many symbols it has.
    fn symbols(self) -> u32 {
        u32::try_from(self.len.div_ceil(usize::from(SYMBOL_LEN))).unwrap_or(u32::MAX)
    }

    fn parameters(self) -> (ObjectTransmissionInformation, usize) {
        let len = self.len.next_multiple_of(usize::from(SYMBOL_LEN));
        (
            ObjectTransmissionInformation::new(len as u64, SYMBOL_LEN, 1, 1, 8),
            len,
        )
    }
}

impl Frames {
    /// Of a bundle of at most [`MAX_PICTURED`] bytes.
    pub fn new(bytes: &[u8]) -> Result<Self, FramesError> {
        if bytes.is_empty() {
            return Err(FramesError::Empty);
        }
        if bytes.len() > MAX_PICTURED {
            return Err(FramesError::TooLarge);
        }
        let object = Object::of(bytes);
        let (parameters, len) = object.parameters();
        let mut padded = bytes.to_vec();
        padded.resize(len, 0);
        Ok(Self {
            encoder: SourceBlockEncoder::new(0, &parameters, &padded),
            object,
        })
    }

    /// How many frames it takes at least. Whoever shows so many and half as many more, over and over, need not wait for one
    /// that was missed.
    pub fn least(&self) -> u32 {
        self.object.symbols()
    }

    /// The text of a frame, from 0.
    pub fn text(&self, number: u32) -> String {
        let number = number % MAX_FRAMES;
        let packets = match number.checked_sub(self.least()) {
            Some(repair) => self.encoder.repair_packets(repair, 1),
            None => self.encoder.source_packets(),
        };
        let wanted = packets.iter().find(|packet| {
            let id = packet.payload_id();
            id.encoding_symbol_id() == number
        });
        let mut frame = vec![VERSION];
        frame.extend(self.object.id);
        let len = u32::try_from(self.object.len).unwrap_or(u32::MAX);
        for field in [len, number] {
            frame.extend(field.to_be_bytes().iter().skip(1));
        }
        frame.extend(wanted.map(EncodingPacket::data).unwrap_or_default());
        format!("{PREFIX}{}", BASE32_NOPAD.encode(&frame))
    }
}

/// Gathers frames until a bundle is whole. It keeps a few objects at a time, each of which has its limit.
#[derive(Default)]
pub struct Gathering {
    /// The one that got a frame last comes last.
    objects: Vec<Gathered>,
}

struct Gathered {
    object: Object,
    decoder: SourceBlockDecoder,
    have: BTreeSet<u32>,
}

impl Gathered {
    fn new(object: Object) -> Self {
        let (parameters, len) = object.parameters();
        Self {
            object,
            decoder: SourceBlockDecoder::new(0, &parameters, len as u64),
            have: BTreeSet::new(),
        }
    }

    /// The object, if this frame makes it whole. Begins anew if frames were forged.
    fn take(&mut self, number: u32, symbol: &[u8]) -> Option<Vec<u8>> {
        if !self.have.insert(number) {
            return None;
        }
        let packet = EncodingPacket::new(PayloadId::new(0, number), symbol.to_vec());
        let decoded = self.decoder.decode([packet]);
        let most = self.object.symbols() + MAX_SPARE;
        let spent = u32::try_from(self.have.len()).is_ok_and(|have| have >= most);
        if let Some(mut bytes) = decoded {
            bytes.truncate(self.object.len);
            if Object::of(&bytes) == self.object {
                return Some(bytes);
            }
        } else if !spent {
            return None;
        }
        *self = Self::new(self.object);
        None
    }
}

impl Gathering {
    /// Takes the text of a QR code.
    pub fn take(&mut self, text: &str) -> Seen {
        let (object, number, symbol) = match read(text) {
            Ok(frame) => frame,
            Err(seen) => return seen,
        };
        let known = self.objects.iter().position(|one| one.object == object);
        let mut gathered = match known {
            Some(at) => self.objects.remove(at),
            None => Gathered::new(object),
        };
        if let Some(bytes) = gathered.take(number, &symbol) {
            return Seen::Whole(bytes);
        }
        let have = u32::try_from(gathered.have.len()).unwrap_or(u32::MAX);
        if self.objects.len() >= MAX_OBJECTS {
            self.objects.remove(0);
        }
        self.objects.push(gathered);
        let need = object.symbols();
        Seen::Some { have, need }
    }
}

/// Whether a text is a frame, of this or a later version.
pub fn is_frame(text: &str) -> bool {
    !matches!(read(text), Err(Seen::Foreign))
}

fn read(text: &str) -> Result<(Object, u32, Vec<u8>), Seen> {
    let text = text.strip_prefix(PREFIX).ok_or(Seen::Foreign)?;
    if text.len() > 2 * FRAME_LEN {
        return Err(Seen::Foreign);
    }
    let frame = BASE32_NOPAD.decode(text.as_bytes());
    let frame = frame.map_err(|_| Seen::Foreign)?;
    let (head, symbol) = frame.split_first_chunk::<HEAD_LEN>().ok_or(Seen::Foreign)?;
    let [version, id @ .., l1, l2, l3, n1, n2, n3] = *head;
    if version != VERSION {
        return Err(Seen::Newer);
    }
    let len = u32::from_be_bytes([0, l1, l2, l3]) as usize;
    let number = u32::from_be_bytes([0, n1, n2, n3]);
    let fits = (1..=MAX_PICTURED).contains(&len)
        && number < MAX_FRAMES
        && symbol.len() == usize::from(SYMBOL_LEN);
    if !fits {
        return Err(Seen::Foreign);
    }
    Ok((Object { id, len }, number, symbol.to_vec()))
}

#[cfg(test)]
mod tests;
