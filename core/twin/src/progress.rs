//! How far a long call has come, told while it goes on; whoever is told may stop it.

use std::ops::ControlFlow;

use crate::error::{Error, Result};

/// How far a long call has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What is done.
    pub done: u64,
    /// How much there is in all, if that is known.
    pub total: Option<u64>,
    /// In what both are counted.
    pub unit: Unit,
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Signed operations.
    Operations,
}

/// Who is told how far a long call has come, and may stop it: it then fails with [`Error::Stopped`], and what it did is
/// of use when it is called again.
pub type Watch<'a> = dyn FnMut(Progress) -> ControlFlow<()> + 'a;

/// Tells of bytes.
pub(crate) fn tell(watch: &mut Watch<'_>, done: u64, total: Option<u64>) -> Result<()> {
    let unit = Unit::Bytes;
    tell_of(watch, Progress { done, total, unit })
}

pub(crate) fn tell_of(watch: &mut Watch<'_>, progress: Progress) -> Result<()> {
    match watch(progress) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Error::Stopped),
    }
}
