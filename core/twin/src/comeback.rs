//! A device that comes into its twin by a rotation of its own: with what another device has sent, or a backup holds.

use std::path::Path;

use twin_identity::authority::AuthorityKey;
use twin_identity::body::{Removal, Rotate};
use twin_identity::device::{DeviceKeys, Role};
use twin_identity::entry::Entry;
use twin_identity::id::DeviceId;
use twin_identity::log::IdentityLog;
use twin_identity::seal::SealingKey;
use twin_identity::words::RecoverySecret;
use twin_ops::grant::Recipient;
use twin_ops::space::SpaceName;
use twin_sync::link::recovering::Material;
use twin_vault::{Comeback, Rotation, Unlock, Vault, VaultError, rotate_body};

use crate::activity::{self, What};
use crate::error::{Error, Result};
use crate::platform::{Clock, SystemClock, rng};
use crate::recovery::{Means, rotation_to, side_with, unchanged, words_index};
use crate::roots;
use crate::twin::{self, Twin, check_name};

/// A device that has come into its twin by a rotation of its own.
pub(crate) struct Rotated {
    pub keys: DeviceKeys,
    pub log: IdentityLog,
    pub entry: Entry,
    later: Vec<Removal>,
    means: Means,
}

/// Brings a new device into its twin with what a helper has sent, or a backup holds: all admins but the helper go.
pub(crate) fn come_in(
    material: Material,
    helper: Option<&DeviceId>,
    means: Means,
) -> Result<Rotated> {
    let Material {
        keys,
        mut log,
        lines,
    } = material;
    let (authority, mut rotation) = match &means {
        Means::Words(words) => {
            side_with(&mut log, words);
            let index = words_index(&log, words)?;
            (words.authority(index), unchanged(&log, words, index)?)
        }
        Means::Guardians { secret, new_words } => {
            let authority = secret.authority();
            let named = log.guardians().map(|guardians| guardians.authority);
            if named != Some(authority.public().hash()) {
                return Err(VaultError::WrongAuthority.into());
            }
            (authority, by_guardians(new_words)?)
        }
    };
    let admins = log
        .devices()
        .values()
        .filter(|device| device.role == Role::Admin);
    let admins = admins.map(|device| device.public.id);
    rotation.gone = admins.filter(|admin| Some(admin) != helper).collect();
    rotation.new = vec![keys.statement(log.twin(), Role::Admin)];
    let known = lines
        .into_iter()
        .map(|removal| (removal.device, removal.lines))
        .collect();
    let (rotate, later) = rotate_body(&log, &authority, rotation, &known);
    let entry = sign(&mut log, rotate, &authority)?;
    Ok(Rotated {
        keys,
        log,
        entry,
        later,
        means,
    })
}

/// Guardians know nothing of what was before: a new generation begins, and there are no guardians until the person
/// names some again.
fn by_guardians(new_words: &RecoverySecret) -> Result<Rotation> {
    Ok(Rotation {
        new_generation: true,
        ..rotation_to(new_words, 0)?
    })
}

fn sign(log: &mut IdentityLog, rotate: Rotate, authority: &AuthorityKey) -> Result<Entry> {
    let entry = log.rotate(rotate, authority).map_err(VaultError::from)?;
    log.insert(entry.clone()).map_err(VaultError::from)?;
    log.observe(SystemClock.now());
    Ok(entry)
}

impl Means {
    /// What opens that which is sealed for the person.
    pub(crate) fn opens(&self) -> (Recipient, SealingKey) {
        match self {
            Self::Words(words) => (Recipient::Words, words.sealing()),
            Self::Guardians { secret, .. } => (Recipient::Guardians, secret.sealing()),
        }
    }
}

impl Rotated {
    /// Makes the vault of the device, with the grants that were found and what else `fill` puts in. It is there when all
    /// of it is in, the name of the device and the roots of the words too, or not at all.
    pub fn make_vault(
        self,
        grants: &[Vec<u8>],
        dir: &Path,
        unlock: Unlock<'_>,
        device_name: &str,
        fill: impl FnOnce(&mut Vault) -> Result<()>,
    ) -> Result<Twin> {
        check_name(device_name)?;
        let (to, sealing) = self.means.opens();
        let now = SystemClock.now();
        let comeback = Comeback {
            device: &self.keys,
            identity: &self.log,
            grants,
            opens: Some((to, &sealing)),
            later: self.later,
            now,
        };
        let words = match &self.means {
            Means::Words(words) => Some(words),
            Means::Guardians { .. } => None,
        };
        let vault = Vault::create_recovered(dir, unlock, comeback, &mut rng(), |vault, rng| {
            fill(vault)?;
            let me = vault.device_keys().id();
            if vault.identity().device(&me).is_none() {
                // It waits for its guardians' day, and may write nothing before.
                return Ok(());
            }
            let mut kept = match words {
                Some(words) => roots::of_rotation(vault.identity(), words)?,
                None => Vec::new(),
            };
            kept.push(activity::change(now, What::Recovered));
            vault.commit(now, rng, &SpaceName::keys(), kept)?;
            let named = vec![twin::device_named(&me, device_name)];
            vault.commit(now, rng, &SpaceName::members(), named)?;
            Ok::<(), Error>(())
        })?;
        Ok(Twin::new(vault))
    }
}
