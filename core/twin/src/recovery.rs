//! Recovery: a twin outlives its devices. By the words or by guardians it gets a new phone, by the words it gets new
//! words.

use std::collections::BTreeSet;
use std::path::Path;

use twin_identity::body::{Guardians, MAX_DELAY_DAYS};
use twin_identity::entry::{Entry, Genesis};
use twin_identity::guardian::{GuardianSecret, Share};
use twin_identity::id::{DeviceId, TwinId};
use twin_identity::log::IdentityLog;
use twin_identity::words::RecoverySecret;
use twin_ops::grant::Recipient;
use twin_ops::space::SpaceName;
use twin_vault::{Rotation, Unlock, VaultError};

use crate::activity::{self, What};
use crate::error::{Error, Result};
use crate::platform::rng;
use crate::roots;
use crate::space::Space;
use crate::twin::{Twin, check_name};

/// How many rotations by the same words are looked for.
const MAX_INDEX: u32 = 256;

/// What gives a person their twin back.
pub enum Means {
    /// The newest recovery words.
    Words(RecoverySecret),
    /// Enough guardians, and new recovery words, for the old ones are lost.
    Guardians {
        /// What their shares give (see [`twin_identity::guardian::combine`]).
        secret: GuardianSecret,
        /// New words, which the person has written down.
        new_words: RecoverySecret,
    },
}

/// Guardians to be named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardiansPlan {
    /// What the person calls them; it is readable on every share.
    pub name: String,
    /// How many of them are needed.
    pub needed: u8,
    /// How many there are.
    pub guardians: u8,
    /// How long their rotation waits, in days.
    pub delay_days: u16,
    /// Whether they can open the data too. That cannot be delayed.
    pub hold_data: bool,
}

impl Twin {
    /// The id of the twin that began with these words: the one that [`Twin::recover_alone`] would make. Words that have
    /// replaced others lead to another id than that of their twin.
    pub fn id_of_words(words: &RecoverySecret) -> TwinId {
        Genesis::new(words.authority(0).public().hash()).twin_id()
    }

    /// Makes the twin of these words anew, where no device, relay or backup is left: the same id and the same
    /// pseudonyms, but none of the data. If a device turns up later after all, the two do not agree on who is in: on
    /// that device [`Twin::take_over`] can be used instead of this.
    pub fn recover_alone(
        dir: &Path,
        unlock: Unlock<'_>,
        words: RecoverySecret,
        twin_name: &str,
        device_name: &str,
    ) -> Result<Self> {
        Self::begin(
            dir,
            unlock,
            words,
            [twin_name, device_name],
            What::Recovered,
        )
    }

    /// Puts this device in the place of others by the words: it becomes an admin, and `gone` leave. For a companion
    /// whose phone is lost, and for any device to remove another admin.
    pub fn take_over(&self, words: &RecoverySecret, gone: &BTreeSet<DeviceId>) -> Result<()> {
        let me = self.device_id();
        self.rotate_by_words(words, |log, rotation| {
            if log.role_once(&me).is_none() || gone.contains(&me) {
                return Err(VaultError::Removed.into());
            }
            rotation.gone = gone.clone();
            rotation.promoted = BTreeSet::from([me]);
            Ok(())
        })?;
        self.keep_roots(words)?;
        for device in gone {
            self.note(What::Removed {
                device: device.to_string(),
            })?;
        }
        Ok(())
    }

    /// Whether these are the newest words of this twin, so that nobody learns only at the end that they are not.
    pub fn check_words(&self, words: &RecoverySecret) -> Result<()> {
        let now = self.now();
        let mut vault = self.vault();
        vault.merge_due(now)?;
        words_index(vault.identity(), words).map(|_| ())
    }

    /// Replaces the words: the old ones are worth nothing for any new entry, and a new generation of pseudonyms begins.
    /// The sites that know the person by an older one are listed by [`Twin::sites`].
    pub fn replace_words(&self, old: &RecoverySecret, new: &RecoverySecret) -> Result<()> {
        if !self.is_admin() {
            return Err(Error::NotAdmin);
        }
        let recovery = new.sealing().public()?;
        let sealed = roots::seal_all(self, &recovery)?;
        self.rotate_by_words(old, |_, rotation| {
            rotation.next = new.authority(0).public().hash();
            rotation.recovery = recovery;
            rotation.new_generation = true;
            rotation.roots = sealed;
            Ok(())
        })?;
        let generation = self.vault().identity().generation();
        let mut kept = roots::of_generation(generation, new);
        kept.push(activity::change(self.now(), What::WordsReplaced));
        Space::new(self.clone(), SpaceName::keys()).commit(kept)
    }

    /// Names guardians, any `needed` of whom can together put a new device in the place of all admins, after a delay.
    /// Returns their shares, each to be given to one of them; they are not kept. Guardians named before are replaced.
    pub fn name_guardians(
        &self,
        words: &RecoverySecret,
        plan: &GuardiansPlan,
    ) -> Result<Vec<Share>> {
        if !(1..=MAX_DELAY_DAYS).contains(&plan.delay_days) {
            return Err(Error::Delay);
        }
        let secret = GuardianSecret::random(&mut rng());
        let shares = secret.split(&plan.name, plan.needed, plan.guardians, &mut rng())?;
        let guardians = Guardians {
            authority: secret.authority().public().hash(),
            delay_days: plan.delay_days,
            sealing: plan
                .hold_data
                .then(|| secret.sealing().public())
                .transpose()?,
        };
        self.set_guardians(words, Some(guardians))?;
        Ok(shares)
    }

