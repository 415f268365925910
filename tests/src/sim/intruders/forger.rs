//! A member whose software sends more than ours would: once the session is open, it slips in frames of its own.

use std::collections::VecDeque;

use minicbor::bytes::ByteVec;
use twin_identity::body::Body;
use twin_identity::device::{DeviceKeys, Role};
use twin_identity::id::DeviceId;
use twin_ops::change::{Change, Kind, RecordChange, Stamp};
use twin_ops::edit::Edits;
use twin_ops::op::{Op, Origin, Place};
use twin_ops::seal::seal_parts;
use twin_ops::space::SpaceName;
use twin_ops::store::{LogHead, OpStore};
use twin_ops::value::Fields;
use twin_sync::session::{Side, Stay};
use twin_sync::transport::TransportKey;

use crate::sim::cable::{Cable, Quality};
use crate::sim::device::Instant;
use crate::sim::fault::{Fault, Held, fault};
use crate::sim::party::{End, Party, Scene, Syncing};
use crate::sim::story::some_change;
use crate::sim::truth::CANARY;
use crate::sim::world::World;

use super::wire::{Ops, SyncFrame, frame};

/// What is forged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Forgery {
    /// An op in somebody else's log, signed by the forger.
    OpOfAnother,
    /// Its newest op without the one before.
    Hole,
    /// Its newest op with a bit of a part flipped.
    FlippedPart,
    /// An op by a device that is not linked, in a real epoch.
    Unlinked,
    /// An op in the admins' space.
    AdminsSpace,
    /// An entry that adds a device, signed by the forger.
    Device,
    /// An entry that adds a device, said to be signed by an admin.
    DeviceByAdmin,
    /// Anything.
    Garbage,
}

const FORGERIES: [Forgery; 8] = [
    Forgery::OpOfAnother,
    Forgery::Hole,
    Forgery::FlippedPart,
    Forgery::Unlinked,
    Forgery::AdminsSpace,
    Forgery::Device,
    Forgery::DeviceByAdmin,
    Forgery::Garbage,
];

/// The forger meets a victim.
pub fn attack(world: &mut World, forger: usize, victim: usize) -> Held {
    let keys = [0; 2].map(|_| TransportKey::from_bytes(world.dice.bytes()));
    let mut forgery = *world.dice.pick(&FORGERIES);
    // Who may replace the phone by the victim's log may write there, and says the truth.
    let log = world.cast.devices[victim].vault_ref().identity();
    if forgery == Forgery::AdminsSpace && log.is_admin(&world.cast.devices[forger].id) {
        forgery = Forgery::Garbage;
    }
    world.cast.trace.say(world.now, || {
        format!("device {forger} forges for {victim}: {forgery:?}")
    });
    let mut quality = Quality::good(&mut world.dice);
    quality.until = Some(world.now + 60_000);
    let mut scene = world.scene();
    let session = Syncing::new(
        &mut scene,
        forger,
        Side::Initiator,
        keys[0],
        keys[1],
        Stay::Online,
    );
    let victim = Syncing::new(
        &mut scene,
        victim,
        Side::Responder,
        keys[1],
        keys[0],
        Stay::Online,
    );
    let forger = Forger {
        device: forger,
        session,
        forgery: Some(forgery),
        slipped: VecDeque::new(),
    };
    world.connect(Cable::new([Box::new(forger), Box::new(victim)], quality))?;
    Ok(())
}

struct Forger {
    device: usize,
    session: Syncing,
    forgery: Option<Forgery>,
    slipped: VecDeque<Vec<u8>>,
}

impl Party for Forger {
    fn device(&self) -> Option<usize> {
        Some(self.device)
    }

    fn is_honest(&self) -> bool {
        false
    }

    fn receive(&mut self, scene: &mut Scene<'_>, frame: &[u8]) -> Result<(), End> {
        self.session.receive(scene, frame)
    }

