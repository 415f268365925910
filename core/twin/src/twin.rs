//! One device of a twin, unlocked.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use twin_identity::birth::Birth;
use twin_identity::device::Role;
use twin_identity::id::{DeviceId, TwinId};
use twin_identity::words::RecoverySecret;
use twin_ops::space::SpaceName;
use twin_ops::value::{Fields, Value};
use twin_vault::{Unlock, Vault, VaultError, WriteChange};
use zeroize::Zeroizing;

use crate::activity::{self, What};
use crate::error::{Error, Result};
use crate::platform::{Clock, SharedClock, SystemClock, rng};
use crate::roots;
use crate::space::{Collection, Space};
use crate::status::Meetings;
use crate::watch::Watches;

/// The most bytes of a twin's or device's name.
pub const MAX_NAME: usize = 64;

const PROFILE: &str = "profile";
const TWIN: &str = "twin";
const DEVICES: &str = "devices";
const NAME: &str = "name";
/// How far back a name is looked for, in pages of a history.
const MAX_PAGES: usize = 20;

/// One device of a twin, unlocked. Clones are handles to the same; the vault is locked when the last one is gone.
#[derive(Clone)]
pub struct Twin {
    pub(crate) vault: Arc<Mutex<Vault>>,
    pub(crate) clock: SharedClock,
    /// Counts the changes made here, so that sync and watches wake up.
    changed: Arc<watch::Sender<u64>>,
    pub(crate) watches: Arc<Watches>,
    /// What came of meeting other devices.
    pub(crate) meetings: Arc<Meetings>,
}

impl Twin {
    /// Makes a new twin, with this device as its first. `words` is wiped when this returns: the person must have
    /// written the words down before.
    pub fn create(
        dir: &Path,
        unlock: Unlock<'_>,
        words: RecoverySecret,
        twin_name: &str,
        device_name: &str,
    ) -> Result<Self> {
        Self::begin(dir, unlock, words, [twin_name, device_name], What::Created)
    }

    /// Makes the first device of a twin: a new one, or one of which only the words are left.
    pub(crate) fn begin(
        dir: &Path,
        unlock: Unlock<'_>,
        words: RecoverySecret,
        [twin_name, device_name]: [&str; 2],
        what: What,
    ) -> Result<Self> {
        check_name(twin_name)?;
        check_name(device_name)?;
        let birth = Birth::new(&words, &mut rng())?;
        let now = SystemClock.now();
        let named = vec![
            WriteChange::put(PROFILE, TWIN, name_fields(twin_name)),
            device_named(&birth.device.id(), device_name),
        ];
        let mut kept = roots::of_words(&words);
        drop(words);
        kept.push(activity::change(now, what));
        // A vault without the roots would be worth little: they are in it before it can be found.
        let vault = Vault::create_with(dir, unlock, &birth, &mut rng(), |vault, rng| {
            vault.commit(now, rng, &SpaceName::keys(), kept)?;
            vault.commit(now, rng, &SpaceName::members(), named)?;
            Ok(())
        })?;
        Ok(Self::new(vault))
    }

    /// New recovery words, to be shown to the person and then given to [`Twin::create`].
    pub fn new_words() -> RecoverySecret {
        RecoverySecret::random(&mut rng())
    }

    /// The 24 words as text.
    pub fn words_text(words: &RecoverySecret) -> Zeroizing<String> {
        words.to_words()
    }

    /// Opens the twin in `dir`. After five wrong passwords the next one has to wait, up to five minutes.
    pub fn open(dir: &Path, unlock: Unlock<'_>) -> Result<Self> {
        let now = SystemClock.now();
        let mut vault = Vault::open(dir, unlock, now)?;
        // What has come due since it was closed: a rotation by guardians, a change from a clock that was ahead.
        vault.merge_due(now)?;
        Ok(Self::new(vault))
    }

    /// Whether there is a twin in `dir`.
    pub fn exists(dir: &Path) -> bool {
        Vault::exists(dir)
    }

    /// Makes sure that there is a twin in `dir`, without opening it.
    ///
    /// # Errors
    /// That there is none, or why nobody can tell.
    pub fn look_for(dir: &Path) -> Result<()> {
        Ok(Vault::look_for(dir)?)
    }

    pub(crate) fn new(vault: Vault) -> Self {
        Self {
            vault: Arc::new(Mutex::new(vault)),
            clock: Arc::new(SystemClock),
            changed: Arc::new(watch::Sender::new(0)),
            watches: Arc::default(),
            meetings: Arc::default(),
        }
    }

    /// The vault. A panic elsewhere cannot have left it half changed: its writes are transactions.
    pub(crate) fn vault(&self) -> MutexGuard<'_, Vault> {
        self.vault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn now(&self) -> u64 {
        self.clock.now()
    }

    /// Tells sync and watches that something has changed. Whoever calls it does not hold the vault.
    pub(crate) fn notify(&self) {
        self.watches.tell();
        self.changed
            .send_modify(|count| *count = count.wrapping_add(1));
    }

    /// A number that changes whenever this twin has changed: made here, received, or written by another process.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Looks for what other processes of this device have written and for what waited for the clock. Cheap; call it
    /// now and then while changes are awaited. While this twin is asleep it does nothing.
    pub fn refresh(&self) -> Result<bool> {
        if self.is_asleep() {
            return Ok(false);
        }
        self.wake()
    }

