//! Who is in the twin: the identity log as this device takes it over and adds to it.

use std::collections::{BTreeMap, BTreeSet};

use rand_core::CryptoRng;
use twin_identity::authority::{AuthorityHash, AuthorityKey};
use twin_identity::body::{Body, Guardians, Kept, Line, Removal, Rotate};
use twin_identity::device::{DeviceStatement, Role};
use twin_identity::entry::Entry;
use twin_identity::id::{DeviceId, EntryId};
use twin_identity::log::{Device, IdentityLog, LogError};
use twin_identity::seal::{SealingKey, SealingPublic};
use twin_ops::grant::{GrantId, Recipient, Recipients};
use twin_ops::store::{LogHead, OpStore};

use crate::error::{Result, VaultError};
use crate::rows::{EntryRow, GrantRow, SeenRow};
use crate::state::SpaceEpoch;
use crate::vault::Vault;

/// The most lines that fit into an entry beside everything else; the others follow in entries of their own.
const LINES_PER_ENTRY: usize = 190;
/// The same for a rotation, which has large keys in it.
const LINES_PER_ROTATION: usize = 40;
/// How many entries may be needed to bring together the branches of a log that was flooded.
const MAX_JOINS: usize = 160;

/// What a new device gets from the one that admits it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission {
    /// The identity log with the new device in it (see [`twin_identity::log::IdentityLog::from_bytes`]).
    pub identity: Vec<u8>,
    /// Signed grants of all keys that its role allows.
    pub grants: Vec<Vec<u8>>,
}

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

/// How far the logs of each device go that a replica knows of.
pub type KnownLines = BTreeMap<DeviceId, Vec<Line>>;

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

/// Lines in pieces that fit into an entry each.
pub(crate) fn chunks(device: DeviceId, lines: &[Line]) -> Vec<Removal> {
    let chunks = lines.chunks(LINES_PER_ENTRY);
    chunks
        .map(|lines| Removal {
            device,
            lines: lines.to_vec(),
        })
        .collect()
}

impl Vault {
    /// Adds a device to the twin and grants it the keys of all spaces. Only an admin can.
    pub fn admit(
        &mut self,
        statement: &DeviceStatement,
        rng: &mut impl CryptoRng,
    ) -> Result<Admission> {
        self.write(|vault| {
            vault.say(&[Body::AddDevice(Box::new(statement.clone()))])?;
            vault.renew_epochs(rng)?;
            let epochs: Vec<SpaceEpoch> = vault.state.epochs.keys().copied().collect();
            let to = Recipients::One(&statement.device.id);
            let grants = vault.grant_to(&epochs, &to, rng)?;
            Ok(Admission {
                identity: vault.state.identity.to_bytes(),
                grants: grants
                    .iter()
                    .map(|grant| grant.to_bytes().to_vec())
                    .collect(),
            })
        })
    }

    /// Makes a member an admin ("may replace my phone") and grants it the keys that go with that.
    pub fn promote(&mut self, device: &DeviceId, rng: &mut impl CryptoRng) -> Result<()> {
        self.write(|vault| {
            let known = vault.state.identity.device(device);
            let known = known.ok_or(VaultError::NoSuchDevice)?;
            let entry = vault.state.identity.entries().get(&known.added);
            let statement = entry.and_then(|entry| match &entry.body {
                Body::AddDevice(statement) => Some((**statement).clone()),
                Body::Rotate(rotate) => {
                    let mut named = rotate.devices.iter();
                    named.find(|named| named.device.id == *device).cloned()
                }
                _ => None,
            });
            let mut statement = statement.ok_or(VaultError::NoSuchDevice)?;
            statement.role = Role::Admin;
            vault.say(&[Body::AddDevice(Box::new(statement))])?;
            vault.tend_now(rng)?;
            Ok(())
        })
    }

    /// Removes a device for good: what it has written so far counts, what it writes from now on does not, and it can
    /// read nothing that is written from now on. An admin can remove members; any device can remove itself, unless it is
    /// the last admin.
    pub fn revoke(&mut self, device: &DeviceId, rng: &mut impl CryptoRng) -> Result<()> {
        self.remove(device, Body::Revoke, rng)
    }

