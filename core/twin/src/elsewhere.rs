//! Waking when another program of this device may have written to the vault, and sleeping until then.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use notify::event::EventKind;
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};

use crate::twin::Twin;

/// How often to look where the system does not say when a file changes.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// When to look after something was written. SQLite writes, waits for the disk, and then only says in memory that it is
/// done, which no system tells of: how long that takes is the disk's affair.
const LOOKS: [Duration; 5] = [
    Duration::from_millis(20),
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_secs(2),
    Duration::from_secs(10),
];

/// Tells when the vault's files have changed, whoever changed them. Waiting costs nothing.
pub struct Elsewhere {
    wrote: Arc<Notify>,
    /// Which look is next, and when.
    next: Mutex<Option<(usize, Instant)>>,
    /// `None` where the system does not tell.
    watcher: Option<RecommendedWatcher>,
}

impl Elsewhere {
    fn of(folder: &Path) -> Self {
        let wrote = Arc::new(Notify::new());
        let tell = Arc::clone(&wrote);
        let told = move |event: notify::Result<notify::Event>| {
            if is_change(&event) {
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
        Self {
            wrote,
            next: Mutex::default(),
            watcher,
        }
    }

    /// Waits until something may have been written since this was last waited for, here or by another program:
    /// [`Twin::refresh`] then shows it. Cancel safe.
    pub async fn wrote(&self) {
        if self.watcher.is_none() {
            return sleep(LOOK_EVERY).await;
        }
        loop {
            let next = *self.next();
            let at = next.map_or_else(Instant::now, |(_, at)| at);
            tokio::select! {
                () = self.wrote.notified() => {
                    // Whoever goes on writing is looked at all the same.
                    if next.is_none_or(|(look, _)| look > 0) {
                        *self.next() = look_after(0);
                    }
                }
                () = sleep_until(at), if next.is_some() => {
                    *self.next() = next.and_then(|(look, _)| look_after(look + 1));
                    return;
                }
            }
        }
    }

    /// Never held across an await.
    fn next(&self) -> MutexGuard<'_, Option<(usize, Instant)>> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whoever only reads has changed nothing. Of an error nobody knows what it has swallowed.
fn is_change(event: &notify::Result<notify::Event>) -> bool {
    !event
        .as_ref()
        .is_ok_and(|event| matches!(event.kind, EventKind::Access(_)))
}

fn look_after(look: usize) -> Option<(usize, Instant)> {
    let pause = LOOKS.get(look)?;
    Some((look, Instant::now() + *pause))
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
    async fn what_is_written_is_looked_at_several_times() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        let elsewhere = Elsewhere::of(folder.path());
        assert!(elsewhere.watcher.is_some());
        fs::write(&file, "1").unwrap();
        timeout(LONG, elsewhere.wrote()).await.unwrap();
        // Further events of the same write may begin anew.
        tokio::time::pause();
        for _ in 1..LOOKS.len() {
            elsewhere.wrote().await;
        }
    }

    #[test]
    fn reading_is_no_change() {
        let event = |kind| Ok(notify::Event::new(kind));
        let kinds = notify::event::AccessKind::Any;
        assert!(!is_change(&event(EventKind::Access(kinds))));
        assert!(is_change(&event(EventKind::Any)));
        assert!(is_change(&Err(notify::Error::generic("lost"))));
    }

    #[tokio::test]
    async fn what_cannot_be_watched_is_looked_at() {
        let elsewhere = Elsewhere::of(Path::new("/nowhere at all"));
        assert!(elsewhere.watcher.is_none());
        tokio::time::pause();
        elsewhere.wrote().await;
    }
}