    fn next_frame(&mut self, scene: &mut Scene<'_>) -> Result<Option<Vec<u8>>, End> {
        if self.session.has_met()
            && let Some(forgery) = self.forgery.take()
        {
            self.slipped = forge(scene, self.device, forgery)?
                .into_iter()
                .map(|f| frame(&f))
                .collect();
            if matches!(forgery, Forgery::Garbage) {
                let len = scene.dice.index(200);
                self.slipped
                    .push_back((0..len).map(|_| scene.dice.bytes()[0]).collect());
            }
        }
        match self.slipped.pop_front() {
            Some(slipped) => Ok(Some(slipped)),
            None => self.session.next_frame(scene),
        }
    }

    fn alarm(&self, scene: &Scene<'_>) -> Option<Instant> {
        self.session.alarm(scene)
    }

    fn ring(&mut self, scene: &mut Scene<'_>) -> Result<(), End> {
        self.session.ring(scene)
    }

    fn store_changed(&mut self, scene: &mut Scene<'_>) -> Result<(), End> {
        self.session.store_changed(scene)
    }

    fn is_finished(&self) -> bool {
        self.session.is_finished()
    }
}

fn forge(scene: &mut Scene<'_>, forger: usize, forgery: Forgery) -> Held<Vec<SyncFrame>> {
    Ok(match forgery {
        Forgery::OpOfAnother => op_of_another(scene, forger)?.into_iter().collect(),
        Forgery::Hole | Forgery::FlippedPart => {
            let flipped = matches!(forgery, Forgery::FlippedPart);
            newest_op(scene, forger, flipped)?.into_iter().collect()
        }
        Forgery::Unlinked => {
            let keys = new_keys(scene)?;
            vec![first_op(scene, forger, &SpaceName::members(), &keys)?]
        }
        Forgery::AdminsSpace => {
            let keys = scene.cast.devices[forger]
                .vault_ref()
                .device_keys()
                .to_secret();
            let keys = DeviceKeys::from_secret(&keys).map_err(|error| fault!("{error}"))?;
            vec![first_op(scene, forger, &SpaceName::keys(), &keys)?]
        }
        Forgery::Device => vec![device(scene, forger, None)?],
        Forgery::DeviceByAdmin => {
            let log = scene.cast.devices[forger].vault_ref().identity();
            let admin = log.devices().keys().find(|id| log.is_admin(id)).copied();
            vec![device(scene, forger, admin)?]
        }
        Forgery::Garbage => Vec::new(),
    })
}

fn new_keys(scene: &mut Scene<'_>) -> Held<DeviceKeys> {
    DeviceKeys::random(scene.dice.rng()).map_err(|error| fault!("{error}"))
}

/// An op at the end of a log of another device, in its epoch, signed by the forger.
fn op_of_another(scene: &mut Scene<'_>, forger: usize) -> Held<Option<SyncFrame>> {
    let vault = scene.cast.devices[forger].vault_ref();
    let mut logs = Vec::new();
    for head in vault.heads()? {
        let origin = vault
            .origin(&head.log)?
            .ok_or_else(|| fault!("a log without an origin"))?;
        if origin.device != vault.device() {
            logs.push((head, origin));
        }
    }
    if logs.is_empty() {
        return Ok(None);
    }
    let (LogHead { log, head }, origin) = *scene.dice.pick(&logs);
    let newest = scene.cast.truth.op(&head.link);
    let epoch = newest
        .ok_or_else(|| fault!("an op that nobody wrote"))?
        .epoch;
    let place = Place {
        log,
        seq: head.height + 1,
        prev: Some(head.link),
        epoch,
    };
    let op = sealed(scene, forger, &place, None)?;
    Ok(op.map(|op| ops(origin, vec![op])))
}

/// The newest op of the forger's, of two that it has just written.
fn newest_op(scene: &mut Scene<'_>, forger: usize, flipped: bool) -> Held<Option<SyncFrame>> {
    let space = SpaceName::new("forged").map_err(|error| fault!("{error}"))?;
    for _ in 0..2 {
        let change = some_change(scene.dice);
        scene
            .cast
            .write(forger, scene.now, scene.dice, &space, &[change])?;
    }
    let vault = scene.cast.devices[forger].vault_ref();
    if !vault.admits(&vault.device()) {
        return Ok(None);
    }
    let id = space.id(vault.twin());
    for LogHead { log, head } in vault.heads()? {
        let origin = vault
            .origin(&log)?
            .ok_or_else(|| fault!("a log without an origin"))?;
        if origin.device == vault.device() && origin.space == id {
            let mut run = vault.read_run(&log, head.height - 2, usize::MAX)?;
            if flipped {
                let last = run.last_mut().ok_or_else(|| fault!("an own op is gone"))?;
                // A part is the last thing in an op.
                let byte = last.len() - 1 - scene.dice.index(16);
                last[byte] ^= 1;
            } else {
                run.remove(0);
            }
            return Ok(Some(ops(origin, run)));
        }
    }
    Err(fault!("an own log is gone"))
}

