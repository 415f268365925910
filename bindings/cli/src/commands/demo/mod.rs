//! `twin demo`: a phone, a laptop and a site on this machine, as separate processes that run the public commands.
//!
//! - `story`: what happens, step by step
//! - `process`: a running command; `browser`: just enough of one to look at the site's page
//! - `stage`: where it all takes place, what is printed and measured

mod browser;
mod process;
mod stage;
mod story;

use serde_json::json;

use crate::args::Demo;
use crate::error::{CliError, Result};
use crate::output::Context;
use crate::stop::Stop;
use stage::Stage;

pub async fn run(cx: &Context, options: &Demo) -> Result<()> {
    let mut stop = Stop::new()?;
    let mut stage = Stage::new(cx)?;
    let kept = tokio::select! {
        kept = story::tell(&mut stage, options.keep) => kept?,
        () = stop.asked() => return Err(CliError::Demo("stopped before its end".to_owned())),
    };
    stage.print_table();
    cx.event(json!({
        "steps": stage.steps(),
        "traffic": stage.traffic(),
        "total_ms": stage.total_ms(),
    }));
    if let Some(kept) = kept {
        kept.wait(&stage, &mut stop).await?;
    }
    Ok(())
}
