//! `twin vault check | rebuild | clean | compact`

use serde_json::json;
use twin::check::Report;

use crate::args::VaultCommand;
use crate::commands::activity;
use crate::commands::file::size;
use crate::error::{CliError, Result};
use crate::output::{Context, table};

pub fn run(cx: &Context, command: &VaultCommand) -> Result<()> {
    match command {
        VaultCommand::Check => check(cx),
        VaultCommand::Rebuild => rebuild(cx),
        VaultCommand::Clean => clean(cx),
        VaultCommand::Compact => compact(cx),
    }
}

fn check(cx: &Context) -> Result<()> {
    let report = cx.open()?.check_vault()?;
    let named: Vec<String> = report.named.iter().map(ToString::to_string).collect();
    cx.event(json!({
        "rows": report.rows,
        "operations": report.ops,
        "records": report.records,
        "chunks": report.chunks,
        "damages": report.damages,
        "damaged": named,
        "can_be_rebuilt": report.can_be_rebuilt(),
    }));
    cx.say(counts(&report));
    if report.is_whole() {
        cx.say("Nothing is damaged.");
        return Ok(());
    }
    for damage in &named {
        cx.say(format!("damaged: {damage}"));
    }
    let more = report.damages - named.len() as u64;
    if more > 0 {
        cx.say(format!("damaged: {more} more"));
    }
    Err(CliError::DamagedVault {
        damages: report.damages,
        advice: if report.can_be_rebuilt() {
            "nothing that was written is lost: twin vault rebuild mends it"
        } else {
            "keep a copy of the folder of this vault, and link this device again from one that is whole"
        },
    })
}

fn counts(report: &Report) -> String {
    let rows = [
        ("rows", report.rows),
        ("operations", report.ops),
        ("records", report.records),
        ("chunks of files", report.chunks),
    ];
    let rows = rows.map(|(name, count)| vec![name.to_owned(), count.to_string()]);
    table(&rows).trim_end().to_owned()
}

fn clean(cx: &Context) -> Result<()> {
    let collected = cx.open()?.collect_garbage()?;
    cx.event(json!({"chunks": collected.chunks, "bytes": collected.bytes}));
    cx.say(match collected.chunks {
        0 => "There was nothing to forget.".to_owned(),
        _ => format!("{} were set free.", size(collected.bytes)),
    });
    Ok(())
}

fn compact(cx: &Context) -> Result<()> {
    let twin = cx.open()?;
    let compacted = twin.compact()?;
    let devices = twin.devices()?;
    let name = |id| {
        let device = devices.iter().find(|device| device.id == id);
        device.map_or_else(|| id.to_string(), |device| device.name.clone())
    };
    let waiting: Vec<_> = compacted
        .waiting
        .iter()
        .map(|waits| json!({"device": name(waits.device), "lacks": waits.ops, "met": waits.heard}))
        .collect();
    cx.event(json!({
        "gone": compacted.gone,
        "snapshot": compacted.snapshot,
        "waiting": waiting,
    }));
    cx.say(match compacted.gone {
        0 => "There was nothing to let go.".to_owned(),
        gone => format!(
            "{gone} operations went; what they still said is in {}.",
            compacted.snapshot
        ),
    });
    for waits in &compacted.waiting {
        let met = match waits.heard {
            Some(at) => format!("was last met on {}", activity::time(at)),
            None => "was never met".to_owned(),
        };
        cx.say(format!(
            "{} lacks {} operations and {met}: what it lacks stays until it has synced.",
            name(waits.device),
            waits.ops
        ));
    }
    Ok(())
}

fn rebuild(cx: &Context) -> Result<()> {
    cx.open()?.rebuild_index()?;
    cx.event(json!({"rebuilt": true}));
    cx.say("The index of records was made anew from the operations.");
    Ok(())
}
