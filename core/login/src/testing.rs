//! A site and a wallet in one room, for the tests.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use chacha20_rng::ChaCha20Rng;
use chacha20_rng::rand_core::SeedableRng as _;
use twin_identity::pseudonym::{Algorithm, PersonaKey, PseudonymRoot, SiteKey};

use crate::Number;
use crate::http::{HttpReply, HttpRequest};
use crate::origin::Origin;
use crate::site::{Attempt, Fetch, Progress, Site};
use crate::wallet::{Consent, Invitation, KeyFetch, LoginError, RequestFetch};

/// Some moment in 2026, in milliseconds.
pub const NOW: u64 = 1_795_000_000_000;

pub fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

pub fn ok(body: &str) -> HttpReply<'_> {
    HttpReply {
        status: 200,
        body: body.as_bytes(),
    }
}

/// A site that waits for one login.
pub struct Shop {
    pub site: Site,
    pub attempt: Attempt,
    pub rng: ChaCha20Rng,
}

impl Shop {
    pub fn at(origin: &str) -> Self {
        let mut rng = rng(1);
        let key = SiteKey::generate(&mut rng);
        let site = Site::new(
            &Origin::parse(origin).unwrap(),
            "Example Shop",
            "To keep your basket",
            key,
        );
        Self {
            site: site.unwrap(),
            attempt: Attempt::start(NOW, &mut rng),
            rng,
        }
    }

    pub fn new() -> Self {
        Self::at("https://shop.example")
    }

    /// A wallet that has read the code and asks for the site's keys.
    pub fn key_fetch(&self) -> KeyFetch {
        let code = self.attempt.code(&self.site);
        Invitation::parse(&code).unwrap().ask_key().1
    }

    /// A wallet that knows the site's keys and asks for the request.
    pub fn scan(&mut self) -> (HttpRequest, RequestFetch) {
        let fetch = self.key_fetch();
        let document = self.site.did_document().1;
        fetch.received(&ok(&document), &mut self.rng).unwrap()
    }

    /// The request object for what a wallet wants fetched.
    pub fn serve(&mut self, request: &HttpRequest) -> String {
        let fetch = match request.form() {
            Some(form) => Fetch::Post(form.as_bytes()),
            None => Fetch::Get,
        };
        self.attempt
            .serve(&self.site, fetch, NOW, &mut self.rng)
            .unwrap()
    }

    pub fn consent(&mut self) -> Consent {
        let (request, fetch) = self.scan();
        let object = self.serve(&request);
        fetch.received(&ok(&object), NOW).unwrap()
    }

    /// The number that the page shows.
    pub fn number(&self) -> Option<Number> {
        match self.attempt.progress(NOW) {
            Progress::Fetched(number) => number,
            _ => None,
        }
    }

    /// The form that a wallet sends after an honest scan.
    pub fn approved(&mut self, persona: &PersonaKey) -> String {
        let consent = self.consent();
        let (request, _) = consent.approve(persona, self.number(), NOW).unwrap();
        request.form().unwrap().to_owned()
    }

    /// What the wallet makes of a request object with other claims, signed by the site itself.
    pub fn consent_to(
        &mut self,
        change: impl FnOnce(&mut serde_json::Value),
    ) -> Result<Consent, LoginError> {
        let (request, fetch) = self.scan();
        let object = self.serve(&request);
        let token = crate::jws::Token::parse(object.as_bytes()).unwrap();
        let mut claims = serde_json::from_slice(&token.payload).unwrap();
        change(&mut claims);
        let key = &self.site_key();
        let typ = token.header.typ.unwrap();
        let object = crate::jws::sign(&key.public(), &typ, token.header.kid, &claims, |bytes| {
            key.sign(bytes)
        });
        fetch.received(&ok(&object.unwrap()), NOW)
    }

    /// The key that [`Shop::at`] made.
    pub fn site_key(&self) -> SiteKey {
        SiteKey::generate(&mut rng(1))
    }
}

pub fn persona(site: &str, algorithm: Algorithm) -> PersonaKey {
    PseudonymRoot::from_bytes([5; 32]).persona(&site.parse().unwrap(), 0, 0, algorithm)
}

pub fn ada() -> PersonaKey {
    persona("did:web:shop.example", Algorithm::Ed25519)
}
