//! The devices of a twin: who is in, and who comes and goes.

use twin_identity::device::Role;
use twin_identity::entry::Entry;
use twin_identity::id::{DeviceId, EntryId};
use twin_identity::log::Device;
use twin_identity::proof;
use twin_vault::{Vault, VaultError};

use crate::activity::What;
use crate::error::{Error, Result};
use crate::platform::rng;
use crate::twin::Twin;

/// A device of the twin, as the person knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Its id.
    pub id: DeviceId,
    /// Its name; empty until it has come through sync.
    pub name: String,
    /// Whether it may change the identity log ("may replace my phone").
    pub role: Role,
    /// Whether it takes part.
    pub state: DeviceState,
    /// Whether it is the device that asks.
    pub is_this: bool,
}

/// Whether a device takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceState {
    /// It does.
    Active,
    /// Another device has suspended it.
    Suspended,
    /// The time for which it was added is over.
    Expired,
    /// A device that is suspended has added it; it comes in when that one is resumed, or by a rotation.
    Waiting,
}

/// How this device and its twin stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Whether this device takes part; `None` if it was removed, or guardians have named it and it still waits.
    pub this: Option<DeviceState>,
    /// How many devices can change who is in, this one included if it can.
    pub admins: usize,
    /// Whether two rotations contradict each other and the devices do not agree on which counts.
    pub contested: bool,
    /// The guardians, if there are any.
    pub guardians: Option<GuardiansInfo>,
    /// Rotations by guardians that wait, the next one first.
    pub pending: Vec<PendingRotation>,
    /// Whether this device knows of no other that has heard of the newest words or guardians: the ones before are what
    /// every other device, and every backup, still goes by.
    pub unheard: bool,
    /// Whether the newest words are those that the twin began with: only they give its id back with nothing else left.
    pub first_words: bool,
    /// What is set aside: see [`Twin::set_aside`].
    pub set_aside: Vec<SetAside>,
    /// The devices that have seen changes of who is in the twin, or use keys, that have not come here: after a sync with
    /// all devices none, unless somebody keeps something back.
    pub behind: Vec<DeviceId>,
    /// Whether the identity log holds what this version cannot read.
    pub needs_update: bool,
}

/// What a device wrote after it was removed or suspended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    /// The device.
    pub device: DeviceId,
    /// Its name, as it was known by.
    pub name: String,
    /// How many changes are set aside here.
    pub changes: u64,
}

/// Guardians, as every device knows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GuardiansInfo {
    /// How long their rotation waits, in days.
    pub delay_days: u16,
    /// Whether they can open the data, too.
    pub hold_data: bool,
}

/// A rotation by guardians that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingRotation {
    /// Its id, to be named in a veto.
    pub rotation: EntryId,
    /// When it counts, in milliseconds since the Unix epoch.
    pub due: u64,
    /// Whether it was vetoed already.
    pub vetoed: bool,
    /// The device that it would bring in.
    pub brings: Vec<DeviceId>,
}

impl Twin {
    /// The devices of the twin, this one first.
    pub fn devices(&self) -> Result<Vec<DeviceInfo>> {
        let this = self.device_id();
        let now = self.now();
        let known: Vec<(DeviceId, Role, DeviceState)> = {
            let vault = self.vault();
            let log = vault.identity();
            let of = |device: &Device, state| (device.public.id, device.role, state);
            let here = log.devices().values();
            let here = here.map(|device| of(device, state(device, now)));
            let waiting = log.waiting();
            let waiting = waiting.map(|device| of(device, DeviceState::Waiting));
            here.chain(waiting).collect()
        };
        let mut devices = Vec::with_capacity(known.len());
        for (id, role, state) in known {
            devices.push(DeviceInfo {
                id,
                name: self.device_name(&id)?,
                role,
                state,
                is_this: id == this,
            });
        }
        devices.sort_by_key(|device| (!device.is_this, device.name.clone(), device.id));
        Ok(devices)
    }

    /// How this device and its twin stand, for a person who wants to know what to do.
    pub fn standing(&self) -> Result<Standing> {
        let now = self.now();
        let set_aside = self.set_aside()?;
        let mut vault = self.vault();
        let behind = vault.behind()?.into_iter().collect();
        let log = vault.identity();
        let this = log.device(&vault.device_keys().id());
        let is_admin = |device: &&Device| device.role == Role::Admin && device.is_active(now);
        let pending = log.pending().iter().map(|pending| {
            let rotate = log.rotation_of(&pending.rotation);
            let named = rotate.into_iter().flat_map(|rotate| &rotate.devices);
            PendingRotation {
                rotation: pending.rotation,
                due: pending.due,
                vetoed: pending.vetoed,
                brings: named.map(|named| named.device.id).collect(),
            }
        });
        Ok(Standing {
            this: this.map(|device| state(device, now)),
            admins: log.devices().values().filter(is_admin).count(),
            contested: log.is_contested(),
            guardians: log.guardians().map(|guardians| GuardiansInfo {
                delay_days: guardians.delay_days,
                hold_data: guardians.sealing.is_some(),
            }),
            pending: pending.collect(),
            unheard: log.rotations() > 1 && !is_heard(&vault),
            first_words: log.generation() == 0,
            set_aside,
            behind,
            needs_update: log.needs_update(),
        })
    }

    /// What is set aside, by device.
    pub fn set_aside(&self) -> Result<Vec<SetAside>> {
        let aside = self.vault().set_aside()?;
        let named = aside.into_iter().map(|(device, changes)| {
            let name = self.device_name(&device)?;
            Ok(SetAside {
                device,
                name,
                changes,
            })
        });
        named.collect()
    }

