//! Rotations: what the words or the guardians change, by this device or by one that comes in.

use std::collections::BTreeSet;

use rand_core::CryptoRng;
use twin_identity::authority::{AuthorityHash, AuthorityKey};
use twin_identity::body::{Body, Guardians, Kept, Removal, Rotate};
use twin_identity::device::{DeviceStatement, Role};
use twin_identity::entry::Entry;
use twin_identity::id::DeviceId;
use twin_identity::log::{Device, IdentityLog};
use twin_identity::seal::{SealingKey, SealingPublic};
use twin_ops::grant::Recipient;

use crate::error::{Result, VaultError};
use crate::lines::{KnownLines, chunks};
use crate::vault::Vault;

/// The most lines that fit into a rotation beside its large keys; the others follow in entries of their own.
const LINES_PER_ROTATION: usize = 40;

/// What a rotation is to change; everything else stays.
pub struct Rotation {
    /// Hash of the next authority key.
    pub next: AuthorityHash,
    /// The recovery sealing key of the words from here on.
    pub recovery: SealingPublic,
    /// Whether a new generation of pseudonyms begins.
    pub new_generation: bool,
    /// The guardians from here on.
    pub guardians: Option<Guardians>,
    /// The pseudonym roots of all generations before, sealed to `recovery`.
    pub roots: Option<Vec<u8>>,
    /// Devices that go.
    pub gone: BTreeSet<DeviceId>,
    /// Devices named for the first time.
    pub new: Vec<DeviceStatement>,
    /// Devices that become admins.
    pub promoted: BTreeSet<DeviceId>,
}

/// The rotation that `rotation` asks for after a log, with what is known of the logs of devices that go. Returns with
/// it the lines that did not fit, to be raised to afterwards.
pub fn rotate_body(
    log: &IdentityLog,
    authority: &AuthorityKey,
    rotation: Rotation,
    known: &KnownLines,
) -> (Rotate, Vec<Removal>) {
    // Whoever was added by a suspended device waits; the person can link it again.
    let stays = |device: &&Device| !rotation.gone.contains(&device.public.id);
    let promoted = |device: &DeviceId| rotation.promoted.contains(device);
    let mut keeps: Vec<Kept> = log
        .devices()
        .values()
        .filter(stays)
        .map(|device| {
            let id = device.public.id;
            Kept {
                device: id,
                role: if promoted(&id) {
                    Role::Admin
                } else {
                    device.role
                },
                suspended: device.suspended && !promoted(&id),
            }
        })
        .collect();
    // A device that a thief has removed comes back by the words.
    let back = rotation
        .promoted
        .iter()
        .filter(|id| log.device(id).is_none());
    keeps.extend(back.map(|id| Kept {
        device: *id,
        role: Role::Admin,
        suspended: false,
    }));
    keeps.sort_by_key(|kept| kept.device);
    let (mut removals, mut later) = (Vec::new(), Vec::new());
    let mut room = LINES_PER_ROTATION;
    for device in &rotation.gone {
        let mut lines = known.get(device).cloned().unwrap_or_default();
        lines.sort_by_key(|line| line.log);
        let rest = lines.split_off(room.min(lines.len()));
        room -= lines.len();
        // All others go without a word.
        if !lines.is_empty() {
            removals.push(Removal {
                device: *device,
                lines,
            });
        }
        later.extend(chunks(*device, &rest));
    }
    let rotate = Rotate {
        authority: authority.public(),
        next: rotation.next,
        recovery: rotation.recovery,
        generation: log.generation() + u32::from(rotation.new_generation),
        devices: rotation.new,
        keeps,
        guardians: rotation.guardians,
        removals,
        roots: rotation.roots,
    };
    (rotate, later)
}

impl Vault {
    /// Rotates with an authority key from the words or the guardians; new epochs begin in all spaces.
    pub fn rotate(
        &mut self,
        authority: &AuthorityKey,
        rotation: Rotation,
        rng: &mut impl CryptoRng,
    ) -> Result<()> {
        self.write(|vault| {
            let known = vault.known_lines()?;
            let identity = &vault.state.identity;
            let revealed = authority.public().hash();
            let guardians = identity.guardians();
            let by_guardians = guardians.is_some_and(|guardians| guardians.authority == revealed);
            if revealed != identity.next_authority() && !by_guardians {
                return Err(VaultError::WrongAuthority);
            }
            let (rotate, later) = rotate_body(identity, authority, rotation, &known);
            let entry = identity.rotate(rotate, authority)?;
            vault.change_identity(|vault| vault.take_entry(entry))?;
            let later: Vec<Body> = later
                .into_iter()
                .map(|more| Body::Raise(Box::new(more)))
                .collect();
            vault.say(&later)?;
            vault.tend_now(rng)?;
            Ok(())
        })
    }

    /// Takes in the rotation by which a device comes in that this one helps to recover the twin. `true` if it counts at
    /// once; guardians have to wait. Refused if it is no rotation that follows what is here.
    pub fn come_in(&mut self, rotation: &Entry) -> Result<bool> {
        self.write(|vault| {
            vault.change_identity(|vault| vault.take_entry(rotation.clone()))?;
            let log = &vault.state.identity;
            if log
                .rotation()
                .is_some_and(|counts| counts.id == rotation.id)
            {
                return Ok(true);
            }
            let mut pending = log.pending().iter();
            if pending.any(|pending| pending.rotation == rotation.id) {
                Ok(false)
            } else {
                Err(VaultError::WrongAuthority)
            }
        })
    }

    /// Learns the keys that grants give to the words or to the guardians, by their sealing key. Worth nothing to a
    /// device that then does not rotate: nobody else knows that it has them.
    pub fn learn_keys(&mut self, to: Recipient, key: &SealingKey) -> Result<()> {
        self.write(|vault| vault.learn_with(to, key))
    }
}
