//! What can be asked about exports: making them and checking them.

use std::path::PathBuf;

#[derive(clap::Args)]
pub struct Export {
    /// The file to be made; with --plain, the folder
    #[arg(value_name = "FILE", required_unless_present = "qr")]
    pub path: Option<PathBuf>,
    /// Only this space, and what it takes to read it
    #[arg(long, value_name = "NAME", conflicts_with = "plain")]
    pub space: Option<String>,
    /// Leave out the content of files: their records only
    #[arg(long, conflicts_with = "plain")]
    pub without_files: bool,
    /// Into a folder, not encrypted: whoever has it can read it
    #[arg(long)]
    pub plain: bool,
    /// Only what this device is not known to have, to be carried over to it: its name, or first digits of its id
    #[arg(long, value_name = "DEVICE", conflicts_with_all = ["space", "plain"])]
    pub since: Option<String>,
    /// With --since: as QR codes that are shown here one after the other, until Ctrl-C; without the content of files
    #[arg(long, requires = "since", conflicts_with = "path")]
    pub qr: bool,
    /// With --qr: as pictures in a folder that is made
    #[arg(long, value_name = "FOLDER", requires = "qr")]
    pub frames: Option<PathBuf>,
}

#[derive(clap::Args)]
pub struct Check {
    /// A file that `twin export` has made, also one for another device (--since)
    pub file: PathBuf,
    /// Unlock this device, open the file and verify every signature in it, too
    #[arg(long)]
    pub open: bool,
    /// With --open: by the 24 words, where this device was not in the twin yet when the file was made
    #[arg(long, requires = "open")]
    pub words: bool,
}
