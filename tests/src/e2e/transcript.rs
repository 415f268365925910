//! What a program has printed so far, and waiting for it to print something.

use std::io::Read;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// Output collected as it comes.
#[derive(Clone, Default)]
pub struct Transcript(Arc<(Mutex<State>, Condvar)>);

#[derive(Default)]
struct State {
    text: Vec<u8>,
    /// How far `expect` has read.
    read: usize,
    /// Nothing more will come.
    ended: bool,
}

impl Transcript {
    /// Collects what `source` gives until it ends.
    pub fn of(mut source: impl Read + Send + 'static) -> Self {
        let transcript = Self::default();
        let writer = transcript.clone();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            loop {
                // The end of a terminal is an error (EIO), the end of a pipe is none.
                let count = source.read(&mut buffer).unwrap_or(0);
                let (state, changed) = &*writer.0;
                let mut state = state.lock().unwrap();
                state.text.extend_from_slice(&buffer[..count]);
                state.ended = count == 0;
                changed.notify_all();
                if state.ended {
                    return;
                }
            }
        });
        transcript
    }

    /// Waits for `wanted` after what was read before; gives everything up to and with it, or the reason why not.
    pub fn expect(&self, wanted: &str, patience: Duration) -> Result<String, String> {
        let found = self.wait(patience, |state| {
            let unread = &state.text[state.read..];
            let at = unread
                .windows(wanted.len())
                .position(|window| window == wanted.as_bytes())?;
            let found = String::from_utf8_lossy(&unread[..at + wanted.len()]).into_owned();
            state.read += at + wanted.len();
            Some(found)
        });
        found.ok_or_else(|| format!("waited for {wanted:?}, but saw only:\n{}", self.text()))
    }

    /// Waits until nothing more will come; false if patience ended first.
    pub fn end(&self, patience: Duration) -> bool {
        self.wait(patience, |state| state.ended.then_some(()))
            .is_some()
    }

    /// Everything printed so far.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.0.lock().unwrap().text).into_owned()
    }

    /// Looks at the state each time it changes, until `look` gives something, the output ends or patience does.
    fn wait<T>(
        &self,
        patience: Duration,
        mut look: impl FnMut(&mut State) -> Option<T>,
    ) -> Option<T> {
        let deadline = Instant::now() + patience;
        let (state, changed) = &*self.0;
        let mut state = state.lock().unwrap();
        loop {
            if let Some(value) = look(&mut state) {
                return Some(value);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if state.ended || left.is_zero() {
                return None;
            }
            state = changed.wait_timeout(state, left).unwrap().0;
        }
    }
}
