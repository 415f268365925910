//! One attempt to log in: from the code on the page to its one answer.

use data_encoding::BASE64URL_NOPAD;
use rand_core::CryptoRng;

use crate::http::Fields;
use crate::jws;
use crate::number::{FORM_FIELD, Number, NumberMatch};
use crate::request::{
    AUDIENCE, Announced, Audience, ClientMetadata, RequestClaims, THUMBPRINT, TYPE, is_url_safe,
};
use crate::time::NumericDate;

use super::answer::{Expected, Subject, check};
use super::{Refusal, Site};

/// How long a code is good, in milliseconds.
pub const LIFETIME_MS: u64 = 5 * 60 * 1000;

/// An honest wallet fetches once, and again when the line was bad. One fetch more ends the attempt.
const MAX_FETCHES: u8 = 8;

/// One login being waited for.
///
/// Whoever sees its code can fetch the request, and so decline it, spoil the fetch of the person
/// by one of his own, or wear the code out. That ends this one attempt, which the page then says
/// and offers a new code; it lets nobody in.
#[derive(Debug)]
pub struct Attempt {
    id: String,
    state: String,
    started: u64,
    fetches: u8,
    asked: Option<Asked>,
    outcome: Option<Result<Subject, Refusal>>,
}

/// What the newest fetch was given. Only an answer to that one counts: otherwise somebody could
/// let a victim fetch, and then fetch again until the page shows the number he told the victim.
#[derive(Debug)]
struct Asked {
    nonce: String,
    number: Option<Number>,
}

/// How the request object is fetched.
#[derive(Clone, Copy, Debug)]
pub enum Fetch<'a> {
    /// By GET (RFC 9101 §5.2).
    Get,
    /// By POST with this form (OpenID4VP 1.0 §5.10).
    Post(&'a [u8]),
}

/// How far an attempt has come: what the page shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The code waits to be scanned.
    Waiting,
    /// A phone has the request; its person types this number, if there is one. Another fetch
    /// makes another number.
    Fetched(Option<Number>),
    /// The person is here.
    SignedIn(Subject),
    /// Nothing more will come of it.
    Ended(Refusal),
}

impl Attempt {
    /// A new attempt at `now`, in milliseconds since the Unix epoch. Its secrets have 128 bits each.
    pub fn start<R: CryptoRng + ?Sized>(now: u64, rng: &mut R) -> Self {
        Self {
            id: token(rng),
            state: token(rng),
            started: now,
            fetches: 0,
            asked: None,
            outcome: None,
        }
    }

