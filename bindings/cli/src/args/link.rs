//! What can be asked about linking.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};

#[derive(Subcommand)]
pub enum LinkCommand {
    /// On the new device: show a QR code and wait for the phone
    Offer(Offer),
    /// On the phone: scan the new device's QR code
    Accept(Accept),
    /// On the phone, for a device that is somewhere else: show a passcode and wait until it is typed there
    Invite(Invite),
    /// On the new device, somewhere else: type the passcode that the phone shows
    Join(Join),
}

#[derive(clap::Args)]
pub struct Offer {
    /// Also write the QR code to this file, as PNG
    #[arg(long, value_name = "FILE")]
    pub qr: Option<PathBuf>,
    /// What this device is called
    #[arg(long, default_value = "laptop")]
    pub device: String,
}

/// What the new device comes in as.
#[derive(clap::Args)]
pub struct Admission {
    /// What the new device may do
    #[arg(long, value_enum, default_value_t = RoleArg::Companion)]
    pub role: RoleArg,
    /// For how many days it comes in; for good without it
    #[arg(long = "for", value_name = "DAYS", value_parser = clap::value_parser!(u16).range(1..=i64::from(twin::MAX_DAYS)))]
    pub days: Option<u16>,
}

#[derive(clap::Args)]
pub struct Invite {
    #[command(flatten)]
    pub admission: Admission,
    /// Address to listen on; a free port of every interface without it
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Vec<String>,
}

#[derive(clap::Args)]
pub struct Join {
    /// The passcode; asked for without it
    pub passcode: Option<String>,
    /// Address of the phone, as 192.168.1.20:4001; may be given several times
    #[arg(long, value_name = "ADDRESS:PORT", required_unless_present = "relay")]
    pub peer: Vec<String>,
    /// A relay that the phone uses, as relay.example.org:4001, in place of the phone's address
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "peer")]
    pub relay: Option<String>,
    /// What this device is called
    #[arg(long, default_value = "laptop")]
    pub device: String,
}

#[derive(clap::Args)]
pub struct Accept {
    /// The text of the QR code, or a picture of it
    #[arg(value_name = "TEXT|FILE.png")]
    pub code: String,
    #[command(flatten)]
    pub admission: Admission,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum RoleArg {
    /// Reads and writes data
    Companion,
    /// May also link and remove devices: it can take the phone's place
    MayReplaceMyPhone,
}
