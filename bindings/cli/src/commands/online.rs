//! `twin sync | run`

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use twin::{
    Address, Amount, CHUNK_LEN, DeviceId, Difference, OnlineConfig, OnlineEvent, Stay,
    SyncProgress, Traffic, Twin, Visited,
};

use crate::args::{Online, Reach, Sync};
use crate::commands::file::size;
use crate::commands::record::printable;
use crate::error::Result;
use crate::output::{Context, show};
use crate::stop::Stop;

pub async fn sync(cx: &Context, options: &Sync) -> Result<()> {
    let twin = cx.open()?;
    // One that is out is not among the devices.
    let others = twin
        .devices()?
        .iter()
        .filter(|device| !device.is_this)
        .count();
    let enough = if options.once { 1 } else { others.max(1) };
    let config = config(&options.reach, Stay::UntilInSync).await?;
    let patience = Duration::from_secs(options.wait);
    let mut screen = Screen::new(cx, &twin);
    let synced = twin
        .sync_once(config, enough, patience, |event| screen.show(event))
        .await?;
    // Where only relays were visited nobody knows who is equal.
    let met = !synced.devices.is_empty() || !synced.out.is_empty();
    cx.event(json!({
        "event": if met { "synced" } else { "visited" },
        "devices": synced.devices.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "out": synced.out.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "sent": synced.traffic.wire_sent,
        "received": synced.traffic.wire_received,
        "wanting": synced.wanting,
        "relays": synced.visited.iter().map(|visited| visited.relay.to_string()).collect::<Vec<_>>(),
    }));
    if synced.wanting > 0 {
        cx.say(format!(
            "still missing here, and not on any device that was met: about {} of files",
            size(synced.wanting.saturating_mul(CHUNK_LEN as u64))
        ));
    }
    Ok(())
}

pub async fn run(cx: &Context, options: &Online) -> Result<()> {
    let twin = cx.open()?;
    let mut stop = Stop::new()?;
    let mut online = twin
        .go_online(config(&options.reach, Stay::Online).await?)
        .await?;
    cx.say("Online. Stop with Ctrl-C.");
    let mut screen = Screen::new(cx, &twin);
    loop {
        tokio::select! {
            event = online.next() => match event {
                Some(event) => screen.show(&event),
                None => {
                    // It has ended by itself: why, if there is a reason to be given.
                    twin.refresh()?;
                    break;
                }
            },
            () = stop.asked() => break,
        }
    }
    let Traffic {
        wire_sent,
        wire_received,
        ..
    } = online.traffic();
    online.stop().await;
    cx.event(json!({"event": "offline", "sent": wire_sent, "received": wire_received}));
    cx.say("Offline.");
    Ok(())
}

pub async fn config(reach: &Reach, stay: Stay) -> Result<OnlineConfig> {
    Ok(OnlineConfig {
        listen: resolve(&reach.listen).await?,
        peers: resolve(&reach.peer).await?,
        discover: !reach.no_discovery,
        stay,
    })
}

pub async fn resolve(texts: &[String]) -> Result<Vec<Address>> {
    let mut addresses = Vec::new();
    for text in texts {
        addresses.extend(Address::resolve(text).await.map_err(twin::Error::from)?);
    }
    Ok(addresses)
}

/// What has gone back and forth with a device since both last held the same.
#[derive(Default)]
struct Count {
    received: usize,
    sent: usize,
    /// Bytes of content that came.
    content: u64,
}

/// How far an exchange has come, in one line.
fn far(progress: &SyncProgress) -> String {
    let changes = |amount: Amount, left: u64, how: &str| {
        let Amount { ops, bytes } = amount;
        let of = match left {
            0 => String::new(),
            left => format!(" of {}", ops.saturating_add(left)),
        };
        format!("{ops}{of} changes {how} ({})", size(bytes))
    };
    let files = [
        (progress.content_taken, "came"),
        (progress.content_given, "given"),
    ];
    let files = files.into_iter().filter(|(bytes, _)| *bytes > 0);
    let files = files.map(|(bytes, how)| format!("{} of files {how}", size(bytes)));
    let lines: Vec<String> = [
        changes(progress.taken, progress.to_take, "received"),
        changes(progress.given, progress.to_give, "sent"),
    ]
    .into_iter()
    .chain(files)
    .collect();
    lines.join(", ")
}

/// Shows events: to programs each as a line, to people what they mean, with a moving count on a terminal.
struct Screen<'a> {
    cx: &'a Context,
    twin: &'a Twin,
    counts: BTreeMap<DeviceId, Count>,
}

impl<'a> Screen<'a> {
    const fn new(cx: &'a Context, twin: &'a Twin) -> Self {
        Self {
            cx,
            twin,
            counts: BTreeMap::new(),
        }
    }

