//! What a person is asked before anything is sent.

use core::fmt;

use twin_identity::pseudonym::{Algorithm, PersonaKey, SiteId};
use url::Url;

use crate::did_web::DidWeb;
use crate::http::HttpRequest;
use crate::id_token;
use crate::jws::allowed;
use crate::number::{FORM_FIELD, Number, NumberMatch};
use crate::origin::{Origin, OriginError};
use crate::request::{AUDIENCE, RequestClaims, THUMBPRINT, is_url_safe};
use crate::text::shown;
use crate::time::NumericDate;

use super::{Invitation, LoginError, Sent};

/// How far a site's name is proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Its web certificate names it, and a key that it publishes there signed the request.
    WebCertificate,
    /// It is a program on this very device; no certificate says whose.
    ThisDevice,
}

/// In words for a person.
impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WebCertificate => {
                "Proven: its web certificate names it, and its own key signed this request."
            }
            Self::ThisDevice => {
                "A program on this device. No certificate says who made it; its own key signed this request."
            }
        })
    }
}

/// One thing a site asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// A name that only this site knows the person by.
    Pseudonym,
}

/// In words for a person.
impl fmt::Display for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pseudonym => f.write_str("A pseudonym: a name that only this site knows you by"),
        }
    }
}

/// A proven request, ready to be shown: who asks, how far that is proven, for what, why, and where
/// the answer goes. Approving it is the only way to an answer.
pub struct Consent {
    client_id: String,
    did: DidWeb,
    site_id: SiteId,
    calls_itself: Option<String>,
    purpose: Option<String>,
    response_uri: Url,
    algorithms: Vec<Algorithm>,
    nonce: String,
    state: Option<String>,
    expires: Option<NumericDate>,
    needs_number: bool,
}

impl Consent {
    /// `wallet_nonce` is what this wallet sent with a POST; `None` after a GET.
    pub(super) fn new(
        invitation: &Invitation,
        wallet_nonce: Option<&str>,
        claims: RequestClaims,
        now: NumericDate,
    ) -> Result<Self, LoginError> {
        if claims.client_id != invitation.client_id {
            return Err(LoginError::OtherSite);
        }
        if wallet_nonce.is_some() && claims.wallet_nonce.as_deref() != wallet_nonce {
            return Err(LoginError::Tampered);
        }
        // "Offered" is the answer to a wallet that did not announce number matching. This one
        // always does, so a code that kept it from doing so was tampered with.
        let needs_number = match claims.number_match {
            Some(NumberMatch::Offered) => return Err(LoginError::Tampered),
            Some(NumberMatch::Required) => true,
            None => false,
        };
        if claims.exp.is_some_and(|exp| exp.is_over(now)) {
            return Err(LoginError::Expired);
        }
        if claims.iat.is_some_and(|iat| iat.is_ahead_of(now)) {
            return Err(LoginError::FromTheFuture);
        }
        let site = invitation.did.origin();
        let response_uri = Url::parse(&claims.response_uri).map_err(|_| LoginError::NotARequest)?;
        match Origin::of(&response_uri) {
            Ok(origin) if origin == *site => {}
            Err(OriginError::Insecure) => return Err(LoginError::Insecure),
            _ => return Err(LoginError::AnswerGoesElsewhere),
        }
        let algorithms = supported(&claims)?;
        let site_id = invitation
            .did
            .site_id()
            .map_err(|_| LoginError::UnknownIdentifier)?;
        Ok(Self {
            client_id: claims.client_id,
            did: invitation.did.clone(),
            site_id,
            calls_itself: claims
                .client_metadata
                .client_name
                .and_then(|name| shown(&name, 64)),
            purpose: claims.purpose.and_then(|purpose| shown(&purpose, 300)),
            response_uri,
            algorithms,
            nonce: claims.nonce,
            state: claims.state,
            expires: claims.exp,
            needs_number,
        })
    }

    /// What the pseudonym hangs on: what the site proved to be.
    #[must_use]
    pub fn site_id(&self) -> &SiteId {
        &self.site_id
    }

    /// The proven name, `host[:port]` and a path where there is one: the first thing to show.
    #[must_use]
    pub fn site(&self) -> String {
        self.did.name()
    }

    /// How far that name is proven.
    #[must_use]
    pub fn proof(&self) -> Proof {
        if self.did.origin().is_loopback() {
            Proof::ThisDevice
        } else {
            Proof::WebCertificate
        }
    }

    /// What the site calls itself: its own claim, at most 64 characters, cleaned for display.
    #[must_use]
    pub fn calls_itself(&self) -> Option<&str> {
        self.calls_itself.as_deref()
    }

