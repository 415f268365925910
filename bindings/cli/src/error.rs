//! What can go wrong at the terminal, in one sentence each.

use std::io;
use std::path::PathBuf;

/// The command failed; the message says what happened and what to do.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    #[error(transparent)]
    Twin(#[from] twin::Error),
    #[error(transparent)]
    Net(#[from] twin_net::Error),
    #[error(transparent)]
    Mailbox(#[from] twin_net::mailbox::StoreError),
    #[error(transparent)]
    Site(#[from] twin_site::SiteError),
    #[error("no twin was made, and words that were shown for it are worth nothing: {0}")]
    NotMade(Box<twin::Error>),
    #[error("this program's memory cannot be closed to others ({0}): nothing was done")]
    OpenMemory(io::Error),
    #[error("no folder for the vault: say --home DIR or set TWIN_HOME")]
    NoHome,
    #[error("no folder for the relay's key: say --data FOLDER")]
    NoRelayFolder,
    #[error("the password cannot be read: run this in a terminal, or set TWIN_PASSWORD")]
    NoPassword,
    #[error("the new password cannot be read: run this in a terminal, or set TWIN_NEW_PASSWORD")]
    NoNewPassword,
    #[error("there is no keyring to be used here ({0}): unlock with a password, without --keyring")]
    NoKeyring(&'static str),
    #[error("stopped: nothing was done")]
    Stopped,
    #[error("the two passwords differ: try again")]
    PasswordsDiffer,
    #[error("“{0}” should be SPACE/COLLECTION/ID")]
    RecordPath(String),
    #[error(
        "“{0}” should be field=text or field:=JSON (a number, true or false), or have <, <=, > or >= for =, each end of a range once"
    )]
    Condition(String),
    #[error("one field can be asked for at a time: ask for one, and look through what comes")]
    OneField,
    #[error(
        "“{0}” should be field=text or field:=JSON (a number, true, false or null), or an edit: see twin put --help"
    )]
    Field(String),
    #[error(
        "what stands after := in “{0}” is JSON, but no value that a field can have (a list, for instance, a set with null in it, or a day that no calendar has): see twin put --help"
    )]
    NoValue(String),
    #[error("the field “{0}” is named twice: say once what it is to be, or what is done to it")]
    FieldTwice(String),
    #[error(
        "“{0}” does not fit into a number with all its digits: write it as text, with = instead of :="
    )]
    Digits(String),
    #[error(
        "an edit changes what is there, and these values would replace it: add --patch, so that other fields stay"
    )]
    EditsNeedPatch,
    #[error("“{0}” should be SPACE/COLLECTION")]
    CollectionPath(String),
    #[error("“{0}” is the place of a record, and what is wanted is SPACE/COLLECTION: see twin get")]
    IsRecordPath(String),
    #[error(
        "“{0}” should be field=type, for instance title=\"text required\"; nothing after the = takes it away"
    )]
    Rule(String),
    #[error(transparent)]
    Words(twin::RuleError),
    #[error("there is no record {0}")]
    NoRecord(String),
    #[error("{0} cannot be read: {1}")]
    Unreadable(PathBuf, String),
    #[error("there is no QR code in {0}: take the picture again, closer and straight")]
    NoQr(PathBuf),
    #[error(
        "only {0} of about {1} pictures could be read: take more of them, closer and straight, and name them all"
    )]
    PicturesMissing(u32, u32),
    #[error("{0} cannot be written: {1}")]
    Unwritable(PathBuf, String),
    #[error("the QR code could not be drawn: the text is too long")]
    QrTooLong,
    #[error("you said no: nothing was done")]
    Declined,
    #[error("nothing was typed: nothing was done")]
    NoInput,
    #[error("“{0}” is not the two digits that the page shows")]
    Number(String),
    #[error("no device is called “{0}” or has an id that begins so: see twin device list")]
    NoDevice(String),
    #[error("nothing is set aside of a device that is called “{0}” or has an id that begins so")]
    NothingAside(String),
    #[error(
        "several devices are called “{0}” or have ids that begin so: use more digits of the id, see twin device list"
    )]
    ManyDevices(String),
    #[error("a device cannot replace itself: run this on the device that takes over")]
    ReplaceItself,
    #[error("no recovery by guardians waits: there is nothing to object to")]
    NothingWaits,
    #[error("no recovery that waits has an id that begins with “{0}”: see twin status")]
    NoSuchRotation(String),
    #[error("several recoveries wait: say which one, see twin status")]
    WhichRotation,
    #[error("{0} holds no proof of identity: it should read twin1… and then the proof")]
    NoProof(PathBuf),
    #[error(transparent)]
    TwinId(twin::TwinIdError),
    #[error("{0} does not hold what was seen of a twin: name another file")]
    NoKnown(PathBuf),
    #[error("this is no sealed export: leave --words out")]
    NotSealed,
    #[error("damage was found ({damages}); {advice}")]
    DamagedVault { damages: u64, advice: &'static str },
    #[error("damaged and left out: {0}; twin vault check names what is damaged")]
    LeftOut(usize),
    #[error(
        "no vault could be made: bring the twin back from a backup or with its words (twin recover), or link this device again"
    )]
    NoneSalvaged,
    #[error("the terminal cannot be read or written: {0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Demo(String),
}

pub type Result<T> = std::result::Result<T, CliError>;
