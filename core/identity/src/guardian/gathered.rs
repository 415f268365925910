//! Shares as they come in, one by one, perhaps of several sets.

use super::{CombineError, GuardianSecret, Share, combine};

/// Shares that were given so far, each set apart: whichever share was the first, the set that is complete first gives
/// its secret.
#[derive(Debug, Default)]
pub struct Gathered(Vec<Vec<Share>>);

impl Gathered {
    /// Takes a share in and gives the secret if its set is complete with it.
    ///
    /// # Errors
    /// [`CombineError::TooFew`] if all is well and more shares of its set are needed. Whatever else is wrong with the
    /// share, it was not taken in.
    pub fn add(&mut self, share: Share) -> Result<GuardianSecret, CombineError> {
        let set_id = share.set_id();
        let is_of = |set: &Vec<Share>| set.iter().any(|share| share.set_id() == set_id);
        let mut set = match self.0.iter().position(is_of) {
            Some(at) => self.0.swap_remove(at),
            None => Vec::new(),
        };
        set.push(share);
        let combined = combine(&set);
        if !matches!(combined, Ok(_) | Err(CombineError::TooFew { .. })) {
            set.pop();
        }
        if !set.is_empty() {
            self.0.push(set);
        }
        combined
    }

    /// How many sets the shares are of.
    pub const fn sets(&self) -> usize {
        self.0.len()
    }
}
