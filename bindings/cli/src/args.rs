//! What can be asked of the command, with the help that is shown.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

mod device;
mod erase;
mod export;
mod file;
mod find;
mod import;
mod link;
mod records;
mod recovery;
mod relay;
mod relays;
mod sites;
mod slots;

pub use device::DeviceCommand;
pub use erase::Erase;
pub use export::{Check, Export};
pub use file::{AddFiles, FileCommand, GetFile, KeepFiles};
pub use find::{Answer, OrderArg, Query, Search, Watch};
pub use import::Import;
pub use link::{Accept, Admission, Invite, Join, LinkCommand, Offer, RoleArg};
pub use records::{HistoryOptions, List, SchemaOptions};
pub use recovery::{GuardiansCommand, Help, Recover, RecoveryCommand, SetGuardians};
pub use relay::RelayOptions;
pub use relays::{Relays, RelaysCommand};
pub use sites::{Proof, ProofCommand, Sites, SitesCommand};
pub use slots::{AddSlot, Slots, SlotsCommand};

/// One identity, on your phone: this command plays the phone, a linked device, or a site.
#[derive(Parser)]
#[command(name = "twin", version, disable_help_subcommand = true)]
pub struct Args {
    /// Folder of this device's vault
    #[arg(
        long,
        global = true,
        env = "TWIN_HOME",
        value_name = "DIR",
        hide_env_values = true
    )]
    pub home: Option<PathBuf>,

    /// Answer in JSON: one value, or one line an event
    #[arg(long, global = true)]
    pub json: bool,

    /// Unlock with the desktop's keyring instead of a password
    #[arg(long, global = true)]
    pub keyring: bool,

    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Make a new twin, with this device as its first
    Create(Create),
    /// Get the twin back on this empty machine, with a device's help or from a backup: by the 24 words, or by guardians
    Recover(Recover),
    /// The words and the guardians, and helping a new device
    #[command(subcommand, disable_help_subcommand = true)]
    Recovery(RecoveryCommand),
    /// Show twin, device and vault, and what to do if something is lost
    Status,
    /// Write a record: put SPACE/COLLECTION/ID field=text number:=5 flag:=true
    Put(Put),
    /// Show a record
    Get {
        /// SPACE/COLLECTION/ID
        record: String,
    },
    /// List spaces, the collections of a space, or the records of a collection
    List(List),
    /// Delete a record
    Delete {
        /// SPACE/COLLECTION/ID
        record: String,
    },
    /// Erase a record for good, on all devices; alone, it lists what companions have asked to be erased
    Erase(Erase),
    /// Undo the deletion of a record: it is again as it was
    Restore {
        /// SPACE/COLLECTION/ID
        record: String,
    },
    /// Who changed a record, when, and how
    History(HistoryOptions),
    /// What the fields of a collection's records are; alone, it shows it
    Schema(SchemaOptions),
    /// Files of any size: add, get, list
    #[command(subcommand, disable_help_subcommand = true)]
    File(FileCommand),
    /// Find records by words in them, in any script
    Search(Search),
    /// Find records by the value of a field: query SPACE/COLLECTION 'year:>=2020'
    Query(Query),
    /// Show records, or what a query finds, and every change of them, until Ctrl-C
    Watch(Watch),
    /// The devices of the twin
    #[command(subcommand)]
    Device(DeviceCommand),
    /// Link another device of yours, by QR code
    #[command(subcommand)]
    Link(LinkCommand),
    /// Meet the other devices, until all that are in reach hold the same
    Sync(Sync),
    /// Stay online: find the other devices and keep them equal
    Run(Online),
    /// Log in to a site, by the QR code that it shows
    Login(Login),
    /// The sites that you have signed in to, those to be moved first
    Sites(Sites),
    /// Make a proof of your identity, good for a day, for a contact or a site
    Proof(Proof),
    /// What has happened: logins, links
    Activity,
    /// The ways to unlock this device; alone, it lists them
    Slots(Slots),
    /// Change the password of this device
    Password,
    /// Back everything up into one sealed file, or take it along in the clear
    Export(Export),
    /// Check that a sealed export is complete and undamaged; needs no password
    Check(Check),
    /// Take in what you have: an export, contacts, a table, JSON, a folder of files
    ///
    /// All of a file is looked through first: if anything in it cannot be taken in, the line is named and nothing is
    /// written. Empty rows of a table are passed over. A number in JSON that would lose digits is kept as text. It is said
    /// how many there were of either.
    Import(Import),
    /// Look after the file that holds everything on this device
    #[command(subcommand, disable_help_subcommand = true)]
    Vault(VaultCommand),
    /// Run the reference site, "Log in with your twin"
    Site(twin_site::Options),
    /// The relays that your devices use; alone, it lists them
    Relays(Relays),
    /// Be a relay: devices that cannot dial each other meet through it; it cannot read what they say
    Relay(RelayOptions),
    /// Show it all: a phone, a laptop and a site on this machine
    Demo(Demo),
}

