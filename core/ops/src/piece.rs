//! What has come of ops that are sent in pieces, so that one whose sending is cut goes on from there.

use std::collections::VecDeque;

use minicbor::{Decode, Encode};

use crate::op::{Link, MAX_OP_LEN};

/// The most ops of which pieces are kept.
pub const MAX_UNFINISHED: usize = 4;

/// An op of which the beginning has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Begun {
    /// The op, as its sender names it.
    #[n(0)]
    pub op: Link,
    /// How many bytes it has, as it is sent.
    #[n(1)]
    pub len: u64,
    /// How many of them have come.
    #[n(2)]
    pub come: u64,
}

/// Why a piece is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a piece of an operation does not continue what has come of it")]
pub struct Misfit;

/// The beginnings of ops of which the rest has not come: at most [`MAX_UNFINISHED`], 4 MiB of them; the one that was begun
/// first goes when there are more. Nothing in them is verified: that is done when an op is whole.
#[derive(Debug, Default)]
pub struct Pieces(VecDeque<Unfinished>);

#[derive(Debug)]
struct Unfinished {
    op: Link,
    len: usize,
    bytes: Vec<u8>,
}

impl Pieces {
    /// What has come.
    pub fn begun(&self) -> Vec<Begun> {
        let begun = self.0.iter().map(|unfinished| Begun {
            op: unfinished.op,
            len: unfinished.len as u64,
            come: unfinished.bytes.len() as u64,
        });
        begun.collect()
    }

    /// Takes the bytes from `at` on of an op of `len` bytes; all of it, once it is whole. A piece from the beginning begins
    /// anew.
    ///
    /// # Errors
    /// [`Misfit`] if there are no bytes, more than the op has or than any op may have, or others are lacking before them.
    pub fn add(
        &mut self,
        op: Link,
        len: u64,
        at: u64,
        piece: &[u8],
    ) -> Result<Option<Vec<u8>>, Misfit> {
        let fits = |number| usize::try_from(number).map_err(|_| Misfit);
        let (len, at) = (fits(len)?, fits(at)?);
        let end = at.checked_add(piece.len()).ok_or(Misfit)?;
        if len > MAX_OP_LEN || end > len || piece.is_empty() {
            return Err(Misfit);
        }
        let mut all = self.0.iter();
        let known = all.position(|unfinished| (unfinished.op, unfinished.len) == (op, len));
        let known = known.and_then(|place| self.0.remove(place));
        let mut unfinished = match known {
            Some(unfinished) if unfinished.bytes.len() == at => unfinished,
            _ if at == 0 => Unfinished {
                op,
                len,
                bytes: Vec::new(),
            },
            _ => return Err(Misfit),
        };
        unfinished.bytes.extend_from_slice(piece);
        if unfinished.bytes.len() == len {
            return Ok(Some(unfinished.bytes));
        }
        if self.0.len() >= MAX_UNFINISHED {
            self.0.pop_front();
        }
        self.0.push_back(unfinished);
        Ok(None)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn link(byte: u8) -> Link {
        Link::from_bytes([byte; 32])
    }

    #[test]
    fn an_op_is_whole_when_all_of_it_has_come() {
        let mut pieces = Pieces::default();
        let op: Vec<u8> = (0..100).collect();
        assert_eq!(pieces.add(link(1), 100, 0, &op[..60]), Ok(None));
        let begun = Begun {
            op: link(1),
            len: 100,
            come: 60,
        };
        assert_eq!(pieces.begun(), [begun]);
        assert_eq!(pieces.add(link(1), 100, 60, &op[60..]), Ok(Some(op)));
        assert!(pieces.begun().is_empty());
    }

    #[test]
    fn what_does_not_fit_is_not_taken() {
        let mut pieces = Pieces::default();
        let most = MAX_OP_LEN as u64;
        for (len, at, piece) in [
            (10, 1, &[0; 2][..]),
            (10, 0, &[]),
            (10, 0, &[0; 11]),
            (10, u64::MAX, &[0]),
            (most + 1, 0, &[0]),
        ] {
            assert_eq!(pieces.add(link(1), len, at, piece), Err(Misfit));
        }
        assert!(pieces.begun().is_empty());
        pieces.add(link(1), 10, 0, &[0; 4]).unwrap();
        // The same op with other content is another; a gap ends it; from the beginning it begins anew.
        assert_eq!(pieces.add(link(1), 9, 4, &[0; 5]), Err(Misfit));
        assert_eq!(pieces.begun().len(), 1);
        pieces.add(link(1), 10, 0, &[7; 9]).unwrap();
        let whole = pieces.add(link(1), 10, 9, &[7]).unwrap();
        assert_eq!(whole, Some(vec![7; 10]));
        pieces.add(link(1), 10, 0, &[0; 4]).unwrap();
        assert_eq!(pieces.add(link(1), 10, 5, &[0]), Err(Misfit));
        assert!(pieces.begun().is_empty());
    }

    #[test]
    fn no_number_of_beginnings_makes_it_grow() {
        let mut pieces = Pieces::default();
        for byte in 0..200 {
            pieces
                .add(link(byte), MAX_OP_LEN as u64, 0, &[0; 64])
                .unwrap();
        }
        let begun = pieces.begun();
        assert_eq!(begun.len(), MAX_UNFINISHED);
        assert_eq!(begun[3].op, link(199));
    }
}
