//! `twin file`

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};

use super::Reach;

#[derive(Clone, Copy, ValueEnum)]
pub enum KeepFiles {
    All,
    Wanted,
}

#[derive(Subcommand)]
pub enum FileCommand {
    /// Add files of any size: photos, documents
    Add(AddFiles),
    /// Write a file out of the vault, readable by you only; what is not here comes from another device first
    Get(GetFile),
    /// Which content this device keeps, without being asked for it
    Keep {
        /// all: of every file, so that it is in two places; wanted: of files that you have wanted to see
        #[arg(value_enum)]
        what: Option<KeepFiles>,
    },
    /// List the files that there are
    List {
        /// Only of this space
        space: Option<String>,
    },
}

#[derive(clap::Args)]
pub struct AddFiles {
    /// SPACE or SPACE/COLLECTION; without a collection it is "files"
    pub place: String,
    /// What to add; for a whole folder: twin import FOLDER --to SPACE
    #[arg(required = true)]
    pub paths: Vec<PathBuf>,
}

#[derive(clap::Args)]
pub struct GetFile {
    /// SPACE/COLLECTION/ID
    pub record: String,
    /// Where to write it; without it, under its own name in this folder
    #[arg(long, value_name = "PATH")]
    pub to: Option<PathBuf>,
    #[command(flatten)]
    pub reach: Reach,
    /// How long to look for a device that has it, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 20)]
    pub wait: u64,
}
