//! `did:web`: a DID that is a web site's name, its key in a JSON file on that site.
//!
//! <https://w3c-ccg.github.io/did-method-web/>: `did:web:host[%3Aport][:path…]` resolves to
//! `https://host[:port]/.well-known/did.json`, or `…/path…/did.json`. Two things are ours: a
//! loopback host resolves by plain http, and is the only one that may be an IP address.

use serde::{Deserialize, Serialize};
use twin_identity::pseudonym::{PublicKey, SiteId, SiteIdError};
use url::Url;

use crate::http::MAX_BODY_BYTES;
use crate::jwk::{Jwk, thumbprint};
use crate::origin::{Origin, OriginError};

/// A `did:web` identifier in its one canonical spelling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DidWeb {
    did: String,
    origin: Origin,
    document: Url,
}

impl DidWeb {
    /// Reads a DID. A host in capitals and a `%3a` are forgiven and canonicalised, so that one
    /// site has one pseudonym; escapes in the path and dot segments are not.
    ///
    /// # Errors
    /// [`OriginError`] when it is not a `did:web` of a host that a login may use.
    pub fn parse(did: &str) -> Result<Self, OriginError> {
        let name = did.strip_prefix("did:web:").ok_or(OriginError::NotASite)?;
        let mut parts = name.split(':');
        let authority = parts.next().unwrap_or_default().replace("%3a", "%3A");
        let (host, port) = match authority.split_once("%3A") {
            Some((host, port)) => (host, Some(port)),
            None => (authority.as_str(), None),
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
        if host.is_empty() || !host.chars().all(plain) {
            return Err(OriginError::NotASite);
        }
        let secure = match port {
            Some(port) => Url::parse(&format!("https://{host}:{port}/")),
            None => Url::parse(&format!("https://{host}/")),
        };
        let mut url = secure.map_err(|_| OriginError::NotASite)?;
        let is_ip = !matches!(url.host(), Some(url::Host::Domain(_)));
        if Origin::of(&url)?.is_loopback() {
            let _ = url.set_scheme("http");
        } else if is_ip {
            return Err(OriginError::NotASite);
        }
        let path: Vec<&str> = parts.collect();
        let segment_ok = |s: &str| {
            !s.is_empty() && !matches!(s, "." | "..") && s.chars().all(|c| plain(c) || c == '_')
        };
        if !path.iter().copied().all(segment_ok) {
            return Err(OriginError::NotASite);
        }
        Self::build(Origin::of(&url)?, &path)
    }

    /// The DID of a whole site.
    ///
    /// # Errors
    /// [`OriginError`] when the site has a host that `did:web` cannot name (an IP address that is
    /// not loopback IPv4) or a scheme that does not fit it.
    pub fn of_site(origin: &Origin) -> Result<Self, OriginError> {
        let did = Self::build(origin.clone(), &[])?;
        let read_back = Self::parse(&did.did)?;
        if read_back == did {
            Ok(did)
        } else {
            Err(OriginError::NotASite)
        }
    }

    fn build(origin: Origin, path: &[&str]) -> Result<Self, OriginError> {
        let mut did = format!("did:web:{}", origin.authority().replace(':', "%3A"));
        for segment in path {
            did.push(':');
            did.push_str(segment);
        }
        let place = if path.is_empty() {
            ".well-known".to_owned()
        } else {
            path.join("/")
        };
        let document =
            Url::parse(&format!("{origin}/{place}/did.json")).map_err(|_| OriginError::NotASite)?;
        Ok(Self {
            did,
            origin,
            document,
        })
    }

    /// The DID's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.did
    }

    /// The site in words for a person: `host[:port]`, and the path of a DID that is one part of a site.
    #[must_use]
    pub fn name(&self) -> String {
        let path = self.document.path();
        let path = path.strip_suffix("/did.json").unwrap_or(path);
        let path = path.strip_prefix("/.well-known").unwrap_or(path);
        format!("{}{path}", self.origin.authority())
    }

    /// The site that serves its document.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Where its document is.
    #[must_use]
    pub fn document_url(&self) -> &Url {
        &self.document
    }

