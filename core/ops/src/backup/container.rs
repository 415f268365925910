//! The file from outside: beginning, chunks of one length, end. A running hash tells, without any key, whether all of
//! it is there and just as it was written, and if not, where.

use twin_identity::context::{self, HASH_LEN};

use super::BackupError;
use super::chunk::SEALED_LEN;
use super::header::Header;

/// What a backup begins with: a byte that no text has, a name, and line ends that a careless copy would change.
pub const MAGIC: [u8; 8] = *b"\x89TWIN\r\n\x1a";
/// The most bytes of a header.
pub const MAX_HEADER_LEN: usize = 96 << 10;
/// Bytes of a chunk in the file: whether it is the last, the sealed chunk, the check.
pub const FRAME_LEN: usize = 1 + SEALED_LEN + HASH_LEN;

const VERSION: u16 = 1;
const END: [u8; 8] = *b"TWIN END";
/// Magic, version, length of the header.
const PRELUDE_LEN: usize = MAGIC.len() + 2 + 4;
/// Mark, number of chunks, check.
const TRAILER_LEN: usize = END.len() + 8 + HASH_LEN;

/// Where in a backup one stands: what a writer needs to go on from there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The check of the beginning; chunks are sealed for it.
    pub(super) header: [u8; HASH_LEN],
    /// The check of all so far.
    check: [u8; HASH_LEN],
    /// How many chunks there are so far.
    chunks: u64,
    /// How many bytes there are so far.
    len: u64,
}

/// A backup that is read from its beginning: say what is wanted next, take it, check it.
#[derive(Debug, Default)]
pub struct Container {
    wants: Wants,
    place: Option<Place>,
    at: u64,
}

#[derive(Debug, Default)]
enum Wants {
    #[default]
    Prelude,
    Header([u8; PRELUDE_LEN], usize),
    Chunk,
    Trailer,
    Nothing,
}

/// What was taken.
#[derive(Debug)]
pub enum Piece<'a> {
    /// Nothing that matters to a reader.
    Frame,
    /// The beginning.
    Header(Header),
    /// A chunk; what comes before it and itself are as they were written.
    Chunk(Chunk<'a>),
    /// All of it was there.
    End,
}

/// The beginning of a file that may be damaged anywhere: what it takes to open those of its chunks that are whole. Each
/// chunk is sealed for its place, so it needs none of the others.
#[derive(Debug)]
pub struct Beginning {
    /// Who can open it. A seal that was hit does not open, and the others do.
    pub header: Header,
    /// The check of the beginning as it was computed, and as it stands in the file: one of them is right if only one
    /// place was hit.
    pub places: [Place; 2],
    /// Where the first chunk begins.
    pub at: u64,
}

impl Beginning {
    /// The most bytes that it takes to read a beginning.
    pub const MOST: usize = PRELUDE_LEN + MAX_HEADER_LEN + HASH_LEN;

    /// Reads it from the first bytes of a file.
    pub fn read(bytes: &[u8]) -> Result<Self, BackupError> {
        const DAMAGED: BackupError = BackupError::Damaged(MAGIC.len() as u64);
        let prelude: [u8; PRELUDE_LEN] = *bytes.first_chunk().ok_or(BackupError::Foreign)?;
        check_magic(&prelude)?;
        let (version, len) = split_prelude(&prelude);
        if version != VERSION {
            return Err(BackupError::Newer);
        }
        let header = bytes.get(PRELUDE_LEN..PRELUDE_LEN + len).ok_or(DAMAGED)?;
        let check = bytes
            .get(PRELUDE_LEN + len..)
            .and_then(|rest| rest.first_chunk());
        let computed = Place::after_header(&prelude, header);
        let written = Place {
            header: *check.ok_or(DAMAGED)?,
            ..computed
        };
        Ok(Self {
            header: Header::from_bytes(header, DAMAGED)?,
            places: [computed, written],
            at: computed.len,
        })
    }

