//! A small HTTPS client for one login: it keeps nothing that could tie two logins together.
//!
//! - A [`Client`] is made for one login and dropped after it. Each request opens a connection of
//!   its own; there are no cookies, no TLS session tickets or resumption, no redirects and no
//!   header that describes the device.
//! - `https` with TLS 1.2 or 1.3 (post-quantum key agreement first), certificates checked against
//!   the WebPKI roots; `http` only to this very device: `localhost`, `127.0.0.0/8`, `::1`.
//!   `localhost` is never looked up (RFC 6761 §6.3), so no DNS answer can move it elsewhere.
//! - At most [`TIME_LIMIT`] a request and [`MAX_BODY_BYTES`] a body.
//!
//! It is async, on tokio, so that dropping the future cancels the request. Made on hyper alone,
//! which the site's server brings anyway: nothing to switch off, and a third of the crates that a
//! full client needs.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, CONNECTION, CONTENT_TYPE, HOST};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::crypto::aws_lc_rs::{default_provider, kx_group};
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use url::{Host, Url};

use crate::traffic::{Counters, Traffic};
use metered::Metered;

mod metered;

/// The longest body that is read, in bytes.
pub const MAX_BODY_BYTES: usize = 64 * 1024;

/// The longest that one request may take, from looking up the name to the last byte.
pub const TIME_LIMIT: Duration = Duration::from_secs(10);

/// The longest that one address of a site is tried before the next.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);

/// The longest head of a reply, in bytes, and the most headers in it.
const MAX_HEAD_BYTES: usize = 16 * 1024;
const MAX_HEADERS: usize = 64;

/// Why a request failed, in words for the person waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HttpsError {
    /// Not a URL that this client fetches.
    #[error("This is not the address of a site; check it and try again.")]
    NotAnAddress,
    /// Plain http to another machine.
    #[error("The site does not use a secure connection (https), so it was not contacted.")]
    Insecure,
    /// The name is not known.
    #[error("The site's name cannot be found; check your connection and the address.")]
    UnknownName,
    /// Nobody answers there.
    #[error("The site cannot be reached; check your connection and try again.")]
    Unreachable,
    /// The certificate is not the site's, or nobody known vouches for it.
    #[error("The site's certificate does not prove its name, so nothing was sent to it.")]
    Certificate,
    /// The connection broke, or what came back is not HTTP.
    #[error("The connection to the site broke off; try again.")]
    Broken,
    /// [`TIME_LIMIT`] is over.
    #[error("The site took too long to answer; try again later.")]
    TimedOut,
    /// More than [`MAX_BODY_BYTES`].
    #[error("The site's answer is too large to be a login; tell the site.")]
    TooLarge,
}

/// One request: GET, or POST of a form.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// Where to.
    pub url: &'a str,
    /// The `Accept` header.
    pub accept: &'a str,
    /// The body of a POST, `application/x-www-form-urlencoded`; `None` means GET.
    pub form: Option<&'a str>,
}

/// What came back, whatever its status; a redirect is reported, never followed.
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The whole body, at most [`MAX_BODY_BYTES`].
    pub body: Vec<u8>,
}

/// A client for one login.
pub struct Client {
    counters: Counters,
    tls: TlsConnector,
    time_limit: Duration,
}

impl Client {
    /// A fresh client that trusts the WebPKI roots.
    ///
    /// # Errors
    /// [`HttpsError::Broken`] if the TLS library cannot be set up.
    pub fn new() -> Result<Self, HttpsError> {
        let mut roots = RootCertStore::empty();
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        Self::trusting(roots)
    }

    fn trusting(roots: RootCertStore) -> Result<Self, HttpsError> {
        let mut provider = default_provider();
        provider.kx_groups = vec![
            kx_group::X25519MLKEM768,
            kx_group::X25519,
            kx_group::SECP256R1,
            kx_group::SECP384R1,
        ];
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .map_err(|_| HttpsError::Broken)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            counters: Counters::default(),
            tls: TlsConnector::from(Arc::new(config)),
            time_limit: TIME_LIMIT,
        })
    }

    /// The bytes that this client's requests and their replies took so far, TLS included.
    pub fn traffic(&self) -> Traffic {
        self.counters.read()
    }

    /// Sends one request and reads the whole reply.
    ///
    /// # Errors
    /// [`HttpsError`]; any status code is a reply, not an error.
    pub async fn send(&self, request: Request<'_>) -> Result<Reply, HttpsError> {
        let exchange = async {
            let url = Url::parse(request.url).map_err(|_| HttpsError::NotAnAddress)?;
            let place = Place::of(&url)?;
            let stream = Metered::new(connect(&place).await?, self.counters.clone());
            if place.secure {
                let name = ServerName::try_from(place.name.clone())
                    .map_err(|_| HttpsError::NotAnAddress)?;
                let stream = self
                    .tls
                    .connect(name, stream)
                    .await
                    .map_err(|e| tls_error(&e))?;
                exchange(stream, &url, &place, request).await
            } else {
                exchange(stream, &url, &place, request).await
            }
        };
        timeout(self.time_limit, exchange)
            .await
            .unwrap_or(Err(HttpsError::TimedOut))
    }
}