    /// Why it asks, in its own words: at most 300 characters, cleaned for display.
    #[must_use]
    pub fn purpose(&self) -> Option<&str> {
        self.purpose.as_deref()
    }

    /// All that an approval gives away.
    #[must_use]
    pub fn asks(&self) -> &[Ask] {
        &[Ask::Pseudonym]
    }

    /// Where the answer is sent: scheme, host and port. Always the proven site.
    #[must_use]
    pub fn answer_goes_to(&self) -> String {
        self.did.origin().to_string()
    }

    /// The kinds of key the site takes, the best first. Use the first for a new persona, and stay
    /// with a persona's kind later on: another kind is another pseudonym.
    #[must_use]
    pub fn algorithms(&self) -> &[Algorithm] {
        &self.algorithms
    }

    /// True when the page now shows two digits that [`Consent::approve`] needs.
    #[must_use]
    pub fn needs_number(&self) -> bool {
        self.needs_number
    }

    /// When the request expires, in milliseconds since the Unix epoch, if it says so.
    #[must_use]
    pub fn expires_at(&self) -> Option<u64> {
        self.expires.map(|exp| exp.0.saturating_mul(1000))
    }

    /// The person agreed: signs in as `persona`, with the `number` that the page shows. `now` is
    /// in milliseconds since the Unix epoch. A site takes one answer only.
    ///
    /// # Errors
    /// [`LoginError::NumberNeeded`] without the number, [`LoginError::Expired`] when the person
    /// took too long, [`LoginError::KeyNotAccepted`] for a kind of key the site does not take.
    pub fn approve(
        &self,
        persona: &PersonaKey,
        number: Option<Number>,
        now: u64,
    ) -> Result<(HttpRequest, Sent), LoginError> {
        let now = NumericDate::from_millis(now);
        if self.expires.is_some_and(|exp| exp.is_over(now)) {
            return Err(LoginError::Expired);
        }
        if !self.algorithms.contains(&persona.algorithm()) {
            return Err(LoginError::KeyNotAccepted);
        }
        let number = match (self.needs_number, number) {
            (true, None) => return Err(LoginError::NumberNeeded),
            (true, Some(number)) => Some(number.to_string()),
            (false, _) => None,
        };
        let token = id_token::issue(persona, &self.client_id, &self.nonce, now)
            .ok_or(LoginError::Unsupported)?;
        let mut fields = vec![("id_token", token.as_str())];
        if let Some(number) = &number {
            fields.push((FORM_FIELD, number));
        }
        Ok(self.send(fields))
    }

    /// The person said no: tells the site so (OpenID4VP 1.0 §8.5), and nothing else.
    #[must_use]
    pub fn decline(&self) -> (HttpRequest, Sent) {
        self.send(vec![("error", "access_denied")])
    }

    fn send<'a>(&'a self, mut fields: Vec<(&'a str, &'a str)>) -> (HttpRequest, Sent) {
        if let Some(state) = &self.state {
            fields.push(("state", state));
        }
        let to = self.response_uri.clone();
        (HttpRequest::post(to, "application/json", &fields), Sent)
    }
}

/// Checks that the request asks for a self-issued ID token and nothing more; what key may sign it.
fn supported(claims: &RequestClaims) -> Result<Vec<Algorithm>, LoginError> {
    let metadata = &claims.client_metadata;
    let as_expected = claims.aud.is(AUDIENCE)
        && claims.response_type == "id_token"
        && claims.response_mode == "direct_post"
        && claims.scope.split(' ').any(|scope| scope == "openid")
        && claims.redirect_uri.is_none()
        && claims.transaction_data.is_none()
        && claims.dcql_query.is_none()
        && metadata
            .subject_syntax_types_supported
            .iter()
            .any(|syntax| syntax == THUMBPRINT);
    if !as_expected {
        return Err(LoginError::Unsupported);
    }
    if !is_url_safe(&claims.nonce) || !claims.state.as_deref().is_none_or(is_url_safe) {
        return Err(LoginError::NotARequest);
    }
    let listed = &metadata.id_token_signing_alg_values_supported;
    let algorithms = if listed.is_empty() {
        // SIOPv2 draft 13 §14.1: what a site may expect of any wallet.
        vec![Algorithm::P256]
    } else {
        allowed(listed)
    };
    if algorithms.is_empty() {
        return Err(LoginError::Unsupported);
    }
    Ok(algorithms)
}

/// Shows whom it is about, not what was asked.
impl fmt::Debug for Consent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Consent({})", self.site_id)
    }
}
