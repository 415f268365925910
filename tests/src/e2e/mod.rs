//! Built programs used as a person would: devices of their own, each in a network namespace, joined by virtual cables
//! that can be pulled; programs typed at on a terminal; everything with a deadline, nothing with a sleep.
//!
//! Works as root, and as any other user where user namespaces are allowed. Nothing is left behind: namespaces, cables
//! and programs live as long as the test that made them, however it ends.

mod acts;
mod device;
mod lan;
mod namespace;
mod program;
mod recovering;
mod router;
mod tap;
mod transcript;

pub use acts::Linking;
pub use device::{Device, twin};
pub use lan::{Cable, Lan};
pub use namespace::Namespace;
pub use program::{Finished, Program, kill};
pub use router::{Home, Passing, Ports};
pub use tap::{Kind, Packet, Tap, kinds};

use std::time::{Duration, Instant};

/// How long anything may take before the test fails: far beyond what a busy machine needs, so that it is never luck.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Tries `attempt` until it gives something; fails with `what` when patience is over.
pub fn eventually<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = attempt() {
            return value;
        }
        assert!(
            Instant::now() < deadline,
            "still not after {PATIENCE:?}: {what}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}
