//! How far a long call is, on one line of a terminal's standard error; nothing where that is no terminal.

use std::io::{self, IsTerminal, Write};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use twin::Progress;

use crate::commands::file::size;
use crate::output::Context;

/// How often the line changes.
const EVERY: Duration = Duration::from_millis(200);

/// A line that says how far it is.
pub struct Bar {
    shown: bool,
    is_wanted: bool,
    next: Instant,
}

impl Bar {
    /// Shows nothing yet: what is done at once needs no line.
    pub fn new(cx: &Context) -> Self {
        Self {
            shown: false,
            is_wanted: !cx.json && io::stderr().is_terminal(),
            next: Instant::now() + EVERY,
        }
    }

    /// Says how far it is, and that it goes on.
    pub fn show(&mut self, progress: Progress) -> ControlFlow<()> {
        if self.is_wanted && Instant::now() >= self.next {
            self.next = Instant::now() + EVERY;
            self.shown = true;
            let done = size(progress.done);
            let line = match progress.total {
                Some(total) => format!("{done} of {}", size(total)),
                None => done,
            };
            // Where it cannot be shown nobody waits for it.
            let _ = write!(io::stderr(), "\r\x1b[K{line}");
        }
        ControlFlow::Continue(())
    }

    /// Takes the line away.
    pub fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
