//! The site side: asks for a login, checks the answer, learns a pseudonym and nothing else.

mod answer;
mod attempt;
mod refusal;

pub use answer::Subject;
pub use attempt::{Attempt, Fetch, LIFETIME_MS, Progress};
pub use refusal::Refusal;

use twin_identity::pseudonym::SiteKey;

use crate::did_web::{DidWeb, Document, key_id};
use crate::origin::{Origin, OriginError};
use crate::request::PREFIX;
use crate::text::shown;

/// One site: its name, where it lives and the key that it signs its requests with.
///
/// It serves three things, and says here what: its DID document at [`DidWeb::document_url`], the
/// request object at [`Site::request_uri`] and the place for answers at [`Site::response_uri`].
#[derive(Debug)]
pub struct Site {
    did: DidWeb,
    client_id: String,
    kid: String,
    key: SiteKey,
    name: String,
    purpose: String,
}

impl Site {
    /// A site at `origin` that calls itself `name` and says in one sentence what a login is for.
    ///
    /// # Errors
    /// [`OriginError`] when `did:web` cannot name the origin; see [`DidWeb::of_site`].
    pub fn new(
        origin: &Origin,
        name: &str,
        purpose: &str,
        key: SiteKey,
    ) -> Result<Self, OriginError> {
        let did = DidWeb::of_site(origin)?;
        Ok(Self {
            client_id: format!("{PREFIX}{}", did.as_str()),
            kid: key_id(&did, &key.public()),
            name: shown(name, 64).unwrap_or_else(|| origin.authority()),
            purpose: shown(purpose, 300).unwrap_or_default(),
            did,
            key,
        })
    }

    /// Where the site lives.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        self.did.origin()
    }

    /// What the site calls itself.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The full client id, which answers must be addressed to.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// The path of the DID document, and its JSON text to serve there as `application/did+json`.
    #[must_use]
    pub fn did_document(&self) -> (&str, String) {
        let document = Document::new(&self.did, &self.key.public());
        let text = serde_json::to_string(&document).unwrap_or_default();
        (self.did.document_url().path(), text)
    }

    /// Where the request object of the attempt `id` is to be served, by GET and by POST.
    #[must_use]
    pub fn request_uri(&self, id: &str) -> String {
        format!("{}/login/request/{id}", self.origin())
    }

    /// Where the answer to the attempt `id` is to be taken, by POST.
    #[must_use]
    pub fn response_uri(&self, id: &str) -> String {
        format!("{}/login/answer/{id}", self.origin())
    }
}

#[cfg(test)]
mod tests;