/// A first op in a space by these keys, in an epoch that the forger knows.
fn first_op(
    scene: &mut Scene<'_>,
    forger: usize,
    space: &SpaceName,
    keys: &DeviceKeys,
) -> Held<SyncFrame> {
    let vault = scene.cast.devices[forger].vault_ref();
    let origin = Origin {
        space: space.id(vault.twin()),
        device: keys.id(),
        incarnation: [7; 16],
    };
    let log = origin.log_id(vault.twin());
    let epochs = scene.cast.truth.epochs(vault)?;
    let epoch = *epochs
        .first()
        .ok_or_else(|| fault!("a member without any key"))?;
    let place = Place {
        log,
        seq: 1,
        prev: None,
        epoch,
    };
    let op = sealed(scene, forger, &place, Some(keys))?;
    Ok(ops(origin, op.into_iter().collect()))
}

/// An op with one change, if the forger has the key of its epoch.
fn sealed(
    scene: &mut Scene<'_>,
    forger: usize,
    place: &Place,
    keys: Option<&DeviceKeys>,
) -> Held<Option<Vec<u8>>> {
    let vault = scene.cast.devices[forger].vault_ref();
    let now = scene.cast.devices[forger].clock(scene.now);
    if !scene.cast.truth.epochs(vault)?.contains(&place.epoch) {
        return Ok(None);
    }
    let change = Change::Record(RecordChange {
        kind: Kind::Delete,
        stamp: Stamp::at(now),
        collection: format!("{CANARY} letters"),
        id: format!("{CANARY} 0"),
        fields: Fields::default(),
        edits: Edits::default(),
    });
    let plain = vec![change.to_bytes().into()];
    let refused = |error: &dyn std::error::Error| Fault(error.to_string());
    let key = &scene.cast.truth.opened(vault, place.epoch)?.parts;
    let (salt, parts) =
        seal_parts(key, place, plain, scene.dice.rng()).map_err(|error| refused(&error))?;
    let keys = keys.unwrap_or_else(|| vault.device_keys());
    let op = Op::sign(*place, salt, parts, vault.twin(), keys).map_err(|error| refused(&error))?;
    Ok(Some(op.to_bytes()))
}

fn ops(origin: Origin, run: Vec<Vec<u8>>) -> SyncFrame {
    SyncFrame::Ops(Ops {
        origin,
        ops: run.into_iter().map(ByteVec::from).collect(),
    })
}

/// An entry that adds a device which no person has admitted, signed by the forger but naming `signer`.
fn device(scene: &mut Scene<'_>, forger: usize, signer: Option<DeviceId>) -> Held<SyncFrame> {
    let new = new_keys(scene)?;
    let vault = scene.cast.devices[forger].vault_ref();
    let log = vault.identity();
    let statement = new.statement(log.twin(), Role::Admin);
    let body = Body::AddDevice(Box::new(statement));
    let entry = log.sign(&body, vault.device_keys());
    let mut bytes = entry
        .map_err(|error| fault!("{error}"))?
        .to_bytes()
        .to_vec();
    if let Some(signer) = signer {
        let (mine, theirs) = (vault.device(), signer);
        let (mine, theirs) = (mine.as_bytes(), theirs.as_bytes());
        let found = bytes.windows(32).rposition(|window| window == mine);
        let at = found.ok_or_else(|| fault!("an entry without its signer"))?;
        bytes[at..at + 32].copy_from_slice(theirs);
    }
    Ok(SyncFrame::Entries(vec![bytes.into()]))
}
