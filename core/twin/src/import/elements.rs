//! The elements of a JSON list as they stand there, one by one: the list is not held in memory.

use std::io::{self, BufRead};

/// The elements of the list that `reader` gives.
pub(super) struct Elements<R> {
    reader: R,
    most: usize,
    /// The line that is being read, from 1 on.
    line: u64,
    is_begun: bool,
    is_over: bool,
}

/// One element: of what is in it, only where it ends has been looked at.
pub(super) struct Element {
    /// The line that it begins in.
    pub line: u64,
    pub text: Vec<u8>,
}

/// Why there is no next element.
pub(super) enum Fault {
    /// The text is no list from this line on.
    NoList(u64),
    TooLong,
    Io(io::Error),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl<R: BufRead> Elements<R> {
    /// Elements of at most `most` bytes.
    pub const fn new(reader: R, most: usize) -> Self {
        Self {
            reader,
            most,
            line: 1,
            is_begun: false,
            is_over: false,
        }
    }

    /// The next element; `None` if the list has ended, and the text with it.
    pub fn next(&mut self) -> Result<Option<Element>, Fault> {
        let is_first = !self.is_begun;
        if is_first {
            self.begin()?;
        }
        if !self.is_over {
            match self.visible()? {
                Some(b']') if is_first => self.is_over = true,
                None | Some(b',' | b']') => return Err(Fault::NoList(self.line)),
                Some(first) => {
                    let (line, text) = (self.line, self.element(first)?);
                    return Ok(Some(Element { line, text }));
                }
            }
        }
        match self.visible()? {
            None => Ok(None),
            Some(_) => Err(Fault::NoList(self.line)),
        }
    }

    fn begin(&mut self) -> Result<(), Fault> {
        self.is_begun = true;
        if self.reader.fill_buf()?.starts_with(b"\xef\xbb\xbf") {
            self.reader.consume(3);
        }
        match self.visible()? {
            Some(b'[') => Ok(()),
            _ => Err(Fault::NoList(self.line)),
        }
    }

    /// The element that begins with `first`. What separates it from the next is read, too.
    fn element(&mut self, first: u8) -> Result<Vec<u8>, Fault> {
        let mut text = Vec::new();
        let (mut depth, mut in_string, mut escaped) = (0u32, false, false);
        let mut byte = first;
        loop {
            match byte {
                b'"' if !escaped => in_string = !in_string,
                _ if in_string => {}
                b'[' | b'{' => depth = depth.saturating_add(1),
                b',' | b']' if depth == 0 => {
                    self.is_over = byte == b']';
                    return Ok(text);
                }
                b']' | b'}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            escaped = in_string && byte == b'\\' && !escaped;
            if text.len() == self.most {
                return Err(Fault::TooLong);
            }
            text.push(byte);
            byte = self.byte()?.ok_or(Fault::NoList(self.line))?;
        }
    }

    /// The next byte that is no white space.
    fn visible(&mut self) -> io::Result<Option<u8>> {
        loop {
            match self.byte()? {
                Some(b' ' | b'\t' | b'\r' | b'\n') => {}
                other => return Ok(other),
            }
        }
    }

    fn byte(&mut self) -> io::Result<Option<u8>> {
        let byte = self.reader.fill_buf()?.first().copied();
        if let Some(byte) = byte {
            self.reader.consume(1);
            self.line += u64::from(byte == b'\n');
        }
        Ok(byte)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value as Json;

    use super::*;

    /// The elements and, if it does not end well, the line where it does not.
    fn read(text: &str) -> (Vec<(u64, String)>, Option<u64>) {
        let mut elements = Elements::new(text.as_bytes(), 100);
        let mut all = Vec::new();
        loop {
            match elements.next() {
                Ok(Some(Element { line, text })) => {
                    all.push((line, String::from_utf8(text).unwrap()));
                }
                Ok(None) => return (all, None),
                Err(Fault::NoList(line)) => return (all, Some(line)),
                Err(Fault::TooLong | Fault::Io(_)) => return (all, Some(0)),
            }
        }
    }

    #[test]
    fn elements_are_told_apart() {
        for empty in ["[]", "\u{feff}[ ]", " [\n]\n "] {
            assert_eq!(read(empty), (vec![], None));
        }
        let text = "[ {\"a]\\\"\": [1, {}]},\n\n\"x,\\\\\",5\n]";
        let all = [(1, "{\"a]\\\"\": [1, {}]}"), (3, "\"x,\\\\\""), (3, "5\n")];
        let all = all.map(|(line, text)| (line, text.to_owned())).to_vec();
        assert_eq!(read(text), (all, None));
    }

    #[test]
    fn what_is_no_list_is_told_where_it_ends_to_be_one() {
        for (text, count, line) in [
            ("", 0, 1),
            ("{}", 0, 1),
            ("[", 0, 1),
            ("[\n,1]", 0, 2),
            ("[1,\n]", 1, 2),
            ("[1,,2]", 1, 1),
            ("[1]\n]", 1, 2),
            ("[1,\"\n2]", 1, 2),
            ("[1,{\n\n", 1, 3),
        ] {
            let (all, wrong) = read(text);
            assert_eq!((all.len(), wrong), (count, Some(line)), "{text}");
        }
        let (fits, long) = ("x".repeat(98), "x".repeat(99));
        assert_eq!(read(&format!("[\"{fits}\"]")).1, None);
        assert_eq!(read(&format!("[\"{long}\"]")).1, Some(0));
    }

    proptest! {
        #[test]
        fn a_list_that_is_one_is_read_whole(texts in prop::collection::vec(any::<String>(), 0..5), pretty: bool) {
            let list: Vec<Json> = texts.iter().map(|text| serde_json::json!([{text.as_str(): [text]}])).collect();
            let write = if pretty { serde_json::to_vec_pretty } else { serde_json::to_vec };
            let text = write(&list).unwrap();
            let mut elements = Elements::new(text.as_slice(), text.len());
            let mut all: Vec<Json> = Vec::new();
            while let Some(element) = elements.next().ok().unwrap() {
                all.push(serde_json::from_slice(&element.text).unwrap());
            }
            prop_assert_eq!(all, list);
        }
    }
}
