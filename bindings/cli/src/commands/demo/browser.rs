//! Just enough of a browser to look at the site's page: one cookie, plain http on this machine.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::error::{CliError, Result};

const PATIENCE: Duration = Duration::from_secs(10);
const MAX_PAGE: u64 = 1 << 20;

/// A browser with one page open.
pub struct Browser {
    host: String,
    cookie: Option<String>,
    /// Bytes sent and received.
    pub traffic: (usize, usize),
}

impl Browser {
    /// A browser for the site at `url`, as `http://localhost:PORT`.
    pub fn new(url: &str) -> Self {
        let host = url.trim_start_matches("http://").trim_end_matches('/');
        Self {
            host: host.to_owned(),
            cookie: None,
            traffic: (0, 0),
        }
    }

    /// Loads the page and returns its HTML.
    pub async fn load(&mut self) -> Result<String> {
        let page = timeout(PATIENCE, self.get())
            .await
            .map_err(|_| CliError::Demo("the site does not answer".to_owned()))?
            .map_err(|_| CliError::Demo("the site is gone: it was killed or crashed".to_owned()))?;
        for line in page.lines().take_while(|line| !line.is_empty()) {
            let header = line.split_once(": ");
            if let Some((_, value)) =
                header.filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"))
            {
                self.cookie = value.split(';').next().map(str::to_owned);
            }
        }
        Ok(page)
    }

    async fn get(&mut self) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(&self.host).await?;
        let cookie = self.cookie.as_ref();
        let cookie = cookie.map_or_else(String::new, |cookie| format!("Cookie: {cookie}\r\n"));
        let request = format!(
            "GET / HTTP/1.1\r\nHost: {}\r\nAccept: text/html\r\n{cookie}Connection: close\r\n\r\n",
            self.host
        );
        stream.write_all(request.as_bytes()).await?;
        let mut page = String::new();
        stream.take(MAX_PAGE).read_to_string(&mut page).await?;
        self.traffic.0 += request.len();
        self.traffic.1 += page.len();
        Ok(page)
    }
}

/// The text of the element with this id, as a person reads it.
pub fn text_of(page: &str, id: &str) -> Option<String> {
    let (_, rest) = page.split_once(&format!("id=\"{id}\""))?;
    let (_, rest) = rest.split_once('>')?;
    let (text, _) = rest.split_once('<')?;
    // The site writes every special character as a number (`fn escape` in its page).
    let escaped = ["<", ">", "\"", "'", "&"];
    Some(escaped.iter().fold(text.trim().to_owned(), |text, plain| {
        let code = plain.bytes().next().unwrap_or_default();
        text.replace(&format!("&#{code};"), plain)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_an_element() {
        let page = r#"<p>x</p><textarea id="code" readonly>a?b=1&#38;c=2</textarea>"#;
        assert_eq!(text_of(page, "code").as_deref(), Some("a?b=1&c=2"));
        assert_eq!(text_of(page, "number"), None);
    }
}