/// Where a URL leads.
struct Place {
    /// The host as a certificate names it: an IPv6 address without brackets.
    name: String,
    port: u16,
    secure: bool,
    /// The addresses that need no lookup.
    known: Vec<IpAddr>,
}

impl Place {
    fn of(url: &Url) -> Result<Self, HttpsError> {
        let host = url.host().ok_or(HttpsError::NotAnAddress)?;
        let (name, known) = match host {
            Host::Domain("localhost") => (
                "localhost".to_owned(),
                vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
            ),
            Host::Domain(name) => (name.to_owned(), Vec::new()),
            Host::Ipv4(ip) => (ip.to_string(), vec![ip.into()]),
            Host::Ipv6(ip) => (ip.to_string(), vec![ip.into()]),
        };
        let on_this_device = !known.is_empty() && known.iter().all(IpAddr::is_loopback);
        let secure = match url.scheme() {
            "https" => true,
            "http" if on_this_device => false,
            "http" => return Err(HttpsError::Insecure),
            _ => return Err(HttpsError::NotAnAddress),
        };
        Ok(Self {
            name,
            port: url
                .port_or_known_default()
                .ok_or(HttpsError::NotAnAddress)?,
            secure,
            known,
        })
    }
}

async fn connect(place: &Place) -> Result<TcpStream, HttpsError> {
    let addresses: Vec<SocketAddr> = if place.known.is_empty() {
        let found = tokio::net::lookup_host((place.name.as_str(), place.port)).await;
        found.map_err(|_| HttpsError::UnknownName)?.collect()
    } else {
        let known = place.known.iter();
        known.map(|ip| SocketAddr::new(*ip, place.port)).collect()
    };
    for address in addresses {
        if let Ok(Ok(stream)) = timeout(CONNECT_LIMIT, TcpStream::connect(address)).await {
            return Ok(stream);
        }
    }
    Err(HttpsError::Unreachable)
}

/// Writes the request on a fresh connection and reads the reply.
async fn exchange<S>(
    stream: S,
    url: &Url,
    place: &Place,
    request: Request<'_>,
) -> Result<Reply, HttpsError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|_| HttpsError::Broken)?;
    let message = message(url, place, request)?;
    let reply = async {
        let reply = sender.send_request(message).await;
        read(reply.map_err(|_| HttpsError::Broken)?).await
    };
    tokio::pin!(reply);
    // The connection does the reading and writing; both live and die with this future.
    let connection = async {
        let _ = connection.await;
        std::future::pending().await
    };
    tokio::select! {
        biased;
        reply = &mut reply => reply,
        never = connection => never,
    }
}

fn message(
    url: &Url,
    place: &Place,
    request: Request<'_>,
) -> Result<hyper::Request<Full<Bytes>>, HttpsError> {
    let host = url.host_str().ok_or(HttpsError::NotAnAddress)?;
    let host = match url.port() {
        Some(_) => format!("{host}:{}", place.port),
        None => host.to_owned(),
    };
    let path = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    let builder = hyper::Request::builder()
        .uri(path)
        .header(HOST, host)
        .header(ACCEPT, request.accept)
        .header(CONNECTION, "close");
    let message = match request.form {
        None => builder.body(Full::default()),
        Some(form) => builder
            .method("POST")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Full::from(form.to_owned())),
    };
    message.map_err(|_| HttpsError::NotAnAddress)
}

async fn read(reply: hyper::Response<Incoming>) -> Result<Reply, HttpsError> {
    let status = reply.status().as_u16();
    let body = Limited::new(reply.into_body(), MAX_BODY_BYTES)
        .collect()
        .await;
    let body = body.map_err(|error| match error.is::<LengthLimitError>() {
        true => HttpsError::TooLarge,
        false => HttpsError::Broken,
    })?;
    Ok(Reply {
        status,
        body: body.to_bytes().into(),
    })
}

fn tls_error(error: &std::io::Error) -> HttpsError {
    use tokio_rustls::rustls::Error;
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    match inner {
        Some(Error::InvalidCertificate(_) | Error::NoCertificatesPresented) => {
            HttpsError::Certificate
        }
        _ => HttpsError::Broken,
    }
}

#[cfg(test)]
mod tests;