    /// Names this attempt in its addresses: 22 URL-safe characters.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// When the code expires, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn expires_at(&self) -> u64 {
        self.started.saturating_add(LIFETIME_MS)
    }

    /// The text of the QR code (OpenID4VP 1.0 §5.7, §13.1.2). Only what a query must escape is
    /// escaped (RFC 3986 §3.4), which makes the picture coarser and easier to scan.
    #[must_use]
    pub fn code(&self, site: &Site) -> String {
        // A did:web and our own addresses hold no other character that means something in a query.
        let client_id = site.client_id().replace('%', "%25");
        let request_uri = site.request_uri(&self.id);
        format!(
            "openid4vp://?client_id={client_id}&request_uri={request_uri}&request_uri_method=post"
        )
    }

    /// What to show at `now`.
    #[must_use]
    pub fn progress(&self, now: u64) -> Progress {
        match &self.outcome {
            Some(Ok(subject)) => Progress::SignedIn(subject.clone()),
            Some(Err(refusal)) => Progress::Ended(*refusal),
            None if now >= self.expires_at() => Progress::Ended(Refusal::Expired),
            None => match &self.asked {
                Some(asked) => Progress::Fetched(asked.number),
                None => Progress::Waiting,
            },
        }
    }

    /// A wallet fetches the request: the signed request object, to be served as
    /// [`crate::http::REQUEST_OBJECT`]. A wallet that announces number matching gets a number.
    /// An answer to any earlier fetch no longer counts.
    ///
    /// # Errors
    /// [`Refusal`] when the attempt is over or the wallet's form cannot be read.
    pub fn serve<R: CryptoRng + ?Sized>(
        &mut self,
        site: &Site,
        fetch: Fetch<'_>,
        now: u64,
        rng: &mut R,
    ) -> Result<String, Refusal> {
        self.check_open(now)?;
        if self.fetches >= MAX_FETCHES {
            return Err(self.end(Refusal::TooManyFetches));
        }
        let wallet = Wallet::read(fetch)?;
        let previous = self.asked.as_ref().and_then(|asked| asked.number);
        let number = match (wallet.number_match, previous) {
            (true, previous) => Some(Number::fresh(previous, rng)),
            (false, None) => None,
            (false, Some(_)) => return Err(Refusal::NumberUnsupported),
        };
        let nonce = token(rng);
        self.fetches += 1;
        let claims = self.claims(site, wallet, nonce.clone(), NumericDate::from_millis(now));
        self.asked = Some(Asked { nonce, number });
        let kid = Some(site.kid.clone());
        jws::sign(&site.key.public(), TYPE, kid, &claims, |bytes| {
            site.key.sign(bytes)
        })
        .ok_or(Refusal::Malformed)
    }

    fn claims(
        &self,
        site: &Site,
        wallet: Wallet,
        nonce: String,
        now: NumericDate,
    ) -> RequestClaims {
        let both = || vec!["EdDSA".to_owned(), "ES256".to_owned()];
        RequestClaims {
            client_id: site.client_id.clone(),
            aud: Audience::One(AUDIENCE.to_owned()),
            response_type: "id_token".to_owned(),
            response_mode: "direct_post".to_owned(),
            response_uri: site.response_uri(&self.id),
            scope: "openid".to_owned(),
            nonce,
            state: Some(self.state.clone()),
            iat: Some(now),
            exp: Some(NumericDate::from_millis(self.expires_at())),
            wallet_nonce: wallet.nonce,
            client_metadata: ClientMetadata {
                client_name: Some(site.name.clone()),
                subject_syntax_types_supported: vec![THUMBPRINT.to_owned()],
                id_token_signing_alg_values_supported: both(),
                vp_formats_supported: serde_json::Map::new(),
            },
            purpose: Some(site.purpose.clone()).filter(|purpose| !purpose.is_empty()),
            number_match: Some(match wallet.number_match {
                true => NumberMatch::Required,
                false => NumberMatch::Offered,
            }),
            redirect_uri: None,
            transaction_data: None,
            dcql_query: None,
        }
    }

    /// The wallet's answer, a form. On success the reply is `{}` with status 200, as
    /// `application/json`; on a refusal [`Refusal::body`] with [`Refusal::status`].
    ///
    /// An answer that does not hold leaves the attempt open, so that a stranger cannot end it; a
    /// wrong number or a "no" from someone who knows its `state` ends it.
    ///
    /// # Errors
    /// [`Refusal`], each reason its own.
    pub fn answer(&mut self, site: &Site, form: &[u8], now: u64) -> Result<&Subject, Refusal> {
        self.check_open(now)?;
        let fields = Fields::parse(form).ok_or(Refusal::Malformed)?;
        if fields.get("state") != Some(&self.state) {
            return Err(Refusal::WrongState);
        }
        if fields.get("error").is_some() {
            return Err(self.end(Refusal::Declined));
        }
        let token = fields.get("id_token").ok_or(Refusal::Malformed)?;
        let asked = self.asked.as_ref().ok_or(Refusal::WrongNonce)?;
        let expected = Expected {
            client_id: site.client_id(),
            nonce: &asked.nonce,
            not_before: NumericDate::from_millis(self.started),
        };
        let subject = check(token, &expected, NumericDate::from_millis(now))?;
        if let Some(number) = asked.number {
            let typed = fields.get(FORM_FIELD).and_then(|text| text.parse().ok());
            if typed != Some(number) {
                return Err(self.end(Refusal::WrongNumber));
            }
        }
        self.outcome
            .insert(Ok(subject))
            .as_ref()
            .map_err(|refusal| *refusal)
    }

    /// Ends the attempt, for the reason that the page then shows.
    fn end(&mut self, refusal: Refusal) -> Refusal {
        self.outcome = Some(Err(refusal));
        refusal
    }

    fn check_open(&self, now: u64) -> Result<(), Refusal> {
        match &self.outcome {
            Some(_) => Err(Refusal::AlreadyAnswered),
            None if now >= self.expires_at() => Err(Refusal::Expired),
            None => Ok(()),
        }
    }
}

/// A fresh secret of 128 bits: 22 URL-safe characters.
fn token<R: CryptoRng + ?Sized>(rng: &mut R) -> String {
    let mut bytes = [0; 16];
    rng.fill_bytes(&mut bytes);
    BASE64URL_NOPAD.encode(&bytes)
}

/// What a wallet said of itself.
#[derive(Default)]
struct Wallet {
    number_match: bool,
    nonce: Option<String>,
}

impl Wallet {
    fn read(fetch: Fetch<'_>) -> Result<Self, Refusal> {
        let Fetch::Post(form) = fetch else {
            return Ok(Self::default());
        };
        let fields = Fields::parse(form).ok_or(Refusal::Malformed)?;
        let number_match = match fields.get("wallet_metadata") {
            None => false,
            Some(json) => {
                let announced: Announced =
                    serde_json::from_str(json).map_err(|_| Refusal::Malformed)?;
                announced.number_match
            }
        };
        let nonce = fields.get("wallet_nonce");
        if nonce.is_some_and(|nonce| !is_url_safe(nonce)) {
            return Err(Refusal::Malformed);
        }
        Ok(Self {
            number_match,
            nonce: nonce.map(str::to_owned),
        })
    }
}