/// How many of something: at least one.
fn count(text: &str) -> Result<usize, &'static str> {
    match text.parse() {
        Ok(0) | Err(_) => Err("it should be a number from 1 on"),
        Ok(count) => Ok(count),
    }
}

#[derive(Subcommand)]
pub enum VaultCommand {
    /// Look for damage in everything that is here, signatures included; changes nothing
    Check,
    /// Make a new vault of all that still verifies in this one, which stays as it is
    ///
    /// The new one is unlocked as this one is. Operations after a lost one cannot be in it; they come again from any
    /// device that has them. What they say is all the same the newest that is known of a record: --rest writes it to a
    /// file, which `twin import` reads.
    Salvage {
        /// Where the new vault goes: a folder without one
        folder: PathBuf,
        /// Write records whose newest content could not be kept to this new file, not encrypted
        #[arg(long, value_name = "FILE")]
        rest: Option<PathBuf>,
        /// A newer version never had this vault, though its header says so: the header is damaged
        #[arg(long)]
        not_newer: bool,
    },
    /// Make the index of records anew from the signed operations
    Rebuild,
    /// Forget what is left of files whose adding was broken off more than a day ago
    Clean,
    /// Let go of what was overwritten and all your devices have: the history of records up to there, and its space
    Compact,
}

#[derive(clap::Args)]
pub struct Create {
    /// What the twin is called, for instance your first name
    #[arg(long)]
    pub name: String,
    /// What this device is called
    #[arg(long, default_value = "phone")]
    pub device: String,
}

#[derive(clap::Args)]
pub struct Put {
    /// SPACE/COLLECTION/ID
    pub record: String,
    /// field=text, or field:=JSON for numbers, true, false and null
    ///
    /// Other types are JSON objects: due:='{"timestamp": "2026-11-23T10:00:00Z"}', who:='{"ref": ["people", "ada"]}',
    /// tags:='{"set": ["a", "b"]}', count:='{"counter": 5}', photo:='{"hex": "00ff"}'.
    ///
    /// What is there already is edited, and merges with what other devices do to it: tags+=text adds to a set and
    /// tags-=text removes from it (tags+:=JSON, tags-:=JSON for elements that are no text); count++=5 and count--=5
    /// count up and down. Edits alone leave the other fields as they are; with --patch values can stand beside them.
    #[arg(required = true, value_name = "FIELD=VALUE")]
    pub fields: Vec<String>,
    /// Change only these fields and leave the others
    #[arg(long)]
    pub patch: bool,
}

#[derive(clap::Args)]
pub struct Reach {
    /// Address of another device, as 192.168.1.20:4001; may be given several times
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub peer: Vec<String>,
    /// Address to listen on; a free port of every interface without it
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Vec<String>,
    /// Do not look for devices on the local network, and do not be found there
    #[arg(long)]
    pub no_discovery: bool,
}

#[derive(clap::Args)]
pub struct Sync {
    #[command(flatten)]
    pub reach: Reach,
    /// End after the first device that holds the same
    #[arg(long)]
    pub once: bool,
    /// How long to look for devices, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 20)]
    pub wait: u64,
}

#[derive(clap::Args)]
pub struct Online {
    #[command(flatten)]
    pub reach: Reach,
}

#[derive(clap::Args)]
pub struct Login {
    /// The text of the site's QR code, or a picture of it
    #[arg(value_name = "TEXT|FILE.png")]
    pub code: String,
    /// Approve without asking
    #[arg(long)]
    pub yes: bool,
    /// The two digits that the page shows
    #[arg(long, value_name = "NN")]
    pub number: Option<String>,
    /// Which of the persons that you can be at the site; they cannot be told to be one
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub persona: u32,
}

#[derive(clap::Args)]
pub struct Demo {
    /// Leave everything running at the end, and say how to go on by hand
    #[arg(long)]
    pub keep: bool,
}
