//! What happened on a disk, and what is left of it after a power loss.
//!
//! A file's content is safe once the file is synced, its name once the folder is. Of all that is not, single writes may
//! or may not be there, sector by sector and in any order; changes of names may or may not be there, but in their order,
//! as journaling file systems have them.

use std::collections::BTreeMap;

/// What a disk writes whole.
const SECTOR: usize = 512;

/// Something that happened. Files have numbers, for their names change.
pub(crate) enum Event {
    Create {
        name: String,
        file: usize,
    },
    Write {
        file: usize,
        offset: u64,
        data: Vec<u8>,
    },
    Resize {
        file: usize,
        len: u64,
    },
    Sync(usize),
    Rename {
        from: String,
        to: String,
    },
    Unlink(String),
    SyncFolder,
}

#[derive(Default)]
pub(crate) struct Tape {
    /// The files that were there at first.
    first: Vec<(String, Vec<u8>)>,
    /// The names that there are now.
    names: BTreeMap<String, usize>,
    files: usize,
    events: Vec<Event>,
}

/// How much of what was not synced is there.
enum Rest {
    None,
    All,
    /// Any of it.
    Some,
}

impl Tape {
    /// A file that is there before anything happens.
    pub fn begin_with(&mut self, name: String, content: Vec<u8>) -> usize {
        self.first.push((name.clone(), content));
        self.name(name)
    }

    /// A new file.
    pub fn create(&mut self, name: String) -> usize {
        let file = self.name(name.clone());
        self.events.push(Event::Create { name, file });
        file
    }

    fn name(&mut self, name: String) -> usize {
        let file = self.files;
        self.files += 1;
        self.names.insert(name, file);
        file
    }

    /// The file that has this name now.
    pub fn named(&self, name: &str) -> Option<usize> {
        self.names.get(name).copied()
    }

    pub fn add(&mut self, event: Event) {
        rename(&mut self.names, &event);
        self.events.push(event);
    }

    pub const fn len(&self) -> usize {
        self.events.len()
    }

    /// The files after a power loss when only so many events have happened.
    pub fn after_loss(
        &self,
        moment: usize,
        lies: bool,
        below: &mut dyn FnMut(u64) -> u64,
    ) -> Vec<(String, Vec<u8>)> {
        let mut names = BTreeMap::new();
        // Safe content, and what is not safe yet.
        let mut files: BTreeMap<usize, (Vec<u8>, Vec<&Event>)> = BTreeMap::new();
        for (file, (name, content)) in self.first.iter().enumerate() {
            names.insert(name.clone(), file);
            files.insert(file, (content.clone(), Vec::new()));
        }
        let mut unsafe_names = Vec::new();
        for event in self.events.iter().take(moment) {
            match event {
                Event::Write { file, .. } | Event::Resize { file, .. } => {
                    files.entry(*file).or_default().1.push(event);
                }
                Event::Sync(file) if !lies => {
                    let (content, rest) = files.entry(*file).or_default();
                    for event in rest.drain(..) {
                        apply(content, event, &mut |_| Sector::New);
                    }
                }
                Event::Sync(_) => {}
                Event::SyncFolder => {
                    for event in unsafe_names.drain(..) {
                        rename(&mut names, event);
                    }
                }
                Event::Create { .. } | Event::Rename { .. } | Event::Unlink(_) => {
                    unsafe_names.push(event);
                }
            }
        }
        let kept = below(unsafe_names.len() as u64 + 1);
        for event in unsafe_names
            .into_iter()
            .take(usize::try_from(kept).unwrap_or(0))
        {
            rename(&mut names, event);
        }
        let rest = match below(4) {
            0 => Rest::None,
            1 => Rest::All,
            _ => Rest::Some,
        };
        let lose = |(name, file)| {
            let (mut content, events) = files.remove(&file).unwrap_or_default();
            for event in events {
                apply(&mut content, event, &mut |whole| match rest {
                    Rest::None => Sector::Old,
                    Rest::All => Sector::New,
                    Rest::Some => match below(8) {
                        0..=2 => Sector::Old,
                        // Only what is written byte for byte can be half there.
                        3 if !whole => Sector::Neither,
                        _ => Sector::New,
                    },
                });
            }
            (name, content)
        };
        names.into_iter().map(lose).collect()
    }
}

/// What is in a sector that was written to.
enum Sector {
    Old,
    New,
    /// The power went while it was written.
    Neither,
}

fn rename(names: &mut BTreeMap<String, usize>, event: &Event) {
    match event {
        Event::Create { name, file } => {
            names.insert(name.clone(), *file);
        }
        Event::Rename { from, to } => {
            if let Some(file) = names.remove(from) {
                names.insert(to.clone(), file);
            }
        }
        Event::Unlink(name) => {
            names.remove(name);
        }
        _ => {}
    }
}

/// Applies an event to a file as far as `fate` says: of each sector, or of the whole of what has no sectors.
fn apply(content: &mut Vec<u8>, event: &Event, fate: &mut dyn FnMut(bool) -> Sector) {
    match event {
        Event::Resize { len, .. } => {
            if matches!(fate(true), Sector::New) {
                content.resize(usize::try_from(*len).unwrap_or(usize::MAX), 0);
            }
        }
        Event::Write { offset, data, .. } => {
            let begin = usize::try_from(*offset).unwrap_or(usize::MAX);
            // Sectors are those of the file, wherever the write begins.
            let first = (SECTOR - begin % SECTOR).min(data.len());
            let (head, tail) = data.split_at(first);
            let mut at = begin;
            for piece in std::iter::once(head).chain(tail.chunks(SECTOR)) {
                let end = at + piece.len();
                match fate(false) {
                    Sector::Old => {}
                    fate => {
                        if content.len() < end {
                            content.resize(end, 0);
                        }
                        if let Some(there) = content.get_mut(at..end) {
                            match fate {
                                Sector::New => there.copy_from_slice(piece),
                                _ => there.fill(0xa5),
                            }
                        }
                    }
                }
                at = end;
            }
        }
        _ => {}
    }
}
