//! Being asked to stop: Ctrl-C, a closed terminal, or a service manager.

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The exit code of a program that Ctrl-C ended, as usual in a shell.
const INTERRUPTED: i32 = 130;

/// Whether Ctrl-C is somebody's business: of a command that stops in its own way, or of a prompt.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Ends the program at Ctrl-C, as the system would, but for those who take care of it themselves.
pub fn at_interrupt() -> io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        while interrupt.recv().await.is_some() {
            if !TAKEN.load(Ordering::SeqCst) {
                std::process::exit(INTERRUPTED);
            }
        }
    });
    Ok(())
}

/// Does something that has its own answer to Ctrl-C: a prompt has to give the terminal back as it was.
pub fn not_during<T>(prompt: impl FnOnce() -> T) -> T {
    TAKEN.store(true, Ordering::SeqCst);
    let answer = prompt();
    TAKEN.store(false, Ordering::SeqCst);
    answer
}

/// Whether somebody has asked a long call to stop, which then does so in its own way; who asks twice gets it at once.
#[derive(Clone)]
pub struct Asked(Arc<AtomicBool>);

impl Asked {
    /// Listens from now on.
    pub fn new() -> io::Result<Self> {
        let asked = Self(Arc::default());
        let (mut stop, flag) = (Stop::new()?, asked.clone());
        tokio::spawn(async move {
            stop.asked().await;
            flag.0.store(true, Ordering::SeqCst);
            stop.asked().await;
            std::process::exit(INTERRUPTED);
        });
        Ok(asked)
    }

    /// Whether to go on.
    pub fn flow(&self) -> ControlFlow<()> {
        if self.0.load(Ordering::SeqCst) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}

/// Listens from the moment it is made, so that no request is missed, whatever is done between two looks.
pub struct Stop {
    signals: [Signal; 3],
}

impl Stop {
    pub fn new() -> io::Result<Self> {
        TAKEN.store(true, Ordering::SeqCst);
        Ok(Self {
            signals: [
                signal(SignalKind::interrupt())?,
                signal(SignalKind::terminate())?,
                signal(SignalKind::hangup())?,
            ],
        })
    }

    /// Waits until somebody asks. Cancel safe.
    pub async fn asked(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.signals;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}
