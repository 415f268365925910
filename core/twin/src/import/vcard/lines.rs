//! Lines of a vCard: unfolded, with their parameters taken apart.

use std::io::BufRead;

use data_encoding::BASE64;

/// The most bytes of a line, unfolded: a photo.
const MAX_LINE: usize = 16 << 20;
const NO_UTF8: Why = "it is not UTF-8 text: export it as UTF-8";

/// One property: `group.NAME;PARAM=value:value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// Its name, in capitals, without group.
    pub name: String,
    /// The group before its name: what has the same one belongs together (RFC 6350, section 3.3).
    pub group: String,
    /// Its parameters with names in capitals. One without a name, as vCard 2.1 has them, has an empty one.
    pub params: Vec<(String, String)>,
    /// Its value, as it stands there.
    pub value: Vec<u8>,
}

/// What is wrong with a line.
pub(super) type Why = &'static str;

/// Lines, unfolded.
pub(super) struct Lines<R> {
    reader: R,
    is_first: bool,
    /// The line that was read last, which may go on.
    next: Option<Vec<u8>>,
}

impl<R: BufRead> Lines<R> {
    pub fn new(reader: R) -> Self {
        Self {
            reader,
            is_first: true,
            next: None,
        }
    }

    /// The next property; `None` at the end.
    pub fn next(&mut self) -> Result<Option<Line>, Fault> {
        let Some(mut line) = self.unfolded()? else {
            return Ok(None);
        };
        let mut read = parse(&line).map_err(Fault::Wrong)?;
        if read.is_quoted_printable() {
            // There a line that goes on ends with "=".
            while line.last() == Some(&b'=') {
                line.pop();
                let more = match self.next.take() {
                    Some(next) => Some(next),
                    None => self.physical()?,
                };
                let Some(more) = more else { break };
                line.extend_from_slice(&more);
                bound(&line)?;
            }
            read = parse(&line).map_err(Fault::Wrong)?;
        }
        Ok(Some(read))
    }

    fn unfolded(&mut self) -> Result<Option<Vec<u8>>, Fault> {
        let first = loop {
            let line = match self.next.take() {
                Some(line) => Some(line),
                None => self.physical()?,
            };
            match line {
                Some(line) if line.trim_ascii().is_empty() => {}
                other => break other,
            }
        };
        let Some(mut line) = first else {
            return Ok(None);
        };
        while let Some(more) = self.physical()? {
            match more.split_first() {
                Some((b' ' | b'\t', rest)) => line.extend_from_slice(rest),
                _ => {
                    self.next = Some(more);
                    break;
                }
            }
            bound(&line)?;
        }
        Ok(Some(line))
    }

    /// A line as it stands in the file. It ends with CR LF or LF, in files of old programs with CR.
    fn physical(&mut self) -> Result<Option<Vec<u8>>, Fault> {
        let mut line = Vec::new();
        let end = loop {
            let there = self.reader.fill_buf()?;
            if there.is_empty() {
                break None;
            }
            let end = there.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let (part, rest) = there.split_at(end.unwrap_or(there.len()));
            line.extend_from_slice(part);
            let (len, end) = (part.len(), rest.first().copied());
            self.reader.consume(len + usize::from(end.is_some()));
            bound(&line)?;
            if end.is_some() {
                break end;
            }
        };
        if end.is_none() && line.is_empty() {
            return Ok(None);
        }
        // Some programs write CR CR LF.
        let mut last = end;
        while last == Some(b'\r')
            && let Some(next @ (b'\r' | b'\n')) = self.reader.fill_buf()?.first().copied()
        {
            self.reader.consume(1);
            last = Some(next);
        }
        if std::mem::take(&mut self.is_first) {
            if line.starts_with(b"\xff\xfe") || line.starts_with(b"\xfe\xff") {
                return Err(Fault::Wrong(NO_UTF8));
            }
            line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&line).to_vec();
        }
        Ok(Some(line))
    }
}

