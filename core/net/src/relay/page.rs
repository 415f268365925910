//! The one page of a relay: `GET /metrics`, for Prometheus.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener, sync::Semaphore, task::JoinSet, time::timeout};

use super::Relay;
use crate::{Address, Error};

/// How many may read at a time, and how long one may take.
const READERS: usize = 8;
const PATIENCE: Duration = Duration::from_secs(10);

/// The format's own name.
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4");

/// A bound page that nobody is served yet.
pub struct Page(TcpListener);

impl Page {
    /// Binds the page's socket. It is read without a password: bind it where only the operator can come.
    pub async fn bind(address: SocketAddr) -> Result<Self, Error> {
        let bound = TcpListener::bind(address).await;
        bound.map(Self).map_err(|error| Error::Listen {
            address: Address::from(address),
            reason: error.to_string(),
        })
    }

    /// Where it is.
    pub fn address(&self) -> Result<SocketAddr, Error> {
        self.0.local_addr().map_err(|_| Error::Stopped)
    }

    /// Serves it until dropped.
    pub async fn serve(self, relay: Arc<Relay>) {
        let readers = Arc::new(Semaphore::new(READERS));
        let mut serving = JoinSet::new();
        loop {
            // Whoever comes beyond that waits outside. It is never closed.
            let Ok(place) = Arc::clone(&readers).acquire_owned().await else {
                return;
            };
            while serving.try_join_next().is_some() {}
            let Ok((stream, _)) = self.0.accept().await else {
                continue;
            };
            let relay = Arc::clone(&relay);
            serving.spawn(async move {
                let answer = service_fn(move |request| {
                    let response = answer(&request, &relay);
                    async move { Ok::<_, Infallible>(response) }
                });
                let mut http = http1::Builder::new();
                http.timer(TokioTimer::new())
                    .header_read_timeout(PATIENCE)
                    .keep_alive(false);
                let connection = http.serve_connection(TokioIo::new(stream), answer);
                // Whoever reads it badly harms nobody else.
                timeout(PATIENCE, connection).await.ok();
                drop(place);
            });
        }
    }
}

fn answer(request: &Request<Incoming>, relay: &Relay) -> Response<Full<Bytes>> {
    let is_asked = request.method() == Method::GET && request.uri().path() == "/metrics";
    let mut response = Response::new(Full::default());
    if is_asked {
        *response.body_mut() = Full::from(relay.render_metrics());
        response.headers_mut().insert(CONTENT_TYPE, TEXT);
    } else {
        *response.status_mut() = StatusCode::NOT_FOUND;
    }
    response
}
