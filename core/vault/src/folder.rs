//! The folder of a vault that is to be made, and the folders above it: taken away again if it cannot be made.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::store;

/// The folders that had to be made for a vault, the innermost first.
pub(crate) struct Made(Vec<PathBuf>);

impl Made {
    /// Makes `dir` where it is missing.
    pub fn at(dir: &Path) -> Result<Self> {
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
    pub fn take_away(&self, files: &[&Path]) {
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
