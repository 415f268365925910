//! Folders that are watched, and what is to go wrong in them.

use std::collections::BTreeMap;
use std::ffi::{CStr, OsStr};
use std::fs;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;
use rustix::process::{Signal, getpid, kill_process};

use crate::tape::{Event, Tape};

static WATCHED: Mutex<Vec<Arc<Watched>>> = Mutex::new(Vec::new());
/// How many there are, so that a program without any is spared the search.
static COUNT: AtomicUsize = AtomicUsize::new(0);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A folder whose files are on a disk that fails on purpose. Ends when dropped: the files stay as they are.
pub struct Disk(Arc<Watched>);

/// What goes wrong, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// What.
    pub trouble: Trouble,
    /// How many calls go well before: of those that the trouble can befall.
    pub after: u64,
    /// Whether it befalls all later ones, too, until [`Disk::mend`].
    pub lasts: bool,
}

/// What goes wrong with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// `ENOSPC`: writes, even over what is there. A file that only grows has a hole, which takes no room.
    Full,
    /// `EIO`: writes, resizing and syncing.
    Broken,
    /// The process kills itself by SIGKILL: at any call, a write done in part.
    Kill,
}

/// A call that is about to be made.
pub(crate) enum Call<'b> {
    Write(&'b [u8]),
    Resize,
    Sync,
    Unlink,
    Rename,
}

/// Whether it is.
pub(crate) enum Verdict<'b> {
    Go,
    Refuse(Errno),
    /// After so much of it.
    Die(&'b [u8]),
}

/// A watched folder.
pub(crate) struct Watched {
    folder: PathBuf,
    inner: Mutex<Inner>,
}

struct Inner {
    tape: Tape,
    /// The files, by inode.
    known: BTreeMap<u64, usize>,
    fault: Option<Fault>,
    /// How many calls it has befallen.
    struck: u64,
}

impl Disk {
    /// Watches the files of a folder. What is in them now is on the disk for good.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn under(folder: &Path) -> io::Result<Self> {
        let folder = folder.canonicalize()?;
        let mut inner = Inner {
            tape: Tape::default(),
            known: BTreeMap::new(),
            fault: None,
            struck: 0,
        };
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let file = inner.tape.begin_with(name, fs::read(entry.path())?);
            inner.known.insert(entry.metadata()?.ino(), file);
        }
        let watched = Arc::new(Watched {
            folder,
            inner: Mutex::new(inner),
        });
        lock(&WATCHED).push(Arc::clone(&watched));
        COUNT.fetch_add(1, Ordering::SeqCst);
        Ok(Self(watched))
    }

    /// Lets something go wrong from now on.
    pub fn fail(&self, fault: Fault) {
        let mut inner = lock(&self.0.inner);
        inner.fault = Some(fault);
        inner.struck = 0;
    }

    /// Lets nothing go wrong any more. Returns how many calls the last fault has befallen.
    pub fn mend(&self) -> u64 {
        let mut inner = lock(&self.0.inner);
        inner.fault = None;
        inner.struck
    }

    /// How many events there have been: a moment to lose power at.
    pub fn moment(&self) -> usize {
        lock(&self.0.inner).tape.len()
    }

    /// Makes the empty folder `into` what this one may be after a power loss at a moment. Of what was not synced then,
    /// some is kept, some dropped, and some of single writes torn at sectors: `below` gives numbers below its argument
    /// and decides. A disk that `lies` has not synced anything ever.
    ///
    /// # Errors
    /// If files cannot be written there.
    pub fn after_power_loss(
        &self,
        moment: usize,
        lies: bool,
        below: &mut dyn FnMut(u64) -> u64,
        into: &Path,
    ) -> io::Result<()> {
        let files = lock(&self.0.inner).tape.after_loss(moment, lies, below);
        for (name, content) in files {
            fs::write(into.join(name), content)?;
        }
        Ok(())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        COUNT.fetch_sub(1, Ordering::SeqCst);
        lock(&WATCHED).retain(|watched| !Arc::ptr_eq(watched, &self.0));
    }
}

impl Call<'_> {
    const fn can_befall(&self, trouble: Trouble) -> bool {
        match trouble {
            Trouble::Full => matches!(self, Self::Write(_)),
            Trouble::Broken => matches!(self, Self::Write(_) | Self::Resize | Self::Sync),
            Trouble::Kill => true,
        }
    }
}

impl Inner {
    /// The file of this name is gone: its inode may be another file's next.
    fn forget(&mut self, name: &str) {
        if let Some(file) = self.tape.named(name) {
            self.known.retain(|_, known| *known != file);
        }
    }
}

