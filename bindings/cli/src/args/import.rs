//! `twin import`

use std::path::PathBuf;

#[derive(clap::Args)]
pub struct Import {
    /// An export, sealed or in the clear, what another device has exported for this one, contacts (.vcf), a table (.csv),
    /// JSON objects, or a folder of files; with --qr, pictures or a folder of them
    #[arg(value_name = "FILE|FOLDER")]
    pub path: PathBuf,
    /// With --qr: more of them
    #[arg(value_name = "PICTURE", requires = "qr")]
    pub more: Vec<PathBuf>,
    /// Pictures (.png) of the QR codes that another device shows: twin export --since DEVICE --qr
    #[arg(long, conflicts_with_all = ["to", "words", "damaged"])]
    pub qr: bool,
    /// Where records or files go; an export says so itself
    #[arg(long, value_name = "SPACE[/COLLECTION]")]
    pub to: Option<String>,
    /// The column or field that names a record; without it all of it does
    #[arg(long, value_name = "NAME", requires = "to")]
    pub id_column: Option<String>,
    /// Open a sealed export by the 24 words, where this device was not in the twin yet when it was made
    #[arg(long, conflicts_with = "to")]
    pub words: bool,
    /// Of a sealed export that is damaged: everything that can still be read and verified
    #[arg(long, conflicts_with = "to")]
    pub damaged: bool,
}
