//! Arguments of `twin erase`.

#[derive(clap::Args)]
pub struct Erase {
    /// SPACE/COLLECTION/ID
    pub record: Option<String>,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
}
