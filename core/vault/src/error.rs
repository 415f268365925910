//! Why the vault cannot do what it was asked.

use std::io;
use std::time::Duration;

use rusqlite::types::FromSqlError;
use rusqlite::{ErrorCode, ffi};
use twin_identity::aead::AeadError;
use twin_identity::cbor::CborError;
use twin_identity::log::LogError;
use twin_identity::seal::SealError;
use twin_ops::chain::ChainError;
use twin_ops::file::FileError;
use twin_ops::grant::GrantError;
use twin_ops::op::OpError;

use crate::schema::SchemaFault;
use crate::slots::KeyStoreError;

/// The vault cannot do what it was asked. Nothing was changed by the call that returns it.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// No vault in the folder.
    #[error("there is no vault here: create a twin or link this device first")]
    Missing,
    /// The folder has a vault already.
    #[error("there is a vault here already: unlock it, or choose another folder")]
    Exists,
    /// Another program holds the vault for longer than the vault waits.
    #[error("another program is using the vault: close it or try again in a moment")]
    Busy,
    /// The password does not open the vault.
    #[error("wrong password: try again")]
    WrongPassword,
    /// Too many wrong passwords: the next try has to wait.
    #[error("too many wrong passwords: try again in {}", seconds(.wait))]
    TooManyTries {
        /// How long from now; at most five minutes.
        wait: Duration,
    },
    /// An empty password.
    #[error("the password is empty: choose one")]
    EmptyPassword,
    /// The vault has no slot of the kind that it was to be unlocked with.
    #[error("this vault cannot be unlocked in this way: use the way it was set up with")]
    NoSlot,
    /// Of a damaged vault no way to unlock it is left.
    #[error(
        "every way to unlock this vault is damaged, and nothing in it can be read without one: bring the twin back from a backup or with its words, or link this device again"
    )]
    NoSlotLeft,
    /// No slot has this number.
    #[error("there is no slot {0}: see which there are")]
    UnknownSlot(u32),
    /// The last slot cannot be removed.
    #[error(
        "nothing else opens this vault: add another way to unlock it before you remove this one"
    )]
    LastSlot,
    /// Another program has renewed the vault key: what this one has opens nothing any more.
    #[error("another program changed how this vault is unlocked: unlock it again")]
    Renewed,
    /// A slot's parameters are weaker than allowed, or demand more than any device has.
    #[error("the vault's unlock settings were tampered with: restore the vault from a copy")]
    BadSlot,
    /// The platform's key store failed or refused.
    #[error(transparent)]
    KeyStore(#[from] KeyStoreError),
    /// The file was written by a later version, or its header is damaged. It was not touched.
    #[error(
        "this vault was made by a newer version of the app: update the app to open it; if no newer version has ever had it, its header is damaged: salvage it as not newer"
    )]
    Newer,
    /// The file is damaged. It is never deleted.
    #[error(
        "the vault is damaged ({0}): nothing was deleted; salvage what is whole into a new one, or restore a backup"
    )]
    Damaged(&'static str),
    /// A change has a name or an id that is empty or too long, or a delete has fields.
    #[error("{0}")]
    InvalidChange(&'static str),
    /// The schema of the collection does not allow a change.
    #[error(transparent)]
    Schema(#[from] SchemaFault),
    /// A search or a query cannot be understood, or asks for too much.
    #[error("{0}")]
    InvalidQuery(&'static str),
    /// This device has no key to the space.
    #[error("this device has no key to that space: sync with a device that has, or ask for access")]
    NoKey,
    /// Somebody was removed, and no device that may has begun a new epoch yet.
    #[error(
        "a device was removed and new keys have not come yet: sync with your phone and try again"
    )]
    NoEpoch,
    /// This device was removed from the twin.
    #[error("this device was removed from the twin: link it again if it should take part")]
    Removed,
    /// This device is not in the twin yet: guardians have named it, and their delay is not over, or an admin that is
    /// suspended has let it in.
    #[error(
        "this device is not in the twin yet, and waits until it is: see how this device stands"
    )]
    Waiting,
    /// This device is suspended, or its time has run out.
    #[error(
        "this device is suspended, or its time in the twin is over: resume it on your phone, or link it again"
    )]
    Suspended,
    /// A peer sent something that its author may not write.
    #[error("an operation comes from a device that may not write there and was refused")]
    NotAllowed,
    /// This device does not keep the space.
    #[error("this device does not keep that space: let it keep the space again, and sync")]
    NotSelected,
    /// Every device keeps what the twin itself needs.
    #[error("every device keeps that space: the twin needs it")]
    AlwaysKept,
    /// No space of this name.
    #[error("there is no space of that name: see which there are")]
    NoSuchSpace,
    /// Only admins compact.
    #[error("only a device that may replace the phone can let history go: use your phone")]
    MayNotCompact,
    /// Only admins change who is in the twin.
    #[error("this device may not change who is in the twin: use your phone")]
    NotAdmin,
    /// No such device in the twin.
    #[error("there is no such device in this twin: see the list of devices")]
    NoSuchDevice,
    /// The words, or the guardians' shares, are not those that this twin commits to.
    #[error(
        "these are not the words or shares that this device knows: use the newest ones; if it has not synced since those were made, the ones before"
    )]
    WrongAuthority,
    /// A device has written two different histories in one log.
    #[error("a device was copied or restored and has written two histories: link it again")]
    Fork,
    /// Chunks of a file have not come yet.
    #[error(
        "this file is not on this device yet ({missing} of {chunks} pieces are missing): sync with a device that has it"
    )]
    NotHere {
        /// How many are missing.
        missing: u64,
        /// How many there are.
        chunks: u64,
    },
    /// Nothing was added to a file for more than a day, or what it had found here was erased.
    #[error(
        "adding this file paused for too long, or a file that has something in common with it was erased meanwhile: add it again"
    )]
    AddingEnded,
    /// A file cannot be sealed or read.
    #[error(transparent)]
    File(#[from] FileError),
    /// One of the vault's limits is reached.
    #[error("the vault is full: too many {0}")]
    Limit(&'static str),
    /// The disk is full.
    #[error("the disk is full: free some space and try again; nothing that was saved is lost")]
    DiskFull,
    /// The file system refused.
    #[error("the vault's folder cannot be read or written: check its permissions")]
    Io(#[source] io::Error),
    /// SQLite refused.
    #[error("the vault's file cannot be read or written: check its permissions and the disk")]
    Storage(#[source] rusqlite::Error),
    /// An op cannot be made or accepted.
    #[error(transparent)]
    Op(#[from] OpError),
    /// Ops do not continue their log.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// An identity log entry was refused.
    #[error(transparent)]
    Identity(#[from] LogError),
    /// A grant was refused.
    #[error(transparent)]
    Grant(#[from] GrantError),
    /// An identity log entry cannot be made.
    #[error(transparent)]
    Entry(#[from] CborError),
    /// A key cannot be made or used.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// Data cannot be sealed.
    #[error(transparent)]
    Aead(#[from] AeadError),
}

fn seconds(wait: &Duration) -> String {
    match wait.as_millis().div_ceil(1000) {
        1 => "1 second".to_owned(),
        seconds => format!("{seconds} seconds"),
    }
}

/// What every call here returns.
pub(crate) type Result<T> = std::result::Result<T, VaultError>;

impl From<io::Error> for VaultError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull,
            _ => Self::Io(error),
        }
    }
}

impl From<rusqlite::Error> for VaultError {
    fn from(error: rusqlite::Error) -> Self {
        match &error {
            rusqlite::Error::SqliteFailure(failure, _) => match failure.code {
                ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Self::Busy,
                ErrorCode::DiskFull => Self::DiskFull,
                // SQLite could not make room for what its processes share: it says so in no other case.
                _ if failure.extended_code == ffi::SQLITE_IOERR_SHMSIZE => Self::DiskFull,
                ErrorCode::DatabaseCorrupt => Self::Damaged("its pages"),
                ErrorCode::NotADatabase => Self::Damaged("its header"),
                // Rows that only this code writes break no constraint of the schema unless the file was altered.
                ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch => {
                    Self::Damaged("its tables")
                }
                _ => Self::Storage(error),
            },
            rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::QueryReturnedNoRows
            | rusqlite::Error::Utf8Error(..) => Self::Damaged("its rows"),
            _ => Self::Storage(error),
        }
    }
}

impl From<FromSqlError> for VaultError {
    fn from(_: FromSqlError) -> Self {
        Self::Damaged("its rows")
    }
}
