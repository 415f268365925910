//! One sync session with one peer, over a stream.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;
use twin_net::{Frames, TransportKey, drive};
use twin_sync::session::{Session, Side, Stay, SyncEvent};
use twin_vault::Vault;

use crate::error::{Error, Result};
use crate::platform::rng;
use crate::twin::Twin;

/// How long a session that is to end may go without any progress.
const PATIENCE: Duration = Duration::from_secs(60);
/// How many events of a session may wait.
const EVENTS: usize = 64;

/// Who meets whom.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Meeting {
    pub side: Side,
    pub me: TransportKey,
    pub peer: TransportKey,
    pub stay: Stay,
    /// Whether content of files is asked for, too.
    pub content: bool,
}

/// Runs a session and gives its events to `events` as they come.
pub(crate) async fn run(
    twin: &Twin,
    meeting: Meeting,
    frames: Frames,
    events: mpsc::Sender<SyncEvent>,
) -> Result<()> {
    let mut session: Session<Vault> = Session::new(
        meeting.side,
        meeting.me,
        meeting.peer,
        meeting.stay,
        twin.now(),
        &mut rng(),
    );
    if !meeting.content {
        session = session.records_only();
    }
    let clock = Arc::clone(&twin.clock);
    let store = Arc::clone(&twin.vault);
    drive(frames, session, store, twin.changes(), events, move || {
        clock.now()
    })
    .await?;
    Ok(())
}

/// Does what has become this device's to do since the others have written, or since the day of something has come (see
/// [`Vault::tend`]). Where it cannot be done, another device does it, or this one the next time. `true` if others have
/// something to hear of.
pub(crate) fn tend(twin: &Twin) -> bool {
    let now = twin.now();
    // The lock must be gone before anybody is told.
    let tended = twin.vault().tend(now, &mut rng());
    match tended {
        Ok(true) => {
            twin.notify();
            true
        }
        Ok(false) => false,
        Err(error) => {
            log::warn!("what came from a device could not be attended to: {error}");
            false
        }
    }
}

/// Removes what has been superseded by what came.
fn sweep(twin: &Twin) {
    loop {
        // Others may use the vault between two pieces.
        let swept = twin.vault().sweep();
        match swept {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                log::warn!("what is superseded could not be removed: {error}");
                return;
            }
        }
    }
}

/// Runs a session until both replicas are equal.
pub(crate) async fn run_to_end(twin: &Twin, meeting: Meeting, frames: Frames) -> Result<()> {
    let (sender, mut events) = mpsc::channel(EVENTS);
    let session = run(twin, meeting, frames, sender);
    let watch = async {
        let mut in_sync = false;
        let (mut device, mut why) = (None, Vec::new());
        while let Some(event) = timeout(PATIENCE, events.recv())
            .await
            .map_err(|_| Error::TooSlow)?
        {
            if let SyncEvent::Met(met) = event {
                device = Some(met);
            }
            if let Some(device) = device {
                twin.meetings.heard(device, &event);
            }
            match event {
                SyncEvent::Received { .. } => twin.notify(),
                SyncEvent::InSync => {
                    in_sync = true;
                    tend(twin);
                }
                // It goes on once that is resolved.
                SyncEvent::Branched { .. } => _ = tend(twin),
                SyncEvent::Differs(difference) => why.push(difference.to_string()),
                // What the other lacks may be a key that is to be granted first: a log that begins with a checkpoint is
                // taken by nobody who cannot read that.
                SyncEvent::Stuck if tend(twin) => why.clear(),
                SyncEvent::Stuck => return Err(Error::NotInSync(why.join("; "))),
                _ => {}
            }
        }
        Ok(in_sync)
    };
    tokio::pin!(session, watch);
    // A session that is stuck would wait for changes for ever.
    let (ended, watched) = tokio::select! {
        ended = &mut session => (Some(ended), watch.await),
        watched = &mut watch => (None, watched),
    };
    let in_sync = watched?;
    sweep(twin);
    match ended {
        // The other side may hang up first once it knows that both are equal.
        Some(Err(_)) if in_sync => Ok(()),
        Some(ended) => ended,
        None => session.await,
    }
}