    /// Sends the guardians away: their shares are worth nothing from here on.
    pub fn dismiss_guardians(&self, words: &RecoverySecret) -> Result<()> {
        self.set_guardians(words, None)
    }

    fn set_guardians(&self, words: &RecoverySecret, guardians: Option<Guardians>) -> Result<()> {
        if !self.is_admin() {
            return Err(Error::NotAdmin);
        }
        self.rotate_by_words(words, |_, rotation| {
            rotation.guardians = guardians;
            Ok(())
        })?;
        self.note(What::GuardiansChanged)
    }

    /// Rotates by the words, with what `change` makes of a rotation that changes nothing.
    fn rotate_by_words(
        &self,
        words: &RecoverySecret,
        change: impl FnOnce(&IdentityLog, &mut Rotation) -> Result<()>,
    ) -> Result<()> {
        let now = self.now();
        {
            let mut vault = self.vault();
            vault.merge_due(now)?;
            let log = vault.identity();
            let index = words_index(log, words)?;
            let mut rotation = unchanged(log, words, index)?;
            change(log, &mut rotation)?;
            // What no device that is left has the key of, only these words open: this device, new words and guardians
            // who hold the data are to, too.
            vault.learn_keys(Recipient::Words, &words.sealing())?;
            vault.rotate(&words.authority(index), rotation, &mut rng())?;
        }
        self.notify();
        Ok(())
    }

    /// Ends a recovery by guardians, once their rotation counts: names this device and writes down what grows from the
    /// new words.
    pub fn finish_recovery(&self, words: &RecoverySecret, device_name: &str) -> Result<()> {
        check_name(device_name)?;
        let now = self.now();
        {
            let mut vault = self.vault();
            vault.tend(now, &mut rng())?;
            let me = vault.device_keys().id();
            if vault.identity().device(&me).is_none() && !vault.identity().pending().is_empty() {
                return Err(Error::NotYet);
            }
            let brought = |log: &IdentityLog| {
                let mut new = log.current().into_iter().flat_map(|by| &by.devices);
                log.rotations() > 1 && new.any(|new| new.device.id == me)
            };
            if !brought(vault.identity()) {
                return Err(Error::NothingToFinish);
            }
            let public = words.sealing().public()?;
            if vault.identity().recovery() != Some(&public) {
                return Err(VaultError::WrongAuthority.into());
            }
        }
        self.set_device_name(device_name)?;
        self.keep_roots(words)?;
        self.note(What::Recovered)
    }

    /// Writes down what grows from the words.
    fn keep_roots(&self, words: &RecoverySecret) -> Result<()> {
        let kept = roots::of_rotation(self.vault().identity(), words)?;
        Space::new(self.clone(), SpaceName::keys()).commit(kept)
    }
}

/// Where rotations contradict each other, the person's own words tell which counts: the one that commits to them.
pub(crate) fn side_with(log: &mut IdentityLog, words: &RecoverySecret) {
    if words_index(log, words).is_ok() {
        return;
    }
    let ours: BTreeSet<_> = (0..MAX_INDEX)
        .map(|index| words.authority(index).public().hash())
        .collect();
    let commits = |entry: &&std::sync::Arc<Entry>| {
        let rotate = entry.rotation();
        rotate.is_some_and(|rotate| ours.contains(&rotate.next))
    };
    let last = log.entries().values().filter(commits);
    let last = last.max_by_key(|entry| (entry.place.seq, entry.id));
    if let Some(last) = last.map(|entry| entry.id) {
        log.trust(&last);
    }
}

/// Which authority key of these words the next rotation has to reveal.
pub(crate) fn words_index(log: &IdentityLog, words: &RecoverySecret) -> Result<u32> {
    let wanted = log.next_authority();
    let index = (0..MAX_INDEX).find(|index| words.authority(*index).public().hash() == wanted);
    Ok(index.ok_or(VaultError::WrongAuthority)?)
}

/// A rotation by the same words that changes nothing yet.
pub(crate) fn unchanged(log: &IdentityLog, words: &RecoverySecret, index: u32) -> Result<Rotation> {
    Ok(Rotation {
        guardians: log.guardians().cloned(),
        roots: log.current().and_then(|current| current.roots.clone()),
        ..rotation_to(words, index + 1)?
    })
}

/// A rotation after which key `index` of these words comes next, and which says nothing else.
pub(crate) fn rotation_to(words: &RecoverySecret, index: u32) -> Result<Rotation> {
    Ok(Rotation {
        next: words.authority(index).public().hash(),
        recovery: words.sealing().public()?,
        new_generation: false,
        guardians: None,
        roots: None,
        gone: BTreeSet::new(),
        new: Vec::new(),
        promoted: BTreeSet::new(),
    })
}
