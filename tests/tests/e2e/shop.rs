//! A site to sign in to.

use twin_tests::e2e::{Device, Program};

use crate::wire;

/// A site on the device itself, and its page in a browser of few words.
pub struct Site<'a> {
    device: &'a Device<'a>,
    _server: Program,
    pub port: String,
    cookie: Option<String>,
}

impl<'a> Site<'a> {
    /// A new site.
    pub fn on(device: &'a Device<'a>) -> Self {
        Self::at(device, "0")
    }

    /// The site of this port: to a phone it is the same one, whichever device it runs on.
    pub fn at(device: &'a Device<'a>, port: &str) -> Self {
        let listen = format!("127.0.0.1:{port}");
        let server = device.start(["site", "--name", "Example Shop", "--listen", &listen]);
        server.expect("http://localhost:");
        let port = server.line().trim_end_matches('/').to_owned();
        Self {
            device,
            _server: server,
            port,
            cookie: None,
        }
    }

    /// Looks at the page.
    pub fn page(&mut self) -> String {
        let page = self.load("/");
        let set = page
            .lines()
            .find_map(|line| line.strip_prefix("set-cookie: "));
        if let Some(set) = set {
            self.cookie = set.split(';').next().map(str::to_owned);
        }
        page
    }

    /// What the site answers, head and body.
    pub fn load(&self, path: &str) -> String {
        let port = &self.port;
        let cookie = self
            .cookie
            .iter()
            .map(|cookie| format!("Cookie: {cookie}\r\n"));
        let cookie: String = cookie.collect();
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\n{cookie}Connection: close\r\n\r\n"
        );
        let mut ask = self.device.other(wire::WIRE);
        ask.args(["ask", &format!("localhost:{port}")]);
        let mut ask = Program::in_pipes(ask);
        ask.type_text(&request);
        ask.finish().well().output
    }

    /// What the page shows in the element called `id`.
    pub fn shown(&mut self, id: &str) -> Option<String> {
        let page = self.page();
        let (_, rest) = page.split_once(&format!("id=\"{id}\""))?;
        let (_, rest) = rest.split_once('>')?;
        let (text, _) = rest.split_once('<')?;
        Some(text.trim().replace("&#38;", "&"))
    }

    /// Signs in as one of the device's personas, in a browser that the site has not seen before; the pseudonym that the
    /// site sees.
    pub fn log_in(&mut self, persona: &str) -> String {
        self.cookie = None;
        let code = self.shown("code").unwrap();
        let words = ["login", &code, "--yes", "--persona", persona];
        let mut login = self.device.start(words);
        login.expect("Type the two digits");
        login.type_line(&self.shown("number").unwrap());
        login.finish().well();
        self.shown("pseudonym").unwrap()
    }
}
