//! Public keys as JSON (RFC 7517, RFC 8037 for Ed25519) and their thumbprints (RFC 7638).

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use twin_identity::pseudonym::PublicKey;

/// A public JWK: the required members of the two kinds of key used here and no others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jwk {
    crv: String,
    kty: String,
    x: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    y: Option<String>,
}

impl Jwk {
    /// The key in JSON form.
    #[must_use]
    pub fn new(key: &PublicKey) -> Self {
        let crv = key.algorithm().curve().to_owned();
        match key {
            PublicKey::Ed25519(x) => Self {
                crv,
                kty: "OKP".to_owned(),
                x: BASE64URL_NOPAD.encode(x),
                y: None,
            },
            PublicKey::P256 { x, y } => Self {
                crv,
                kty: "EC".to_owned(),
                x: BASE64URL_NOPAD.encode(x),
                y: Some(BASE64URL_NOPAD.encode(y)),
            },
        }
    }

    /// The key, or `None` when it is of another kind or its numbers are not 32 bytes each.
    #[must_use]
    pub fn key(&self) -> Option<PublicKey> {
        match (self.kty.as_str(), self.crv.as_str(), &self.y) {
            ("OKP", "Ed25519", None) => Some(PublicKey::Ed25519(bytes(&self.x)?)),
            ("EC", "P-256", Some(y)) => Some(PublicKey::P256 {
                x: bytes(&self.x)?,
                y: bytes(y)?,
            }),
            _ => None,
        }
    }
}

/// The RFC 7638 thumbprint of a key, base64url: 43 characters. It is the subject a site knows a
/// person by (SIOPv2 draft 13 §11).
#[must_use]
pub fn thumbprint(key: &PublicKey) -> String {
    let jwk = Jwk::new(key);
    // RFC 7638 §3: the required members in the order of their names, without blanks. Curve names
    // and base64url need no escapes.
    let canonical = match &jwk.y {
        None => format!(
            r#"{{"crv":"{}","kty":"{}","x":"{}"}}"#,
            jwk.crv, jwk.kty, jwk.x
        ),
        Some(y) => format!(
            r#"{{"crv":"{}","kty":"{}","x":"{}","y":"{y}"}}"#,
            jwk.crv, jwk.kty, jwk.x
        ),
    };
    BASE64URL_NOPAD.encode(&Sha256::digest(canonical))
}

fn bytes(text: &str) -> Option<[u8; 32]> {
    // 43 characters are 32 bytes; anything else is refused before it is decoded.
    if text.len() != 43 {
        return None;
    }
    BASE64URL_NOPAD
        .decode(text.as_bytes())
        .ok()?
        .try_into()
        .ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// RFC 8037 appendix A.2 and A.3.
    #[test]
    fn the_thumbprint_of_rfc_8037() {
        let text =
            r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
        let jwk: Jwk = serde_json::from_str(text).unwrap();
        assert_eq!(
            thumbprint(&jwk.key().unwrap()),
            "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
        );
    }

    #[test]
    fn keys_survive_json() {
        for key in [
            PublicKey::Ed25519([7; 32]),
            PublicKey::P256 {
                x: [1; 32],
                y: [2; 32],
            },
        ] {
            let text = serde_json::to_string(&Jwk::new(&key)).unwrap();
            assert_eq!(serde_json::from_str::<Jwk>(&text).unwrap().key(), Some(key));
        }
    }

    #[test]
    fn foreign_and_malformed_keys_are_no_keys() {
        for text in [
            r#"{"kty":"RSA","crv":"","x":""}"#,
            r#"{"kty":"OKP","crv":"X25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
            r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHUR"}"#,
            r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
            r#"{"kty":"EC","crv":"P-256","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
        ] {
            let jwk: Jwk = serde_json::from_str(text).unwrap();
            assert_eq!(jwk.key(), None, "{text}");
        }
    }
}
