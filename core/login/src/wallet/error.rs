//! Why a login did not happen, in words for the person holding the phone.

use crate::number::NotANumber;
use crate::origin::OriginError;

/// Each reason is its own variant; each message is one sentence that says what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoginError {
    /// Some other QR code.
    #[error(
        "This QR code is not a login; scan the one under “Log in with your twin” on the site's page."
    )]
    NotALogin,
    /// The QR code that links a device.
    #[error("This QR code links a device; use it where you link devices, not to log in.")]
    LinkCode,
    /// A login code with its end missing.
    #[error("This login code is incomplete; let the whole code be seen, or copy all of it.")]
    CutShort,
    /// A login code that no login needs: too long, or saying one thing twice.
    #[error("This login code is malformed; reload the site's page and scan the new code.")]
    Malformed,
    /// The site identifies itself by something else than `did:web`.
    #[error(
        "This site identifies itself in a way that your twin cannot check yet; you cannot log in there with it."
    )]
    UnknownIdentifier,
    /// Plain http to another machine.
    #[error("This site does not use a secure connection (https), so logging in is not safe.")]
    Insecure,
    /// The request would be fetched from another site than the one that asks.
    #[error(
        "This code names one site but leads to another; do not use it, open the site yourself."
    )]
    LeadsElsewhere,
    /// HTTP 404 or 410.
    #[error("The site no longer knows this login; reload its page and scan the new code.")]
    Gone,
    /// Any other HTTP status than success.
    #[error("The site answered with an error (HTTP {0}); try again later.")]
    SiteFailed(u16),
    /// More than 64 KiB.
    #[error("The site's answer is too large to be a login; try again, or tell the site.")]
    TooLarge,
    /// The request object cannot be read.
    #[error("The site's answer is not a login request; try again, or tell the site.")]
    NotARequest,
    /// The DID document cannot be read.
    #[error("The site's key file (did.json) cannot be read; try again, or tell the site.")]
    NotAKeyFile,
    /// The DID document is another DID's.
    #[error("The site's key file (did.json) belongs to another site, so nothing was sent.")]
    ForeignKeyFile,
    /// The DID document lists no key that a login could be checked with.
    #[error(
        "The site's key file (did.json) lists no key for logins that your twin knows; log in there another way, or tell the site."
    )]
    NoKey,
    /// The key that signed is not one that the DID document lists under `authentication`.
    #[error(
        "The login request is signed with a key that the site does not list, so nothing was sent."
    )]
    UnknownKey,
    /// Signed with something else than EdDSA or ES256, or not as the key is made for.
    #[error(
        "The login request is signed in a way that your twin cannot check, so nothing was sent."
    )]
    UnknownSignature,
    /// The signature does not hold.
    #[error(
        "The signature of the login request is wrong, so it is not from this site; nothing was sent."
    )]
    WrongSignature,
    /// The request names another site than the code.
    #[error("The login request is another site's than the code named, so nothing was sent.")]
    OtherSite,
    /// The request was made for another wallet or another scan, or its number match was stripped.
    #[error(
        "The login request was not made for this scan; somebody may have tampered with the code, so open the site yourself and scan again."
    )]
    Tampered,
    /// Past its expiry.
    #[error(
        "This login has expired; reload the site's page and scan the new code, and check this device's clock if it happens again."
    )]
    Expired,
    /// Made in the future.
    #[error("This login request is from the future; check this device's date and time.")]
    FromTheFuture,
    /// The answer would go to another site than the proven one.
    #[error("The site wants your answer sent somewhere else than to itself, so nothing was sent.")]
    AnswerGoesElsewhere,
    /// It asks for more than a pseudonym, or in a way not known here.
    #[error(
        "The site asks for something that this version of your twin cannot give; update it, or log in there another way."
    )]
    Unsupported,
    /// The persona's key is of a kind the site does not take.
    #[error("The site does not accept the kind of key you have there; log in there another way.")]
    KeyNotAccepted,
    /// The number on the page is needed and was not given.
    #[error(
        "The site's page shows a two-digit number; type it here to prove that you are looking at that page."
    )]
    NumberNeeded,
    /// What was typed is not two digits.
    #[error(transparent)]
    NotANumber(#[from] NotANumber),
    /// The site says that the number is wrong; this login is over.
    #[error(
        "The number does not match the one on the site's page, so this login was ended; start again and compare."
    )]
    WrongNumber,
    /// The site says that this login was answered before.
    #[error("This login was already used; reload the site's page and scan the new code.")]
    AlreadyUsed,
    /// The site refused the answer.
    #[error("The site did not accept the login; reload its page and try again.")]
    Refused,
    /// The answer to the answer cannot be read.
    #[error(
        "The site's reply makes no sense, so it is not known whether you are logged in; look at its page."
    )]
    NotAReply,
}

impl From<OriginError> for LoginError {
    fn from(error: OriginError) -> Self {
        match error {
            OriginError::NotASite => Self::UnknownIdentifier,
            OriginError::Insecure => Self::Insecure,
        }
    }
}
