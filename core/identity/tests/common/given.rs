//! Randomness that somebody else has drawn.

use std::convert::Infallible;

use rand_core::{TryCryptoRng, TryRng};

/// Gives out one draw of bytes.
pub struct Given(pub Vec<u8>);

impl TryRng for Given {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        unimplemented!("bytes only")
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        unimplemented!("bytes only")
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        bytes.copy_from_slice(&self.0.split_off(0));
        Ok(())
    }
}

impl TryCryptoRng for Given {}
