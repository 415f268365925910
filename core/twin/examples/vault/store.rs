//! What is measured, whoever does it.

use super::rows::Row;

pub type Failure = Box<dyn std::error::Error>;

/// Records in a file.
pub trait Store {
    /// Writes records in one commit.
    fn write(&mut self, rows: &[Row]) -> Result<(), Failure>;

    /// Reads a record and returns the length of its longest field.
    fn get(&mut self, row: &Row) -> Result<usize, Failure>;

    /// Reads a page of a collection after a record and returns its length.
    fn list(&mut self, after: &Row, limit: usize) -> Result<usize, Failure>;

    /// Changes one field of a record in a commit of its own.
    fn patch(&mut self, row: &Row, name: &str) -> Result<(), Failure>;

    /// Closes it and returns the bytes that it takes.
    fn close(self) -> Result<u64, Failure>;
}
