//! What can be asked about sites, and what others can ask about this twin.

use std::path::PathBuf;

use clap::Subcommand;

#[derive(clap::Args)]
pub struct Sites {
    #[command(subcommand)]
    pub command: Option<SitesCommand>,
}

#[derive(Subcommand)]
pub enum SitesCommand {
    /// Use a new pseudonym at a site from the next login on, after the words were replaced
    Move {
        /// The site, as `twin sites` lists it
        site: String,
        /// Which of your personas there
        #[arg(long, value_name = "NUMBER", default_value_t = 0)]
        persona: u32,
    },
}

#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Proof {
    /// Write it to this file instead of showing it
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    #[command(subcommand)]
    pub command: Option<ProofCommand>,
}

#[derive(Subcommand)]
pub enum ProofCommand {
    /// Check somebody's proof; needs no twin of one's own
    Check {
        /// The file with the proof, or - for standard input
        #[arg(value_name = "FILE|-")]
        file: PathBuf,
        /// The twin that it should be of
        #[arg(long, value_name = "TWIN")]
        twin: Option<String>,
        /// Remember in this file what was seen, and refuse what is older
        #[arg(long, value_name = "FILE")]
        known: Option<PathBuf>,
    },
}
