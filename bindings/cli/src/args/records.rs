//! What can be asked about records beyond writing and reading them.

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
    #[arg(long, value_name = "COUNT", default_value_t = 20)]
    pub limit: usize,
}
