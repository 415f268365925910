//! One open page, told whenever what it shows has changed.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, watch};

use crate::page::View;
use crate::server::{App, now};

/// Follows one visit until its login is over, the visit is forgotten or the site stops.
pub(crate) struct Watcher {
    app: Arc<App>,
    cookie: String,
    changes: watch::Receiver<()>,
    stopping: watch::Receiver<bool>,
    /// False until the page has been told once what it should show.
    greeted: bool,
    _permit: OwnedSemaphorePermit,
}

impl Watcher {
    pub fn new(app: Arc<App>, cookie: String, permit: OwnedSemaphorePermit) -> Option<Self> {
        let changes = app.visits().get(&cookie, now())?.watch();
        let stopping = app.stopping.subscribe();
        Some(Self {
            app,
            cookie,
            changes,
            stopping,
            greeted: false,
            _permit: permit,
        })
    }

    /// What to show next, and the watcher that waits for what comes after it.
    pub async fn next(mut self) -> Option<(View, Option<Self>)> {
        if self.greeted {
            self.wait().await?;
        }
        self.greeted = true;
        let view = self.look()?.0;
        let rest = (!view.is_final()).then_some(self);
        Some((view, rest))
    }

    async fn wait(&mut self) -> Option<()> {
        let (_, expires_in) = self.look()?;
        tokio::select! {
            changed = self.changes.changed() => changed.ok(),
            () = tokio::time::sleep(expires_in) => Some(()),
            _ = self.stopping.wait_for(|stopping| *stopping) => None,
        }
    }

    /// The view of this moment, and how long it may last.
    fn look(&self) -> Option<(View, Duration)> {
        let now = now();
        let mut visits = self.app.visits();
        let visit = visits.get(&self.cookie, now)?;
        let left = visit.attempt.expires_at().saturating_sub(now);
        Some((
            View::new(&self.app.site, visit, now),
            Duration::from_millis(left),
        ))
    }
}