    /// The chunk at a place, from 0, of which these are the [`FRAME_LEN`] bytes; it is not known whether it is the last.
    /// `None` if there are not as many bytes.
    pub fn chunks<'a>(&self, index: u64, frame: &'a [u8]) -> Option<[Chunk<'a>; 2]> {
        let sealed = frame.get(1..1 + SEALED_LEN)?;
        let at = self.at + index * FRAME_LEN as u64;
        Some([false, true].map(|last| Chunk {
            index,
            last,
            at,
            sealed,
        }))
    }
}

/// A sealed chunk.
#[derive(Debug, Clone, Copy)]
pub struct Chunk<'a> {
    /// Its place, from 0.
    pub index: u64,
    /// Whether it is the last.
    pub last: bool,
    /// Where it stands in the file.
    pub at: u64,
    pub(super) sealed: &'a [u8],
}

impl Container {
    /// How many bytes are to be given to [`Container::take`]: as many as that, or as many as there are.
    pub const fn wanted(&self) -> usize {
        match self.wants {
            Wants::Prelude => PRELUDE_LEN,
            Wants::Header(_, len) => len + HASH_LEN,
            Wants::Chunk => FRAME_LEN,
            Wants::Trailer => TRAILER_LEN,
            // To see that there is none.
            Wants::Nothing => 1,
        }
    }

    /// Where it stands after what was taken last; `None` before the first chunk could come.
    pub const fn place(&self) -> Option<Place> {
        self.place
    }

    /// Takes the next bytes of the file.
    pub fn take<'a>(&mut self, bytes: &'a [u8]) -> Result<Piece<'a>, BackupError> {
        let start = self.at;
        if let Wants::Nothing = self.wants {
            return match bytes {
                [] => Ok(Piece::End),
                _ => Err(BackupError::TooLong(start)),
            };
        }
        if let Wants::Prelude = self.wants {
            check_magic(bytes)?;
        }
        if bytes.len() != self.wanted() {
            return Err(BackupError::Cut(start + bytes.len() as u64));
        }
        self.at += bytes.len() as u64;
        match self.wants {
            Wants::Prelude => self.prelude(bytes),
            Wants::Header(prelude, _) => self.header(&prelude, bytes),
            Wants::Chunk => self.chunk(bytes, start),
            Wants::Trailer | Wants::Nothing => self.trailer(bytes, start),
        }
    }

    fn prelude<'a>(&mut self, bytes: &[u8]) -> Result<Piece<'a>, BackupError> {
        let prelude: [u8; PRELUDE_LEN] = bytes.try_into().map_err(|_| BackupError::Foreign)?;
        let (version, len) = split_prelude(&prelude);
        if version != VERSION {
            return Err(BackupError::Newer);
        }
        if len > MAX_HEADER_LEN {
            return Err(BackupError::Damaged(MAGIC.len() as u64));
        }
        self.wants = Wants::Header(prelude, len);
        Ok(Piece::Frame)
    }

    fn header<'a>(
        &mut self,
        prelude: &[u8; PRELUDE_LEN],
        bytes: &[u8],
    ) -> Result<Piece<'a>, BackupError> {
        // Or its length, which comes before it.
        const DAMAGED: BackupError = BackupError::Damaged(MAGIC.len() as u64);
        let (header, check) = bytes.split_last_chunk::<HASH_LEN>().ok_or(DAMAGED)?;
        let place = Place::after_header(prelude, header);
        if *check != place.check {
            return Err(DAMAGED);
        }
        let header = Header::from_bytes(header, DAMAGED)?;
        self.place = Some(place);
        self.wants = Wants::Chunk;
        Ok(Piece::Header(header))
    }

    fn chunk<'a>(&mut self, bytes: &'a [u8], at: u64) -> Result<Piece<'a>, BackupError> {
        let damaged = BackupError::Damaged(at);
        let place = self.place.as_mut().ok_or(damaged)?;
        let (body, check) = bytes.split_last_chunk::<HASH_LEN>().ok_or(damaged)?;
        let (last, sealed) = body.split_first().ok_or(damaged)?;
        let last = match last {
            0 => false,
            1 => true,
            _ => return Err(damaged),
        };
        let next = place.after(last, sealed);
        if next.check != *check {
            return Err(damaged);
        }
        let index = place.chunks;
        *place = next;
        if last {
            self.wants = Wants::Trailer;
        }
        Ok(Piece::Chunk(Chunk {
            index,
            last,
            at,
            sealed,
        }))
    }

    fn trailer<'a>(&mut self, bytes: &[u8], at: u64) -> Result<Piece<'a>, BackupError> {
        let place = self.place.ok_or(BackupError::Damaged(at))?;
        if bytes != place.trailer() {
            return Err(BackupError::Damaged(at));
        }
        self.wants = Wants::Nothing;
        Ok(Piece::Frame)
    }
}

