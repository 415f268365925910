//! What can be asked about the devices of the twin. DEVICE is a name, or the first digits of an id (4 at least).

use clap::Subcommand;
use twin::Place;

#[derive(Subcommand)]
pub enum DeviceCommand {
    /// List the devices
    List,
    /// Let a companion replace the phone: it may then link and remove devices, too
    Promote {
        /// Name, or first digits of the id
        device: String,
    },
    /// Remove a device for good: it reads nothing that is written from then on
    Revoke {
        /// Name, or first digits of the id
        device: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Keep a device out until it is resumed, for one that may only be mislaid
    Suspend {
        /// Name, or first digits of the id
        device: String,
    },
    /// Let a suspended device take part again
    Resume {
        /// Name, or first digits of the id
        device: String,
    },
    /// Let count after all what a device wrote after it was removed or suspended
    Accept {
        /// Name, or first digits of the id
        device: String,
    },
    /// Give a device another name
    Rename {
        /// Name, or first digits of the id
        device: String,
        /// What it is called from then on
        name: String,
    },
    /// Say where a device can be reached that is always on, so that the others meet it there; without a place: nowhere
    At {
        /// Name, or first digits of the id
        device: String,
        /// HOST:PORT; let the device listen there: twin run --listen 0.0.0.0:PORT
        place: Option<Place>,
    },
    /// Show which spaces each device keeps, or choose for this one; it keeps all until you choose otherwise
    Keeps {
        /// A space that this device keeps again; several may be given
        #[arg(long, value_name = "SPACE")]
        with: Vec<String>,
        /// A space of which nothing more comes to this device; several may be given
        #[arg(long, value_name = "SPACE")]
        without: Vec<String>,
    },
    /// Put this device in the place of a lost phone, by the 24 words: the old one goes for good
    Replace {
        /// The lost device: its name, or the first digits of its id; several may be given
        #[arg(required = true, value_name = "OLD")]
        old: Vec<String>,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}
