//! Who is at the ends of a cable, and what they can reach.

use twin_ops::store::OpStore;
use twin_sync::machine::Machine;
use twin_sync::session::{Session, Side, Stay, SyncEvent};
use twin_sync::transport::TransportKey;
use twin_vault::Vault;

use super::cast::Cast;
use super::device::Instant;
use super::fault::{Fault, hold};
use crate::dice::Dice;

/// Everything that a party can reach while it acts.
pub struct Scene<'a> {
    /// Now.
    pub now: Instant,
    /// All chance.
    pub dice: &'a mut Dice,
    /// Everybody.
    pub cast: &'a mut Cast,
}

/// Why a party lets go of its cable.
pub enum End {
    /// It has had enough, for this reason.
    Over(String),
    /// A rule did not hold: the run has failed.
    Fault(Fault),
}

impl From<Fault> for End {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl End {
    /// The reason that an error gives.
    pub fn over(error: impl std::fmt::Display) -> Self {
        Self::Over(error.to_string())
    }
}

/// One end of a cable.
pub trait Party {
    /// The device whose vault it uses.
    fn device(&self) -> Option<usize> {
        None
    }

    /// Whether it does only what our own software does.
    fn is_honest(&self) -> bool {
        true
    }

    /// Takes a frame.
    fn receive(&mut self, scene: &mut Scene<'_>, frame: &[u8]) -> Result<(), End>;

    /// What it says next.
    fn next_frame(&mut self, scene: &mut Scene<'_>) -> Result<Option<Vec<u8>>, End>;

    /// When to ring.
    fn alarm(&self, _: &Scene<'_>) -> Option<Instant> {
        None
    }

    /// The alarm has gone off.
    fn ring(&mut self, _: &mut Scene<'_>) -> Result<(), End> {
        Ok(())
    }

    /// Its device's vault has changed.
    fn store_changed(&mut self, _: &mut Scene<'_>) -> Result<(), End> {
        Ok(())
    }

    /// Whether everything is said.
    fn is_finished(&self) -> bool;

    /// Whether its application has heard that both are equal; true of who has none.
    fn has_told(&self) -> bool {
        true
    }

    /// Whether it holds its replica for equal to the peer's.
    fn is_in_sync(&self) -> bool {
        false
    }
}

/// A device in a sync session: the real machine with the real vault.
pub struct Syncing {
    device: usize,
    session: Session<Vault>,
    has_told: bool,
}

impl Syncing {
    /// Begins a session.
    pub fn new(
        scene: &mut Scene<'_>,
        device: usize,
        side: Side,
        me: TransportKey,
        peer: TransportKey,
        stay: Stay,
    ) -> Self {
        let now = scene.cast.devices[device].clock(scene.now);
        let session = Session::new(side, me, peer, stay, now, scene.dice.rng());
        Self {
            device,
            session,
            has_told: false,
        }
    }

    /// Whether the peer has proved itself.
    pub fn has_met(&self) -> bool {
        self.session.device().is_some()
    }

    /// What a device does when its session tells it something: after a sync it does what has become its to do.
    fn heed(&mut self, scene: &mut Scene<'_>) -> Result<(), End> {
        while let Some(event) = self.session.next_event() {
            self.has_told |= event == SyncEvent::InSync;
            match event {
                SyncEvent::InSync | SyncEvent::Branched { .. } | SyncEvent::Stuck => {
                    scene.cast.tend(self.device, scene.now, scene.dice)?;
                }
                SyncEvent::Met(peer) => {
                    let vault = scene.cast.devices[self.device].vault_ref();
                    let once = vault.identity().role_once(&peer).is_some();
                    hold!(
                        !once || vault.admits(&peer),
                        "a device talks to one that it knows to be out"
                    );
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl Party for Syncing {
    fn device(&self) -> Option<usize> {
        Some(self.device)
    }

    fn receive(&mut self, scene: &mut Scene<'_>, frame: &[u8]) -> Result<(), End> {
        let now = scene.cast.tell_time(self.device, scene.now)?;
        let vault = scene.cast.devices[self.device].vault();
        self.session.receive(now, frame, vault).map_err(End::over)?;
        self.heed(scene)
    }

    fn next_frame(&mut self, scene: &mut Scene<'_>) -> Result<Option<Vec<u8>>, End> {
        let device = &mut scene.cast.devices[self.device];
        let now = device.clock(scene.now);
        let next = self.session.next_frame(now, device.vault());
        let next = next.map_err(End::over)?;
        self.heed(scene)?;
        Ok(next)
    }

    fn alarm(&self, scene: &Scene<'_>) -> Option<Instant> {
        let now = scene.cast.devices[self.device].clock(scene.now);
        Some(scene.now + self.session.deadline()?.saturating_sub(now))
    }

    fn ring(&mut self, scene: &mut Scene<'_>) -> Result<(), End> {
        let device = &mut scene.cast.devices[self.device];
        let now = device.clock(scene.now);
        self.session.tick(now, device.vault()).map_err(End::over)
    }

    fn store_changed(&mut self, scene: &mut Scene<'_>) -> Result<(), End> {
        let vault = scene.cast.devices[self.device].vault();
        self.session.store_changed(vault).map_err(End::over)
    }

    fn is_finished(&self) -> bool {
        self.session.is_finished()
    }

    fn has_told(&self) -> bool {
        self.has_told
    }

    fn is_in_sync(&self) -> bool {
        self.session.is_in_sync()
    }
}
