//! Compact JWS (RFC 7515 §3.1): `base64url(header).base64url(payload).base64url(signature)`.

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};
use twin_identity::pseudonym::{Algorithm, PublicKey};

use crate::http::MAX_BODY_BYTES;

/// The names of an algorithm in JOSE; the first is the one to write. RFC 9864 renames `EdDSA`.
pub(crate) fn names(algorithm: Algorithm) -> &'static [&'static str] {
    match algorithm {
        Algorithm::Ed25519 => &["EdDSA", "Ed25519"],
        Algorithm::P256 => &["ES256"],
    }
}

/// The algorithms a list of JOSE names allows, ours first.
pub(crate) fn allowed(listed: &[String]) -> Vec<Algorithm> {
    [Algorithm::Ed25519, Algorithm::P256]
        .into_iter()
        .filter(|algorithm| {
            let names = names(*algorithm);
            listed.iter().any(|name| names.contains(&name.as_str()))
        })
        .collect()
}

/// The protected header: the members that are read here.
#[derive(Serialize, Deserialize)]
pub(crate) struct Header {
    pub alg: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub typ: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub kid: Option<String>,
    /// RFC 7515 §4.1.11: extensions that must be understood. None is, so any is refused.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    crit: Option<serde_json::Value>,
}

/// Why a token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JwsError {
    /// Not a compact JWS, too large, or with a header that must not be ignored.
    Malformed,
    /// Signed in another way than the key is made for.
    Algorithm,
    /// The signature does not hold.
    Signature,
}

/// Signs `payload` for `key`'s public half; `sign` makes the 64-byte signature.
pub(crate) fn sign(
    key: &PublicKey,
    typ: &str,
    kid: Option<String>,
    payload: &impl Serialize,
    sign: impl FnOnce(&[u8]) -> [u8; 64],
) -> Option<String> {
    let alg = names(key.algorithm()).first()?;
    let header = Header {
        alg: (*alg).to_owned(),
        typ: Some(typ.to_owned()),
        kid,
        crit: None,
    };
    let part = |json: Vec<u8>| BASE64URL_NOPAD.encode(&json);
    let mut token = part(serde_json::to_vec(&header).ok()?);
    token.push('.');
    token.push_str(&part(serde_json::to_vec(payload).ok()?));
    let signature = sign(token.as_bytes());
    token.push('.');
    token.push_str(&BASE64URL_NOPAD.encode(&signature));
    Some(token)
}

/// A token taken apart. Nothing in it is to be believed before [`Token::verify`].
pub(crate) struct Token {
    pub header: Header,
    pub payload: Vec<u8>,
    signed: String,
    signature: Vec<u8>,
}

impl Token {
    pub fn parse(token: &[u8]) -> Result<Self, JwsError> {
        if token.len() > MAX_BODY_BYTES {
            return Err(JwsError::Malformed);
        }
        let malformed = JwsError::Malformed;
        let text = core::str::from_utf8(token).map_err(|_| malformed)?.trim();
        let (signed, signature) = text.rsplit_once('.').ok_or(malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(malformed)?;
        let decode = |part: &str| {
            let bytes = BASE64URL_NOPAD.decode(part.as_bytes());
            bytes.map_err(|_| malformed)
        };
        let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| malformed)?;
        if header.crit.is_some() {
            return Err(malformed);
        }
        Ok(Self {
            header,
            payload: decode(payload)?,
            signed: signed.to_owned(),
            signature: decode(signature)?,
        })
    }

    /// Checks the signature; the header's algorithm must be the one that `key` is made for, so
    /// that no token can choose how it is checked.
    pub fn verify(&self, key: &PublicKey) -> Result<(), JwsError> {
        if !names(key.algorithm()).contains(&self.header.alg.as_str()) {
            return Err(JwsError::Algorithm);
        }
        key.verify(self.signed.as_bytes(), &self.signature)
            .map_err(|_| JwsError::Signature)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 8037 appendix A.4.
    #[test]
    fn the_signature_of_rfc_8037() {
        let token = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
        let x = BASE64URL_NOPAD
            .decode(b"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")
            .unwrap();
        let key = PublicKey::Ed25519(x.try_into().unwrap());
        let parsed = Token::parse(token.as_bytes()).unwrap();
        assert_eq!(parsed.payload, b"Example of Ed25519 signing");
        assert_eq!(parsed.verify(&key), Ok(()));
    }

    /// RFC 7515 appendix A.3: ES256.
    #[test]
    fn the_signature_of_rfc_7515() {
        let token = concat!(
            "eyJhbGciOiJFUzI1NiJ9",
            ".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ",
            ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
        );
        let jwk: crate::jwk::Jwk = serde_json::from_str(
            r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#,
        )
        .unwrap();
        let parsed = Token::parse(token.as_bytes()).unwrap();
        assert_eq!(parsed.verify(&jwk.key().unwrap()), Ok(()));
        let ed25519 = PublicKey::Ed25519([0; 32]);
        assert_eq!(parsed.verify(&ed25519), Err(JwsError::Algorithm));
    }

    #[test]
    fn unsigned_and_critical_tokens_are_refused() {
        let header = |json: &str| format!("{}.e30.", BASE64URL_NOPAD.encode(json.as_bytes()));
        let none = Token::parse(header(r#"{"alg":"none"}"#).as_bytes()).unwrap();
        assert_eq!(
            none.verify(&PublicKey::Ed25519([1; 32])),
            Err(JwsError::Algorithm)
        );
        let critical = header(r#"{"alg":"EdDSA","crit":["b64"],"b64":false}"#);
        assert!(Token::parse(critical.as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Token::parse(&bytes);
        }

        #[test]
        fn no_token_shape_makes_it_panic(text in "[A-Za-z0-9_=-]{0,40}\\.[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,100}") {
            if let Ok(token) = Token::parse(text.as_bytes()) {
                let _ = token.verify(&PublicKey::Ed25519([1; 32]));
            }
        }
    }
}
