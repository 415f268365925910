//! `twin erase`

use serde_json::json;
use twin::Erasure;

use crate::args::Erase;
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
    cx.agree(yes, &question)?;
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
        Erasure::Nothing => {
            // Of what is damaged nobody can tell what it was of.
            is_all(&twin)?;
            return Err(CliError::NoRecord(record.to_owned()));
        }
    };
    let wiped = twin.is_wiped()?;
    cx.event(if wiped {
        json!({event: record})
    } else {
        json!({event: record, "wiped": false})
    });
    cx.say(says);
    if !wiped {
        cx.say(
            "But not yet all of it: another program reads the vault, or the disk is full. Close it, or make room; then\n\
             twin vault clean takes out what is left.",
        );
    }
    // What is damaged may have been of the record.
    is_all(&twin)
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
