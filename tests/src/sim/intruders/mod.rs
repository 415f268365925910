//! Who attacks, by chance. None of them is told which rule might be broken: each does what it does in every run, and
//! no rule of the run may ever fail because of it.
//!
//! - `forger`: a member whose software sends more than ours would
//! - `mask`: somebody who knows the discovery key and says to be another device
//! - `stranger`: devices of another twin, and others who dial
//! - `between`: somebody between a phone and a new device

mod between;
mod forger;
mod mask;
mod stranger;
mod wire;

use super::fault::Held;
use super::world::World;

/// One of the attacks.
pub fn attack(world: &mut World) -> Held {
    let ours = world.running();
    let is_member = |device: &usize| !world.cast.devices[*device].is_admin();
    let members: Vec<usize> = ours.iter().copied().filter(is_member).collect();
    let victim = *world.dice.pick(&ours);
    let member = (!members.is_empty()).then(|| *world.dice.pick(&members));
    match (world.dice.below(12), member) {
        (0..6, Some(member)) if member != victim => forger::attack(world, member, victim),
        (6..8, Some(member)) => mask::attack(world, member, victim),
        (8, _) => between::guess(world),
        (9, _) => between::relay(world),
        _ => stranger::attack(world, victim),
    }
}
