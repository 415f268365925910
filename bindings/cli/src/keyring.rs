//! The desktop's keyring: GNOME Keyring, KWallet or whatever else speaks the Secret Service API of freedesktop.org.
//!
//! It keeps 32 bytes for each slot, under a random name that stands in the slot. Any program of the same person may ask
//! it for them while it is unlocked: it is as safe as the person's session, and no safer.

use twin::{KeyStore, KeyStoreError, Secret};

use crate::error::{CliError, Result};

/// The keyring of this session.
pub struct Keyring(());

/// What there is to be done with the item of a slot.
#[derive(Clone, Copy)]
enum Do<'a> {
    /// Only see that the keyring is there.
    Nothing,
    /// Keep a secret under this name.
    Keep(&'a str, &'a Secret<32>),
    /// Fetch the secret with this name.
    Fetch(&'a str),
    /// Remove the secret with this name.
    Remove(&'a str),
}

impl Keyring {
    /// The keyring, if there is one that keeps things beyond this session.
    pub fn find() -> Result<Self> {
        match service::run(Do::Nothing) {
            Ok(_) => Ok(Self(())),
            Err(failure) => Err(CliError::NoKeyring(failure.reason)),
        }
    }
}

impl KeyStore for Keyring {
    fn wrap(&self, key: &Secret<32>) -> std::result::Result<Vec<u8>, KeyStoreError> {
        let mut name = [0; 16];
        getrandom::fill(&mut name).map_err(|_| KeyStoreError::Unavailable)?;
        let name = name.map(|byte| format!("{byte:02x}")).concat();
        service::run(Do::Keep(&name, key)).map_err(|failure| failure.error)?;
        Ok(name.into_bytes())
    }

    fn unwrap(&self, wrapped: &[u8]) -> std::result::Result<Secret<32>, KeyStoreError> {
        let fetched = service::run(Do::Fetch(name(wrapped)?)).map_err(|failure| failure.error)?;
        fetched.ok_or(KeyStoreError::KeyLost)
    }

    fn forget(&self, wrapped: &[u8]) -> std::result::Result<(), KeyStoreError> {
        let removed = service::run(Do::Remove(name(wrapped)?));
        removed.map(|_| ()).map_err(|failure| failure.error)
    }
}

fn name(wrapped: &[u8]) -> std::result::Result<&str, KeyStoreError> {
    std::str::from_utf8(wrapped).map_err(|_| KeyStoreError::KeyLost)
}

/// Why the keyring did not do it: for the vault, and for the person.
struct Failure {
    error: KeyStoreError,
    reason: &'static str,
}

#[cfg(target_os = "linux")]
mod service {
    use std::collections::HashMap;
    use std::thread;

    use secret_service::{EncryptionType, Error, SecretService};
    use tokio::runtime::Builder;
    use twin::{KeyStoreError, Secret};
    use zeroize::Zeroizing;

    use super::{Do, Failure};

    const LABEL: &str = "Digital twin: unlocks this device";
    const APPLICATION: (&str, &str) = ("application", "digital-twin");
    const NAME: &str = "slot";

    /// Does it on a thread of its own: whoever asks waits, perhaps on one of the runtime's threads.
    pub fn run(what: Do<'_>) -> Result<Option<Secret<32>>, Failure> {
        let work = || {
            let runtime = Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|_| Error::Unavailable)?;
            runtime.block_on(ask(what))
        };
        let done = thread::scope(|scope| scope.spawn(work).join());
        done.unwrap_or(Err(Error::Unavailable)).map_err(failure)
    }

    async fn ask(what: Do<'_>) -> Result<Option<Secret<32>>, Error> {
        let service = SecretService::connect(EncryptionType::Dh).await?;
        let (name, keep) = match what {
            Do::Nothing => {
                service.get_default_collection().await?;
                return Ok(None);
            }
            Do::Keep(name, secret) => (name, Some(secret)),
            Do::Fetch(name) | Do::Remove(name) => (name, None),
        };
        let attributes = HashMap::from([APPLICATION, (NAME, name)]);
        if let Some(secret) = keep {
            let collection = service.get_default_collection().await?;
            if collection.is_locked().await? {
                collection.unlock().await?;
            }
            let kind = "application/octet-stream";
            let kept = collection.create_item(LABEL, attributes, secret.expose(), false, kind);
            kept.await?;
            return Ok(None);
        }
        let found = service.search_items(attributes).await?;
        let Some(item) = found.unlocked.first().or(found.locked.first()) else {
            return Ok(None);
        };
        if item.is_locked().await? {
            item.unlock().await?;
        }
        if matches!(what, Do::Remove(_)) {
            item.delete().await?;
            return Ok(None);
        }
        let secret = Zeroizing::new(item.get_secret().await?);
        Ok(Secret::from_slice(&secret))
    }

    fn failure(error: Error) -> Failure {
        let (error, reason) = match error {
            Error::Locked | Error::Prompt => (KeyStoreError::Refused, "it stays locked"),
            Error::NoResult => (
                KeyStoreError::Unavailable,
                "it has no default collection: make one in the desktop's settings",
            ),
            error => {
                log::info!("the Secret Service: {error}");
                (KeyStoreError::Unavailable, "no Secret Service answers")
            }
        };
        Failure { error, reason }
    }
}

#[cfg(not(target_os = "linux"))]
mod service {
    use twin::{KeyStoreError, Secret};

    use super::{Do, Failure};

    pub fn run(_: Do<'_>) -> Result<Option<Secret<32>>, Failure> {
        Err(Failure {
            error: KeyStoreError::Unavailable,
            reason: "only Linux desktops have a Secret Service",
        })
    }
}