    /// What a pseudonym at this site hangs on.
    ///
    /// # Errors
    /// [`SiteIdError`] when the DID is longer than a site id may be.
    pub fn site_id(&self) -> Result<SiteId, SiteIdError> {
        SiteId::did(&self.did)
    }
}

/// A DID document: as much of DID Core §5 as a login needs.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Document {
    #[serde(rename = "@context", default)]
    context: serde_json::Value,
    pub id: String,
    #[serde(rename = "verificationMethod", default)]
    methods: Vec<Method>,
    #[serde(default)]
    authentication: Vec<Authentication>,
    #[serde(rename = "assertionMethod", default)]
    assertion: serde_json::Value,
}

/// A method that may speak for the site (DID Core §5.3.1): named, or written out in place.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Authentication {
    Named(String),
    Embedded(Method),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Method {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    controller: String,
    #[serde(default)]
    public_key_jwk: serde_json::Value,
}

impl Document {
    /// The document of a site with one key. The key's id is its thumbprint.
    pub fn new(did: &DidWeb, key: &PublicKey) -> Self {
        let kid = key_id(did, key);
        Self {
            context: serde_json::json!([
                "https://www.w3.org/ns/did/v1",
                "https://w3id.org/security/jwk/v1"
            ]),
            id: did.did.clone(),
            methods: vec![Method {
                id: kid.clone(),
                kind: "JsonWebKey".to_owned(),
                controller: did.did.clone(),
                public_key_jwk: serde_json::json!(Jwk::new(key)),
            }],
            authentication: vec![Authentication::Named(kid.clone())],
            assertion: serde_json::json!([kid]),
        }
    }

    /// Reads a document of at most [`MAX_BODY_BYTES`].
    pub fn parse(body: &[u8]) -> Option<Self> {
        if body.len() > MAX_BODY_BYTES {
            return None;
        }
        serde_json::from_slice(body).ok()
    }

    /// The key that `kid`, a DID URL, names, provided that it may speak for the site: listed under
    /// `authentication` and controlled by the DID itself. A key listed for another use may not.
    pub fn key(&self, kid: &str) -> Option<PublicKey> {
        let kid = self.relative(kid);
        self.speakers()
            .find(|method| self.relative(&method.id) == kid)?
            .key()
    }

    /// True when [`Document::key`] could ever find one.
    pub fn has_key(&self) -> bool {
        self.speakers().any(|method| method.key().is_some())
    }

    fn speakers(&self) -> impl Iterator<Item = &Method> {
        let methods = self.authentication.iter().filter_map(|entry| match entry {
            Authentication::Embedded(method) => Some(method),
            Authentication::Named(id) => {
                let same = |method: &&Method| self.relative(&method.id) == self.relative(id);
                self.methods.iter().find(same)
            }
        });
        methods.filter(|method| method.controller == self.id)
    }

    /// `#fragment` for a DID URL of this document, whichever way it is written.
    fn relative<'a>(&self, id: &'a str) -> &'a str {
        match id.strip_prefix(self.id.as_str()) {
            Some(fragment) if fragment.starts_with('#') => fragment,
            _ => id,
        }
    }
}

impl Method {
    fn key(&self) -> Option<PublicKey> {
        Jwk::deserialize(&self.public_key_jwk).ok()?.key()
    }
}

