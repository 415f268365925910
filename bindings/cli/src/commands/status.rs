//! `twin status`

use serde_json::json;
use twin::Role;

use crate::error::Result;
use crate::output::{Context, table};

pub fn run(cx: &Context) -> Result<()> {
    let twin = cx.open()?;
    let devices = twin.devices()?;
    let this = devices.iter().find(|device| device.is_this);
    let this_name = this.map_or("", |device| device.name.as_str());
    let role = match this.map(|device| device.role) {
        Some(Role::Admin) => "phone, or may replace it",
        _ => "companion",
    };
    let spaces: Vec<String> = twin.spaces()?.iter().map(ToString::to_string).collect();
    let size = twin.vault_size(cx.home()?)?;
    cx.event(json!({
        "twin": twin.id().to_string(),
        "name": twin.name()?,
        "device": twin.device_id().to_string(),
        "device_name": this_name,
        "role": role,
        "devices": devices.len(),
        "spaces": spaces,
        "vault_bytes": size,
        "needs_update": twin.needs_update(),
    }));
    let row = |name: &str, value: String| vec![name.to_owned(), value];
    cx.say(
        table(&[
            row("twin", format!("{}  {}", twin.name()?, twin.id())),
            row("device", format!("{this_name}  ({role})")),
            row("devices", devices.len().to_string()),
            row(
                "spaces",
                if spaces.is_empty() {
                    "none yet".to_owned()
                } else {
                    spaces.join(", ")
                },
            ),
            row("vault", format!("{} kB, sealed", size.div_ceil(1000))),
        ])
        .trim_end(),
    );
    if twin.needs_update() {
        cx.say("Another device uses a newer version: update this one.");
    }
    Ok(())
}
