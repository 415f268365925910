//! One session of a device that is online.

use tokio::sync::mpsc;
use twin_identity::id::DeviceId;
use twin_net::{Address, Frames};
use twin_sync::session::SyncEvent;
use twin_vault::files::CHUNK_LEN;

use super::{EVENTS, OnlineEvent};
use crate::error::{Error, Result};
use crate::sync::{self, Meeting};
use crate::twin::Twin;

/// Runs a session and tells the application; returns the device at the other end, once it had proved itself.
pub(super) async fn run_session(
    twin: &Twin,
    meeting: Meeting,
    address: Option<Address>,
    frames: Frames,
    out: &mpsc::Sender<OnlineEvent>,
) -> (Option<DeviceId>, Result<()>) {
    let (sender, mut events) = mpsc::channel(EVENTS);
    let mut device = None;
    let watch = async {
        while let Some(event) = events.recv().await {
            if let SyncEvent::Met(met) = event {
                device = Some(met);
                if let Some(address) = address {
                    remember(twin, met, address);
                }
            }
            if matches!(
                event,
                SyncEvent::Received { .. } | SyncEvent::Content { .. }
            ) {
                twin.notify();
            }
            let calls = matches!(
                event,
                SyncEvent::InSync | SyncEvent::Branched { .. } | SyncEvent::Stuck
            );
            if calls && sync::tend(twin) && event == SyncEvent::Stuck {
                // Now there is more to say.
                continue;
            }
            let Some(device) = device else { continue };
            twin.meetings.heard(device, &event);
            let told = match event {
                SyncEvent::Met(device) => OnlineEvent::Met(device),
                SyncEvent::Received { ops: 0 } => continue,
                SyncEvent::Received { ops } => OnlineEvent::Received { device, ops },
                SyncEvent::Sent { ops } => OnlineEvent::Sent { device, ops },
                SyncEvent::Content { bytes, .. } => OnlineEvent::Content { device, bytes },
                SyncEvent::Gave { bytes, .. } => OnlineEvent::Gave { device, bytes },
                SyncEvent::Wanting { chunks } => {
                    if let Some(problem) = no_room(twin, chunks) {
                        let _ = out.send(problem).await;
                    }
                    OnlineEvent::Wanting { device, chunks }
                }
                SyncEvent::Progress(progress) => OnlineEvent::Progress { device, progress },
                SyncEvent::Equal(_) => continue,
                SyncEvent::InSync => OnlineEvent::InSync(device),
                SyncEvent::Differs(difference) => OnlineEvent::Differs { device, difference },
                SyncEvent::Stuck => OnlineEvent::Stuck(device),
                SyncEvent::PassedOver(_) => OnlineEvent::Problem(
                    "some of what a device wrote cannot be taken here: update this device"
                        .to_owned(),
                ),
                SyncEvent::Branched { .. } => OnlineEvent::Problem(
                    "this device had been set back to an older state: what was written on it since is kept, and so is what it had written before"
                        .to_owned(),
                ),
                SyncEvent::Forked(_) => OnlineEvent::Problem(
                    "a device was copied or restored and has written two histories: link it again"
                        .to_owned(),
                ),
            };
            // Nobody may be listening; that is no reason to stop.
            let _ = out.send(told).await;
        }
    };
    let session = sync::run(twin, meeting, frames, sender);
    let (result, ()) = tokio::join!(session, watch);
    if let Some(device) = device {
        twin.note_equal(&device);
    }
    (device, result)
}

/// What the person is told if so many chunks are missing and none of them comes here, for there is no room.
fn no_room(twin: &Twin, chunks: u64) -> Option<OnlineEvent> {
    let vault = twin.vault();
    let lacks = vault.lacks_room(chunks.saturating_mul(CHUNK_LEN as u64));
    (chunks > 0 && vault.lacks_room(0) > 0)
        .then(|| OnlineEvent::Problem(Error::NoRoom(lacks).to_string()))
}

/// Keeps the address at which a device was reached, for the next time.
fn remember(twin: &Twin, device: DeviceId, address: Address) {
    let mut vault = twin.vault();
    // Met, but not (yet) in the identity log: no device of ours.
    if vault.identity().device(&device).is_none() {
        return;
    }
    if let Err(error) = vault.remember_address(device, &address.to_string()) {
        log::warn!("an address could not be remembered: {error}");
    }
}
