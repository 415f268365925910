//! The front door: one device's life as a digital twin.
//!
//! ```no_run
//! # async fn example() -> twin::Result<()> {
//! use twin::{Fields, Twin, Unlock};
//!
//! let home = std::path::Path::new("my-twin");
//! let words = Twin::new_words();
//! println!("write these down: {}", *Twin::words_text(&words));
//! let twin = Twin::create(home, Unlock::Password("a good one"), words, "Ada", "phone")?;
//! let contacts = twin.space("home")?.collection("contacts");
//! contacts.put("grace", Fields([("email".into(), "grace@example.org".into())].into()))?;
//! # Ok(()) }
//! ```
//!
//! Read top-down:
//! - [`Twin`]: create, open, ways to unlock; [`DeviceInfo`]: who is in, comes and goes; [`Space`] and [`Collection`]: records
//! - [`StoredFile`], [`FileInfo`]: files of any size; [`Fetch`]: those that another device has
//! - [`Progress`], [`Watch`]: how far a long call is, and stopping it
//! - [`Query`], [`Hit`]: finding records; [`RecordWatch`], [`CollectionWatch`], [`QueryWatch`]: what becomes of them
//! - [`NewDevice`], [`PendingLink`]: linking; [`Means`]: recovery; [`Online`]: sync with the other devices
//! - [`LoginRequest`]: signing in to a site; [`Activity`]: what has happened
//! - [`Scope`], [`Contained`], [`Restored`]: one sealed file with everything, and the twin that comes back from it
//! - [`Bundled`], [`Received`]: what another device lacks, carried over by hand; [`Frames`], [`Gathering`]: as pictures
//! - [`Exported`], [`Imported`]: taking everything along in the clear, and taking it in; [`json`]: values as JSON
//! - `erase`: what is to be gone for good
//! - `schema`, `history`: what a collection says of its records, and what they were
//! - `selection`: which spaces each device keeps
//! - `comeback`: a device that comes into its twin by a rotation of its own
//! - [`Elsewhere`]: waking when another program of this device has written
//! - `upkeep`: whether anything in the vault is damaged; `salvage`: a new one of what is not
//! - `roots`: what grows from the recovery words; [`platform`]: time and randomness

// The tests inside the crate feed the fuzzers' functions, which call it by this name, with their corpus.
#[cfg(test)]
extern crate self as front_door;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
#[path = "../../../tests/fuzz/src/corpus.rs"]
mod corpus;
#[cfg(test)]
#[path = "../../../tests/fuzz/src/twin.rs"]
mod parsers;

mod activity;
mod backup;
mod bundle;
mod comeback;
mod devices;
mod elsewhere;
mod erase;
mod error;
mod export;
mod files;
mod history;
mod import;
pub mod json;
mod linking;
mod login;
mod online;
mod places;
pub mod platform;
mod progress;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod readers;
mod recovery;
mod relays;
mod roots;
mod salvage;
mod schema;
mod search;
mod selection;
mod sites;
mod space;
mod status;
mod sync;
mod twin;
mod unlock;
mod upkeep;
mod watch;

pub use activity::{Activity, What};
pub use backup::{Complete, Contained, Damage, Restored, Scope, Sealed, TakenIn};
pub use bundle::{Bundled, Opened, Outlined};
pub use devices::{DeviceInfo, DeviceState, GuardiansInfo, PendingRotation, SetAside, Standing};
pub use elsewhere::Elsewhere;
pub use error::{Error, Result};
pub use export::{Exported, RECORDS, plain_file_name};
pub use files::{AddedFile, CONTENT, FILES, Fetch, FileInfo, NewFile, StoredFile};
pub use import::{ImportOptions, Imported};
pub use linking::{
    AFAR_WARNING, Invitation, MAX_DAYS, NewDevice, PendingLink, PhoneAt, ShownPasscode,
};
pub use login::{LoginReceipt, LoginRequest};
pub use online::{Online, OnlineConfig, OnlineEvent, Synced, Visited};
pub use progress::{Progress, Unit, Watch};
pub use recovery::{GuardiansPlan, Means};
pub use relays::MAX_RELAYS;
pub use sites::Site;
pub use space::{Collection, Space};
pub use status::{Lacking, PeerStatus, SyncStatus};
pub use twin::{MAX_NAME, Twin, check_name};
pub use watch::{Changes, CollectionWatch, QueryWatch, RecordWatch};

pub use twin_identity::contact;
pub use twin_identity::device::Role;
pub use twin_identity::guardian::{
    CombineError, Gathered, GuardianSecret, MAX_GUARDIANS, Share, ShareError, combine,
};
pub use twin_identity::id::{DeviceId, EntryId, TwinId, TwinIdError};
pub use twin_identity::proof;
pub use twin_identity::secret::Secret;
pub use twin_identity::words::{RecoverySecret, WORD_COUNT, WordsError, is_word};
pub use twin_login::Number;
pub use twin_login::wallet::{Consent, Proof};
pub use twin_net::{Address, Place, RelayAddress, Traffic};
pub use twin_ops::backup::BackupError;
pub use twin_ops::change::Kind;
pub use twin_ops::edit::{Edit, Edits};
pub use twin_ops::set::Set;
pub use twin_ops::space::SpaceName;
pub use twin_ops::value::{Fields, Reference, Value};
pub use twin_sync::bundle::frames::{Frames, Gathering, MAX_PICTURED, Seen, is_frame};
pub use twin_sync::bundle::{BundleError, Carried, Received};
pub use twin_sync::session::{Amount, Difference, Progress as SyncProgress, Stay};
pub use twin_vault::check;
pub use twin_vault::files::{CHUNK_LEN, Collected, Keep};
pub use twin_vault::salvage::{Header, Loss, Salvaged};
pub use twin_vault::{
    Compacted, Cursor, Erasure, ErasureRequest, FieldEdit, FieldType, Hit, KeyStore, KeyStoreError,
    Order, Page, Query, Record, Revision, RevisionAt, Rule, RuleError, Schema, SchemaFault,
    SlotInfo, SlotKind, Unlock, VaultError, Waiting, WriteChange,
};
