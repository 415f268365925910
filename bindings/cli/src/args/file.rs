//! `twin file`

use std::path::PathBuf;

use clap::Subcommand;

#[derive(Subcommand)]
pub enum FileCommand {
    /// Add files of any size: photos, documents
    Add(AddFiles),
    /// Write a file out of the vault, readable by you only
    Get(GetFile),
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
}
