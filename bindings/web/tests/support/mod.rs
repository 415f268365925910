//! A site, a browser that is just enough of one, and a wallet.

use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use twin_identity::pseudonym::{PersonaKey, PseudonymRoot};
use twin_login::Number;
use twin_login::http::{HttpReply, HttpRequest};
use twin_login::wallet::{Consent, Invitation, LoggedIn, LoginError};
use twin_net::https::{Client, Reply, Request};
use twin_site::{Options, Server, SiteError};

pub fn options() -> Options {
    Options {
        listen: "127.0.0.1:0".parse().unwrap(),
        origin: None,
        name: "Example Shop".to_owned(),
        purpose: "To keep your basket".to_owned(),
        key: None,
    }
}

pub struct RunningSite {
    pub url: String,
    pub address: SocketAddr,
    stop: oneshot::Sender<()>,
    served: JoinHandle<Result<(), SiteError>>,
}

impl RunningSite {
    pub async fn start() -> Self {
        let server = Server::bind(&options()).await.unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        Self {
            url: server.url(),
            address: server.address(),
            served: tokio::spawn(server.run(async {
                let _ = stopped.await;
            })),
            stop,
        }
    }

    pub async fn stop(self) {
        self.stop.send(()).unwrap();
        self.served.await.unwrap().unwrap();
    }

    /// Sends one request as it stands (the `Host` line is added) and reads the whole answer.
    pub async fn raw(&self, head: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let (line, headers) = head.split_once("\r\n").unwrap_or((head, ""));
        let host = format!("Host: localhost:{}\r\n", self.address.port());
        let host = if headers.contains("Host:") { "" } else { &host };
        let gap = if headers.is_empty() || headers.ends_with("\r\n") {
            ""
        } else {
            "\r\n"
        };
        let message = format!(
            "{line} HTTP/1.1\r\n{host}Connection: close\r\nContent-Length: {}\r\n{headers}{gap}\r\n{body}",
            body.len()
        );
        stream.write_all(message.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        String::from_utf8(answer).unwrap()
    }
}

/// One browser with its one cookie.
pub struct Browser<'a> {
    site: &'a RunningSite,
    pub cookie: String,
    pub page: String,
}

impl<'a> Browser<'a> {
    pub async fn open(site: &'a RunningSite) -> Self {
        let page = site.raw("GET /", "").await;
        let cookie = header(&page, "set-cookie").unwrap();
        let cookie = cookie.split(';').next().unwrap().to_owned();
        Self { site, cookie, page }
    }

    pub async fn reload(&mut self) -> &str {
        let head = format!("GET /\r\nCookie: {}", self.cookie);
        self.page = self.site.raw(&head, "").await;
        &self.page
    }

    /// Presses a button, as the page itself would.
    pub async fn press(&self, path: &str) -> String {
        let origin = self.site.url.trim_end_matches('/');
        let head = format!("POST {path}\r\nCookie: {}\r\nOrigin: {origin}", self.cookie);
        self.site.raw(&head, "").await
    }

    /// The login code that the page shows as text.
    pub fn code(&self) -> String {
        let (_, rest) = self
            .page
            .split_once("<textarea")
            .expect("a page with a code");
        let (_, rest) = rest.split_once('>').unwrap();
        rest.split_once('<').unwrap().0.replace("&#38;", "&")
    }

    /// Opens the stream by which the page changes by itself.
    pub async fn watch(&self) -> Views {
        let mut stream = TcpStream::connect(self.site.address).await.unwrap();
        let port = self.site.address.port();
        let head = format!(
            "GET /events HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\nCookie: {}\r\n\r\n",
            self.cookie
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        Views(BufReader::new(stream))
    }
}

/// The views that the site sends to an open page.
pub struct Views(BufReader<TcpStream>);

impl Views {
    /// The next view; `None` when the site ended the stream.
    pub async fn next(&mut self) -> Option<String> {
        let mut line = String::new();
        loop {
            line.clear();
            if self.0.read_line(&mut line).await.unwrap() == 0 {
                return None;
            }
            if let Some(view) = line.strip_prefix("data: ") {
                return Some(view.to_owned());
            }
        }
    }
}

pub fn header(answer: &str, name: &str) -> Option<String> {
    let head = answer.split("\r\n\r\n").next()?;
    head.lines().find_map(|line| {
        let (other, value) = line.split_once(": ")?;
        other.eq_ignore_ascii_case(name).then(|| value.to_owned())
    })
}

/// The text of the element with this id.
pub fn text_of<'a>(html: &'a str, id: &str) -> Option<&'a str> {
    let (_, rest) = html.split_once(&format!(r#"id="{id}">"#))?;
    Some(rest.split_once('<')?.0)
}

/// A phone, playing the wallet's part by `twin_login` over real HTTP.
pub struct Phone {
    root: PseudonymRoot,
    client: Client,
}

impl Phone {
    pub fn of(person: u8) -> Self {
        Self {
            root: PseudonymRoot::from_bytes([person; 32]),
            client: Client::new().unwrap(),
        }
    }

    pub fn persona(&self, consent: &Consent) -> PersonaKey {
        let algorithm = consent.algorithms()[0];
        self.root.persona(consent.site_id(), 0, 0, algorithm)
    }

    async fn send(&self, request: &HttpRequest) -> Reply {
        let request = Request {
            url: request.url(),
            accept: request.accept(),
            form: request.form(),
        };
        self.client.send(request).await.unwrap()
    }

    pub async fn scan(&self, code: &str) -> Result<Consent, LoginError> {
        let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
        let (request, fetch) = Invitation::parse(code)?.ask_key();
        let reply = self.send(&request).await;
        let (request, fetch) = fetch.received(&as_reply(&reply), &mut rng)?;
        let reply = self.send(&request).await;
        fetch.received(&as_reply(&reply), now())
    }

    pub async fn approve(
        &self,
        consent: &Consent,
        number: Option<Number>,
    ) -> Result<LoggedIn, LoginError> {
        let (request, sent) = consent.approve(&self.persona(consent), number, now())?;
        let reply = self.send(&request).await;
        sent.received(&as_reply(&reply))
    }

    pub async fn decline(&self, consent: &Consent) -> Result<LoggedIn, LoginError> {
        let (request, sent) = consent.decline();
        let reply = self.send(&request).await;
        sent.received(&as_reply(&reply))
    }
}

fn as_reply(reply: &Reply) -> HttpReply<'_> {
    HttpReply {
        status: reply.status,
        body: &reply.body,
    }
}

fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap().as_millis() as u64
}