impl Watched {
    /// Whether a call may be made.
    pub fn judge<'b>(&self, call: &Call<'b>) -> Verdict<'b> {
        let mut inner = lock(&self.inner);
        let Some(fault) = &mut inner.fault else {
            return Verdict::Go;
        };
        if !call.can_befall(fault.trouble) {
            return Verdict::Go;
        }
        if let Some(left) = fault.after.checked_sub(1) {
            fault.after = left;
            return Verdict::Go;
        }
        let trouble = fault.trouble;
        if !fault.lasts {
            inner.fault = None;
        }
        inner.struck += 1;
        match trouble {
            Trouble::Full => Verdict::Refuse(Errno::NOSPC),
            Trouble::Broken => Verdict::Refuse(Errno::IO),
            Trouble::Kill => Verdict::Die(match call {
                Call::Write(bytes) => bytes.get(..bytes.len() / 2).unwrap_or_default(),
                _ => &[],
            }),
        }
    }

    /// The same, of a call that is done whole or not at all.
    pub fn obey(&self, call: &Call<'_>) -> Result<(), Errno> {
        match self.judge(call) {
            Verdict::Go => Ok(()),
            Verdict::Refuse(errno) => Err(errno),
            Verdict::Die(_) => die(),
        }
    }

    pub fn wrote(&self, file: usize, offset: u64, bytes: &[u8]) {
        let data = bytes.to_vec();
        self.add(Event::Write { file, offset, data });
    }

    pub fn resized(&self, file: usize, len: u64) {
        self.add(Event::Resize { file, len });
    }

    pub fn synced(&self, file: usize) {
        self.add(Event::Sync(file));
    }

    pub fn synced_folder(&self) {
        self.add(Event::SyncFolder);
    }

    pub fn unlinked(&self, name: String) {
        let mut inner = lock(&self.inner);
        inner.forget(&name);
        inner.tape.add(Event::Unlink(name));
    }

    pub fn renamed(&self, from: String, to: String) {
        let mut inner = lock(&self.inner);
        inner.forget(&to);
        inner.tape.add(Event::Rename { from, to });
    }

    fn add(&self, event: Event) {
        lock(&self.inner).tape.add(event);
    }

    /// The number of a file, which is new if its inode is.
    fn file(&self, inode: u64, name: &OsStr) -> usize {
        let mut inner = lock(&self.inner);
        if let Some(file) = inner.known.get(&inode) {
            return *file;
        }
        let file = inner.tape.create(name.to_string_lossy().into_owned());
        inner.known.insert(inode, file);
        file
    }
}

/// Ends this process as `kill -9` does.
pub(crate) fn die() -> ! {
    let _ = kill_process(getpid(), Signal::KILL);
    // It is delivered before the call returns; in case it is not yet.
    loop {
        std::thread::park();
    }
}

fn watched(folder: &Path) -> Option<Arc<Watched>> {
    let all = lock(&WATCHED);
    all.iter()
        .find(|watched| watched.folder == folder)
        .map(Arc::clone)
}

/// Where an open file is; nothing if nothing is watched.
fn path_of(fd: BorrowedFd<'_>) -> Option<PathBuf> {
    if COUNT.load(Ordering::SeqCst) == 0 {
        return None;
    }
    let link = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&fd));
    let path = rustix::fs::readlink(link, Vec::new()).ok()?;
    Some(PathBuf::from(OsStr::from_bytes(path.as_bytes())))
}

/// The disk that an open file is on, and its number there. One that has no name any more is on none.
pub(crate) fn of_file(fd: BorrowedFd<'_>) -> Option<(Arc<Watched>, usize)> {
    let path = path_of(fd)?;
    let disk = watched(path.parent()?)?;
    let stat = rustix::fs::fstat(fd)
        .ok()
        .filter(|stat| stat.st_nlink > 0)?;
    let file = disk.file(stat.st_ino, path.file_name()?);
    Some((disk, file))
}

/// The disk whose folder this is.
pub(crate) fn of_folder(fd: BorrowedFd<'_>) -> Option<Arc<Watched>> {
    watched(&path_of(fd)?)
}

/// The disk that this path is on, and the name there.
pub(crate) fn of_path(path: &CStr) -> Option<(Arc<Watched>, String)> {
    if COUNT.load(Ordering::SeqCst) == 0 {
        return None;
    }
    let path = Path::new(OsStr::from_bytes(path.to_bytes()));
    let folder = path.parent()?.canonicalize().ok()?;
    let name = path.file_name()?.to_string_lossy().into_owned();
    Some((watched(&folder)?, name))
}
