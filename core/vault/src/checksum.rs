//! How SQLite guards its write-ahead log: two sums over words, each going on from those of the frame before. See
//! <https://sqlite.org/fileformat2.html#the_write_ahead_log>.

use std::io::{self, Read};

/// In which order the bytes of a word are.
pub(crate) type Order = fn([u8; 4]) -> u32;

/// The two sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Checksum(pub u32, pub u32);

impl Checksum {
    /// Goes on with these bytes.
    pub fn add(&mut self, bytes: &[u8], order: Order) {
        for pair in bytes.as_chunks::<8>().0 {
            let [first, second] = words(pair, order);
            self.0 = self.0.wrapping_add(first).wrapping_add(self.1);
            self.1 = self.1.wrapping_add(second).wrapping_add(self.0);
        }
    }

    /// Whether it is what is written there.
    pub fn is(&self, sealed: &[u8]) -> bool {
        sealed == [self.0.to_be_bytes(), self.1.to_be_bytes()].as_flattened()
    }
}

/// The words that bytes begin with; 0 for those that they do not have.
pub(crate) fn words<const N: usize>(bytes: &[u8], order: Order) -> [u32; N] {
    let mut words = [0; N];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks().0) {
        *word = order(*bytes);
    }
    words
}

/// Fills the buffer; `false` if there is not so much left.
pub(crate) fn fill(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match from.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}
