//! A bundle from outside: whether it begins and ends as one and everything between has the length that it should, which
//! takes no key. What stands in its pieces, and who has made them, only a [`super::Reader`] can tell.

use super::envelope;
use super::error::BundleError;
use super::piece::read_head;
use super::reader::Wants;

/// A bundle that is looked at from its beginning: say what is wanted next, take it. It keeps nothing of it.
#[derive(Default)]
pub struct Outline {
    wants: Wants,
    at: u64,
    pieces: u64,
    devices: usize,
}

impl Outline {
    /// How many bytes are to be given to [`Outline::take`]: as many as that, or as many as there are.
    pub const fn wanted(&self) -> usize {
        self.wants.bytes()
    }

    /// How many bytes were taken.
    pub const fn at(&self) -> u64 {
        self.at
    }

    /// How many pieces there were.
    pub const fn pieces(&self) -> u64 {
        self.pieces
    }

    /// For how many devices it was made; 1 to 64.
    pub const fn devices(&self) -> usize {
        self.devices
    }

    /// Takes the next bytes. `true` once all of it was there, and nothing after it.
    ///
    /// # Errors
    /// It is no bundle, of a later version, cut off, goes on after its end, or has lengths that none has.
    pub fn take(&mut self, bytes: &[u8]) -> Result<bool, BundleError> {
        let start = self.at;
        let short = bytes.len() != self.wanted();
        if short && !matches!(self.wants, Wants::Nothing | Wants::Prelude) {
            return Err(BundleError::Cut(start + bytes.len() as u64));
        }
        self.at += bytes.len() as u64;
        self.wants = match self.wants {
            Wants::Prelude => Wants::Header(envelope::read_prelude(bytes)?),
            Wants::Header(_) => {
                self.devices = envelope::devices(bytes)?;
                Wants::Head
            }
            Wants::Head => {
                let (last, len) = read_head(start, bytes)?;
                Wants::Sealed(last, len)
            }
            Wants::Sealed(last, _) => {
                self.pieces += 1;
                if last { Wants::Nothing } else { Wants::Head }
            }
            Wants::Nothing if bytes.is_empty() => return Ok(true),
            Wants::Nothing => return Err(BundleError::TooLong(start)),
        };
        Ok(false)
    }
}
