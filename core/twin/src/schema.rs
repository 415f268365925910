//! What a collection says of its records.

use twin_vault::Schema;

use crate::error::Result;
use crate::platform::rng;
use crate::space::Collection;

impl Collection {
    /// Its schema; an empty one if it has none.
    pub fn schema(&self) -> Result<Schema> {
        let mut vault = self.space.twin.vault();
        let schema = vault.schema(self.space.name(), &self.name)?;
        Ok(schema.as_deref().cloned().unwrap_or_default())
    }

    /// Makes this its schema, on all devices. It binds what is written from now on; records that are there already, and
    /// what devices write that do not know of it yet, stay as they are.
    pub fn set_schema(&self, schema: &Schema) -> Result<()> {
        let twin = &self.space.twin;
        let now = twin.now();
        let (space, name) = (self.space.name(), &self.name);
        let written = twin
            .vault()
            .set_schema(now, &mut rng(), space, name, schema)?;
        if written.is_some() {
            twin.notify();
        }
        Ok(())
    }
}