/// Why there is no next line.
pub(super) enum Fault {
    Wrong(Why),
    Io(std::io::Error),
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

fn bound(line: &[u8]) -> Result<(), Fault> {
    if line.len() > MAX_LINE {
        return Err(Fault::Wrong("a line is too long"));
    }
    Ok(())
}

fn parse(line: &[u8]) -> Result<Line, Why> {
    const NO_LINE: Why = "a line is not NAME:value";
    let mut quoted = false;
    let mut colon = None;
    let mut cuts = Vec::new();
    for (at, byte) in line.iter().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b';' if !quoted => cuts.push(at),
            b':' if !quoted => {
                colon = Some(at);
                break;
            }
            _ => {}
        }
    }
    let (head, value) = line
        .split_at_checked(colon.ok_or(NO_LINE)?)
        .ok_or(NO_LINE)?;
    let head = std::str::from_utf8(head).map_err(|_| NO_LINE)?;
    let mut parts = Vec::new();
    let mut from = 0;
    for cut in cuts.into_iter().chain([head.len()]) {
        parts.push(head.get(from..cut).ok_or(NO_LINE)?);
        from = cut + 1;
    }
    let mut parts = parts.into_iter();
    let name = parts.next().unwrap_or_default().trim();
    let (group, name) = name.rsplit_once('.').unwrap_or(("", name));
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || name.len() > 64 || !name.chars().all(fits) {
        return Err(NO_LINE);
    }
    let params = parts.map(|param| {
        let (name, value) = param.split_once('=').unwrap_or(("", param));
        let value = value.trim().trim_matches('"');
        (name.trim().to_ascii_uppercase(), value.to_owned())
    });
    Ok(Line {
        name: name.to_ascii_uppercase(),
        group: group.to_ascii_lowercase(),
        params: params.collect(),
        value: value.get(1..).unwrap_or_default().to_vec(),
    })
}

impl Line {
    /// What a parameter says, in small letters; each of a list. One without a name counts for every name.
    pub fn param<'a>(&'a self, name: &'a str) -> impl Iterator<Item = String> + 'a {
        let of_name = move |(other, _): &&(String, String)| other == name || other.is_empty();
        let values = self.params.iter().filter(of_name);
        values.flat_map(|(_, value)| value.split(',').map(str::to_lowercase))
    }

    fn is_quoted_printable(&self) -> bool {
        self.param("ENCODING")
            .any(|encoding| encoding == "quoted-printable")
    }

    fn is_base64(&self) -> bool {
        self.param("ENCODING")
            .any(|encoding| encoding == "b" || encoding == "base64")
    }

    /// The value as bytes that it encodes, if it does: base64 or a `data:` address.
    pub fn binary(&self) -> Option<Result<Vec<u8>, Why>> {
        let text = if self.is_base64() {
            self.value.as_slice()
        } else {
            let data = self.value.strip_prefix(b"data:")?;
            let comma = data.iter().position(|byte| *byte == b',')?;
            let (kind, text) = data.split_at_checked(comma)?;
            kind.ends_with(b";base64").then_some(())?;
            text.get(1..)?
        };
        let text: Vec<u8> = text
            .iter()
            .copied()
            .filter(|byte| !byte.is_ascii_whitespace())
            .collect();
        Some(
            BASE64
                .decode(&text)
                .map_err(|_| "a picture or sound in it is damaged"),
        )
    }

    /// The value as text, its encoding undone and its escapes still there.
    pub fn text(&self) -> Result<String, Why> {
        let bytes = if self.is_quoted_printable() {
            unquoted(&self.value)
        } else {
            self.value.clone()
        };
        let latin = self
            .param("CHARSET")
            .any(|charset| charset == "iso-8859-1" || charset == "latin1");
        if latin {
            return Ok(bytes.into_iter().map(char::from).collect());
        }
        String::from_utf8(bytes).map_err(|_| NO_UTF8)
    }
}

/// Quoted-printable (RFC 2045, section 6.7); what is no escape stays as it is.
fn unquoted(text: &[u8]) -> Vec<u8> {
    let digit = |byte: Option<&u8>| char::from(*byte?).to_digit(16);
    let mut bytes = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        let escaped = match (byte, digit(text.get(at + 1)), digit(text.get(at + 2))) {
            (b'=', Some(high), Some(low)) => u8::try_from(high * 16 + low).ok(),
            _ => None,
        };
        bytes.push(escaped.unwrap_or(*byte));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    bytes
}

/// A value with several components, cut at the semicolons that are not escaped, each with its escapes undone.
pub(super) fn components(text: &str) -> Vec<String> {
    let mut all = vec![String::new()];
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let put = match c {
            '\\' => match chars.next() {
                Some('n' | 'N') => '\n',
                Some(other) => other,
                None => '\\',
            },
            ';' => {
                all.push(String::new());
                continue;
            }
            other => other,
        };
        if let Some(last) = all.last_mut() {
            last.push(put);
        }
    }
    all
}

/// A value that is one text: its escapes undone.
pub(super) fn unescaped(text: &str) -> String {
    components(text).join(";")
}
