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
#[derive(Serialize, Deserialize)]
pub(crate) struct Document {
    #[serde(rename = "@context", default)]
    context: serde_json::Value,
    pub id: String,
    #[serde(rename = "verificationMethod", default)]
    methods: Vec<Method>,
    #[serde(default)]
    authentication: serde_json::Value,
    #[serde(rename = "assertionMethod", default)]
    assertion: serde_json::Value,
}

#[derive(Serialize, Deserialize)]
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
            authentication: serde_json::json!([kid]),
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

    /// The key that `kid`, a DID URL, names, provided that the DID itself controls it.
    pub fn key(&self, kid: &str) -> Option<PublicKey> {
        let absolute = |id: &str| match id.starts_with('#') {
            true => format!("{}{id}", self.id),
            false => id.to_owned(),
        };
        let method = self
            .methods
            .iter()
            .find(|method| method.controller == self.id && absolute(&method.id) == absolute(kid))?;
        Jwk::deserialize(&method.public_key_jwk).ok()?.key()
    }
}

/// The id of a site's key in its own document.
pub(crate) fn key_id(did: &DidWeb, key: &PublicKey) -> String {
    format!("{}#{}", did.did, thumbprint(key))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
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

    #[test]
    fn a_key_is_found_by_its_id_and_owner() {
        let did = DidWeb::parse("did:web:shop.example").unwrap();
        let key = PublicKey::Ed25519([3; 32]);
        let text = serde_json::to_string(&Document::new(&did, &key)).unwrap();
        let document = Document::parse(text.as_bytes()).unwrap();
        let kid = key_id(&did, &key);
        assert_eq!(document.key(&kid), Some(key));
        assert_eq!(document.key("did:web:shop.example#other"), None);
        let stolen = text.replace(
            r#""controller":"did:web:shop.example""#,
            r#""controller":"did:web:other.example""#,
        );
        assert_eq!(Document::parse(stolen.as_bytes()).unwrap().key(&kid), None);
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
