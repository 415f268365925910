//! The two things fetched before a person is asked: the request, and the key that proves who made it.

use crate::did_web::Document;
use crate::http::{HttpReply, HttpRequest, MAX_BODY_BYTES};
use crate::jws::{JwsError, Token};
use crate::request::{RequestClaims, TYPE};
use crate::time::NumericDate;

use super::{Consent, Invitation, LoginError};

/// The request object is on its way.
#[derive(Debug)]
pub struct RequestFetch {
    invitation: Invitation,
    /// Set when the request was fetched by POST.
    wallet_nonce: Option<String>,
}

impl RequestFetch {
    pub(super) fn new(invitation: Invitation, wallet_nonce: Option<String>) -> Self {
        Self {
            invitation,
            wallet_nonce,
        }
    }

    /// Takes the request object, still unproven, and says where the site's key is.
    ///
    /// # Errors
    /// [`LoginError`] when the site failed, or sent something else than a signed request.
    pub fn received(self, reply: &HttpReply<'_>) -> Result<(HttpRequest, KeyFetch), LoginError> {
        let token = Token::parse(body(reply)?).map_err(|_| LoginError::NotARequest)?;
        // RFC 9101 §10.8: a token made for another purpose must not pass as a request.
        let typ = token.header.typ.as_deref().unwrap_or_default();
        let typ = typ.strip_prefix("application/").unwrap_or(typ);
        if !typ.eq_ignore_ascii_case(TYPE) {
            return Err(LoginError::NotARequest);
        }
        let document = self.invitation.did.document_url().clone();
        let request = HttpRequest::get(document, "application/did+json, application/json");
        Ok((
            request,
            KeyFetch {
                invitation: self.invitation,
                wallet_nonce: self.wallet_nonce,
                token,
            },
        ))
    }
}

/// The site's DID document is on its way.
pub struct KeyFetch {
    invitation: Invitation,
    wallet_nonce: Option<String>,
    token: Token,
}

impl KeyFetch {
    /// Takes the DID document, proves the request with it and turns it into words. `now` is in
    /// milliseconds since the Unix epoch.
    ///
    /// # Errors
    /// [`LoginError`] when the signature, the site, the time, the place of the answer or what is
    /// asked for does not hold.
    pub fn received(self, reply: &HttpReply<'_>, now: u64) -> Result<Consent, LoginError> {
        let document = Document::parse(body(reply)?).ok_or(LoginError::NotAKeyFile)?;
        if document.id != self.invitation.did.as_str() {
            return Err(LoginError::ForeignKeyFile);
        }
        let kid = self.token.header.kid.as_deref();
        let key = kid
            .and_then(|kid| document.key(kid))
            .ok_or(LoginError::UnknownKey)?;
        self.token.verify(&key).map_err(|error| match error {
            JwsError::Signature => LoginError::WrongSignature,
            JwsError::Algorithm | JwsError::Malformed => LoginError::UnknownSignature,
        })?;
        let claims: RequestClaims =
            serde_json::from_slice(&self.token.payload).map_err(|_| LoginError::NotARequest)?;
        Consent::new(
            &self.invitation,
            self.wallet_nonce.as_deref(),
            claims,
            NumericDate::from_millis(now),
        )
    }
}

/// The key fetch holds what the site asked; a log needs to know only whom.
impl core::fmt::Debug for KeyFetch {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "KeyFetch({:?})", self.invitation.site())
    }
}

fn body<'a>(reply: &HttpReply<'a>) -> Result<&'a [u8], LoginError> {
    match reply.status {
        200..=299 if reply.body.len() > MAX_BODY_BYTES => Err(LoginError::TooLarge),
        200..=299 => Ok(reply.body),
        404 | 410 => Err(LoginError::Gone),
        status => Err(LoginError::SiteFailed(status)),
    }
}
