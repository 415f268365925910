//! What a site says to the answer (OpenID4VP 1.0 §8.2).

use serde::Deserialize;
use url::Url;

use crate::http::{HttpReply, MAX_BODY_BYTES};
use crate::site::Refusal;

use super::LoginError;

/// The answer is on its way.
#[derive(Debug)]
pub struct Sent;

/// The site took the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedIn {
    redirect_uri: Option<Url>,
}

impl LoggedIn {
    /// A page to open on the phone, when the site wants one opened. It is the site's choice and
    /// may be anywhere on the web: ask before following it.
    #[must_use]
    pub fn redirect_uri(&self) -> Option<&str> {
        self.redirect_uri.as_ref().map(Url::as_str)
    }
}

#[derive(Deserialize)]
struct Success {
    redirect_uri: Option<String>,
}

#[derive(Deserialize)]
struct Failure {
    error: String,
    /// Which of our own refusals it is, when the site is one of ours.
    #[serde(default, rename = "digital_twin_refusal")]
    refusal: String,
}

impl Sent {
    /// Takes the site's reply.
    ///
    /// # Errors
    /// [`LoginError`] with the site's reason for refusing, or when its reply makes no sense.
    pub fn received(self, reply: &HttpReply<'_>) -> Result<LoggedIn, LoginError> {
        if reply.body.len() > MAX_BODY_BYTES {
            return Err(LoginError::TooLarge);
        }
        match reply.status {
            200 => {
                let success: Success =
                    serde_json::from_slice(reply.body).map_err(|_| LoginError::NotAReply)?;
                let redirect_uri = match success.redirect_uri {
                    None => None,
                    Some(text) => match Url::parse(&text) {
                        Ok(url) if url.scheme() == "https" || url.scheme() == "http" => Some(url),
                        _ => return Err(LoginError::NotAReply),
                    },
                };
                Ok(LoggedIn { redirect_uri })
            }
            400..=499 => Err(refused(reply)),
            status => Err(LoginError::SiteFailed(status)),
        }
    }
}

fn refused(reply: &HttpReply<'_>) -> LoginError {
    let Ok(failure) = serde_json::from_slice::<Failure>(reply.body) else {
        return match reply.status {
            404 | 410 => LoginError::Gone,
            status => LoginError::SiteFailed(status),
        };
    };
    let is = |refusal: Refusal| failure.refusal == refusal.code();
    if is(Refusal::WrongNumber) {
        LoginError::WrongNumber
    } else if is(Refusal::AlreadyAnswered) {
        LoginError::AlreadyUsed
    } else if is(Refusal::Expired) {
        LoginError::Expired
    } else if is(Refusal::Unknown) || failure.error.is_empty() {
        LoginError::Gone
    } else {
        LoginError::Refused
    }
}
