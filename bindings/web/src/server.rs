//! The running site.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use rand_core::UnwrapErr;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use twin_login::site::Site;

use crate::options::{Options, SiteError};
use crate::routes;
use crate::visits::Visits;

/// The most pages that may listen for changes at once.
const MAX_WATCHERS: usize = 1024;

/// A site that is bound to its address: it can say where it is, and run.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    app: Arc<App>,
}

/// What all requests share.
pub(crate) struct App {
    pub site: Site,
    pub watchers: Arc<Semaphore>,
    /// Turns true when the site stops, so that open event streams end.
    pub stopping: watch::Sender<bool>,
    visits: Mutex<Visits>,
}

impl Server {
    /// Takes the address and makes or loads the site's key.
    ///
    /// # Errors
    /// [`SiteError`] when the address, the origin or the key file cannot be used.
    pub async fn bind(options: &Options) -> Result<Self, SiteError> {
        let failed = |error| SiteError::Listen(options.listen, error);
        let listener = TcpListener::bind(options.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let origin = options.origin(address)?;
        let key = options.site_key()?;
        let site = Site::new(&origin, &options.name, &options.purpose, key)
            .map_err(|error| SiteError::Origin(origin.to_string(), error))?;
        let app = App {
            site,
            watchers: Arc::new(Semaphore::new(MAX_WATCHERS)),
            stopping: watch::Sender::new(false),
            visits: Mutex::default(),
        };
        Ok(Self {
            listener,
            address,
            app: Arc::new(app),
        })
    }

    /// The page's address, to open in a browser.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}/", self.app.site.origin())
    }

    /// The address that is listened on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` is done, then lets running requests finish.
    ///
    /// # Errors
    /// [`SiteError::Serve`] when the listener fails.
    pub async fn run(
        self,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), SiteError> {
        let app = Arc::clone(&self.app);
        let stopped = async move {
            shutdown.await;
            app.stopping.send_replace(true);
        };
        axum::serve(self.listener, routes::router(self.app))
            .with_graceful_shutdown(stopped)
            .await
            .map_err(SiteError::Serve)
    }
}

impl App {
    /// The visits. A panic elsewhere while they were held leaves them usable.
    pub fn visits(&self) -> MutexGuard<'_, Visits> {
        self.visits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Milliseconds since the Unix epoch.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}

/// The system's randomness; a system without it cannot run a site at all, see [`SiteError::Randomness`].
pub(crate) fn rng() -> UnwrapErr<getrandom::SysRng> {
    UnwrapErr(getrandom::SysRng)
}
