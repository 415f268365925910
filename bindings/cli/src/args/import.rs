//! `twin import`

use std::path::PathBuf;

#[derive(clap::Args)]
pub struct Import {
    /// An export, contacts (.vcf), a table (.csv), JSON objects, or a folder of files
    #[arg(value_name = "FILE|FOLDER")]
    pub path: PathBuf,
    /// Where records or files go; an export says so itself
    #[arg(long, value_name = "SPACE[/COLLECTION]")]
    pub to: Option<String>,
    /// The column or field that names a record; without it all of it does
    #[arg(long, value_name = "NAME", requires = "to")]
    pub id_column: Option<String>,
}
