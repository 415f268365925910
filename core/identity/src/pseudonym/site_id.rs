//! Who a site has *proven* to be; what its pseudonym hangs on.

use core::fmt;
use core::str::FromStr;

/// How a site proved its name. Two ids of different classes are different sites, always: a
/// self-made certificate for bank.com is not bank.com.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SiteClass {
    /// `web:host[:port]`: the certificate's name, verified by WebPKI. No port means 443.
    Web,
    /// `did:method:…`: a decentralized identifier whose key signed the request.
    Did,
    /// `pin:` and 64 hexadecimal digits: SHA-256 of the certificate's public key (SPKI).
    Pin,
    /// `url:https://host[:port]`: the origin that gets the answer. Unverified, and shown so.
    Url,
}

/// A site, by what it proved: a class and a name in one canonical text of at most
/// [`SiteId::MAX_BYTES`] bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SiteId(String);

/// A site id that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SiteIdError {
    /// Neither `web:`, `did:`, `pin:` nor `url:`.
    #[error("A site id begins with web:, did:, pin: or url:; this one does not.")]
    UnknownClass,
    /// Longer than [`SiteId::MAX_BYTES`].
    #[error("The site's name is too long; a site id has at most 512 characters.")]
    TooLong,
    /// Not in the one spelling that is allowed (lower case, no default port, …).
    #[error("The site's name is not written in its canonical form.")]
    NotCanonical,
}

impl SiteId {
    /// The longest site id, in bytes.
    pub const MAX_BYTES: usize = 512;

    /// The site whose certificate for `host` was verified by WebPKI. `host` is lower-case ASCII.
    ///
    /// # Errors
    /// [`SiteIdError`] when the host is not canonical or too long.
    pub fn web(host: &str, port: u16) -> Result<Self, SiteIdError> {
        match port {
            443 => format!("web:{host}"),
            _ => format!("web:{host}:{port}"),
        }
        .parse()
    }

    /// The site that signed with a key of the DID `did`, in its canonical spelling.
    ///
    /// # Errors
    /// [`SiteIdError`] when it is not a DID or too long.
    pub fn did(did: &str) -> Result<Self, SiteIdError> {
        if did.starts_with("did:") {
            did.parse()
        } else {
            Err(SiteIdError::NotCanonical)
        }
    }

    /// The site whose certificate carries this public key (SHA-256 of its SPKI), whatever name it claims.
    #[must_use]
    pub fn pin(spki_sha256: &[u8; 32]) -> Self {
        let mut text = String::from("pin:");
        for byte in spki_sha256 {
            text.push_str(&format!("{byte:02x}"));
        }
        Self(text)
    }

    /// The unverified site behind `origin` (`https://host[:port]`).
    ///
    /// # Errors
    /// [`SiteIdError`] when the origin is not canonical or too long.
    pub fn url(origin: &str) -> Result<Self, SiteIdError> {
        format!("url:{origin}").parse()
    }

    /// The canonical text; what goes into the derivation.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// How the site proved its name.
    #[must_use]
    pub fn class(&self) -> SiteClass {
        match self.0.split(':').next() {
            Some("web") => SiteClass::Web,
            Some("did") => SiteClass::Did,
            Some("pin") => SiteClass::Pin,
            _ => SiteClass::Url,
        }
    }
}

impl FromStr for SiteId {
    type Err = SiteIdError;

    fn from_str(text: &str) -> Result<Self, SiteIdError> {
        if text.len() > Self::MAX_BYTES {
            return Err(SiteIdError::TooLong);
        }
        let (class, name) = text.split_once(':').ok_or(SiteIdError::UnknownClass)?;
        let canonical = match class {
            "web" => is_authority(name, "443"),
            "did" => is_did(name),
            "pin" => name.len() == 64 && name.bytes().all(is_lower_hex),
            "url" => name
                .strip_prefix("https://")
                .is_some_and(|rest| is_authority(rest, "443")),
            _ => return Err(SiteIdError::UnknownClass),
        };
        if canonical {
            Ok(Self(text.to_owned()))
        } else {
            Err(SiteIdError::NotCanonical)
        }
    }
}

impl fmt::Display for SiteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `host[:port]`: lower-case labels, a port without leading zero that is not the default one.
fn is_authority(text: &str, default_port: &str) -> bool {
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
    };
    let port_is_plain = |port: &str| {
        port != default_port
            && !port.starts_with('0')
            && port.bytes().all(|b| b.is_ascii_digit())
            && port.parse::<u16>().is_ok()
    };
    host.len() <= 253 && host.split('.').all(label) && port.is_none_or(port_is_plain)
}

/// What follows `did:` (DID Core §3.1): a method name, then id characters and `%XX` in upper case.
fn is_did(name: &str) -> bool {
    let Some((method, id)) = name.split_once(':') else {
        return false;
    };
    let method_ok = !method.is_empty()
        && method
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let mut bytes = id.bytes();
    let mut id_ok = !id.is_empty() && !id.ends_with(':');
    while let Some(byte) = bytes.next() {
        id_ok &= match byte {
            b'%' => {
                bytes.next().is_some_and(is_upper_hex) && bytes.next().is_some_and(is_upper_hex)
            }
            _ => byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':'),
        };
    }
    method_ok && id_ok
}

fn is_lower_hex(byte: u8) -> bool {
    byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)
}

fn is_upper_hex(byte: u8) -> bool {
    byte.is_ascii_digit() || (b'A'..=b'F').contains(&byte)
}
