//! `twin site`

use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use twin_site::{Options, Server};

use crate::error::Result;
use crate::output::Context;

pub async fn run(cx: &Context, options: &Options) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let server = Server::bind(options).await?;
    cx.event(json!({"event": "serving", "url": server.url()}));
    cx.say(format!("{} is at {}", options.name, server.url()));
    cx.say("Open it in a browser. Stop with Ctrl-C.");
    let stopped = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
    };
    Ok(server.run(stopped).await?)
}
