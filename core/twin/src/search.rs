//! Finding records: by words, and by the value of a field.

use twin_vault::{Hit, Page, Query};

use crate::error::Result;
use crate::space::{Collection, Space};

impl Space {
    /// The records of this space, or of one of its collections, that have all these words in their texts, the best
    /// first; at most `limit`. The last word may be the beginning of one; marks and large letters do not matter.
    pub fn search(&self, query: &str, collection: Option<&str>, limit: usize) -> Result<Vec<Hit>> {
        let mut vault = self.twin().vault();
        Ok(vault.search(self.name(), query, collection, limit)?)
    }
}

impl Collection {
    /// A page of the records whose field has a value in a range. [`Page::scanned`] tells how many were opened for it:
    /// all of the collection if its schema does not say that the field is indexed.
    pub fn query(&self, query: &Query) -> Result<Page> {
        let mut vault = self.space().twin().vault();
        Ok(vault.query(self.space().name(), self.name(), query)?)
    }
}
