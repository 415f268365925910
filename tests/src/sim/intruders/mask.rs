//! Somebody who knows the discovery key, and says to be a device that it is not: a member that poses as an admin, or
//! a device that was never linked and has the key from a member. It runs our session on a store of its own, which
//! only counts what it is given.

use std::convert::Infallible;

use twin_identity::device::DeviceKeys;
use twin_identity::id::DeviceId;
use twin_identity::log::IdentityLog;
use twin_identity::secret::Secret;
use twin_identity::sign::{Signature, Use};
use twin_ops::epoch::DiscoveryKey;
use twin_ops::grant::GrantId;
use twin_ops::op::{Link, LogId, Origin};
use twin_ops::space::SpaceName;
use twin_ops::store::{ChunkName, Hole, LogHead, OpStore, Sought, Taken, Want};
use twin_sync::machine::Machine;
use twin_sync::session::{Session, Side, Stay};
use twin_sync::transport::TransportKey;

use crate::sim::cable::{Cable, Quality};
use crate::sim::fault::{Held, fault, hold};
use crate::sim::party::{End, Party, Scene, Syncing};
use crate::sim::world::World;

/// Somebody in a mask meets a victim.
pub fn attack(world: &mut World, member: usize, victim: usize) -> Held {
    let keys = [0; 2].map(|_| TransportKey::from_bytes(world.dice.bytes()));
    let unlinked = world.dice.chance(50);
    world.cast.trace.say(world.now, || {
        format!("device {victim} is dialled in a mask, unlinked: {unlinked}")
    });
    let own = DeviceKeys::random(world.dice.rng()).map_err(|error| fault!("{error}"))?;
    let vault = world.cast.devices[member].vault_ref();
    let log = vault.identity().clone();
    let admin = log.devices().keys().find(|id| log.is_admin(id)).copied();
    let mut known = Vec::new();
    for epoch in world.cast.truth.epochs(vault)? {
        let opened = world.cast.truth.opened(vault, epoch)?;
        if opened.space == SpaceName::members() {
            known.push(opened.key.discovery());
        }
    }
    let newest = world.dice.index(known.len().max(1));
    let discovery = known.into_iter().nth(newest);
    let claims = if unlinked {
        own.id()
    } else {
        admin.unwrap_or_else(|| own.id())
    };
    let store = Loot {
        keys: own,
        claims,
        log,
        discovery,
        things: 0,
    };
    let session = Session::new(
        Side::Initiator,
        keys[0],
        keys[1],
        Stay::Online,
        0,
        world.dice.rng(),
    );
    let mask = Mask { session, store };
    let mut quality = Quality::good(&mut world.dice);
    quality.until = Some(world.now + 30_000);
    let mut scene = world.scene();
    let victim = Syncing::new(
        &mut scene,
        victim,
        Side::Responder,
        keys[1],
        keys[0],
        Stay::Online,
    );
    world.connect(Cable::new([Box::new(mask), Box::new(victim)], quality))?;
    Ok(())
}

struct Mask {
    session: Session<Loot>,
    store: Loot,
}

impl Party for Mask {
    fn is_honest(&self) -> bool {
        false
    }

    fn receive(&mut self, _: &mut Scene<'_>, frame: &[u8]) -> Result<(), End> {
        // Its own clock stands still: it is in no hurry.
        self.session
            .receive(0, frame, &mut self.store)
            .map_err(End::over)?;
        hold!(
            self.store.things == 0,
            "ops or grants were given to a device that is not linked, or not the one that it says"
        );
        Ok(())
    }

    fn next_frame(&mut self, _: &mut Scene<'_>) -> Result<Option<Vec<u8>>, End> {
        self.session
            .next_frame(0, &mut self.store)
            .map_err(End::over)
    }

    fn is_finished(&self) -> bool {
        false
    }
}

/// A store that takes everything and gives nothing.
struct Loot {
    keys: DeviceKeys,
    claims: DeviceId,
    log: IdentityLog,
    discovery: Option<DiscoveryKey>,
    things: usize,
}

impl OpStore for Loot {
    type Error = Infallible;
    type Look = ();

    fn is_refusal(error: &Infallible) -> bool {
        match *error {}
    }

    fn identity(&self) -> &IdentityLog {
        &self.log
    }

    fn admits(&self, device: &DeviceId) -> bool {
        self.log.device(device).is_some()
    }

    fn discovery_key(&self) -> Option<&DiscoveryKey> {
        self.discovery.as_ref()
    }

    fn shared_secret(&self, other: &DeviceId) -> Option<Secret<32>> {
        self.keys.shared(other)
    }

    fn sign_session(&self, transcript: &[u8; 32]) -> Signature {
        self.keys.sign(Use::Session, self.log.twin(), transcript)
    }

    fn sign_bundle(&self, piece: &[u8; 32]) -> Signature {
        self.keys.sign(Use::Bundle, self.log.twin(), piece)
    }

    fn device(&self) -> DeviceId {
        self.claims
    }

    fn add_entries(&mut self, _: u64, _: &[Vec<u8>]) -> Result<Taken, Infallible> {
        Ok(Taken::default())
    }

    fn grants(&self) -> Result<Vec<GrantId>, Infallible> {
        Ok(Vec::new())
    }

    fn grant(&self, _: &GrantId) -> Result<Option<Vec<u8>>, Infallible> {
        Ok(None)
    }

    fn add_grants(&mut self, grants: &[Vec<u8>]) -> Result<Taken, Infallible> {
        self.things += grants.len();
        Ok(Taken::default())
    }

    fn wants(&self) -> Result<Vec<Want>, Infallible> {
        Ok(Vec::new())
    }

    fn asked(&mut self, _: &DeviceId, _: &[Want]) {}

    fn heads(&self) -> Result<Vec<LogHead>, Infallible> {
        Ok(Vec::new())
    }

    fn origin(&self, _: &LogId) -> Result<Option<Origin>, Infallible> {
        Ok(None)
    }

    fn link_at(&self, _: &LogId, _: u64) -> Result<Option<Link>, Infallible> {
        Ok(None)
    }

    fn is_settled(&self, _: &LogId) -> Result<bool, Infallible> {
        Ok(false)
    }

    fn read_run(&self, _: &LogId, _: u64, _: usize) -> Result<Vec<Vec<u8>>, Infallible> {
        Ok(Vec::new())
    }

    fn holes(&self) -> Result<Vec<Hole>, Infallible> {
        Ok(Vec::new())
    }

    fn append_run(&mut self, _: u64, _: &Origin, run: &[Vec<u8>]) -> Result<Taken, Infallible> {
        self.things += run.len();
        Ok(Taken::default())
    }

    fn wanting(&self) -> u64 {
        0
    }

    fn seek_chunks(
        &mut self,
        _: u64,
        (): &mut (),
        _: &DeviceId,
        _: usize,
    ) -> Result<Sought, Infallible> {
        Ok(Sought {
            over: true,
            ..Sought::default()
        })
    }

    fn chunk(&self, _: &DeviceId, _: &ChunkName) -> Result<Option<Vec<u8>>, Infallible> {
        Ok(None)
    }

    fn add_chunks(
        &mut self,
        _: u64,
        answers: Vec<(ChunkName, Option<Vec<u8>>)>,
    ) -> Result<usize, Infallible> {
        self.things += answers.len();
        Ok(0)
    }
}
