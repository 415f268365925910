//! The table of slots.

use twin_identity::context;

use super::slot::Slot;
use crate::error::{Result, VaultError};
use crate::store::Store;

impl Store {
    /// All slots, by number. One that is damaged keeps nobody from using another.
    pub(super) fn slots(&self) -> Result<Vec<(u32, Result<Slot>)>> {
        let mut statement = self.sql("SELECT n, v, checksum FROM slot ORDER BY n")?;
        let mut rows = statement.query([])?;
        let mut slots = Vec::new();
        while let Some(row) = rows.next()? {
            let (bytes, checksum) = (row.get_ref(1)?.as_blob()?, row.get_ref(2)?.as_blob()?);
            let slot = if checksum == context::VAULT_SLOT.hash([bytes]) {
                Slot::from_bytes(bytes)
            } else {
                Err(VaultError::Damaged("a key slot"))
            };
            slots.push((row.get(0)?, slot));
        }
        Ok(slots)
    }

    /// The numbers of the slots that are damaged.
    pub(crate) fn damaged_slots(&self) -> Result<Vec<u32>> {
        let slots = self.slots()?.into_iter();
        let damaged = slots.filter(|(_, slot)| matches!(slot, Err(VaultError::Damaged(_))));
        Ok(damaged.map(|(number, _)| number).collect())
    }

    /// The numbers of all slots, damaged ones too.
    pub(crate) fn slot_numbers(&self) -> Result<Vec<u32>> {
        let slots = self.slots()?.into_iter();
        Ok(slots.map(|(number, _)| number).collect())
    }

    /// Writes a slot, over the one with this number.
    pub(super) fn put_slot(&self, number: u32, slot: &Slot) -> Result<()> {
        let bytes = slot.to_bytes();
        let checksum = context::VAULT_SLOT.hash([bytes.as_slice()]);
        self.sql("INSERT OR REPLACE INTO slot (n, v, checksum) VALUES (?1, ?2, ?3)")?
            .execute((number, bytes, checksum))?;
        Ok(())
    }

    /// Removes a slot.
    pub(super) fn remove_slot(&self, number: u32) -> Result<()> {
        self.sql("DELETE FROM slot WHERE n = ?1")?
            .execute([number])?;
        Ok(())
    }
}
