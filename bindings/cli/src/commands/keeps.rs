//! `twin device keeps`: which spaces each device keeps.

use serde_json::json;
use twin::Twin;

use crate::commands::device::name;
use crate::commands::record::printable;
use crate::error::Result;
use crate::output::{Context, table};

/// What is said after a space is kept no more.
const WITHOUT: &str = "What is here of it stays, and can be read. Nothing new of it comes to this device, and nothing can be written to it here.\n\
     Your other devices hear of it when they sync. To keep it again: twin device keeps --with SPACE";
/// What is said after a space is kept again.
const WITH: &str = "All of it comes when this device next meets one that has it: twin sync.";

pub fn run(cx: &Context, with: &[String], without: &[String]) -> Result<()> {
    let twin = cx.open()?;
    if with.is_empty() && without.is_empty() {
        return list(cx, &twin);
    }
    for (spaces, keep, more) in [(with, true, WITH), (without, false, WITHOUT)] {
        for space in spaces {
            twin.keep_space(twin.space(space)?.name(), keep)?;
            let event = if keep { "kept" } else { "not_kept" };
            cx.event(json!({"event": event, "space": space}));
            let shown = printable(space);
            cx.say(if keep {
                format!("This device keeps {shown}. {more}")
            } else {
                format!("This device keeps {shown} no more. {more}")
            });
        }
    }
    Ok(())
}

fn list(cx: &Context, twin: &Twin) -> Result<()> {
    let (devices, not_kept) = (twin.devices()?, twin.not_kept()?);
    let without = |device: &twin::DeviceInfo| -> Vec<String> {
        let spaces = not_kept.get(&device.id).into_iter().flatten();
        spaces.map(ToString::to_string).collect()
    };
    let list = devices.iter().map(|device| {
        json!({
            "device": device.id.to_string(),
            "name": device.name,
            "this": device.is_this,
            "without": without(device),
        })
    });
    cx.event(json!(list.collect::<Vec<_>>()));
    let rows = devices.iter().map(|device| {
        let without: Vec<String> = without(device)
            .iter()
            .map(|space| printable(space))
            .collect();
        let keeps = if without.is_empty() {
            "all spaces".to_owned()
        } else {
            format!("all spaces but {}", without.join(", "))
        };
        let this = if device.is_this { "this device" } else { "" };
        vec![name(device), keeps, this.to_owned()]
    });
    cx.say(table(&rows.collect::<Vec<_>>()).trim_end());
    Ok(())
}
