//! The key of a relay, kept in its folder: `relay.key`, the 32 bytes of an Ed25519 seed, for its owner's eyes only.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use twin_net::RelayKey;
use zeroize::Zeroizing;

use crate::error::{CliError, Result};

const NAME: &str = "relay.key";
/// While it is being written.
const UNFINISHED: &str = "relay.key.new";

/// The key in this folder; a new one is made, and is on the disk before it is used, if there is none.
pub fn keep(folder: &Path) -> Result<RelayKey> {
    let path = folder.join(NAME);
    let unreadable = |why: String| CliError::Unreadable(path.clone(), why);
    match File::open(&path) {
        Ok(mut file) => {
            // Room for one byte more, which would be one too many.
            let mut bytes = Zeroizing::new([0; 33]);
            let mut length = 0;
            while let Some(rest) = bytes.get_mut(length..).filter(|rest| !rest.is_empty()) {
                match file.read(rest).map_err(|e| unreadable(e.to_string()))? {
                    0 => break,
                    count => length += count,
                }
            }
            let seed = bytes.first_chunk().filter(|_| length == 32);
            let seed = seed.ok_or_else(|| unreadable("it is no key of a relay".into()))?;
            Ok(RelayKey::from_seed(Zeroizing::new(*seed))?)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => make(folder, &path),
        Err(error) => Err(unreadable(error.to_string())),
    }
}

fn make(folder: &Path, path: &Path) -> Result<RelayKey> {
    let key = RelayKey::fresh()?;
    let seed = key.seed()?;
    let write = || {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
        let unfinished = folder.join(UNFINISHED);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&unfinished)?;
        file.write_all(seed.as_slice())?;
        file.sync_all()?;
        std::fs::rename(&unfinished, path)?;
        File::open(folder)?.sync_all()
    };
    write().map_err(|error: std::io::Error| {
        CliError::Unwritable(path.to_owned(), error.to_string())
    })?;
    Ok(key)
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_relay_is_the_same_each_time() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("a/relay");
        let first = keep(&folder).unwrap().seed().unwrap();
        let path = folder.join(NAME);
        assert_eq!(std::fs::read(&path).unwrap(), first.as_slice());
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&folder)), (0o600, 0o700));
        assert_eq!(keep(&folder).unwrap().seed().unwrap(), first);
        for damage in [0, 31, 33, 1000] {
            std::fs::write(&path, vec![7; damage]).unwrap();
            let refused = keep(&folder).err().unwrap();
            assert!(matches!(refused, CliError::Unreadable(..)), "{damage}");
            assert_eq!(std::fs::read(&path).unwrap().len(), damage, "left as it is");
        }
    }
}
