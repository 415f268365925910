//! Waking when another program of this device may have written to the vault, and sleeping until then.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use notify::event::EventKind;
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::twin::Twin;

/// How often to look where the system does not say when a file changes.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Tells when the vault's files have changed, whoever changed them. Waiting costs nothing.
pub struct Elsewhere {
    wrote: Arc<Notify>,
    /// `None` where the system does not tell.
    watcher: Option<RecommendedWatcher>,
}

impl Elsewhere {
    fn of(folder: &Path) -> Self {
        let wrote = Arc::new(Notify::new());
        let tell = Arc::clone(&wrote);
        let told = move |event: notify::Result<notify::Event>| {
            // Whoever only reads has changed nothing. Of an error nobody knows what it has swallowed.
            if !event.is_ok_and(|event| matches!(event.kind, EventKind::Access(_))) {
                tell.notify_one();
            }
        };
        let watcher = notify::recommended_watcher(told).and_then(|mut watcher| {
            watcher.watch(folder, RecursiveMode::NonRecursive)?;
            Ok(watcher)
        });
        let watcher = watcher
            .inspect_err(|error| log::info!("changes by other programs are looked for: {error}"))
            .ok();
        Self { wrote, watcher }
    }

    /// Waits until something may have been written since this was last waited for, here or by another program:
    /// [`Twin::refresh`] then shows it. Cancel safe.
    pub async fn wrote(&self) {
        if self.watcher.is_some() {
            self.wrote.notified().await;
        } else {
            sleep(LOOK_EVERY).await;
        }
    }
}

impl Twin {
    /// Begins to listen for what other programs of this device write.
    pub fn elsewhere(&self) -> Elsewhere {
        Elsewhere::of(self.vault().folder())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;

    use tokio::time::timeout;

    use super::*;

    /// More than any machine needs; nobody waits for it where all is well.
    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn writing_wakes_and_reading_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "1").unwrap();
        let elsewhere = Elsewhere::of(folder.path());
        assert!(elsewhere.watcher.is_some());
        fs::write(&file, "2").unwrap();
        timeout(LONG, elsewhere.wrote()).await.unwrap();
        // Several events may tell of one write.
        fs::write(folder.path().join("mark"), "").unwrap();
        while timeout(Duration::from_millis(50), elsewhere.wrote())
            .await
            .is_ok()
        {}
        fs::read(&file).unwrap();
        let woken = timeout(Duration::from_millis(50), elsewhere.wrote()).await;
        assert!(woken.is_err(), "reading is no change");
    }

    #[tokio::test]
    async fn what_cannot_be_watched_is_looked_at() {
        let elsewhere = Elsewhere::of(Path::new("/nowhere at all"));
        assert!(elsewhere.watcher.is_none());
        tokio::time::pause();
        elsewhere.wrote().await;
    }
}