    /// Lets go of the vault's files and of all locks on them, for as long as the app is suspended: phones end an app
    /// that holds one then. Keys stay in memory. What is not done by then waits: go offline first (see
    /// [`crate::Online::suspend`]), for what other devices send is written, and writing opens the files again.
    ///
    /// Reading and writing pick up by themselves; [`Twin::wake`] also tells watches what has changed meanwhile.
    pub fn sleep(&self) -> Result<()> {
        Ok(self.vault().sleep()?)
    }

    /// Whether the vault's files were let go and nothing was asked of them since.
    pub fn is_asleep(&self) -> bool {
        self.vault().is_asleep()
    }

    /// Picks up after [`Twin::sleep`]: looks for what was written meanwhile and for what waited for the clock; `true` if
    /// anything has changed, or may have.
    pub fn wake(&self) -> Result<bool> {
        let mut vault = self.vault();
        let changed = vault.changed_elsewhere()? | vault.merge_due(self.now())?;
        drop(vault);
        if changed {
            self.notify();
        }
        Ok(changed)
    }

    /// The twin's id.
    pub fn id(&self) -> TwinId {
        *self.vault().twin()
    }

    /// This device's id.
    pub fn device_id(&self) -> DeviceId {
        self.vault().device_keys().id()
    }

    /// Whether this device may change the identity log.
    pub fn is_admin(&self) -> bool {
        let vault = self.vault();
        vault.identity().is_admin(&vault.device_keys().id())
    }

    /// Whether the identity log holds entries of a later version: the app should ask for an update.
    pub fn needs_update(&self) -> bool {
        self.vault().identity().needs_update()
    }

    /// The twin's name; empty until it has come through sync.
    pub fn name(&self) -> Result<String> {
        self.name_in(PROFILE, TWIN)
    }

    /// Renames the twin.
    pub fn set_name(&self, name: &str) -> Result<()> {
        self.set_name_in(PROFILE, TWIN, name)
    }

    /// Names this device.
    pub fn set_device_name(&self, name: &str) -> Result<()> {
        self.set_device_name_of(&self.device_id(), name)
    }

    /// The name of a device, also of one that is out; empty until it has come through sync.
    pub fn device_name(&self, device: &DeviceId) -> Result<String> {
        let id = device.to_string();
        let names = self.collection_of(SpaceName::members(), DEVICES);
        let Some(record) = names.get(&id)? else {
            return Ok(String::new());
        };
        let may_name = |by: &DeviceId| {
            let role = self.vault().identity().role_once(by);
            by == device || role == Some(Role::Admin)
        };
        if may_name(&record.by) {
            return Ok(name_of(&record.fields));
        }
        // A companion, perhaps a stolen one, has named another: what others called it before stands.
        let mut before = None;
        for _ in 0..MAX_PAGES {
            let page = names.history(&id, before, usize::MAX)?;
            if let Some(named) = page.iter().find(|revision| may_name(&revision.by)) {
                return Ok(name_of(&named.given));
            }
            match page.last() {
                Some(last) => before = Some(last.at),
                None => break,
            }
        }
        Ok(String::new())
    }

    pub(crate) fn set_device_name_of(&self, device: &DeviceId, name: &str) -> Result<()> {
        self.set_name_in(DEVICES, &device.to_string(), name)
    }

    /// How many bytes the vault in `dir` takes on disk.
    pub fn vault_size(&self, dir: &Path) -> Result<u64> {
        let mut size = 0;
        for entry in std::fs::read_dir(dir).map_err(VaultError::from)? {
            let metadata = entry.and_then(|entry| entry.metadata());
            size += metadata.map_err(VaultError::from)?.len();
        }
        Ok(size)
    }

    /// The names of the person's spaces.
    pub fn spaces(&self) -> Result<Vec<SpaceName>> {
        let mut spaces = self.vault().spaces()?;
        spaces.retain(|space| !space.as_str().starts_with('~'));
        Ok(spaces)
    }

    /// A space of the person's. It comes into being with its first record.
    pub fn space(&self, name: &str) -> Result<Space> {
        Ok(Space::new(self.clone(), SpaceName::new(name)?))
    }

    pub(crate) fn collection_of(&self, space: SpaceName, name: &str) -> Collection {
        Space::new(self.clone(), space).collection(name)
    }

    fn name_in(&self, collection: &str, id: &str) -> Result<String> {
        let names = self.collection_of(SpaceName::members(), collection);
        let record = names.get(id)?;
        Ok(record.map_or_else(String::new, |record| name_of(&record.fields)))
    }

    fn set_name_in(&self, collection: &str, id: &str, name: &str) -> Result<()> {
        check_name(name)?;
        self.collection_of(SpaceName::members(), collection)
            .patch(id, name_fields(name))
    }
}

impl std::fmt::Debug for Twin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Twin").finish_non_exhaustive()
    }
}

/// The change that names a device.
pub(crate) fn device_named(device: &DeviceId, name: &str) -> WriteChange {
    WriteChange::patch(DEVICES, &device.to_string(), name_fields(name))
}

/// The name in a record; empty if there is none.
fn name_of(fields: &Fields) -> String {
    match fields.0.get(NAME) {
        Some(Value::Text(name)) => name.clone(),
        _ => String::new(),
    }
}

fn name_fields(name: &str) -> Fields {
    Fields([(NAME.to_owned(), name.into())].into())
}

/// Whether a twin or a device can be called that: names are short and have no control characters, which a terminal
/// would obey. Creating and joining check it themselves; this is for saying so before anything else is asked.
pub fn check_name(name: &str) -> Result<()> {
    let fits = (1..=MAX_NAME).contains(&name.len()) && !name.chars().any(char::is_control);
    if fits { Ok(()) } else { Err(Error::Name) }
}