/// What is too short to be told from another kind of file is cut off, if it begins as a backup does.
fn check_magic(bytes: &[u8]) -> Result<(), BackupError> {
    let begins = bytes.iter().zip(MAGIC).all(|(is, should)| *is == should);
    if begins {
        Ok(())
    } else {
        Err(BackupError::Foreign)
    }
}

fn split_prelude(prelude: &[u8; PRELUDE_LEN]) -> (u16, usize) {
    let number = |from: usize, to: usize| {
        let bytes = prelude.get(from..to).unwrap_or_default();
        bytes
            .iter()
            .fold(0, |number, byte| (number << 8) | usize::from(*byte))
    };
    let version = number(MAGIC.len(), MAGIC.len() + 2);
    let len = number(MAGIC.len() + 2, PRELUDE_LEN);
    (u16::try_from(version).unwrap_or(u16::MAX), len)
}

impl Place {
    /// The beginning of a file with this header, and the place after it.
    pub(super) fn begin(header: &[u8]) -> (Vec<u8>, Self) {
        let len = u32::try_from(header.len()).unwrap_or(u32::MAX);
        let mut prelude = MAGIC.to_vec();
        prelude.extend_from_slice(&VERSION.to_be_bytes());
        prelude.extend_from_slice(&len.to_be_bytes());
        let place = Self::after_header(&prelude, header);
        let bytes = [&prelude, header, &place.check].concat();
        (bytes, place)
    }

    fn after_header(prelude: &[u8], header: &[u8]) -> Self {
        let check = context::BACKUP_HEADER.hash([prelude, header]);
        Self {
            header: check,
            check,
            chunks: 0,
            len: (prelude.len() + header.len() + HASH_LEN) as u64,
        }
    }

    fn after(&self, last: bool, sealed: &[u8]) -> Self {
        let fields = [self.check.as_slice(), &[u8::from(last)], sealed];
        Self {
            header: self.header,
            check: context::BACKUP_CHUNK.hash(fields),
            chunks: self.chunks + 1,
            len: self.len + FRAME_LEN as u64,
        }
    }

    /// A chunk as it stands in the file; this becomes the place after it.
    pub(super) fn add(&mut self, last: bool, sealed: &[u8]) -> Vec<u8> {
        *self = self.after(last, sealed);
        [&[u8::from(last)], sealed, self.check.as_slice()].concat()
    }

    /// The end of the file, if this is the place after the last chunk.
    pub(super) fn trailer(&self) -> Vec<u8> {
        let chunks = self.chunks.to_be_bytes();
        let check = context::BACKUP_END.hash([self.check.as_slice(), &chunks]);
        [END.as_slice(), &chunks, &check].concat()
    }

    /// How many bytes of the file come before it.
    pub const fn at(&self) -> u64 {
        self.len
    }

    /// How many chunks come before it.
    pub const fn chunks(&self) -> u64 {
        self.chunks
    }
}
