//! `twin slots`

use clap::Subcommand;

#[derive(clap::Args)]
pub struct Slots {
    #[command(subcommand)]
    pub command: Option<SlotsCommand>,
}

#[derive(Subcommand)]
pub enum SlotsCommand {
    /// Add a way to unlock this device
    Add(AddSlot),
    /// Remove a way to unlock this device; what it was opens nothing any more
    Remove {
        /// The number of the slot, as listed
        slot: u32,
    },
}

#[derive(clap::Args)]
pub struct AddSlot {
    /// Add a password
    #[arg(long, required_unless_present = "keyring")]
    pub password: bool,
    /// Add the desktop's keyring; beside --password: unlock with it
    #[arg(long)]
    pub keyring: bool,
    /// What to call it
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub label: String,
}
