//! `twin relays`

use clap::Subcommand;
use twin::RelayAddress;

/// Without a command it lists.
#[derive(clap::Args)]
pub struct Relays {
    #[command(subcommand)]
    pub command: Option<RelaysCommand>,
}

#[derive(Subcommand)]
pub enum RelaysCommand {
    /// Use a relay from now on, on all your devices
    Add {
        /// As `twin relay` shows it: KEY@HOST:PORT
        relay: RelayAddress,
    },
    /// Use a relay no more, on any of your devices
    Remove {
        /// As `twin relays` lists it
        relay: RelayAddress,
    },
}
