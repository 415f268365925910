//! What can be asked about finding and watching records.

use clap::ValueEnum;

use super::count;

#[derive(clap::Args)]
pub struct Search {
    /// Words that are all in the record; the last one may be the beginning of one
    #[arg(required = true)]
    pub words: Vec<String>,
    /// Where to search; every space without it
    #[arg(long)]
    pub space: Option<String>,
    /// Only in this collection
    #[arg(long)]
    pub collection: Option<String>,
    /// The most records to show
    #[arg(long, value_name = "N", value_parser = count, default_value_t = 20)]
    pub limit: usize,
}

#[derive(clap::Args)]
pub struct Query {
    /// SPACE/COLLECTION
    pub place: String,
    /// 'FIELD=TEXT', or >, >=, <, <= for texts that come after or before; with a colon before the sign for numbers, true
    /// and false: 'FIELD:>=5'. Two of them for one field are both ends of a range
    #[arg(required = true, value_name = "FIELD=VALUE", num_args = 1..=2)]
    pub conditions: Vec<String>,
    #[command(flatten)]
    pub answer: Answer,
}

/// Which of the records that fit are shown.
#[derive(clap::Args)]
pub struct Answer {
    /// Which value comes first
    #[arg(long, value_enum, default_value_t = OrderArg::Up, requires = "conditions")]
    pub order: OrderArg,
    /// The most records to show
    #[arg(long, value_name = "N", value_parser = count, default_value_t = 100, requires = "conditions")]
    pub limit: usize,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum OrderArg {
    /// The lowest
    Up,
    /// The highest
    Down,
}

#[derive(clap::Args)]
pub struct Watch {
    /// SPACE/COLLECTION or SPACE/COLLECTION/ID
    pub place: String,
    /// Only the records of the collection that these conditions fit, as in `twin query`: the whole answer is shown again
    /// whenever it has changed
    #[arg(value_name = "FIELD=VALUE", num_args = 1..=2)]
    pub conditions: Vec<String>,
    #[command(flatten)]
    pub answer: Answer,
}
