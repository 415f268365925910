#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use rcgen::{BasicConstraints, Certificate, CertificateParams, IsCa, KeyPair};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::{HandshakeKind, NamedGroup, ServerConfig};

use super::*;

/// A plain server on loopback that answers one connection with `reply`; it hands back what it read.
async fn plain(reply: &'static [u8]) -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!(
        "http://localhost:{}/path?q=1",
        listener.local_addr().unwrap().port()
    );
    let heard = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let heard = hear(&mut stream).await;
        // The client may hang up before it has heard everything; that is its right.
        let _ = stream.write_all(reply).await;
        heard
    });
    (url, heard)
}

/// Reads one request: its head and as much body as it announces.
async fn hear(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut heard = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&heard).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_ascii_lowercase();
            let length = head.split("content-length: ").nth(1);
            let length = length.map_or(0, |rest| {
                rest.split("\r\n").next().unwrap().parse().unwrap()
            });
            if body.len() >= length {
                return text;
            }
        }
        let mut buffer = [0; 4096];
        let n = stream.read(&mut buffer).await.unwrap();
        assert!(n > 0, "the request was cut: {text}");
        heard.extend_from_slice(&buffer[..n]);
    }
}

fn get(url: &str) -> Request<'_> {
    Request {
        url,
        accept: "application/json",
        form: None,
    }
}

