//! The self-issued ID token (SIOPv2 draft 13 §11): the persona's key vouches for itself to one
//! site, for one login.

use serde::{Deserialize, Serialize};
use twin_identity::pseudonym::PersonaKey;

use crate::jwk::{Jwk, thumbprint};
use crate::jws;
use crate::request::Audience;
use crate::time::NumericDate;

/// How long a token is good, in seconds.
pub(crate) const LIFETIME_SECONDS: u64 = 300;

/// The claims of SIOPv2 draft 13 §11, and no others: nothing here is a fact about the person.
#[derive(Serialize, Deserialize)]
pub(crate) struct IdTokenClaims {
    pub iss: String,
    pub sub: String,
    pub aud: Audience,
    pub nonce: String,
    pub iat: NumericDate,
    pub exp: NumericDate,
    pub sub_jwk: Jwk,
}

/// Signs a token as `persona`, for the site `client_id` and the login `nonce`.
pub(crate) fn issue(
    persona: &PersonaKey,
    client_id: &str,
    nonce: &str,
    now: NumericDate,
) -> Option<String> {
    let key = persona.public();
    let subject = thumbprint(&key);
    let claims = IdTokenClaims {
        iss: subject.clone(),
        sub: subject,
        aud: Audience::One(client_id.to_owned()),
        nonce: nonce.to_owned(),
        iat: now,
        exp: now.plus(LIFETIME_SECONDS),
        sub_jwk: Jwk::new(&key),
    };
    jws::sign(&key, "JWT", None, &claims, |message| persona.sign(message))
}
