//! What can be asked about exports: making them and checking them.

use std::path::PathBuf;

#[derive(clap::Args)]
pub struct Export {
    /// The file to be made; with --plain, the folder
    #[arg(value_name = "FILE")]
    pub path: PathBuf,
    /// Only this space, and what it takes to read it
    #[arg(long, value_name = "NAME", conflicts_with = "plain")]
    pub space: Option<String>,
    /// Leave out the content of files: their records only
    #[arg(long, conflicts_with = "plain")]
    pub without_files: bool,
    /// Into a folder, not encrypted: whoever has it can read it
    #[arg(long)]
    pub plain: bool,
}

#[derive(clap::Args)]
pub struct Check {
    /// A file that `twin export` has made
    pub file: PathBuf,
    /// Unlock this device, open the file and verify every signature in it, too
    #[arg(long)]
    pub open: bool,
    /// With --open: by the 24 words, where this device was not in the twin yet when the file was made
    #[arg(long, requires = "open")]
    pub words: bool,
}
