//! An app that goes to the background and comes back, as a phone's does: the twin of `TWIN_HOME` online, suspended and
//! resumed as its standard input says.
//!
//! Prints `held` whenever another device and this one hold the same; after each line `suspend` or `resume` that it reads,
//! when it is done, `asleep` or `awake`. What it logs goes to standard error.
#![allow(clippy::print_stdout, clippy::print_stderr, missing_docs)]

use std::error::Error;
use std::path::Path;

use tokio::sync::mpsc;
use twin::{OnlineConfig, OnlineEvent, Stay, Twin, Unlock};

/// Says what is of interest to whoever runs it.
struct Log;

impl log::Log for Log {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        eprintln!("{}", record.args());
    }

    fn flush(&self) {}
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    log::set_logger(&Log)?;
    log::set_max_level(log::LevelFilter::Info);
    let (home, password) = (std::env::var("TWIN_HOME")?, std::env::var("TWIN_PASSWORD")?);
    let twin = Twin::open(Path::new(&home), Unlock::Password(&password))?;
    let config = OnlineConfig {
        listen: Vec::new(),
        peers: Vec::new(),
        discover: true,
        stay: Stay::Online,
    };
    let mut online = twin.go_online(config).await?;
    let (sender, mut lines) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            // It has ended if nobody hears it.
            let _ = sender.send(line);
        }
    });
    loop {
        tokio::select! {
            event = online.next() => match event {
                Some(OnlineEvent::InSync(_)) => println!("held"),
                Some(_) => {}
                None => return Ok(()),
            },
            line = lines.recv() => match line.as_deref() {
                Some("suspend") => {
                    online.suspend().await?;
                    twin.sleep()?;
                    println!("asleep");
                }
                Some("resume") => {
                    online.resume().await?;
                    println!("awake");
                }
                _ => return Ok(()),
            },
        }
    }
}
