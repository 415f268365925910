//! A new vault key: all that hangs on the old one is made anew in one transaction, and the old one leaves the file.
//!
//! What hangs on it: the sealed rows and their names, the places of records in the index and its MACs, what is kept for
//! searching (which is dropped, and made anew when it is needed), and what the slots hold. Ops and their parts do not: they are sealed under the keys of epochs.

use std::ops::ControlFlow;

use rand_core::CryptoRng;
use twin_identity::secret::Secret;

use crate::error::{Result, VaultError};
use crate::index::{collection, next_place};
use crate::keys::VaultKeys;
use crate::oplog::PartNo;
use crate::rows::SlotRow;
use crate::vault::Vault;

impl Vault {
    /// Changes slots and renews the vault key: both, or nothing has happened. Every other `Vault` of the file has to
    /// be unlocked again.
    pub(super) fn renew<R: CryptoRng, T>(
        &mut self,
        rng: &mut R,
        change: impl FnOnce(&mut Self, &mut R) -> Result<T>,
    ) -> Result<T> {
        let keys = VaultKeys::new(&Secret::random(rng));
        let done = self.write(|vault| {
            let done = change(vault, rng)?;
            vault.fill_slots(keys.vault(), rng)?;
            vault.move_index(&keys)?;
            vault.file.move_items(&keys)?;
            Ok(done)
        })?;
        self.file.keys = keys;
        self.wipe = !self.file.store.truncate_wal();
        Ok(done)
    }

    /// Seals another vault key to every slot.
    fn fill_slots(&self, key: &Secret<32>, rng: &mut impl CryptoRng) -> Result<()> {
        for (number, slot) in self.file.store.slots()? {
            // One that is damaged, or that nobody here has made, would be lost or would open the vault to a stranger.
            let row: Option<SlotRow> = self.file.item(&SlotRow::name(number))?;
            let row = row.ok_or(VaultError::Damaged("a key slot"))?;
            let mut slot = slot?;
            slot.hold(&row.public, key, rng)?;
            self.file.store.put_slot(number, &slot)?;
        }
        Ok(())
    }

    /// Moves every record to its place under other keys.
    fn move_index(&mut self, keys: &VaultKeys) -> Result<()> {
        let mut moved: Vec<(i64, Vec<PartNo>, Vec<PartNo>)> = Vec::new();
        self.each_found((i64::MIN, i64::MAX), |place, versions| {
            let versions = versions?;
            // Nothing is left where a record was erased.
            let Some(first) = versions.first() else {
                return Ok(ControlFlow::Continue(()));
            };
            let parts = versions.iter().map(|version| version.key).collect();
            let place_there = keys.place(collection(place), &first.change.id);
            moved.push((place_there, parts, self.past_at(place)?));
            Ok(ControlFlow::Continue(()))
        })?;
        self.clear_late()?;
        self.clear_search()?;
        let store = &self.file.store;
        store.clear_index()?;
        store.clear_past()?;
        let mut index = store.index_writer(keys)?;
        for (mut place, parts, past) in moved {
            while store.is_taken(place)? {
                place = next_place(place);
            }
            index.set_parts(place, &parts)?;
            past.into_iter()
                .try_for_each(|part| store.insert_past(place, part))?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use crate::common::{NOON, index_rows, phone, put, records, rng};
    use crate::items::Kind;
    use crate::keys::VaultKeys;
    use crate::{Unlock, Vault};
    use twin_identity::secret::Secret;

    type Rows = Vec<(u8, Vec<u8>, Vec<u8>)>;

    fn rows(vault: &Vault) -> Rows {
        let mut rows = vault
            .file
            .store
            .sql("SELECT kind, name, v FROM item")
            .unwrap();
        let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
        rows.unwrap().map(|row| row.unwrap()).collect()
    }

    /// How many rows open under these keys, each at its name.
    fn open(rows: &Rows, keys: &VaultKeys) -> usize {
        let opens = |(kind, name, sealed): &&(u8, Vec<u8>, Vec<u8>)| {
            let aad = [[*kind].as_slice(), name].concat();
            keys.rows.open(&aad, sealed).is_ok()
        };
        rows.iter().filter(opens).count()
    }

    #[test]
    fn the_old_key_opens_names_and_places_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mut vault = phone(dir.path());
        for i in 0..20 {
            put(&mut vault, NOON, "c", &format!("{i}"), &[("a", "b")]);
        }
        vault
            .remember_address(vault.device_keys().id(), "somewhere")
            .unwrap();
        // As a new key does, so that there are as many rows before as after.
        vault.settle_index().unwrap();
        let old = VaultKeys::new(&Secret::new(*vault.file.keys.vault().expose()));
        let before = rows(&vault);
        assert_eq!(open(&before, &old), before.len());
        let truth = records(&mut vault, "c");

        let unlock = Unlock::Password("a new one");
        vault.change_slot(NOON, 1, unlock, &mut rng(1)).unwrap();
        let after = rows(&vault);
        assert_eq!(after.len(), before.len());
        assert_eq!(open(&after, &old), 0);
        assert_eq!(open(&after, &vault.file.keys), after.len());
        assert_eq!(open(&before, &vault.file.keys), 0);
        let same_name = |(kind, name, _): &&(u8, Vec<u8>, Vec<u8>)| {
            before.iter().any(|old| (&old.0, &old.1) == (kind, name))
        };
        assert_eq!(after.iter().filter(same_name).count(), 0);
        let device = old.name(Kind::Device as u8, &[]);
        assert!(after.iter().all(|(_, name, _)| *name != device));
        for (place, parts, tag) in index_rows(dir.path()) {
            let rusqlite::types::Value::Integer(part) = parts else {
                continue;
            };
            assert_ne!(old.tag(place, &part.to_be_bytes()), tag);
            assert_eq!(vault.file.keys.tag(place, &part.to_be_bytes()), tag);
        }
        assert_eq!(records(&mut vault, "c"), truth);
        assert_eq!(
            vault.addresses(&vault.device_keys().id()).unwrap(),
            ["somewhere"]
        );
    }
}
