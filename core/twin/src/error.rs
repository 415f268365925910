//! What can go wrong at the front door.

use std::io;

use twin_identity::birth::BirthError;
use twin_identity::guardian::{CombineError, ShareError, SplitError};
use twin_identity::proof::ProofError;
use twin_identity::seal::SealError;
use twin_identity::words::WordsError;
use twin_login::wallet::LoginError;
use twin_net::https::HttpsError;
use twin_net::{FrameError, SessionError};
use twin_ops::backup::BackupError;
use twin_ops::space::SpaceNameError;
use twin_sync::bundle::BundleError;
use twin_sync::bundle::frames::MAX_PICTURED;
use twin_sync::link::LinkError;
use twin_sync::link::afar::PasscodeError;
use twin_sync::link::offer::OfferError;
use twin_sync::mailbox::{DeskError, MailboxError};
use twin_sync::session::SyncError;
use twin_sync::talk::TalkError;
use twin_vault::VaultError;

/// A call failed. Nothing is half done: what the message does not say was done was not.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The vault cannot do it.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// Not a name for a space.
    #[error(transparent)]
    SpaceName(#[from] SpaceNameError),
    /// Not recovery words.
    #[error(transparent)]
    Words(#[from] WordsError),
    /// The keys of a new twin could not be made.
    #[error(transparent)]
    Birth(#[from] BirthError),
    /// The keys of a device could not be made.
    #[error(transparent)]
    Keys(#[from] SealError),
    /// A linking code cannot be read.
    #[error(transparent)]
    Offer(#[from] OfferError),
    /// What was typed is no passcode.
    #[error(transparent)]
    Passcode(#[from] PasscodeError),
    /// Linking failed.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The network failed.
    #[error(transparent)]
    Net(#[from] twin_net::Error),
    /// A connection broke.
    #[error(transparent)]
    Frames(#[from] FrameError),
    /// A sync session failed.
    #[error(transparent)]
    Session(#[from] SessionError<SyncError>),
    /// The offer that the person wants to accept has run out, and nobody answers at its addresses.
    #[error("this linking code has expired: show a new one on the new device")]
    OfferExpired,
    /// Nobody answers at the addresses of the offer.
    #[error(
        "the new device does not answer: its code may have been used or closed, or it is on another network; show a new code there"
    )]
    OfferUnanswered,
    /// Nobody came while the offer was shown.
    #[error("nobody scanned the code in time: show a new one")]
    NobodyCame,
    /// Nobody typed the passcode while it was shown.
    #[error("nobody typed the passcode in time: show a new one")]
    PasscodeUnused,
    /// The phone does not answer where it was looked for.
    #[error(
        "the phone does not answer: its passcode may have been used or have ended, or the address is another; show a new passcode there"
    )]
    PhoneUnanswered,
    /// A relay breaks too many rules.
    #[error("it does not keep what it promises: use another relay, or ask whoever runs it")]
    UnrulyRelay,
    /// No phone was found at the relay.
    #[error(
        "no phone that shows this passcode was found at the relay: see that its passcode is still shown, and that it uses this relay"
    )]
    NobodyAtRelay,
    /// The other device went away.
    #[error("the other device ended the connection: try again")]
    HungUp,
    /// The other side took too long.
    #[error("the other device did not answer in time: try again")]
    TooSlow,
    /// The device was added, but did not get everything.
    #[error(
        "the devices are linked, but did not finish ({0}): run `twin sync` on both, or remove the new device if it was not yours"
    )]
    LinkedButUnfinished(String),
    /// A twin uses some relays only.
    #[error("a twin uses at most {0} relays: remove one first")]
    TooManyRelays(usize),
    /// The relay is none of the twin's.
    #[error("no such relay is in use: see the list of relays")]
    NoSuchRelay,
    /// A relay said something that it should not have.
    #[error(transparent)]
    Relay(#[from] SessionError<MailboxError>),
    /// Too much for a relay.
    #[error(transparent)]
    Desk(#[from] DeskError),
    /// This device may not change the identity log.
    #[error("only the phone, or a device that may replace it, can do this: do it there")]
    NotAdmin,
    /// Another admin is not removed by an admin.
    #[error(
        "this device may replace your phone, so only the recovery words can remove it: suspend it now, then remove it with the words"
    )]
    AdminGoesByWords,
    /// The last device that can change who is in.
    #[error(
        "this is the only device that can add or remove others: let another one replace it first, or use the words there"
    )]
    LastAdmin,
    /// A device suspends itself.
    #[error("a device cannot suspend itself: do it on another one")]
    ItselfSuspended,
    /// Only what is suspended is resumed.
    #[error("this device is not suspended: there is nothing to resume")]
    NotSuspended,
    /// What is suspended is resumed before anything else.
    #[error("this device is suspended: resume it first, or remove it")]
    IsSuspended,
    /// It was suspended before.
    #[error("this device is suspended already: resume it, or remove it")]
    SuspendedAlready,
    /// Devices object to a recovery once, all of them together.
    #[error(
        "one of your devices has objected already, which is possible once: to stop this recovery, send the guardians away with your words"
    )]
    VetoedAlready,
    /// A companion names another device.
    #[error("a companion names itself only: name other devices on your phone")]
    NamesItselfOnly,
    /// A device comes in for so long.
    #[error("a device comes in for good, or for 1 to 3650 days: choose a number of days")]
    Days,
    /// This device has written what no other is known to have, and would take it along.
    #[error(
        "no other device is known to have the last {0} changes that were made here, and they would go with this one: sync first"
    )]
    OnlyHere(u64),
    /// The device was a companion for some days only, which are over.
    #[error("this device's time in the twin is over: link it again")]
    TimeIsOver,
    /// No recovery has brought this device in.
    #[error(
        "no recovery has brought this device in: there is nothing to finish, and nothing was changed"
    )]
    NothingToFinish,
    /// The device is an admin.
    #[error("this device may replace your phone already: there is nothing to do")]
    AdminAlready,
    /// The person has never signed in there.
    #[error("you have not signed in to such a site under this persona: see the list of sites")]
    NoSuchSite,
    /// The person goes by the newest pseudonym at the site already.
    #[error("you go by your newest pseudonym there already: there is nothing to move")]
    MovedAlready,
    /// Guardians would have to wait for too long, or not at all.
    #[error("guardians wait between 1 and 365 days: choose a number of days")]
    Delay,
    /// The secret of guardians cannot be split like this.
    #[error(transparent)]
    Split(#[from] SplitError),
    /// Shares do not give a secret.
    #[error(transparent)]
    Combine(#[from] CombineError),
    /// A text is no share.
    #[error(transparent)]
    Share(#[from] ShareError),
    /// A proof of identity cannot be made or accepted.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// A recovery by guardians does not count yet.
    #[error("the guardians' recovery does not count yet: wait until its day has come")]
    NotYet,
    /// The other device is not recovering, or the other way round.
    #[error(
        "the other device wants something else: for a new device use `twin link`, for a lost phone `twin recover` there and `twin recovery help` here"
    )]
    OtherPurpose,
    /// A name is empty or too long.
    #[error("a name has 1 to 64 bytes and nothing that cannot be seen: choose another")]
    Name,
    /// No other device of this twin was met.
    #[error(
        "no other device of this twin was reached: start `twin run` there, or give its address"
    )]
    NobodyMet,
    /// No other device of this twin was met, for a known reason.
    #[error("no other device of this twin was reached: {0}")]
    NotMet(String),
    /// Whoever was met went away before it had proved itself.
    #[error(
        "the other side is not a device of this twin, has removed this one, or hung up before it could show what it is"
    )]
    Unproven,
    /// Whoever was met has no key in common with this device.
    #[error("the other side is not a device of this twin, or has removed this one")]
    Stranger,
    /// Devices were met, and none has what is missing of a file: so many bytes.
    #[error(
        "no device in reach has all of this file, {0} bytes are missing: bring the device online that added it, then do this again"
    )]
    NobodyHas(u64),
    /// The device went away that was sending a file, of which so many bytes are missing.
    #[error(
        "the device that has this file is gone or sends no more, {0} bytes are missing: do this again to go on from here"
    )]
    BrokenOff(u64),
    /// The disk has no room for a file: so many bytes are to be freed there.
    #[error(
        "the disk is too full for this file: free {} MB there and try again; nothing that was saved is lost",
        .0.div_ceil(1_000_000)
    )]
    NoRoom(u64),
    /// Devices were met but did not end up equal.
    #[error("the devices met but could not agree: {0}")]
    NotInSync(String),
    /// A site's login request cannot be answered.
    #[error(transparent)]
    Login(#[from] LoginError),
    /// A site cannot be reached.
    #[error(transparent)]
    Https(#[from] HttpsError),
    /// Where the export should go there is something already.
    #[error("there is something of that name already: name a file or folder that is not there yet")]
    ExportExists,
    /// What is left of an export that was broken off, or is something else, but not this device's.
    #[error(
        "beside it there is something of that name and .unfinished that this device has not begun: move it away, or choose another name"
    )]
    ExportNotOurs,
    /// Another program writes the same export.
    #[error("another program is writing this export: wait for it, or choose another name")]
    ExportBusy,
    /// What was to be exported does not count any more.
    #[error("the twin changed while it was exported: export it again")]
    ExportChanged,
    /// This device knows no such space.
    #[error("there is no space of that name: see which there are")]
    NoSuchSpace,
    /// A sealed export cannot be made or read.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// What goes to another device one way cannot be made or taken in.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// Pictures carry small amounts.
    #[error(
        "the other device lacks more than {MAX_PICTURED} bytes, too much for pictures: carry it over in a file"
    )]
    TooMuchForPictures,
    /// Words or shares are not those that a sealed export is for.
    #[error(
        "these words or shares do not open the export: it was made before your twin had them, or after they were replaced, or by another twin; use those of the day on which it was made"
    )]
    BackupMeans,
    /// This device is not one of those that a sealed export is for.
    #[error(
        "this device cannot open the export: it was not in your twin when it was made, or it is of another twin; your 24 words of that day may open it"
    )]
    BackupDevice,
    /// A sealed export of another twin.
    #[error("the export is of another twin: nothing was taken in")]
    BackupTwin,
    /// A sealed export of one space is to bring a twin back.
    #[error(
        "this export holds one space only, and that does not bring a twin back: use one of the whole twin, and take this one in afterwards"
    )]
    BackupSpace,
    /// An export in the clear is of a version that is not known here.
    #[error(
        "this export was made by a newer version of the app: update the app here; nothing was imported"
    )]
    ImportNewer,
    /// Where a file should go there is something already.
    #[error("there is something of that name already: choose another name or folder")]
    FileExists,
    /// A record holds no file.
    #[error("there is no file in that record: see the list of files")]
    NoSuchFile,
    /// Something is neither a file nor a folder, or a folder where a file is needed.
    #[error("this is neither a file nor a folder that can be read: choose another")]
    NotAFile,
    /// Whoever watches a long call has stopped it.
    #[error("stopped: do it again to go on from here")]
    Stopped,
    /// A part of a file to be imported cannot be taken in.
    #[error("{what} {number}: {why}; nothing was imported")]
    ImportEntry {
        /// "line", "card" or "object".
        what: &'static str,
        /// Which one, from 1 on.
        number: u64,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A file to be imported is of no form that is known.
    #[error(
        "this is neither an export, contacts (.vcf), a table (.csv), JSON nor a folder: convert it first"
    )]
    ImportForm,
    /// Where an import should go is not said.
    #[error("say where it should go: a space and a collection, as home/books")]
    ImportWhere,
    /// Folders stand too deep in each other.
    #[error("the folder goes too deep: import its folders one by one")]
    TooDeep,
    /// A file or folder outside the vault.
    #[error("a file cannot be read or written: {0}")]
    File(#[source] io::Error),
    /// A background task has died.
    #[error("something went wrong inside this device: close the app and open it again")]
    Broken,
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        match error.into() {
            VaultError::Io(error) => Self::File(error),
            full => full.into(),
        }
    }
}

/// What every call at the front door returns.
pub type Result<T> = std::result::Result<T, Error>;

impl From<TalkError<VaultError>> for Error {
    fn from(error: TalkError<VaultError>) -> Self {
        match error {
            TalkError::Store(error) => Self::Vault(error),
            TalkError::Bundle(error) => Self::Bundle(error),
            TalkError::Desk(error) => Self::Desk(error),
            TalkError::Unruly => Self::UnrulyRelay,
        }
    }
}
