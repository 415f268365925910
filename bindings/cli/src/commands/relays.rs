//! `twin relays`

use serde_json::json;
use twin::RelayAddress;

use crate::args::{Relays, RelaysCommand};
use crate::error::Result;
use crate::output::Context;

/// What is said where there is no relay.
const WITHOUT: &str = "You use no relay. Devices on one network find each other, and so do those that know each other's address; what \
     they have for each other waits until they meet. With a relay it can wait there, sealed, and devices behind routers reach \
     each other. Run one with twin relay, or use one that somebody runs for you: twin relays add KEY@HOST:PORT. A device of yours \
     that is always on does the same: twin device at DEVICE HOST:PORT.";

pub fn run(cx: &Context, options: &Relays) -> Result<()> {
    match &options.command {
        None => list(cx),
        Some(RelaysCommand::Add { relay }) => add(cx, relay),
        Some(RelaysCommand::Remove { relay }) => remove(cx, relay),
    }
}

fn list(cx: &Context) -> Result<()> {
    let relays = cx.open()?.relays()?;
    let texts: Vec<String> = relays.iter().map(ToString::to_string).collect();
    cx.event(json!(texts));
    if texts.is_empty() {
        cx.say(WITHOUT);
    } else {
        cx.say(texts.join("\n"));
    }
    Ok(())
}

fn add(cx: &Context, relay: &RelayAddress) -> Result<()> {
    cx.open()?.add_relay(relay)?;
    cx.event(json!({"event": "relay_added", "relay": relay.to_string()}));
    cx.say(
        "All your devices use it from the next time on that they hear of it. It sees when and from where they come, and how much \
         they leave, in steps; it cannot read anything, and does not know which of its users are one person.",
    );
    Ok(())
}

fn remove(cx: &Context, relay: &RelayAddress) -> Result<()> {
    cx.open()?.remove_relay(relay)?;
    cx.event(json!({"event": "relay_removed", "relay": relay.to_string()}));
    cx.say("It is used no more. What lies there expires within a month, and cannot be read there.");
    Ok(())
}
