//! Why a site does not take an answer.

/// Each reason is its own variant; each message is one sentence for the person at the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// No such login.
    #[error("This login is not known here; show a new code and scan it.")]
    Unknown,
    /// The five minutes are over.
    #[error("This code has expired; show a new one and scan it.")]
    Expired,
    /// A second answer to one login.
    #[error("This login was already answered; show a new code and scan it.")]
    AlreadyAnswered,
    /// Fetched more often than any honest wallet does. Ends the login.
    #[error("This code was scanned too often; show a new one and scan it.")]
    TooManyFetches,
    /// The wallet cannot send the number that this login needs.
    #[error("This login needs the number on the page, which the app that scanned it cannot send.")]
    NumberUnsupported,
    /// A form or token that cannot be read.
    #[error("The phone's answer cannot be read; show a new code and try again.")]
    Malformed,
    /// `state` is another login's.
    #[error("The phone's answer belongs to another login; show a new code and scan it.")]
    WrongState,
    /// The token is not signed, or not by the key it names.
    #[error("The phone's answer is not signed properly; show a new code and try again.")]
    WrongSignature,
    /// The subject is not the thumbprint of the key.
    #[error(
        "The phone's answer names somebody else than it proves; show a new code and try again."
    )]
    WrongSubject,
    /// The token was made for another login, or for an earlier fetch of this one.
    #[error("The phone's answer was made for another login; show a new code and scan it.")]
    WrongNonce,
    /// The token was made for another site.
    #[error("The phone's answer was made for another site; show a new code and scan it.")]
    WrongAudience,
    /// The token is over, or was made before this login.
    #[error("The phone's answer is too old; show a new code and scan it.")]
    StaleToken,
    /// The token is from the future.
    #[error("The phone's clock is ahead of this site's; set it right and try again.")]
    FutureToken,
    /// The digits do not match, or are missing. Ends the login.
    #[error("The number typed on the phone was not the one shown here, so this login was ended.")]
    WrongNumber,
    /// The person said no. Ends the login.
    #[error("You said no on your phone; nothing was sent.")]
    Declined,
}

impl Refusal {
    /// A stable code for the reply to the wallet.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Expired => "expired",
            Self::AlreadyAnswered => "already_answered",
            Self::TooManyFetches => "too_many_fetches",
            Self::NumberUnsupported => "number_unsupported",
            Self::Malformed => "malformed",
            Self::WrongState => "wrong_state",
            Self::WrongSignature => "wrong_signature",
            Self::WrongSubject => "wrong_subject",
            Self::WrongNonce => "wrong_nonce",
            Self::WrongAudience => "wrong_audience",
            Self::StaleToken => "stale_token",
            Self::FutureToken => "future_token",
            Self::WrongNumber => "wrong_number",
            Self::Declined => "declined",
        }
    }

    /// The HTTP status for the wallet: 404 for a login not known, 410 for one that is over, 400
    /// for an answer that is wrong.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::Unknown => 404,
            Self::Expired | Self::AlreadyAnswered | Self::TooManyFetches => 410,
            _ => 400,
        }
    }

    /// The JSON body for the wallet (RFC 6749 §5.2, and our own code beside it).
    #[must_use]
    pub fn body(self) -> String {
        serde_json::json!({
            "error": "invalid_request",
            "error_description": self.to_string(),
            "digital_twin_refusal": self.code(),
        })
        .to_string()
    }
}
