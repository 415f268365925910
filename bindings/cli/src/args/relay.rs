//! `twin relay`

use std::net::SocketAddr;
use std::path::PathBuf;

/// The options of a relay.
#[derive(clap::Args)]
pub struct RelayOptions {
    /// Where to listen, over TCP and over QUIC (UDP); may be given several times
    #[arg(long, value_name = "ADDRESS:PORT", default_values = ["0.0.0.0:4001", "[::]:4001"])]
    pub listen: Vec<SocketAddr>,
    /// Where devices can dial it, if that is not where it listens: behind a router, in a container, or by a name
    #[arg(long, value_name = "HOST:PORT")]
    pub external: Vec<String>,
    /// Folder for what it keeps, its key above all; your own folder for such things without it
    #[arg(long, value_name = "FOLDER", env = "TWIN_RELAY_DATA")]
    pub data: Option<PathBuf>,
    /// Show its metrics here, for Prometheus, to whoever can come there
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub metrics: Option<SocketAddr>,
}
