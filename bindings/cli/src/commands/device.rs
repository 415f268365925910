//! `twin device list`

use serde_json::json;
use twin::Role;

use crate::commands::record::printable;
use crate::error::Result;
use crate::output::{Context, table};

pub fn list(cx: &Context) -> Result<()> {
    let twin = cx.open()?;
    let devices = twin.devices()?;
    let list: Vec<_> = devices
        .iter()
        .map(|device| {
            json!({
                "device": device.id.to_string(),
                "name": device.name,
                "may_replace_phone": device.role == Role::Admin,
                "this": device.is_this,
            })
        })
        .collect();
    cx.event(json!(list));
    let rows: Vec<Vec<String>> = devices
        .iter()
        .map(|device| {
            let name = if device.name.is_empty() {
                "(not met yet)".to_owned()
            } else {
                printable(&device.name)
            };
            let role = match device.role {
                Role::Admin => "phone, or may replace it",
                Role::Member => "companion",
            };
            let this = if device.is_this { "this device" } else { "" };
            let id: String = device.id.to_string().chars().take(16).collect();
            vec![name, role.to_owned(), id, this.to_owned()]
        })
        .collect();
    cx.say(table(&rows).trim_end());
    Ok(())
}
