//! Devices that are always on, and where they can be reached: a record each among what all devices know. Such a device can be
//! for its twin what a relay is otherwise, and can read what it keeps, being one of the person's own.

use std::collections::BTreeMap;

use twin_identity::id::DeviceId;
use twin_net::Place;
use twin_ops::space::SpaceName;
use twin_ops::value::{Fields, Value};

use twin_vault::VaultError;

use crate::error::Result;
use crate::space::Collection;
use crate::twin::Twin;

const PLACES: &str = "places";
const PLACE: &str = "place";

impl Twin {
    /// Where devices are that are always on. The others look for them there whenever they are online.
    pub fn places(&self) -> Result<BTreeMap<DeviceId, Place>> {
        let devices = self.devices()?;
        let records = self.place_records().list(None, devices.len())?;
        let places = records.iter().filter_map(|record| {
            let device = devices
                .iter()
                .find(|device| device.id.to_string() == record.id)?;
            match record.fields.0.get(PLACE) {
                Some(Value::Text(place)) => Some((device.id, place.parse().ok()?)),
                // A later version may write them in another way.
                _ => None,
            }
        });
        Ok(places.collect())
    }

    /// Says where a device can be reached that is always on; with `None` that it is not any more.
    ///
    /// # Errors
    /// [`VaultError::NoSuchDevice`] if it does not take part.
    pub fn set_place(&self, device: &DeviceId, place: Option<&Place>) -> Result<()> {
        let records = self.place_records();
        let Some(place) = place else {
            return records.delete(&device.to_string());
        };
        if self.devices()?.iter().all(|known| known.id != *device) {
            return Err(VaultError::NoSuchDevice.into());
        }
        let place = Value::Text(place.to_string());
        let fields = Fields([(PLACE.to_owned(), place)].into());
        records.put(&device.to_string(), fields)
    }

    fn place_records(&self) -> Collection {
        self.collection_of(SpaceName::members(), PLACES)
    }
}
