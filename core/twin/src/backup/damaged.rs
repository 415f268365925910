//! What can still be read of a sealed export that is damaged: every chunk that is whole, wherever it stands.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use twin_ops::backup::{
    BackupError, Beginning, Contents, FRAME_LEN, FileKey, Header, Item, Items, Opened, Opener,
    Reading,
};

use crate::error::{Error, Result};
use crate::progress::{Watch, tell};

/// How many places are named that are damaged.
const NAMED: usize = 20;

/// What is damaged of a sealed export.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Damage {
    /// How many pieces of 64 KiB could not be read.
    pub pieces: u64,
    /// Near which bytes of the file the first of them are.
    pub near: Vec<u64>,
    /// How many signed operations are lost with them: of a log all after the first that is.
    pub operations: u64,
    /// How many chunks of files are lost; `None` if the place was hit that says how many there were.
    pub chunks: Option<u64>,
}

/// A damaged export, to be read as far as it can be.
pub(super) struct Wreck {
    file: File,
    len: u64,
    beginning: Beginning,
}

/// The chunks of a wreck as they come.
enum Found {
    Chunk(Opened),
    Lost(u64),
}

impl Wreck {
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        let mut first = Vec::new();
        (&file)
            .take(Beginning::MOST as u64)
            .read_to_end(&mut first)?;
        Ok(Self {
            file,
            len,
            beginning: Beginning::read(&first)?,
        })
    }

    pub const fn header(&self) -> &Header {
        &self.beginning.header
    }

    /// Shows every item that can be read, in their order. Returns what cannot.
    pub fn each_item(
        &self,
        key: &FileKey,
        watch: &mut Watch<'_>,
        mut show: impl FnMut(Item) -> Result<()>,
    ) -> Result<Damage> {
        let (mut items, mut damage) = (Items::default(), Damage::default());
        self.each_chunk(key, watch, |found| {
            match found {
                Found::Chunk(opened) => items.push_from(opened.content(), opened.begins()),
                Found::Lost(at) => {
                    damage.pieces += 1;
                    if damage.near.len() < NAMED {
                        damage.near.push(at);
                    }
                    items.lose();
                }
            }
            loop {
                match items.take() {
                    Ok(Some(item)) => show(item)?,
                    Ok(None) => return Ok(()),
                    Err(_) => items.lose(),
                }
            }
        })?;
        Ok(damage)
    }

    fn each_chunk(
        &self,
        key: &FileKey,
        watch: &mut Watch<'_>,
        mut show: impl FnMut(Found) -> Result<()>,
    ) -> Result<()> {
        let openers = self.beginning.places.map(|place| Opener::new(key, &place));
        let mut file = &self.file;
        file.seek(SeekFrom::Start(self.beginning.at))?;
        let mut frame = Vec::with_capacity(FRAME_LEN);
        let mut is_lost = false;
        for index in 0.. {
            frame.clear();
            file.take(FRAME_LEN as u64).read_to_end(&mut frame)?;
            let at = self.beginning.at + index * FRAME_LEN as u64;
            let Some(chunks) = self.beginning.chunks(index, &frame) else {
                // The chunk that says that it is the last has not come: the file was cut off.
                return if is_lost {
                    Ok(())
                } else {
                    show(Found::Lost(at))
                };
            };
            let mut opened = None;
            for (chunk, opener) in { chunks.iter() }
                .flat_map(|chunk| openers.iter().map(move |opener| (chunk, opener)))
            {
                if opened.is_none() {
                    opened = opener.open(chunk).ok().map(|opened| (opened, chunk.last));
                }
            }
            tell(watch, at, Some(self.len))?;
            is_lost = opened.is_none();
            match opened {
                Some((opened, last)) => {
                    show(Found::Chunk(opened))?;
                    if last {
                        return Ok(());
                    }
                }
                None => show(Found::Lost(at))?,
            }
        }
        Ok(())
    }

    /// What is in it and verifies, read twice: what everything else hangs on stands at its beginning and once more at its
    /// end. Shows each grant.
    pub fn verify(
        &self,
        key: &FileKey,
        watch: &mut Watch<'_>,
        mut show: impl FnMut(&Item) -> Result<()>,
    ) -> Result<(Contents, Damage)> {
        let mut reading = Reading::new(*self.header().file());
        self.each_item(key, watch, |item| {
            let opening = matches!(
                item,
                Item::Manifest(_) | Item::Logs(_) | Item::Entries(_) | Item::Grants(_)
            );
            if opening && reading.take(&item).is_ok() {
                show(&item)?;
            }
            Ok(())
        })?;
        if reading.manifest().is_none() {
            return Err(BackupError::Damaged(self.beginning.at).into());
        }
        let mut told = None;
        let mut damage = self.each_item(key, watch, |item| {
            match &item {
                Item::Ops(_) | Item::Chunks(_) | Item::Unknown(_) => {
                    // What comes after a hole in a log proves nothing.
                    let _ = reading.take(&item);
                }
                Item::Content(content) => told = Some(*content),
                _ => {}
            }
            Ok(())
        })?;
        let promised: u64 = { reading.promised().values() }
            .map(|(_, head)| head.height)
            .sum();
        let reached: u64 = reading.reached().values().map(|head| head.height).sum();
        damage.operations = promised.saturating_sub(reached);
        damage.chunks = told.map(|told| told.chunks.saturating_sub(reading.chunks()));
        let contents = reading.finish_damaged().map_err(Error::from)?;
        Ok((contents, damage))
    }
}