    /// Lets count after all what a device wrote after it was removed or suspended, as far as it is here. Returns how
    /// many changes that were. What it writes from then on is set aside again.
    pub fn accept_aside(&self, device: &DeviceId) -> Result<u64> {
        if !self.is_admin() {
            return Err(Error::NotAdmin);
        }
        let changes = self.vault().accept_aside(device)?;
        self.notify();
        self.note(What::Accepted {
            device: device.to_string(),
        })?;
        Ok(changes)
    }

    /// Names a device: any, if this one is an admin, else this one.
    pub fn rename_device(&self, device: &DeviceId, name: &str) -> Result<()> {
        self.known(device)?;
        if *device != self.device_id() && !self.is_admin() {
            return Err(Error::NamesItselfOnly);
        }
        self.set_device_name_of(device, name)
    }

    /// The device as the identity log has it.
    fn known(&self, device: &DeviceId) -> Result<Device> {
        let known = self.vault().identity().device(device).cloned();
        Ok(known.ok_or(VaultError::NoSuchDevice)?)
    }

    /// Removes a device for good. What it has written so far stays; it reads nothing that is written from now on. An
    /// admin can remove companions; another admin goes only by itself or by the words ([`Twin::take_over`]).
    ///
    /// # Errors
    /// Among others [`Error::OnlyHere`] if this device would go and others do not have all that it has written.
    pub fn revoke(&self, device: &DeviceId) -> Result<()> {
        let is_this = *device == self.device_id();
        let is_admin = self.known(device)?.role == Role::Admin;
        if is_admin && !is_this {
            return Err(Error::AdminGoesByWords);
        }
        if is_admin && self.standing()?.admins < 2 {
            return Err(Error::LastAdmin);
        }
        if is_this {
            // Once it is out nobody takes anything from it any more.
            match self.vault().only_here()? {
                0 => {}
                changes => return Err(Error::OnlyHere(changes)),
            }
        }
        let what = What::Removed {
            device: device.to_string(),
        };
        // Afterwards this device could not write it down any more.
        if is_this && is_admin {
            self.note(what.clone())?;
        }
        self.vault().revoke(device, &mut rng())?;
        self.notify();
        if is_this { Ok(()) } else { self.note(what) }
    }

    /// Suspends another device until it is resumed: for one that may only be mislaid, and for a stolen phone until the
    /// words are at hand.
    pub fn suspend(&self, device: &DeviceId) -> Result<()> {
        if *device == self.device_id() {
            return Err(Error::ItselfSuspended);
        }
        if self.known(device)?.suspended {
            return Err(Error::SuspendedAlready);
        }
        self.vault().suspend(device, &mut rng())?;
        self.notify();
        self.note(What::Suspended {
            device: device.to_string(),
        })
    }

    /// Takes a suspension back.
    pub fn resume(&self, device: &DeviceId) -> Result<()> {
        if !self.known(device)?.suspended {
            return Err(Error::NotSuspended);
        }
        self.vault().resume(device, &mut rng())?;
        self.notify();
        self.note(What::Resumed {
            device: device.to_string(),
        })
    }

    /// Lets a companion replace the phone: it becomes an admin, too.
    pub fn promote(&self, device: &DeviceId) -> Result<()> {
        let known = self.known(device)?;
        if known.role == Role::Admin {
            return Err(Error::AdminAlready);
        }
        if known.suspended {
            return Err(Error::IsSuspended);
        }
        if !known.is_active(self.now()) {
            return Err(Error::TimeIsOver);
        }
        self.vault().promote(device, &mut rng())?;
        self.notify();
        self.note(What::Promoted {
            device: device.to_string(),
        })
    }

    /// A proof of where this twin's identity stands, for a contact or a site to check with [`crate::proof::check`]: good
    /// for a day, and older ones are refused after it. Only devices that may replace the phone can make one.
    pub fn prove(&self) -> Result<Vec<u8>> {
        let now = self.now();
        let vault = self.vault();
        Ok(proof::prove(vault.identity(), vault.device_keys(), now)?)
    }

    /// Objects to a rotation by guardians: they have to wait once more. The first objection of any device counts, and no
    /// other.
    pub fn veto(&self, rotation: &EntryId) -> Result<()> {
        let is_vetoed = {
            let vault = self.vault();
            let mut pending = vault.identity().pending().iter();
            pending.any(|pending| pending.rotation == *rotation && pending.vetoed)
        };
        if is_vetoed {
            return Err(Error::VetoedAlready);
        }
        self.vault().veto(rotation)?;
        self.notify();
        Ok(())
    }
}

/// Whether another device knows of the rotation that counts: it has met this one since, has said something under it, or
/// came in under it.
fn is_heard(vault: &Vault) -> bool {
    let log = vault.identity();
    let (this, base) = (vault.device_keys().id(), log.base());
    let is_based = |entry: &Entry| entry.place.base == base;
    let since = log.seen().get(&base).copied().unwrap_or(u64::MAX);
    let knows = |device: &Device| {
        let added = log.entries().get(&device.added);
        vault.last_heard(&device.public.id) >= Some(since)
            || added.is_some_and(|entry| is_based(entry))
    };
    let mut others = log
        .devices()
        .values()
        .filter(|device| device.public.id != this);
    let mut said = log.entries().values();
    others.any(knows)
        || said.any(|entry| is_based(entry) && entry.signer.is_some_and(|signer| signer != this))
}

fn state(device: &Device, now: u64) -> DeviceState {
    if device.suspended {
        DeviceState::Suspended
    } else if device.is_active(now) {
        DeviceState::Active
    } else {
        DeviceState::Expired
    }
}
