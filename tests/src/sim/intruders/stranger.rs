//! Who dials without being asked: a device of another twin with our own software, somebody who says nothing, who says
//! anything, or who plays back what was once said.

use std::collections::VecDeque;

use twin_sync::session::{Side, Stay};
use twin_sync::transport::TransportKey;

use crate::sim::cable::{Cable, Quality};
use crate::sim::fault::Held;
use crate::sim::party::{End, Party, Scene, Syncing};
use crate::sim::world::World;

/// A stranger meets a victim.
pub fn attack(world: &mut World, victim: usize) -> Held {
    let keys = [0; 2].map(|_| TransportKey::from_bytes(world.dice.bytes()));
    let neighbour = world.neighbour()?;
    let mut quality = Quality::good(&mut world.dice);
    quality.until = Some(world.now + 40_000);
    let (which, replay) = (world.dice.below(4), last_talk(world));
    let mut scene = world.scene();
    let (mine, theirs) = if scene.dice.chance(50) {
        (Side::Initiator, Side::Responder)
    } else {
        (Side::Responder, Side::Initiator)
    };
    let victim = Syncing::new(
        &mut scene,
        victim,
        mine,
        keys[0],
        keys[1],
        Stay::UntilInSync,
    );
    let stranger: Box<dyn Party> = match which {
        0 => Box::new(Babbler {
            frames: babble(&mut scene),
        }),
        1 => Box::new(Babbler { frames: replay }),
        _ => Box::new(Syncing::new(
            &mut scene,
            neighbour,
            theirs,
            keys[1],
            keys[0],
            Stay::UntilInSync,
        )),
    };
    let mut cable = Cable::new([Box::new(victim), stranger], quality);
    cable.is_strange = true;
    world.connect(cable)?;
    Ok(())
}

/// What one of our devices said to the last stranger.
fn last_talk(world: &World) -> VecDeque<Vec<u8>> {
    let last = world.overheard.last().map(|last| last.cable);
    let talk = world
        .overheard
        .iter()
        .filter(|said| Some(said.cable) == last);
    talk.map(|said| said.frame.clone()).collect()
}

/// Nothing, or anything.
fn babble(scene: &mut Scene<'_>) -> VecDeque<Vec<u8>> {
    let frames = scene.dice.index(4);
    let mut babble = VecDeque::new();
    for _ in 0..frames {
        let len = scene.dice.index(80);
        babble.push_back((0..len).map(|_| scene.dice.bytes()[0]).collect());
    }
    babble
}

/// Says what it says, whatever it hears.
struct Babbler {
    frames: VecDeque<Vec<u8>>,
}

impl Party for Babbler {
    fn is_honest(&self) -> bool {
        false
    }

    fn receive(&mut self, _: &mut Scene<'_>, _: &[u8]) -> Result<(), End> {
        Ok(())
    }

    fn next_frame(&mut self, _: &mut Scene<'_>) -> Result<Option<Vec<u8>>, End> {
        Ok(self.frames.pop_front())
    }

    fn is_finished(&self) -> bool {
        false
    }
}
