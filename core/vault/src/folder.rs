//! The folder of a vault that is to be made, and the folders above it: taken away again if it cannot be made.

use std::fs;
use std::path::{Path, PathBuf};

use crate::create::LOCK;
use crate::error::{Result, VaultError};
use crate::store;

/// Does what makes a vault in the folder `dir`, which is made where it is missing, and locked meanwhile. If it fails, or what
/// it returns has no vault, the folders that were made for it are gone again.
pub(crate) fn in_folder<T, E: From<VaultError>>(
    dir: &Path,
    has_vault: impl FnOnce(&T) -> bool,
    make: impl FnOnce() -> std::result::Result<T, E>,
) -> std::result::Result<T, E> {
    let folders = Made::at(dir)?;
    let path = dir.join(LOCK);
    // Where another program is about to make a vault its lock is in the folder, which stays then.
    let lock = store::lock(&path).inspect_err(|_| folders.take_away(&[]))?;
    let made = make();
    if !made.as_ref().is_ok_and(has_vault) {
        folders.take_away(&[&path]);
    }
    drop(lock);
    made
}

/// The folders that had to be made for a vault, the innermost first.
struct Made(Vec<PathBuf>);

impl Made {
    /// Makes `dir` where it is missing.
    fn at(dir: &Path) -> Result<Self> {
        // The last ancestor of a relative path is empty: the folder that the program runs in.
        let missing = dir
            .ancestors()
            .take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists());
        let made = Self(missing.map(Path::to_owned).collect());
        match store::make_folder(dir) {
            Ok(()) => Ok(made),
            Err(error) => {
                made.take_away(&[]);
                Err(error)
            }
        }
    }

    /// Takes away what was made, with these files in the innermost folder; what was there before stays. Call it while
    /// the lock among the files is held, so that nobody else has begun a vault there.
    fn take_away(&self, files: &[&Path]) {
        if self.0.is_empty() {
            return;
        }
        // The reason why there is no vault counts, not whether an empty folder is left. Folders with something in them
        // are not removed.
        for file in files {
            let _ = fs::remove_file(file);
        }
        for folder in &self.0 {
            let _ = fs::remove_dir(folder);
        }
    }
}
