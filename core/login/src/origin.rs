//! Where a site lives on the web: scheme, host and port, and nothing less secure than that allows.

use core::fmt;

use url::{Host, Url};

/// `https://host[:port]`, or `http://host[:port]` when the host is this very device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    host: String,
    port: u16,
    loopback: bool,
    secure: bool,
}

/// A URL that a login may not use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// Not a URL with a host, or one with a user name in it.
    #[error("This is not the address of a site.")]
    NotASite,
    /// Plain http to another machine, or a scheme that is neither http nor https.
    #[error("The site does not use a secure connection (https), so a login there is not safe.")]
    Insecure,
}

impl Origin {
    /// The origin of `url`. Plain http is allowed to loopback hosts only: `localhost`,
    /// `127.0.0.0/8` and `::1`, which never leave the device.
    ///
    /// # Errors
    /// [`OriginError`] when the URL has no host, names a user, or is not secure.
    pub fn of(url: &Url) -> Result<Self, OriginError> {
        let host = url.host().ok_or(OriginError::NotASite)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(OriginError::NotASite);
        }
        let loopback = match &host {
            Host::Domain(name) => *name == "localhost",
            Host::Ipv4(address) => address.is_loopback(),
            Host::Ipv6(address) => address.is_loopback(),
        };
        let secure = match url.scheme() {
            "https" => true,
            "http" if loopback => false,
            _ => return Err(OriginError::Insecure),
        };
        let port = url.port_or_known_default().ok_or(OriginError::NotASite)?;
        Ok(Self {
            host: host.to_string(),
            port,
            loopback,
            secure,
        })
    }

    /// The origin of the URL in `text`.
    ///
    /// # Errors
    /// As [`Origin::of`].
    pub fn parse(text: &str) -> Result<Self, OriginError> {
        Self::of(&Url::parse(text).map_err(|_| OriginError::NotASite)?)
    }

    /// The host: a lower-case name (punycode where it is not ASCII) or an IP address.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, always named.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// True for https.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// True when the host is this very device.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.loopback
    }

    /// `host[:port]`, the port left out when it is the scheme's own; as browsers send it in `Host`.
    #[must_use]
    pub fn authority(&self) -> String {
        if self.port == if self.secure { 443 } else { 80 } {
            self.host.clone()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.authority())
    }
}