#[tokio::test]
async fn a_request_says_nothing_about_its_sender() {
    let (url, heard) =
        plain(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nSet-Cookie: a=b\r\n\r\nhi").await;
    let reply = Client::new().unwrap().send(get(&url)).await.unwrap();
    assert_eq!(
        (reply.status, reply.body.as_slice()),
        (200, b"hi".as_slice())
    );
    let heard = heard.await.unwrap().to_ascii_lowercase();
    let mut lines: Vec<_> = heard.trim().lines().collect();
    lines.sort_unstable();
    let host = url.split('/').nth(2).unwrap();
    let host = format!("host: {host}");
    assert_eq!(
        lines,
        [
            "accept: application/json",
            "connection: close",
            "get /path?q=1 http/1.1",
            &host
        ]
    );
}

#[tokio::test]
async fn a_form_is_posted_and_the_second_request_brings_no_cookie() {
    let client = Client::new().unwrap();
    let (url, heard) =
        plain(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n").await;
    let request = Request {
        form: Some("a=1&b=2"),
        ..get(&url)
    };
    client.send(request).await.unwrap();
    let heard = heard.await.unwrap();
    assert!(heard.starts_with("POST /path?q=1 HTTP/1.1"));
    assert!(
        heard.contains("application/x-www-form-urlencoded") && heard.ends_with("\r\n\r\na=1&b=2")
    );
    let (url, heard) = plain(b"HTTP/1.1 204 No Content\r\n\r\n").await;
    client.send(get(&url)).await.unwrap();
    assert!(!heard.await.unwrap().to_ascii_lowercase().contains("cookie"));
}

#[tokio::test]
async fn a_redirect_is_reported_and_not_followed() {
    let (url, _) =
        plain(b"HTTP/1.1 302 Found\r\nLocation: http://localhost:1/\r\nContent-Length: 0\r\n\r\n")
            .await;
    assert_eq!(
        Client::new().unwrap().send(get(&url)).await.unwrap().status,
        302
    );
}

async fn failure(reply: &'static [u8]) -> HttpsError {
    let (url, _) = plain(reply).await;
    let result = Client::new().unwrap().send(get(&url)).await;
    result.err().unwrap()
}

#[tokio::test]
async fn bad_replies_are_told_apart() {
    let large = [
        b"HTTP/1.1 200 OK\r\n\r\n".as_slice(),
        &vec![b'x'; MAX_BODY_BYTES + 1],
    ];
    assert_eq!(failure(large.concat().leak()).await, HttpsError::TooLarge);
    let head = format!(
        "HTTP/1.1 200 OK\r\nX: {}\r\n\r\n",
        "x".repeat(2 * MAX_HEAD_BYTES)
    );
    assert_eq!(failure(head.into_bytes().leak()).await, HttpsError::Broken);
    assert_eq!(failure(b"SSH-2.0-OpenSSH\r\n").await, HttpsError::Broken);
    assert_eq!(failure(b"").await, HttpsError::Broken);
    assert_eq!(
        failure(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort").await,
        HttpsError::Broken
    );
}

#[tokio::test]
async fn only_this_device_may_be_asked_without_tls() {
    let send = async |url| Client::new().unwrap().send(get(url)).await.err();
    assert_eq!(
        send("http://example.com/").await,
        Some(HttpsError::Insecure)
    );
    assert_eq!(send("http://192.0.2.1/").await, Some(HttpsError::Insecure));
    assert_eq!(
        send("http://localhost.example.com/").await,
        Some(HttpsError::Insecure)
    );
    assert_eq!(
        send("ftp://localhost/").await,
        Some(HttpsError::NotAnAddress)
    );
    assert_eq!(send("hello").await, Some(HttpsError::NotAnAddress));
    // A port that was free a moment ago: nobody answers.
    let port = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let url = format!("http://127.0.0.1:{port}/");
    let refused = Client::new().unwrap().send(get(&url)).await.err();
    assert_eq!(refused, Some(HttpsError::Unreachable));
}

#[tokio::test]
async fn a_silent_site_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!(
        "http://localhost:{}/",
        listener.local_addr().unwrap().port()
    );
    let mut client = Client::new().unwrap();
    client.time_limit = Duration::from_millis(50);
    assert_eq!(
        client.send(get(&url)).await.err(),
        Some(HttpsError::TimedOut)
    );
}

/// A certificate authority and a server certificate for `name`.
fn certificates(name: &str) -> (Certificate, ServerConfig) {
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::new([]).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = ca.self_signed(&ca_key).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new([name.to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &ca, &ca_key).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![leaf.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        );
    (ca, config.unwrap())
}

fn trusting(ca: &Certificate) -> Client {
    let mut roots = RootCertStore::empty();
    roots.add(ca.der().clone()).unwrap();
    Client::trusting(roots).unwrap()
}

/// A TLS server that answers `times` connections; it hands back how each handshake went.
async fn secure(
    config: ServerConfig,
    times: usize,
) -> (String, JoinHandle<Vec<(HandshakeKind, NamedGroup)>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!(
        "https://localhost:{}/",
        listener.local_addr().unwrap().port()
    );
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let kinds = tokio::spawn(async move {
        let mut kinds = Vec::new();
        for _ in 0..times {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let session = stream.get_ref().1;
            let group = session.negotiated_key_exchange_group().unwrap().name();
            kinds.push((session.handshake_kind().unwrap(), group));
            hear(&mut stream).await;
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
                .await;
            let _ = stream.shutdown().await;
        }
        kinds
    });
    (url, kinds)
}

#[tokio::test]
async fn a_certified_site_is_believed_and_no_session_is_resumed() {
    let (ca, config) = certificates("localhost");
    let (url, kinds) = secure(config, 2).await;
    let client = trusting(&ca);
    for _ in 0..2 {
        assert_eq!(client.send(get(&url)).await.unwrap().body, b"hi");
    }
    let fresh = (HandshakeKind::Full, NamedGroup::X25519MLKEM768);
    assert_eq!(kinds.await.unwrap(), [fresh, fresh]);
}

#[tokio::test]
async fn a_site_with_another_name_or_an_unknown_voucher_is_not() {
    let (ca, config) = certificates("shop.example");
    let (url, kinds) = secure(config, 1).await;
    let result = trusting(&ca).send(get(&url)).await;
    assert_eq!(result.err(), Some(HttpsError::Certificate));
    assert_eq!(kinds.await.unwrap(), []);

    let (_, config) = certificates("localhost");
    let (url, kinds) = secure(config, 1).await;
    let result = Client::new().unwrap().send(get(&url)).await;
    assert_eq!(result.err(), Some(HttpsError::Certificate));
    assert_eq!(kinds.await.unwrap(), []);
}