    /// Suspends another device until it is resumed: as [`Vault::revoke`], but it can be taken back.
    pub fn suspend(&mut self, device: &DeviceId, rng: &mut impl CryptoRng) -> Result<()> {
        self.remove(device, Body::Suspend, rng)
    }

    /// Takes a suspension back.
    pub fn resume(&mut self, device: &DeviceId, rng: &mut impl CryptoRng) -> Result<()> {
        self.write(|vault| {
            vault.say(&[Body::Resume(*device)])?;
            vault.tend_now(rng)?;
            Ok(())
        })
    }

    /// Objects to a rotation by guardians: their delay begins again, once.
    pub fn veto(&mut self, rotation: &EntryId) -> Result<()> {
        self.write(|vault| vault.say(&[Body::Veto(*rotation)]))
    }

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

    /// The ids of all grants that are here, of devices that are out, too: those are told to nobody, but what they gave
    /// this device it has.
    pub fn held_grants(&self) -> impl Iterator<Item = GrantId> {
        self.state.grants.keys().copied()
    }

    /// All signed grants that are here.
    pub fn all_grants(&self) -> Result<Vec<Vec<u8>>> {
        let rows = self.file.items::<GrantRow>()?;
        Ok(rows.into_iter().map(|row| row.grant).collect())
    }

    /// Learns the keys that grants give to the words or to the guardians, by their sealing key. Worth nothing to a
    /// device that then does not rotate: nobody else knows that it has them.
    pub fn learn_keys(&mut self, to: Recipient, key: &SealingKey) -> Result<()> {
        self.write(|vault| vault.learn_with(to, key))
    }

    /// Does what has become this device's to do since others have written: acknowledges a rotation, begins epochs where
    /// somebody is out who has the key, grants keys to who lacks them. To be called after a sync; `now` in milliseconds
    /// since the Unix epoch. `true` if there was anything to do.
    pub fn tend(&mut self, now: u64, rng: &mut impl CryptoRng) -> Result<bool> {
        self.merge_due(now)?;
        let idle = !self.state.identity.should_acknowledge(&self.device.id())
            && self.stale_spaces().is_empty()
            && self.orphans()?.is_empty()
            && self.missing().is_empty()
            && self.unopened().is_empty();
        if idle {
            return Ok(false);
        }
        self.write(|vault| vault.tend_now(rng))
    }

    pub(crate) fn tend_now(&mut self, rng: &mut impl CryptoRng) -> Result<bool> {
        let acknowledges = self.state.identity.should_acknowledge(&self.device.id());
        if acknowledges {
            self.say(&[Body::Acknowledge])?;
        }
        let renewed = self.renew_epochs(rng)?;
        let orphans = self.orphans()?;
        self.grant_to(&orphans, &Recipients::All, rng)?;
        // New words, or new guardians, are to open what is older too.
        let unopened = self.unopened();
        if !unopened.is_empty() {
            self.grant_to(&unopened, &Recipients::Words, rng)?;
        }
        let granted = self.grant_missing(rng)?;
        let given = !orphans.is_empty() || !unopened.is_empty() || granted > 0;
        Ok(acknowledges | renewed | given)
    }

    fn renew_epochs(&mut self, rng: &mut impl CryptoRng) -> Result<bool> {
        if self.stale_spaces().is_empty() {
            return Ok(false);
        }
        self.join_branches()?;
        let stale = self.stale_spaces();
        self.begin_epochs(&stale, rng)?;
        Ok(true)
    }

    /// Brings branches together until whoever stands at the heads of the log knows of every removal, or an epoch begun
    /// there would be of no use. One entry joins a few; a log that was flooded has more of them.
    fn join_branches(&mut self) -> Result<()> {
        for _ in 0..MAX_JOINS {
            let identity = &self.state.identity;
            if identity.knew_all_removals(&identity.base(), &identity.heads()) {
                return Ok(());
            }
            let suspended = identity.devices().values();
            let suspended = suspended.filter(|device| device.suspended);
            let mut out = suspended.map(|device| device.public.id);
            // An entry that changes nothing: no more of what this device wrote is to count.
            let Some(device) = out.next().or_else(|| identity.gone().next().copied()) else {
                break;
            };
            let lines = Vec::new();
            self.say(&[Body::Raise(Box::new(Removal { device, lines }))])?;
        }
        Err(VaultError::NoEpoch)
    }

