//! What can be asked about recovery: of the twin, of its words, of its guardians.

use std::path::PathBuf;

use clap::Subcommand;

#[derive(clap::Args)]
pub struct Recover {
    /// From this sealed export, without the help of a device
    #[arg(long, value_name = "FILE", conflicts_with_all = ["alone", "finish", "qr"])]
    pub backup: Option<PathBuf>,
    /// With --backup: the file is damaged, bring back everything that can still be read and verified
    #[arg(long, requires = "backup")]
    pub damaged: bool,
    /// No device and no backup is left: make the twin anew from its words, without its data
    #[arg(long, conflicts_with_all = ["guardians", "finish", "qr"], requires = "name")]
    pub alone: bool,
    /// The words are lost: use your guardians' shares and get new words
    #[arg(long, conflicts_with = "finish")]
    pub guardians: bool,
    /// End a recovery by guardians, once its day has come
    #[arg(long)]
    pub finish: bool,
    /// With --alone: what the twin is called
    #[arg(long, requires = "alone")]
    pub name: Option<String>,
    /// What this device is called
    #[arg(long, default_value = "phone")]
    pub device: String,
    /// Also write the QR code for the helping device to this file, as PNG
    #[arg(long, value_name = "FILE", conflicts_with = "finish")]
    pub qr: Option<PathBuf>,
    /// With --alone: do not ask whether nothing is left, nor whether the id is right that the words lead to
    #[arg(long, requires = "alone")]
    pub yes: bool,
}

#[derive(Subcommand)]
pub enum RecoveryCommand {
    /// On a device that is still in: help a new one to recover the twin
    Help(Help),
    /// Replace the 24 words: the old ones are worth nothing from then on
    Rotate,
    /// People who together can recover the twin when the words are lost
    #[command(subcommand)]
    Guardians(GuardiansCommand),
    /// Object to a recovery by guardians: it has to wait once more
    Veto {
        /// Which recovery, as `twin status` shows it; not needed if there is only one
        #[arg(value_name = "RECOVERY")]
        rotation: Option<String>,
    },
}

#[derive(clap::Args)]
pub struct Help {
    /// The text of the QR code that the new device shows, or a picture of it
    #[arg(value_name = "TEXT|FILE.png")]
    pub code: String,
}

#[derive(Subcommand)]
pub enum GuardiansCommand {
    /// Name guardians and make their shares; guardians named before are replaced
    Set(SetGuardians),
    /// Show what is known of the guardians, and whether a recovery by them waits
    Show,
    /// Send the guardians away: their shares are worth nothing from then on
    Dismiss,
}

#[derive(clap::Args)]
pub struct SetGuardians {
    /// What you call them, for instance “family”; readable on every share
    #[arg(long)]
    pub name: String,
    /// How many guardians there are, at most 16
    #[arg(long = "of", value_name = "COUNT", value_parser = clap::value_parser!(u8).range(2..=16))]
    pub guardians: u8,
    /// How many of them it takes, at least 2
    #[arg(long = "need", value_name = "COUNT", value_parser = clap::value_parser!(u8).range(2..=16))]
    pub needed: u8,
    /// How long their recovery waits, so that you can object, in days
    #[arg(long = "delay", value_name = "DAYS", default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..=365))]
    pub delay_days: u16,
    /// Let them open your data, too. This part cannot be delayed: any COUNT of them can read what you have at any time,
    /// if they get hold of a copy
    #[arg(long)]
    pub hold_data: bool,
    /// Write each share to this folder, as text and as a PNG of its QR code, instead of showing it
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}
