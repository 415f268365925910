//! `twin erase`

use serde_json::json;
use twin::{DeviceInfo, Erasure, Twin};

use crate::args::Erase;
use crate::commands::device;
use crate::commands::record::{RecordPath, is_all, printable};
use crate::error::{CliError, Result};
use crate::output::{Context, table};

pub fn run(cx: &Context, options: &Erase) -> Result<()> {
    match &options.record {
        Some(record) => erase(cx, record, options.yes),
        None => list(cx),
    }
}

fn erase(cx: &Context, record: &str, yes: bool) -> Result<()> {
    let path = RecordPath::parse(record)?;
    let twin = cx.open()?;
    let collection = path.collection(&twin)?;
    let question = format!(
        "Erase {} for good, on all your devices? Nothing brings it back.",
        printable(record)
    );
    if !yes && cx.is_interactive() && !cx.confirm(&question)? {
        return Err(CliError::Declined);
    }
    let (event, says) = match collection.erase(path.id)? {
        Erasure::Done => (
            "erased",
            "Its content is gone from this device's files, and goes from your other devices when they sync.\n\
             Copies that were made earlier still hold it: backups, exports, and devices that you removed.",
        ),
        Erasure::Asked => (
            "asked",
            "This device cannot erase for all. It has asked: when the phone has synced, `twin erase` lists it there.",
        ),
        Erasure::Nothing => return Err(CliError::NoRecord(record.to_owned())),
    };
    let wiped = twin.is_wiped();
    let not_reached = not_reached(&twin, path.space)?;
    let mut told = json!({event: record});
    if !wiped {
        told["wiped"] = json!(false);
    }
    if !not_reached.is_empty() {
        told["not_reached"] = json!(not_reached);
    }
    cx.event(told);
    cx.say(says);
    if event == "erased" && !not_reached.is_empty() {
        cx.say(format!(
            "It stays on {}, for as long as that space is not kept there. To let it go there, too:\n\
             twin device keeps --with SPACE there, then twin sync.",
            not_reached.join(", ")
        ));
    }
    if !wiped {
        cx.say(
            "But not yet from what was written ahead of the file: another program reads the vault, or the disk is full.\n\
             Close it, or make room; the next command then takes it out.",
        );
    }
    // What is damaged may have been of the record.
    is_all(&twin)
}

/// The other devices that do not keep a space: they do not hear of what is erased there.
fn not_reached(twin: &Twin, space: &str) -> Result<Vec<String>> {
    let not_kept = twin.not_kept()?;
    let keeps = |device: &DeviceInfo| {
        let spaces = not_kept.get(&device.id);
        spaces.is_none_or(|spaces| spaces.iter().all(|name| name.as_str() != space))
    };
    let devices = twin.devices()?;
    let others = devices.iter().filter(|device| !device.is_this);
    Ok(others
        .filter(|device| !keeps(device))
        .map(device::name)
        .collect())
}

fn list(cx: &Context) -> Result<()> {
    let twin = cx.open()?;
    let devices = twin.devices()?;
    let name = |id| {
        let device = devices.iter().find(|device| device.id == id);
        device.map_or_else(|| id.to_string(), |device| device.name.clone())
    };
    let requests = twin.erasure_requests()?;
    let requests: Vec<(String, String)> = requests
        .into_iter()
        .map(|(space, request)| {
            let record = format!("{space}/{}/{}", request.collection, request.id);
            (record, name(request.by))
        })
        .collect();
    let all = requests.iter();
    let all = all.map(|(record, by)| json!({"record": record, "asked_by": by}));
    cx.event(json!(all.collect::<Vec<_>>()));
    if requests.is_empty() {
        cx.say("nobody asks for anything to be erased");
        return Ok(());
    }
    cx.say("Asked for; erase each with twin erase RECORD:");
    let rows = requests.iter();
    let rows = rows.map(|(record, by)| vec![printable(record), format!("by {}", printable(by))]);
    cx.say(table(&rows.collect::<Vec<_>>()).trim_end());
    Ok(())
}
