//! Where a machine is, as people write it down: `HOST:PORT`, the port that of TCP and of QUIC alike.

use std::{fmt, net::SocketAddr, str::FromStr};

use crate::{
    Address, Error, Transport,
    address::{is_host_name, shortened},
};

/// A name or an IP address, and a port.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// A name, or an IP address as text, IPv6 in brackets.
    host: String,
    port: u16,
}

impl Place {
    /// Every address that the host stands for now, each over QUIC and over TCP.
    pub async fn resolve(&self) -> Result<Vec<Address>, Error> {
        let found = Address::resolve(&self.to_string()).await?;
        let both = |address: Address| [Transport::Quic, Transport::Tcp].map(|t| address.over(t));
        Ok(found.into_iter().flat_map(both).collect())
    }

    /// An IP address; `None` for one that holds on one machine only (with a scope).
    pub(crate) fn of(address: Address) -> Option<Self> {
        address.over(Transport::Tcp).to_string().parse().ok()
    }
}

impl FromStr for Place {
    type Err = Error;

    /// Reads `home.example.org:4001`, `192.0.2.7:4001` or `[2001:db8::7]:4001`.
    fn from_str(text: &str) -> Result<Self, Error> {
        let read = || {
            let text = text.trim();
            let (host, port) = text.rsplit_once(':')?;
            let port = port.parse().ok().filter(|port| *port != 0)?;
            let is_address = text.parse::<SocketAddr>().is_ok();
            let host = Some(host).filter(|host| is_address || is_host_name(host))?;
            Some(Self {
                host: host.to_owned(),
                port,
            })
        };
        read().ok_or_else(|| Error::BadPlace(shortened(text)))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_place_is_refused() {
        for text in [
            "",
            ":1",
            "host",
            "host:",
            "host:0",
            "host:99999",
            "a b:1",
            "quic://a:1",
            "2001:db8::7:1",
        ] {
            let refused = text.parse::<Place>();
            assert!(matches!(refused, Err(Error::BadPlace(_))), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,60}|[a-z0-9.:\\[\\]]{0,20}:[0-9]{1,5}") {
            if let Ok(place) = text.parse::<Place>() {
                prop_assert_eq!(place.to_string().parse::<Place>().unwrap(), place);
            }
        }
    }
}
