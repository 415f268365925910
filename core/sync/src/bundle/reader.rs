//! Reading a bundle, a piece at a time: what comes out is sealed and signed as it should be, and nothing was taken of it
//! yet.

use twin_identity::id::DeviceId;
use twin_ops::store::OpStore;

use super::envelope::{self, PRELUDE_LEN};
use super::error::BundleError;
use super::piece::{Content, HEAD_LEN, Opener, Opening, read_head};
use crate::session::message::Message;

/// A bundle that is read from its beginning: say what is wanted next, take it. It keeps no more than a header.
#[derive(Default)]
pub struct Reader {
    wants: Wants,
    at: u64,
    prelude: Vec<u8>,
    opener: Option<Opener>,
}

/// What comes next.
#[derive(Clone, Copy, Default)]
pub(super) enum Wants {
    #[default]
    Prelude,
    Header(usize),
    Head,
    Sealed(bool, usize),
    Nothing,
}

impl Wants {
    /// How many bytes that are.
    pub const fn bytes(self) -> usize {
        match self {
            Self::Prelude => PRELUDE_LEN,
            Self::Header(len) | Self::Sealed(_, len) => len,
            Self::Head => HEAD_LEN,
            // To see that there is none.
            Self::Nothing => 1,
        }
    }
}

/// What was taken.
pub enum Step {
    /// Nothing that matters to whoever takes it in.
    Frame,
    /// A piece, verified: see [`super::Intake`].
    Piece(Piece),
    /// All of it was there.
    End,
}

/// A piece of a bundle that its maker has signed.
pub struct Piece {
    pub(super) opening: Opening,
    pub(super) content: Content,
}

impl Piece {
    /// The device that has made and signed the bundle.
    pub const fn maker(&self) -> DeviceId {
        self.opening.maker
    }

    /// When it was made, in milliseconds since the Unix epoch, by the clock of that device.
    pub const fn made(&self) -> u64 {
        self.opening.made
    }

    /// The ops that are in it, as they are sent.
    pub fn ops(&self) -> impl Iterator<Item = &[u8]> {
        self.content.messages.iter().flat_map(|message| {
            let ops: &[_] = match message {
                Message::Ops(run) => &run.ops,
                _ => &[],
            };
            ops.iter().map(|op| op.as_slice())
        })
    }
}

impl Reader {
    /// How many bytes are to be given to [`Reader::take`]: as many as that, or as many as there are.
    pub const fn wanted(&self) -> usize {
        self.wants.bytes()
    }

    /// How many bytes were taken.
    pub const fn at(&self) -> u64 {
        self.at
    }

    /// Takes the next bytes, for the device of `store`.
    pub fn take<S: OpStore + ?Sized>(
        &mut self,
        store: &S,
        bytes: &[u8],
    ) -> Result<Step, BundleError> {
        let start = self.at;
        let short = bytes.len() != self.wanted();
        if short && !matches!(self.wants, Wants::Nothing | Wants::Prelude) {
            return Err(BundleError::Cut(start + bytes.len() as u64));
        }
        self.at += bytes.len() as u64;
        match self.wants {
            Wants::Prelude => {
                let len = envelope::read_prelude(bytes)?;
                self.prelude = bytes.to_vec();
                self.wants = Wants::Header(len);
            }
            Wants::Header(_) => {
                let mut beginning = std::mem::take(&mut self.prelude);
                beginning.extend_from_slice(bytes);
                let beginning = envelope::open(&beginning, store)?;
                self.opener = Some(Opener::new(&beginning));
                self.wants = Wants::Head;
            }
            Wants::Head => {
                let (last, len) = read_head(start, bytes)?;
                self.wants = Wants::Sealed(last, len);
            }
            Wants::Sealed(last, _) => {
                let damaged = BundleError::Damaged(start);
                let opener = self.opener.as_mut().ok_or(damaged.clone())?;
                let content = opener.open(store.identity().twin(), start, last, bytes)?;
                let opening = opener.opening().cloned().ok_or(damaged)?;
                self.wants = if last { Wants::Nothing } else { Wants::Head };
                return Ok(Step::Piece(Piece { opening, content }));
            }
            Wants::Nothing if bytes.is_empty() => return Ok(Step::End),
            Wants::Nothing => return Err(BundleError::TooLong(start)),
        }
        Ok(Step::Frame)
    }
}
