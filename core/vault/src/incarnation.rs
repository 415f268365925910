//! Incarnations: each time this device finds that it was copied, or set back to an older state, it goes on in new logs.

use rand_core::CryptoRng;
use twin_ops::op::INCARNATION_LEN;

use crate::error::{Result, VaultError};
use crate::rows::{DeviceRow, Row, ToldRow};
use crate::vault::Vault;

const DAMAGED: VaultError = VaultError::Damaged("this device's keys");

impl Vault {
    /// Begins a new incarnation: from here on this device writes in new logs, in every space. Inside a transaction.
    pub(crate) fn begin_incarnation(&mut self, rng: &mut impl CryptoRng) -> Result<()> {
        let mut incarnation = [0; INCARNATION_LEN];
        rng.fill_bytes(&mut incarnation);
        let mut row: DeviceRow = self.file.item(&[])?.ok_or(DAMAGED)?;
        row.incarnation = incarnation;
        self.file.put(&row)?;
        self.incarnation = incarnation;
        // What this device has seen, it has told in its old logs: others may never get them.
        for told in std::mem::take(&mut self.state.told).into_values() {
            self.file.remove::<ToldRow>(&told.natural())?;
        }
        Ok(())
    }

    /// Sees that another program of this device has begun one.
    pub(crate) fn read_incarnation(&mut self) -> Result<()> {
        let row: DeviceRow = self.file.item(&[])?.ok_or(DAMAGED)?;
        self.incarnation = row.incarnation;
        Ok(())
    }
}
