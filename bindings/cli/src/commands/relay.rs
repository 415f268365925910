//! `twin relay`

mod key;

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;
use tokio::task::JoinSet;
use twin::platform::{Clock, SystemClock};
use twin_net::mailbox::{Limits, Service};
use twin_net::relay::page::Page;
use twin_net::{Address, Relay, RelayAddress, RelayConfig, Transport};

use crate::args::RelayOptions;
use crate::error::{CliError, Result};
use crate::output::Context;
use crate::stop::Stop;

/// The file of the mailbox, in the relay's folder.
const MAILBOX: &str = "mailbox.db";

pub async fn run(cx: &Context, options: &RelayOptions) -> Result<()> {
    let mut stop = Stop::new()?;
    let kept = folder(options)?;
    let key = key::keep(&kept)?;
    let both = |place: &std::net::SocketAddr| {
        [Transport::Tcp, Transport::Quic].map(|over| Address::from(*place).over(over))
    };
    let mut external = Vec::new();
    for place in &options.external {
        for address in Address::resolve(place).await? {
            external.extend([Transport::Tcp, Transport::Quic].map(|over| address.over(over)));
        }
    }
    let config = RelayConfig {
        listen: options.listen.iter().flat_map(both).collect(),
        external,
        ..RelayConfig::everywhere(key, 0)
    };
    let (relay, mut events) = Relay::start(config).await?;
    let relay = Arc::new(relay);
    let mailbox = Service::open(&kept.join(MAILBOX), Limits::default(), relay.metrics())?;
    let mailbox = Arc::new(mailbox);
    let mut page = JoinSet::new();
    if let Some(place) = options.metrics {
        let bound = Page::bind(place).await?;
        let url = format!("http://{}/metrics", bound.address()?);
        page.spawn(bound.serve(Arc::clone(&relay)));
        cx.event(json!({"event": "metrics", "url": url}));
        cx.say(format!("metrics are at {url}"));
    }
    cx.say("A relay for your devices. Enter this in the app:");
    for address in shown(&relay, options)? {
        cx.event(json!({"event": "relay", "address": address.to_string()}));
        cx.say(format!("  {address}"));
    }
    cx.say("Stop with Ctrl-C.");
    tokio::select! {
        () = stop.asked() => {}
        () = relay.serve(&mut events, Arc::clone(&mailbox), || SystemClock.now()) => {}
    }
    page.shutdown().await;
    if let Some(relay) = Arc::into_inner(relay) {
        relay.shutdown().await;
    }
    cx.event(json!({"event": "stopped"}));
    cx.say("Stopped.");
    Ok(())
}

/// What people enter: where the operator says that it is, else where this machine is, on itself only if nowhere else.
fn shown(relay: &Relay, options: &RelayOptions) -> Result<Vec<RelayAddress>> {
    if !options.external.is_empty() {
        let named = options.external.iter().map(|place| relay.named(place));
        return Ok(named.collect::<std::result::Result<_, _>>()?);
    }
    let mut all = relay.addresses();
    all.retain(|address| address.transport() == Transport::Tcp && !address.is_link_local_v6());
    if all.iter().any(|address| !address.ip().is_loopback()) {
        all.retain(|address| !address.ip().is_loopback());
    }
    let named = all
        .into_iter()
        .filter_map(|address| RelayAddress::new(relay.key(), address));
    Ok(named.collect())
}

/// Where the relay keeps things: as said, or where a user's programs keep theirs.
fn folder(options: &RelayOptions) -> Result<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let of_user = || {
        let data = variable("XDG_DATA_HOME").map(PathBuf::from);
        let data = data.or_else(|| Some(PathBuf::from(variable("HOME")?).join(".local/share")))?;
        Some(data.join("twin-relay"))
    };
    let said = options.data.clone().or_else(of_user);
    said.ok_or(CliError::NoRelayFolder)
}
