//! Who attacks, by chance.

use super::fault::Held;
use super::world::World;

/// One of the attacks.
pub fn attack(_world: &mut World) -> Held {
    Ok(())
}
