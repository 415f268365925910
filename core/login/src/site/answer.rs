//! Checking a self-issued ID token (SIOPv2 draft 13 §11.1).

use core::fmt;

use crate::id_token::{IdTokenClaims, LIFETIME_SECONDS};
use crate::jwk::thumbprint;
use crate::jws::{JwsError, Token};
use crate::time::{LEEWAY_SECONDS, NumericDate};

use super::Refusal;

/// The person, as this site knows them: the RFC 7638 thumbprint of their key here, 43 characters.
/// No other site can learn that it is the same person.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Subject(String);

impl Subject {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a token for this login must say.
pub(super) struct Expected<'a> {
    pub client_id: &'a str,
    pub nonce: &'a str,
    pub not_before: NumericDate,
}

/// Who signed the token, when everything about it holds.
pub(super) fn check(
    token: &str,
    expected: &Expected<'_>,
    now: NumericDate,
) -> Result<Subject, Refusal> {
    let token = Token::parse(token.as_bytes()).map_err(|_| Refusal::Malformed)?;
    let claims: IdTokenClaims =
        serde_json::from_slice(&token.payload).map_err(|_| Refusal::Malformed)?;
    let key = claims.sub_jwk.key().ok_or(Refusal::Malformed)?;
    token.verify(&key).map_err(|error| match error {
        JwsError::Malformed => Refusal::Malformed,
        JwsError::Algorithm | JwsError::Signature => Refusal::WrongSignature,
    })?;
    if claims.sub != thumbprint(&key) || claims.iss != claims.sub {
        return Err(Refusal::WrongSubject);
    }
    if !claims.aud.is(expected.client_id) {
        return Err(Refusal::WrongAudience);
    }
    if claims.nonce != expected.nonce {
        return Err(Refusal::WrongNonce);
    }
    if claims.iat.is_ahead_of(now) {
        return Err(Refusal::FutureToken);
    }
    let too_old = claims.exp.is_over(now)
        || claims.iat.plus(LEEWAY_SECONDS) < expected.not_before
        || claims.exp > claims.iat.plus(2 * LIFETIME_SECONDS);
    if too_old {
        return Err(Refusal::StaleToken);
    }
    Ok(Subject(claims.sub))
}