    fn show(&mut self, event: &OnlineEvent) {
        match event {
            OnlineEvent::Listening(address) => {
                let address = address.to_string();
                self.line(json!({"event": "listening", "address": address}));
                self.cx.say(format!("listening on {address}"));
            }
            OnlineEvent::Met(device) => self.about("met", device, "is here"),
            OnlineEvent::Lost(device) => self.about("lost", device, "is gone"),
            OnlineEvent::Stuck(device) => self.about(
                "stuck",
                device,
                "and this device do not hold the same, and neither can send the other what it lacks",
            ),
            OnlineEvent::Visited(Visited { relay, taken, left }) => {
                let event = json!({"event": "visited", "relay": relay.to_string(), "taken": taken, "left": left});
                self.cx.event(event);
                self.cx.say(match (taken, left) {
                    (0, 0) => format!("nothing new at the relay {relay}"),
                    (taken, 0) => format!("{taken} changes came by the relay {relay}"),
                    (0, _) => format!("what your other devices lack waits at the relay {relay}"),
                    (taken, _) => format!(
                        "{taken} changes came by the relay {relay}, and what your other devices lack waits there"
                    ),
                });
            }
            OnlineEvent::Parted { device, out } => {
                let out = if out == device {
                    "is out of your twin now: it gets nothing more, and nothing more is taken from it"
                } else {
                    "has heard that this device is out of your twin: what is here stays here, and nothing more comes or goes"
                };
                self.about("parted", device, out);
            }
            OnlineEvent::InSync(device) => {
                let count = self.counts.entry(*device).or_default();
                let (received, sent) = (count.received, count.sent);
                (count.received, count.sent) = (0, 0);
                self.about(
                    "in_sync",
                    device,
                    &format!(
                        "and this device hold the same ({received} changes received, {sent} sent)"
                    ),
                );
            }
            OnlineEvent::Received { device, ops } => {
                self.counts.entry(*device).or_default().received += ops;
                self.line(json!({
                    "event": "received", "device": device.to_string(), "ops": ops,
                }));
            }
            OnlineEvent::Sent { device, ops } => {
                self.counts.entry(*device).or_default().sent += ops;
                self.line(json!({
                    "event": "sent", "device": device.to_string(), "ops": ops,
                }));
            }
            OnlineEvent::Content { device, bytes } => {
                self.counts.entry(*device).or_default().content += *bytes as u64;
                self.line(json!({
                    "event": "content", "device": device.to_string(), "bytes": bytes,
                }));
            }
            OnlineEvent::Gave { device, bytes } => {
                self.line(json!({
                    "event": "gave", "device": device.to_string(), "bytes": bytes,
                }));
            }
            OnlineEvent::Wanting { device, chunks } => self.wanting(device, *chunks),
            OnlineEvent::Progress { device, progress } => self.far(device, progress),
            OnlineEvent::Differs { device, difference } => self.differs(device, difference),
            OnlineEvent::Problem(problem) => {
                self.line(json!({"event": "problem", "message": problem}));
                self.cx.say(problem);
            }
            _ => {}
        }
    }

    fn line(&self, json: serde_json::Value) {
        self.cx.event(json);
    }

    fn about(&self, event: &str, device: &DeviceId, what: &str) {
        self.line(json!({"event": event, "device": device.to_string()}));
        if !self.cx.json {
            self.cx.say(format!("{} {what}", self.name(device)));
        }
    }

    /// All content has come that a device has.
    fn wanting(&mut self, device: &DeviceId, chunks: u64) {
        self.line(json!({
            "event": "wanting", "device": device.to_string(), "chunks": chunks,
        }));
        let came = self.counts.entry(*device).or_default();
        let content = std::mem::take(&mut came.content);
        if content > 0 {
            self.cx.say(format!("{} of files came", size(content)));
        }
        if chunks > 0 {
            self.cx.say(format!(
                "about {} of files are still missing here",
                size(chunks.saturating_mul(CHUNK_LEN as u64))
            ));
        }
    }

    /// Why a device and this one do not become equal.
    fn differs(&self, device: &DeviceId, difference: &Difference) {
        self.line(json!({
            "event": "differs", "device": device.to_string(), "why": difference.to_string(),
            "writer": difference.writer().map(|writer| writer.to_string()),
        }));
        if !self.cx.json {
            let writer = difference.writer().map(|writer| self.name(&writer));
            let writer = writer.map_or_else(String::new, |name| format!(" (written on {name})"));
            self.cx
                .say(format!("{}: {difference}{writer}", self.name(device)));
        }
    }

    /// How far the exchange with a device has come.
    fn far(&mut self, device: &DeviceId, progress: &SyncProgress) {
        let SyncProgress {
            taken,
            to_take,
            given,
            to_give,
            content_taken,
            content_given,
        } = *progress;
        self.line(json!({
            "event": "progress", "device": device.to_string(),
            "taken": {"ops": taken.ops, "bytes": taken.bytes}, "to_take": to_take,
            "given": {"ops": given.ops, "bytes": given.bytes}, "to_give": to_give,
            "content_taken": content_taken, "content_given": content_given,
        }));
        // On a terminal, a count that moves; it is written over by the next line.
        if self.cx.is_interactive() {
            show(&format!("{}\r", far(progress)));
        }
    }

    fn name(&self, id: &DeviceId) -> String {
        let devices = self.twin.devices().unwrap_or_default();
        devices
            .into_iter()
            .find(|device| device.id == *id && !device.name.is_empty())
            .map_or_else(|| "a device".to_owned(), |device| printable(&device.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_far_it_has_come_says_what_is_left() {
        let mut progress = SyncProgress {
            taken: Amount {
                ops: 1200,
                bytes: 300_000,
            },
            to_take: 800,
            ..SyncProgress::default()
        };
        let said = far(&progress);
        assert!(
            said.starts_with("1200 of 2000 changes received ("),
            "{said}"
        );
        assert!(said.contains("), 0 changes sent ("), "{said}");
        assert!(!said.contains("files"), "{said}");
        (progress.to_take, progress.content_taken) = (0, 70_000);
        let said = far(&progress);
        assert!(said.starts_with("1200 changes received ("), "{said}");
        assert!(said.ends_with(" of files came"), "{said}");
    }
}
