//! What a QR code says: who asks, and where the request is.

use url::Url;

use crate::did_web::DidWeb;
use crate::http::{Fields, HttpRequest};
use crate::origin::{Origin, OriginError};
use crate::request::PREFIX;

use super::{KeyFetch, LoginError};

/// The schemes a login code may have: OpenID4VP 1.0 §13.1.2, SIOPv2 draft 13 §14.1.
const SCHEMES: [&str; 4] = ["openid4vp", "openid", "siopv2", "haip-vp"];

/// The longest code: SIOPv2 asks for at most 2048 characters.
const MAX_BYTES: usize = 2048;

/// A login code that was read. Nothing in it is proven; only the named site will be contacted.
#[derive(Debug)]
pub struct Invitation {
    pub(super) client_id: String,
    pub(super) did: DidWeb,
    pub(super) request_uri: Url,
    pub(super) by_post: bool,
}

impl Invitation {
    /// Reads the text of a QR code (or of the copied login code).
    ///
    /// # Errors
    /// [`LoginError`] for a foreign, cut, malformed or unsafe code.
    pub fn parse(text: &str) -> Result<Self, LoginError> {
        let text = text.trim();
        if text
            .get(..5)
            .is_some_and(|start| start.eq_ignore_ascii_case("TWIN:"))
        {
            return Err(LoginError::LinkCode);
        }
        let (scheme, rest) = text.split_once(':').ok_or(LoginError::NotALogin)?;
        if !SCHEMES
            .iter()
            .any(|known| scheme.eq_ignore_ascii_case(known))
        {
            return Err(LoginError::NotALogin);
        }
        if text.len() > MAX_BYTES {
            return Err(LoginError::Malformed);
        }
        let (_, query) = rest.split_once('?').ok_or(LoginError::CutShort)?;
        // Cut inside the name `request_uri_method`, it would look like a second `request_uri`.
        if query.ends_with("&request_uri") {
            return Err(LoginError::CutShort);
        }
        let fields = Fields::parse(query.as_bytes()).ok_or(LoginError::Malformed)?;

        let client_id = fields.get("client_id").ok_or(LoginError::CutShort)?;
        let request_uri = fields.get("request_uri").ok_or(LoginError::CutShort)?;
        let by_post = match fields.get("request_uri_method") {
            None | Some("get") => false,
            Some("post") => true,
            Some(cut) if "post".starts_with(cut) || "get".starts_with(cut) => {
                return Err(LoginError::CutShort);
            }
            Some(_) => return Err(LoginError::Malformed),
        };
        let did = client_id
            .strip_prefix(PREFIX)
            .ok_or(LoginError::UnknownIdentifier)?;
        let did = DidWeb::parse(did)?;
        let request_uri = Url::parse(request_uri).map_err(|_| LoginError::CutShort)?;
        match Origin::of(&request_uri) {
            Ok(origin) if origin == *did.origin() => {}
            Err(OriginError::Insecure) => return Err(LoginError::Insecure),
            _ => return Err(LoginError::LeadsElsewhere),
        }
        Ok(Self {
            client_id: client_id.to_owned(),
            did,
            request_uri,
            by_post,
        })
    }

    /// The site that the code names, unproven: see [`DidWeb::name`].
    #[must_use]
    pub fn site(&self) -> String {
        self.did.name()
    }

    /// What to fetch first: the site's DID document, at the one place where the DID says it is.
    #[must_use]
    pub fn ask_key(self) -> (HttpRequest, KeyFetch) {
        let document = self.did.document_url().clone();
        let request = HttpRequest::get(document, "application/did+json, application/json");
        (request, KeyFetch { invitation: self })
    }
}
