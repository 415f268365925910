//! The request object: what a site asks, as claims of a JWT (RFC 9101, OpenID4VP 1.0 §5).

use serde::{Deserialize, Serialize};

use crate::number::NumberMatch;
use crate::time::NumericDate;

/// The client id prefix of OpenID4VP 1.0 §5.9.3 that this room speaks.
pub(crate) const PREFIX: &str = "decentralized_identifier:";

/// Whom a request object is for, when the site cannot know the wallet (OpenID4VP 1.0 §5.8).
pub(crate) const AUDIENCE: &str = "https://self-issued.me/v2";

/// The JWT type of a request object (RFC 9101 §10.8).
pub(crate) const TYPE: &str = "oauth-authz-req+jwt";

/// The subject syntax of SIOPv2 draft 13 §9 that this room speaks.
pub(crate) const THUMBPRINT: &str = "urn:ietf:params:oauth:jwk-thumbprint";

/// What a wallet says of itself when it fetches the request (OpenID4VP 1.0 §5.10, §10).
#[derive(Serialize)]
pub(crate) struct WalletMetadata {
    pub response_types_supported: Vec<String>,
    pub client_id_prefixes_supported: Vec<String>,
    pub request_object_signing_alg_values_supported: Vec<String>,
    /// REQUIRED by OpenID4VP 1.0 §10.1; this wallet gives no credentials yet, so it is empty.
    pub vp_formats_supported: serde_json::Map<String, serde_json::Value>,
    #[serde(rename = "digital_twin_number_match")]
    pub number_match: bool,
}

impl WalletMetadata {
    /// What this wallet can do.
    pub fn ours() -> Self {
        Self {
            response_types_supported: vec!["id_token".to_owned()],
            client_id_prefixes_supported: vec!["decentralized_identifier".to_owned()],
            request_object_signing_alg_values_supported: vec![
                "EdDSA".to_owned(),
                "ES256".to_owned(),
            ],
            vp_formats_supported: serde_json::Map::new(),
            number_match: true,
        }
    }
}

/// As much of a wallet's metadata as a site here cares about.
#[derive(Deserialize)]
pub(crate) struct Announced {
    #[serde(default, rename = "digital_twin_number_match")]
    pub number_match: bool,
}

/// One name or a list of them (RFC 7519 §4.1.3).
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Audience {
    /// True when it is `name` and nobody else.
    pub fn is(&self, name: &str) -> bool {
        match self {
            Self::One(one) => one == name,
            Self::Many(many) => matches!(many.as_slice(), [one] if one == name),
        }
    }
}

/// What a site says of itself (RFC 7591 §2, SIOPv2 draft 13 §7.5).
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct ClientMetadata {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub client_name: Option<String>,
    #[serde(default)]
    pub subject_syntax_types_supported: Vec<String>,
    #[serde(default)]
    pub id_token_signing_alg_values_supported: Vec<String>,
    /// OpenID4VP 1.0 §11.1 requires it; a site that asks for no credential sends it empty.
    #[serde(skip_deserializing)]
    pub vp_formats_supported: serde_json::Map<String, serde_json::Value>,
}

/// The claims of a request object that this room writes, reads or must refuse.
#[derive(Serialize, Deserialize)]
pub(crate) struct RequestClaims {
    pub client_id: String,
    pub aud: Audience,
    pub response_type: String,
    pub response_mode: String,
    pub response_uri: String,
    pub scope: String,
    pub nonce: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub state: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub iat: Option<NumericDate>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub exp: Option<NumericDate>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub wallet_nonce: Option<String>,
    #[serde(default)]
    pub client_metadata: ClientMetadata,
    /// Why the site asks, in its own words (OpenID Connect for Identity Assurance 1.0, `purpose`).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub purpose: Option<String>,
    #[serde(
        skip_serializing_if = "Option::is_none",
        default,
        rename = "digital_twin_number_match"
    )]
    pub number_match: Option<NumberMatch>,
    /// OpenID4VP 1.0 §8.2: must be absent beside `response_uri`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub redirect_uri: Option<String>,
    /// OpenID4VP 1.0 §8.4: must not be ignored, and none is known here.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub transaction_data: Option<serde_json::Value>,
    /// A credential query; not answered by this version.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub dcql_query: Option<serde_json::Value>,
}

/// The characters a `nonce` or `state` may have (OpenID4VP 1.0 §5.2), and a length to bound it.
pub(crate) fn is_url_safe(text: &str) -> bool {
    (1..=512).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~'))
}
