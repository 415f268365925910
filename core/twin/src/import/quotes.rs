//! The quotes of a table, which the reader of its cells takes as they come: where one is not closed, it would take what
//! follows for part of the cell, without a word.

use std::io::{self, Read};

/// The mark of byte order that a text may begin with.
const MARK: &[u8; 3] = b"\xef\xbb\xbf";

/// A table, as long as its quotes are as they should be (RFC 4180, section 2): a cell that begins with one ends with one,
/// before what separates cells or lines, and within it two stand for one. Reading fails with [`BadQuote`] where that is
/// not so. Lines end with LF, whatever they ended with; what is quoted stays as it is.
pub(super) struct Quotes<R> {
    inner: R,
    delimiter: u8,
    at: At,
    /// How much of a mark of byte order was read, or all of it if there is none.
    mark: usize,
    /// Whether a line has just ended with CR.
    after_cr: bool,
    /// Lines are counted from 1.
    line: u64,
    /// The line in which the last quote was opened.
    opened: u64,
}

/// Where in a table.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    /// Where a cell begins.
    Begin,
    /// In a cell without quotes.
    Bare,
    /// In a quoted cell.
    Quoted,
    /// Behind a quote in a quoted cell: it is the end, or the first of two.
    Quote,
}

/// A quote was opened in this line and not closed, or text follows where it was.
#[derive(Debug, thiserror::Error)]
#[error("a quote is not closed")]
pub(super) struct BadQuote(pub u64);

impl<R> Quotes<R> {
    pub const fn new(inner: R, delimiter: u8) -> Self {
        Self {
            inner,
            delimiter,
            at: At::Begin,
            mark: 0,
            after_cr: false,
            line: 1,
            opened: 0,
        }
    }

    /// What stands for the next byte; `None` if nothing does.
    fn take(&mut self, byte: u8) -> Result<Option<u8>, BadQuote> {
        if let Some(mark) = MARK.get(self.mark) {
            self.mark = if byte == *mark {
                self.mark + 1
            } else {
                MARK.len()
            };
            if byte == *mark {
                return Ok(Some(byte));
            }
        }
        let after_cr = std::mem::take(&mut self.after_cr);
        if self.at == At::Quoted {
            self.line += u64::from(byte == b'\n');
            if byte == b'"' {
                self.at = At::Quote;
            }
            return Ok(Some(byte));
        }
        self.at = match (byte, self.at) {
            (b'\n', _) if after_cr => return Ok(None),
            (b'\r' | b'\n', _) => {
                self.line += 1;
                self.after_cr = byte == b'\r';
                self.at = At::Begin;
                return Ok(Some(b'\n'));
            }
            (byte, _) if byte == self.delimiter => At::Begin,
            (b'"', At::Begin) => {
                self.opened = self.line;
                At::Quoted
            }
            (b'"', At::Quote) => At::Quoted,
            (_, At::Quote) => return Err(BadQuote(self.opened)),
            _ => At::Bare,
        };
        Ok(Some(byte))
    }
}

impl<R: Read> Read for Quotes<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let len = self.inner.read(buffer)?;
            if len == 0 {
                return match self.at {
                    At::Quoted if !buffer.is_empty() => {
                        Err(io::Error::other(BadQuote(self.opened)))
                    }
                    _ => Ok(0),
                };
            }
            let mut kept = 0;
            for from in 0..len {
                let byte = buffer.get(from).copied().unwrap_or_default();
                if let Some(byte) = self.take(byte).map_err(io::Error::other)?
                    && let Some(to) = buffer.get_mut(kept)
                {
                    *to = byte;
                    kept += 1;
                }
            }
            // Nothing would be the end.
            if kept > 0 {
                return Ok(kept);
            }
        }
    }
}

/// The line of a quote that reading failed for.
pub(super) fn bad_quote(error: &io::Error) -> Option<u64> {
    let bad = error.get_ref()?.downcast_ref::<BadQuote>()?;
    Some(bad.0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(table: &[u8]) -> Result<Vec<u8>, u64> {
        let mut read = Vec::new();
        let done = Quotes::new(table, b',').read_to_end(&mut read);
        done.map(|_| read)
            .map_err(|error| bad_quote(&error).unwrap())
    }

    #[test]
    fn lines_end_alike_and_what_is_quoted_stays() {
        let table = b"\xef\xbb\xbf\"a\r\nb\",5\" of\r\n\"say \"\"so\"\"\",\rx,\"\"\n";
        let same = b"\xef\xbb\xbf\"a\r\nb\",5\" of\n\"say \"\"so\"\"\",\nx,\"\"\n";
        assert_eq!(read(table).unwrap(), same);
    }

    #[test]
    fn a_quote_that_is_not_closed_is_told_with_its_line() {
        assert_eq!(read(b"a,b\r\n1,\"open\r\n2,3\r\n"), Err(2));
        assert_eq!(read(b"a\n\"1\n\"\n\"2\n\"3\"\n"), Err(4));
        assert_eq!(read(b"a\n\"x\"y\"\n"), Err(2));
        assert_eq!(read(b"\""), Err(1));
    }

    proptest! {
        /// What a writer of tables writes is read as it was, by whatever pieces it comes.
        #[test]
        fn what_was_written_comes_back(rows in prop::collection::vec(prop::collection::vec("[a\",;\r\n]{0,5}", 2..3), 1..20)) {
            let mut table = csv::Writer::from_writer(Vec::new());
            rows.iter().for_each(|row| table.write_record(row).unwrap());
            let table = table.into_inner().unwrap();
            let quotes = Quotes::new(table.as_slice(), b',');
            let mut back = csv::ReaderBuilder::new().has_headers(false).buffer_capacity(3).from_reader(quotes);
            let back: Vec<Vec<String>> = back.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect();
            prop_assert_eq!(back, rows);
        }
    }
}
