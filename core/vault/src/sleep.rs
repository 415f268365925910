//! Letting go of everything that the operating system, or another program, could want.

use crate::error::Result;
use crate::vault::Vault;

impl Vault {
    /// Lets go of the file, with every lock on it, what was read ahead of it and what of it was opened. What it was
    /// written with is whole and durable already.
    ///
    /// Phones end an app that holds a lock on a file when it is suspended, and SQLite holds one as long as it has the
    /// file open. The keys stay in memory: whoever is to give them up drops the vault. The next call opens the file
    /// again, and sees what others have written meanwhile.
    pub fn sleep(&mut self) -> Result<()> {
        self.state.data_version = None;
        self.state.forget_ops();
        self.state.blocks.clear();
        self.state.schemas.clear();
        self.file.store.let_go()
    }

    /// Whether the file was let go and nothing was asked of it since.
    pub fn is_asleep(&self) -> bool {
        !self.file.store.is_open()
    }
}
