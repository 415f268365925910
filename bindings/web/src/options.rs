//! What the site is told at its start, and what can be wrong with it.

use std::fs::OpenOptions;
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use data_encoding::BASE64URL_NOPAD;
use twin_identity::pseudonym::SiteKey;
use twin_login::origin::{Origin, OriginError};
use zeroize::Zeroizing;

/// How to run the site.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Address to listen on; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS:PORT")]
    pub listen: SocketAddr,

    /// Where browsers and phones find the site, as https://host[:port]; not needed on this device only
    #[arg(long, value_name = "URL")]
    pub origin: Option<String>,

    /// What the site calls itself
    #[arg(long, default_value = "Example Shop")]
    pub name: String,

    /// What a login is for, in one sentence that the phone shows
    #[arg(long, default_value = "To recognise you when you come back.")]
    pub purpose: String,

    /// File with the key that signs login requests; made if missing, a new key each start without it
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
}

/// Why the site does not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SiteError {
    /// The address is taken or not this machine's.
    #[error("Cannot listen on {0}: {1}; choose another address or port.")]
    Listen(SocketAddr, io::Error),
    /// Reachable from other machines, but without an https address.
    #[error(
        "A site that other devices reach needs https: put a proxy in front and say --origin https://…"
    )]
    NeedsOrigin,
    /// The given origin cannot be used.
    #[error("{0} is not an origin that a login can use: {1}")]
    Origin(String, OriginError),
    /// The key file cannot be read or written.
    #[error("Cannot use the key file {path}: {1}.", path = .0.display())]
    KeyFile(PathBuf, io::Error),
    /// The key file holds something else.
    #[error("{} does not hold a site key; name another file, or move it away for a new key.", .0.display())]
    NotAKey(PathBuf),
    /// The system gives no randomness.
    #[error("The system gives no random numbers, so no login would be safe.")]
    Randomness,
    /// Serving broke off.
    #[error("The site stopped: {0}.")]
    Serve(io::Error),
}

impl Options {
    /// The origin given, or the one that follows from the address `bound`.
    pub(crate) fn origin(&self, bound: SocketAddr) -> Result<Origin, SiteError> {
        let text = match &self.origin {
            Some(given) => given.trim_end_matches('/').to_owned(),
            None if !bound.ip().is_loopback() => return Err(SiteError::NeedsOrigin),
            // did:web names hosts, and cannot write IPv6; both usual loopbacks answer to this name.
            None if is_localhost(bound.ip()) => format!("http://localhost:{}", bound.port()),
            None => format!("http://{bound}"),
        };
        let origin = Origin::parse(&text).map_err(|e| SiteError::Origin(text.clone(), e))?;
        // An origin has no path: what was given must be what is meant.
        if origin.to_string().eq_ignore_ascii_case(&text) {
            Ok(origin)
        } else {
            Err(SiteError::Origin(text, OriginError::NotASite))
        }
    }

    /// The key from the file, a new one in a new file, or a new one for this run.
    pub(crate) fn site_key(&self) -> Result<SiteKey, SiteError> {
        let Some(path) = &self.key else {
            return Ok(SiteKey::from_seed(&fresh_seed()?));
        };
        match read_seed(path) {
            Ok(Some(seed)) => Ok(SiteKey::from_seed(&seed)),
            Ok(None) => Err(SiteError::NotAKey(path.clone())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let seed = fresh_seed()?;
                write_seed(path, &seed).map_err(|e| SiteError::KeyFile(path.clone(), e))?;
                Ok(SiteKey::from_seed(&seed))
            }
            Err(error) => Err(SiteError::KeyFile(path.clone(), error)),
        }
    }
}

fn is_localhost(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4 == std::net::Ipv4Addr::LOCALHOST,
        IpAddr::V6(v6) => v6 == std::net::Ipv6Addr::LOCALHOST,
    }
}

fn fresh_seed() -> Result<Zeroizing<[u8; 32]>, SiteError> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(seed.as_mut()).map_err(|_| SiteError::Randomness)?;
    Ok(seed)
}

/// One line: the 32-byte seed in base64url, 43 characters.
fn read_seed(path: &Path) -> io::Result<Option<Zeroizing<[u8; 32]>>> {
    let mut text = Zeroizing::new(String::new());
    let file = std::fs::File::open(path)?;
    if let Err(error) = file.take(64).read_to_string(&mut text) {
        return match error.kind() {
            io::ErrorKind::InvalidData => Ok(None),
            _ => Err(error),
        };
    }
    let mut seed = Zeroizing::new([0; 32]);
    let decoded = BASE64URL_NOPAD.decode(text.trim().as_bytes());
    match decoded.map(Zeroizing::new) {
        Ok(bytes) if bytes.len() == seed.len() => {
            seed.copy_from_slice(&bytes);
            Ok(Some(seed))
        }
        _ => Ok(None),
    }
}

fn write_seed(path: &Path, seed: &Zeroizing<[u8; 32]>) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut line = Zeroizing::new(BASE64URL_NOPAD.encode(seed.as_ref()));
    line.push('\n');
    let mut file = options.open(path)?;
    file.write_all(line.as_bytes())?;
    file.sync_all()
}
