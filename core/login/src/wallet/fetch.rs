//! The two things fetched before a person is asked: the site's keys, and then the request that one
//! of them must have signed.

use data_encoding::BASE64URL_NOPAD;
use rand_core::CryptoRng;

use crate::did_web::Document;
use crate::http::{HttpReply, HttpRequest, MAX_BODY_BYTES, REQUEST_OBJECT};
use crate::jws::{JwsError, Token};
use crate::request::{RequestClaims, TYPE, WalletMetadata};
use crate::time::NumericDate;

use super::{Consent, Invitation, LoginError};

/// The site's DID document is on its way.
#[derive(Debug)]
pub struct KeyFetch {
    pub(super) invitation: Invitation,
}

impl KeyFetch {
    /// Takes the DID document and says where the request object is. Only now is an address touched
    /// that the code chose: whatever lives there serves keys for logins, so a code cannot aim a
    /// wallet at a service that never heard of them. By POST the request is bound to this very
    /// scan (`wallet_nonce`) and number matching is announced (OpenID4VP 1.0 §5.10).
    ///
    /// # Errors
    /// [`LoginError`] when the site failed, or has no DID document of its own with a usable key.
    pub fn received<R: CryptoRng + ?Sized>(
        self,
        reply: &HttpReply<'_>,
        rng: &mut R,
    ) -> Result<(HttpRequest, RequestFetch), LoginError> {
        let document = Document::parse(body(reply)?).ok_or(LoginError::NotAKeyFile)?;
        let invitation = self.invitation;
        if document.id != invitation.did.as_str() {
            return Err(LoginError::ForeignKeyFile);
        }
        if !document.has_key() {
            return Err(LoginError::NoKey);
        }
        let to = invitation.request_uri.clone();
        let (request, wallet_nonce) = if invitation.by_post {
            let mut nonce = [0; 16];
            rng.fill_bytes(&mut nonce);
            let nonce = BASE64URL_NOPAD.encode(&nonce);
            let metadata = serde_json::to_string(&WalletMetadata::ours()).unwrap_or_default();
            let form = [("wallet_metadata", &*metadata), ("wallet_nonce", &*nonce)];
            (HttpRequest::post(to, REQUEST_OBJECT, &form), Some(nonce))
        } else {
            (HttpRequest::get(to, REQUEST_OBJECT), None)
        };
        let fetch = RequestFetch {
            invitation,
            document,
            wallet_nonce,
        };
        Ok((request, fetch))
    }
}

/// The request object is on its way.
#[derive(Debug)]
pub struct RequestFetch {
    invitation: Invitation,
    document: Document,
    /// Set when the request is fetched by POST.
    wallet_nonce: Option<String>,
}

impl RequestFetch {
    /// Takes the request object, proves it with the site's key and turns it into words. `now` is
    /// in milliseconds since the Unix epoch.
    ///
    /// # Errors
    /// [`LoginError`] when the signature, the site, the time, the place of the answer or what is
    /// asked for does not hold.
    pub fn received(self, reply: &HttpReply<'_>, now: u64) -> Result<Consent, LoginError> {
        let token = Token::parse(body(reply)?).map_err(|_| LoginError::NotARequest)?;
        // RFC 9101 §10.8: a token made for another purpose must not pass as a request.
        let typ = token.header.typ.as_deref().unwrap_or_default();
        let typ = typ.strip_prefix("application/").unwrap_or(typ);
        if !typ.eq_ignore_ascii_case(TYPE) {
            return Err(LoginError::NotARequest);
        }
        let kid = token.header.kid.as_deref();
        let key = kid
            .and_then(|kid| self.document.key(kid))
            .ok_or(LoginError::UnknownKey)?;
        token.verify(&key).map_err(|error| match error {
            JwsError::Signature => LoginError::WrongSignature,
            JwsError::Algorithm | JwsError::Malformed => LoginError::UnknownSignature,
        })?;
        let claims: RequestClaims =
            serde_json::from_slice(&token.payload).map_err(|_| LoginError::NotARequest)?;
        Consent::new(
            &self.invitation,
            self.wallet_nonce.as_deref(),
            claims,
            NumericDate::from_millis(now),
        )
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