    /// Signs entries and takes them in. Inside a transaction.
    pub(crate) fn say(&mut self, bodies: &[Body]) -> Result<()> {
        self.change_identity(|vault| {
            for body in bodies {
                let entry = vault.state.identity.sign(body, &vault.device)?;
                vault.take_entry(entry).map_err(|error| match error {
                    VaultError::Identity(LogError::NotAllowed) => VaultError::NotAdmin,
                    error => error,
                })?;
            }
            Ok(())
        })
    }

    /// Takes in an entry of the identity log; `false` if it was there. Inside [`Vault::change_identity`].
    pub(crate) fn take_entry(&mut self, entry: Entry) -> Result<bool> {
        let row = EntryRow {
            id: entry.id,
            entry: entry.to_bytes().to_vec(),
        };
        let new = self.state.identity.insert(entry)?;
        if new {
            self.file.put(&row)?;
        }
        Ok(new)
    }

    /// Does something to the identity log, and then what follows from it: what a removed device wrote too late leaves
    /// the index, what a resumed one wrote comes back. Inside a transaction.
    pub(crate) fn change_identity<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        let before = self.state.all_counted(&self.file.store)?;
        let done = work(self)?;
        // Before anybody has told the time, nothing can be said of when anything was seen.
        if self.now > 0 {
            for (id, at) in self.state.identity.observe(self.now) {
                self.file.put(&SeenRow { id, at })?;
            }
        }
        self.state.find_discovery();
        if self.state.all_counted(&self.file.store)? != before {
            self.rebuild_index_now()?;
        }
        Ok(done)
    }

    /// Takes a device out and begins new epochs, in one transaction if that is possible. If it is not, because a thief has
    /// added so many devices that no grant can hold them, the device is out all the same.
    fn remove(
        &mut self,
        device: &DeviceId,
        how: fn(Box<Removal>) -> Body,
        rng: &mut impl CryptoRng,
    ) -> Result<()> {
        let both = self.write(|vault| {
            vault.say(&vault.removal(device, how)?)?;
            vault.tend_now(rng)
        });
        match both {
            Err(VaultError::Grant(_) | VaultError::NoEpoch) => {
                self.write(|vault| vault.say(&vault.removal(device, how)?))
            }
            both => both.map(|_| ()),
        }
    }

    /// The entries by which a device goes, with all that it has written and that is here.
    fn removal(&self, device: &DeviceId, how: impl Fn(Box<Removal>) -> Body) -> Result<Vec<Body>> {
        if self.state.identity.device(device).is_none() {
            return Err(VaultError::NoSuchDevice);
        }
        let mut known = self.known_lines()?;
        let lines = known.remove(device).unwrap_or_default();
        let mut pieces = chunks(*device, &lines);
        if pieces.is_empty() {
            pieces.push(Removal {
                device: *device,
                lines: Vec::new(),
            });
        }
        let mut pieces = pieces.into_iter().map(Box::new);
        let first = pieces.next().map(how);
        // A device that removes itself can raise nothing afterwards: its other devices do.
        let me = *device == self.device.id();
        let rest = pieces.filter(|_| !me).map(Body::Raise);
        Ok(first.into_iter().chain(rest).collect())
    }

    /// How far the logs of each device go here, as far as they count.
    pub fn known_lines(&self) -> Result<KnownLines> {
        let mut known = KnownLines::new();
        for LogHead { log, head } in self.heads()? {
            if let Some(origin) = self.origin(&log)? {
                known.entry(origin.device).or_default().push(Line {
                    log: *log.as_bytes(),
                    height: head.height,
                    head: *head.link.as_bytes(),
                });
            }
        }
        Ok(known)
    }
}
