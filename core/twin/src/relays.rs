//! The relays by which the devices of a twin reach each other when they cannot meet: a record each among what all devices
//! know. There is none until the person names one.
//!
//! - [`conversation`]: one connection to a relay's mailboxes; [`presence`]: where a device is, as it says so there

pub(crate) mod conversation;
pub(crate) mod presence;

use twin_net::RelayAddress;
use twin_ops::space::SpaceName;
use twin_ops::value::{Fields, Value};

use crate::error::{Error, Result};
use crate::space::Collection;
use crate::twin::Twin;

const RELAYS: &str = "relays";
const ADDRESS: &str = "address";
/// The most relays that a twin uses.
pub const MAX_RELAYS: usize = 8;

impl Twin {
    /// The relays in use, by key.
    pub fn relays(&self) -> Result<Vec<RelayAddress>> {
        let records = self.relay_records().list(None, MAX_RELAYS)?;
        let addresses = records.iter().filter_map(|record| {
            let address = match record.fields.0.get(ADDRESS) {
                Some(Value::Text(address)) => address.parse().ok(),
                _ => None,
            };
            // A later version may write them in another way.
            address.filter(|address: &RelayAddress| id_of(address) == record.id)
        });
        Ok(addresses.collect())
    }

    /// Uses a relay from now on, on all devices; one that is known by its key moves to the new address.
    pub fn add_relay(&self, relay: &RelayAddress) -> Result<()> {
        let known = self.relays()?;
        if known.len() >= MAX_RELAYS && known.iter().all(|other| other.key() != relay.key()) {
            return Err(Error::TooManyRelays(MAX_RELAYS));
        }
        let address = Value::Text(relay.to_string());
        let fields = Fields([(ADDRESS.to_owned(), address)].into());
        self.relay_records().put(&id_of(relay), fields)
    }

    /// Uses a relay no more, on any device. What lies there stays until it expires; nobody but the twin's devices can read it.
    pub fn remove_relay(&self, relay: &RelayAddress) -> Result<()> {
        let known = self.relays()?;
        if known.iter().all(|other| other.key() != relay.key()) {
            return Err(Error::NoSuchRelay);
        }
        self.relay_records().delete(&id_of(relay))?;
        Ok(self.vault().forget_relay(relay.key().as_bytes())?)
    }

    fn relay_records(&self) -> Collection {
        self.collection_of(SpaceName::members(), RELAYS)
    }
}

/// The relay's key, as text.
fn id_of(relay: &RelayAddress) -> String {
    let text = relay.to_string();
    text.split('@').next().unwrap_or_default().to_owned()
}
