//! HTTP messages as plain values: what the wallet wants sent, and what came back.

use core::fmt;

use url::{Url, form_urlencoded};

/// The longest body either side accepts, in bytes.
pub const MAX_BODY_BYTES: usize = 64 * 1024;

/// The media type of a signed request object (RFC 9101 §10.5.1).
pub const REQUEST_OBJECT: &str = "application/oauth-authz-req+jwt";

/// The media type of a form, the only kind of body that is ever sent.
pub const FORM: &str = "application/x-www-form-urlencoded";

/// One request to make: GET without a form, POST with one. Follow no redirect, send no cookie.
pub struct HttpRequest {
    url: Url,
    accept: &'static str,
    form: Option<String>,
}

impl HttpRequest {
    pub(crate) fn get(url: Url, accept: &'static str) -> Self {
        Self {
            url,
            accept,
            form: None,
        }
    }

    pub(crate) fn post(url: Url, accept: &'static str, fields: &[(&str, &str)]) -> Self {
        let form = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish();
        Self {
            url,
            accept,
            form: Some(form),
        }
    }

    /// Where to; https, or http to a loopback host.
    #[must_use]
    pub fn url(&self) -> &str {
        self.url.as_str()
    }

    /// The `Accept` header.
    #[must_use]
    pub fn accept(&self) -> &'static str {
        self.accept
    }

    /// The body of a POST, in the media type [`FORM`]; `None` means GET.
    #[must_use]
    pub fn form(&self) -> Option<&str> {
        self.form.as_deref()
    }
}

/// The form may hold a signed token; the URL a one-time id. Neither belongs in a log.
impl fmt::Debug for HttpRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpRequest({:?}, ..)", self.url.host_str())
    }
}

/// What came back, or as much of it as [`MAX_BODY_BYTES`] allows.
#[derive(Clone, Copy)]
pub struct HttpReply<'a> {
    /// The status code.
    pub status: u16,
    /// The whole body.
    pub body: &'a [u8],
}

/// The fields of a form, each name at most once (RFC 6749 §3.1).
pub(crate) struct Fields(Vec<(String, String)>);

impl Fields {
    /// More fields than any message here has.
    const MAX: usize = 32;

    /// Reads a form or a query; `None` when it is too large or names a field twice.
    pub fn parse(encoded: &[u8]) -> Option<Self> {
        if encoded.len() > MAX_BODY_BYTES {
            return None;
        }
        let mut fields: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(encoded) {
            if fields.len() == Self::MAX || fields.iter().any(|(other, _)| *other == name) {
                return None;
            }
            fields.push((name.into_owned(), value.into_owned()));
        }
        Some(Self(fields))
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        let mut fields = self.0.iter();
        fields
            .find(|(other, _)| other == name)
            .map(|(_, value)| value.as_str())
    }
}
