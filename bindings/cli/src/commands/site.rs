//! `twin site`

use serde_json::json;
use twin_site::{Options, Server};

use crate::error::Result;
use crate::output::Context;
use crate::stop::Stop;

pub async fn run(cx: &Context, options: &Options) -> Result<()> {
    let mut stop = Stop::new()?;
    let server = Server::bind(options).await?;
    cx.event(json!({"event": "serving", "url": server.url()}));
    cx.say(format!("{} is at {}", options.name, server.url()));
    cx.say("Open it in a browser. Stop with Ctrl-C.");
    Ok(server.run(async move { stop.asked().await }).await?)
}
