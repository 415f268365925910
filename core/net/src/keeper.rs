//! Keeping a place at a relay: asked for again whenever it is lost, more and more rarely while that fails.

use std::time::Duration;

use tokio::time::sleep;

use crate::{Error, RelayAddress, caller::Caller};

/// How long to wait before asking again, at first and at most.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(300);

/// Keeps a place at `relay` until the node has stopped or the task is aborted.
pub(crate) async fn keep(caller: Caller, relay: RelayAddress) {
    let mut pause = SHORTEST;
    loop {
        // Made before the attempt, so that nothing is missed during it.
        let stirred = caller.shared.stirred.notified();
        match caller.reserve(&relay).await {
            Ok(held) => {
                // Ends by an error: nothing is ever sent.
                held.await.ok();
                pause = SHORTEST;
            }
            Err(Error::Stopped) => return,
            Err(Error::Asleep) => {
                stirred.await;
                pause = SHORTEST;
                continue;
            }
            Err(error) => log::info!("a relay does not let this node in: {error}"),
        }
        tokio::select! {
            () = sleep(pause) => pause = (pause * 2).min(LONGEST),
            () = stirred => pause = SHORTEST,
        }
    }
}
