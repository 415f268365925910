//! The file of a sealed export while it is written.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::ops::Range;

use twin_ops::backup::{CHUNK_LEN, FileKey, Header, Item, Place, Reading, Sealer};
use zeroize::Zeroizing;

use super::draft::{Draft, Kept};
use crate::error::Result;
use crate::platform::rng;

/// What the last item is followed by.
const END: [u8; 5] = [0; 5];

/// The file that is written.
pub(super) struct Output {
    draft: Draft,
    sealer: Sealer,
    content: Zeroizing<Vec<u8>>,
    /// Where items begin in it.
    begins: VecDeque<usize>,
    /// Bytes in the file.
    len: u64,
}

impl Output {
    /// Begins a file anew.
    pub fn begin(draft: Draft, header: &Header, key: &FileKey) -> Result<Self> {
        let (bytes, place) = header.begin();
        let mut output = Self::at(draft, key, place, Zeroizing::default(), None);
        output.file().set_len(0)?;
        output.file().seek(SeekFrom::Start(0))?;
        output.file().write_all(&bytes)?;
        Ok(output)
    }

    /// Goes on after what is left of one.
    pub fn go_on(draft: Draft, kept: Kept) -> Result<(Self, Reading)> {
        let Kept {
            key,
            place,
            begun,
            begins,
            reading,
        } = kept;
        let mut output = Self::at(draft, &key, place, begun, begins);
        output.file().set_len(place.at())?;
        output.file().seek(SeekFrom::Start(place.at()))?;
        Ok((output, reading))
    }

    fn at(
        draft: Draft,
        key: &FileKey,
        place: Place,
        content: Zeroizing<Vec<u8>>,
        begins: Option<usize>,
    ) -> Self {
        Self {
            draft,
            sealer: Sealer::new(key, place),
            content,
            begins: begins.into_iter().collect(),
            len: place.at(),
        }
    }

    const fn file(&mut self) -> &mut File {
        &mut self.draft.file
    }

    fn seal(&mut self, content: Range<usize>, last: bool) -> Result<()> {
        while self.begins.front().is_some_and(|at| *at < content.start) {
            self.begins.pop_front();
        }
        let first = self.begins.front().filter(|at| content.contains(at));
        let begins = first.map(|at| at - content.start);
        let content = self.content.get(content).unwrap_or_default();
        let chunk = self.sealer.seal(content, begins, last, &mut rng())?;
        self.draft.file.write_all(&chunk)?;
        self.len += chunk.len() as u64;
        Ok(())
    }

    /// Adds an item.
    pub fn write(&mut self, item: &Item) -> Result<()> {
        self.add(&item.to_bytes())
    }

    fn add(&mut self, item: &[u8]) -> Result<()> {
        self.begins.push_back(self.content.len());
        self.content.extend_from_slice(item);
        self.seal_whole()
    }

    /// Writes the chunks that are full. One that is exactly full is written with what comes after it: it may be the last.
    fn seal_whole(&mut self) -> Result<()> {
        let mut sealed = 0;
        while self.content.len() - sealed > CHUNK_LEN {
            self.seal(sealed..sealed + CHUNK_LEN, false)?;
            sealed += CHUNK_LEN;
        }
        self.content.drain(..sealed);
        self.begins.retain(|at| *at >= sealed);
        self.begins.iter_mut().for_each(|at| *at -= sealed);
        Ok(())
    }

    /// Writes the end and gives the file its name; its length.
    pub fn finish(mut self) -> Result<u64> {
        self.add(&END)?;
        self.seal(0..self.content.len(), true)?;
        let trailer = self.sealer.trailer();
        self.file().write_all(&trailer)?;
        self.draft.finish()?;
        Ok(self.len + trailer.len() as u64)
    }
}
