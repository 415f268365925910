//! What can be asked about records beyond writing and reading them.

use super::count;

#[derive(clap::Args)]
pub struct List {
    /// SPACE or SPACE/COLLECTION; nothing for the spaces
    pub place: Option<String>,
    /// The most records to show, in the order of the vault; JSON then is {"records": […], "next": ID or null}
    #[arg(long, value_name = "N", value_parser = count, requires = "place")]
    pub limit: Option<usize>,
    /// With --limit: the page after the record with this ID
    #[arg(long, value_name = "ID", requires = "limit")]
    pub after: Option<String>,
}

#[derive(clap::Args)]
pub struct SchemaOptions {
    /// SPACE/COLLECTION
    pub collection: String,
    /// What a field is from now on, for instance title="text required" or due="timestamp indexed"; nothing after the =
    /// takes it away
    #[arg(value_name = "FIELD=TYPE")]
    pub fields: Vec<String>,
}

#[derive(clap::Args)]
pub struct HistoryOptions {
    /// SPACE/COLLECTION/ID
    pub record: String,
    /// How many changes, the newest first
    #[arg(long, value_name = "COUNT", value_parser = count, default_value_t = 20)]
    pub limit: usize,
}
