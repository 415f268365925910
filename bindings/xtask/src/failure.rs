//! What went wrong, in one sentence for the person at the terminal.

use std::fmt;

/// One clear sentence: what happened and what to do about it.
#[derive(Debug)]
pub struct Failure(String);

/// The result of a step that gives `T` or a sentence.
pub type Result<T = ()> = std::result::Result<T, Failure>;

impl Failure {
    /// A failure that says `sentence`.
    pub fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Adds to a foreign error what we were doing when it happened.
pub trait Context<T> {
    /// `doing` reads after "could not": "could not read Cargo.lock: no such file".
    fn could_not(self, doing: impl fmt::Display) -> Result<T>;
}

impl<T, E: fmt::Display> Context<T> for std::result::Result<T, E> {
    fn could_not(self, doing: impl fmt::Display) -> Result<T> {
        self.map_err(|error| Failure(format!("could not {doing}: {error}")))
    }
}