/// The id of a site's key in its own document.
pub(crate) fn key_id(did: &DidWeb, key: &PublicKey) -> String {
    format!("{}#{}", did.did, thumbprint(key))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn dids_lead_to_their_documents() {
        for (did, url) in [
            (
                "did:web:shop.example",
                "https://shop.example/.well-known/did.json",
            ),
            (
                "did:web:shop.example%3A8443",
                "https://shop.example:8443/.well-known/did.json",
            ),
            (
                "did:web:shop.example:users:ada",
                "https://shop.example/users/ada/did.json",
            ),
            (
                "did:web:localhost%3A8080",
                "http://localhost:8080/.well-known/did.json",
            ),
            (
                "did:web:127.0.0.1%3A8080",
                "http://127.0.0.1:8080/.well-known/did.json",
            ),
        ] {
            let parsed = DidWeb::parse(did).unwrap();
            assert_eq!(parsed.document_url().as_str(), url);
            assert_eq!(parsed.as_str(), did);
            assert_eq!(parsed.site_id().unwrap().as_str(), did);
            let name = url.split_once("://").unwrap().1.replace("/.well-known", "");
            assert_eq!(Some(parsed.name().as_str()), name.strip_suffix("/did.json"));
        }
    }

    #[test]
    fn one_site_has_one_spelling() {
        let one = DidWeb::parse("did:web:shop.example").unwrap();
        for other in [
            "did:web:Shop.Example",
            "did:web:shop.example%3A443",
            "did:web:shop.example%3a443",
        ] {
            assert_eq!(DidWeb::parse(other).unwrap(), one, "{other}");
        }
    }

    #[test]
    fn what_is_no_site_is_refused() {
        for did in [
            "",
            "did:web:",
            "did:key:z6Mk",
            "did:web:10.0.0.1",
            "did:web:shop.example%3A99999",
            "did:web:user@shop.example",
            "did:web:shop.example/x",
            "did:web:shop.example:..:x",
            "did:web:shop.example::x",
            "did:web:shop.example:%2e%2e",
            "did:web:[::1]",
            "did:web:a b",
        ] {
            assert!(DidWeb::parse(did).is_err(), "{did}");
        }
        assert!(DidWeb::of_site(&Origin::parse("https://localhost:1").unwrap()).is_err());
        assert!(DidWeb::of_site(&Origin::parse("http://[::1]:1").unwrap()).is_err());
    }

    /// Our own document, changed as JSON.
    fn document(change: impl FnOnce(&mut serde_json::Value)) -> Document {
        let did = DidWeb::parse("did:web:shop.example").unwrap();
        let mut json = serde_json::json!(Document::new(&did, &KEY));
        change(&mut json);
        Document::parse(json.to_string().as_bytes()).unwrap()
    }

    const KEY: PublicKey = PublicKey::Ed25519([3; 32]);

    #[test]
    fn a_key_is_found_by_its_id_and_owner() {
        let ours = document(|_| ());
        let kid = key_id(&DidWeb::parse(&ours.id).unwrap(), &KEY);
        let (_, fragment) = kid.split_once('#').unwrap();
        assert!(ours.has_key());
        assert_eq!(ours.key(&kid), Some(KEY));
        assert_eq!(ours.key(&format!("#{fragment}")), Some(KEY));
        assert_eq!(ours.key("did:web:shop.example#other"), None);
        assert_eq!(ours.key(&format!("did:web:other.example#{fragment}")), None);
        let stolen = document(|json| {
            json["verificationMethod"][0]["controller"] = "did:web:other.example".into();
        });
        assert!(!stolen.has_key() && stolen.key(&kid).is_none());
    }

    #[test]
    fn only_a_key_for_authentication_speaks_for_the_site() {
        let kid = key_id(&DidWeb::parse("did:web:shop.example").unwrap(), &KEY);
        for listed in [serde_json::json!([]), serde_json::json!(["#other"])] {
            let other_use = document(|json| json["authentication"] = listed);
            assert!(!other_use.has_key() && other_use.key(&kid).is_none());
        }
        let embedded = document(|json| {
            json["authentication"] = json["verificationMethod"].take();
            json["verificationMethod"] = serde_json::json!([]);
        });
        assert!(embedded.has_key());
        assert_eq!(embedded.key(&kid), Some(KEY));
    }

    proptest! {
        #[test]
        fn no_did_makes_it_panic(did in ".{0,80}") {
            let _ = DidWeb::parse(&did);
            let _ = DidWeb::parse(&format!("did:web:{did}"));
        }

        #[test]
        fn what_is_read_is_canonical(did in "did:web:[a-zA-Z0-9.-]{1,20}(%3[aA][0-9]{1,5})?(:[a-z.]{1,5}){0,2}") {
            if let Ok(parsed) = DidWeb::parse(&did) {
                prop_assert_eq!(DidWeb::parse(parsed.as_str()), Ok(parsed.clone()));
                prop_assert!(parsed.site_id().is_ok());
            }
        }

        #[test]
        fn no_document_makes_it_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Document::parse(&body);
        }
    }
}
