//! `twin vault check | salvage | rebuild | clean | compact`

use std::path::Path;

use serde_json::json;
use twin::check::Damage;
use twin::{Header, Loss, Salvaged, Twin};

use crate::args::VaultCommand;
use crate::commands::activity;
use crate::commands::file::size;
use crate::error::{CliError, Result};
use crate::output::{Context, table};

pub fn run(cx: &Context, command: &VaultCommand) -> Result<()> {
    match command {
        VaultCommand::Check => check(cx),
        VaultCommand::Salvage {
            folder,
            rest,
            not_newer,
        } => {
            let header = if *not_newer {
                Header::Doubted
            } else {
                Header::Believed
            };
            salvage(cx, header, folder, rest.as_deref())
        }
        VaultCommand::Rebuild => rebuild(cx),
        VaultCommand::Clean => clean(cx),
        VaultCommand::Compact => compact(cx),
    }
}

fn check(cx: &Context) -> Result<()> {
    let report = cx.unlocking(Twin::check)??;
    let named: Vec<String> = report.named.iter().map(ToString::to_string).collect();
    cx.event(json!({
        "rows": report.rows,
        "operations": report.ops,
        "records": report.records,
        "chunks": report.chunks,
        "absent_files": report.absent_files,
        "damages": report.damages,
        "damaged": named,
        "can_be_rebuilt": report.can_be_rebuilt(),
        "can_be_fetched": report.can_be_fetched(),
    }));
    cx.say(counts(&[
        ("rows", report.rows),
        ("operations", report.ops),
        ("records", report.records),
        ("chunks of files", report.chunks),
    ]));
    if report.absent_files > 0 {
        cx.say(format!(
            "Not all content of {} files is here: it comes from a device that has it when you want to see it (twin file\n\
             get) or keep all (twin file keep all), or by adding the file again.",
            report.absent_files
        ));
    }
    if report.is_whole() {
        cx.say("Nothing is damaged.");
        return Ok(());
    }
    for (damage, named) in report.named.iter().zip(&named) {
        let is_missing = matches!(damage, Damage::Missing { .. });
        let how = if is_missing { "missing" } else { "damaged" };
        cx.say(format!("{how}: {named}"));
    }
    let more = report.damages - named.len() as u64;
    if more > 0 {
        cx.say(format!("damaged: {more} more"));
    }
    Err(CliError::DamagedVault {
        damages: report.damages,
        advice: if report.can_be_rebuilt() {
            "nothing that was written is lost: twin vault rebuild mends it"
        } else if report.can_be_fetched() && report.of_index == 0 {
            "what is missing comes with the next twin sync, if another device has it"
        } else if report.can_be_fetched() {
            "what is missing comes with the next twin sync, if another device has it; twin vault rebuild mends the rest"
        } else {
            "twin vault salvage FOLDER makes a new vault of what is whole; nothing here is deleted"
        },
    })
}

fn salvage(cx: &Context, header: Header, folder: &Path, rest: Option<&Path>) -> Result<()> {
    let saved =
        cx.unlocking(|home, unlock| Twin::salvage(home, unlock, header, folder, rest))??;
    let lost: Vec<String> = saved.lost.iter().map(ToString::to_string).collect();
    cx.event(json!({
        "vault": saved.vault,
        "entries": saved.entries,
        "operations": saved.ops,
        "chunks": saved.chunks,
        "rest": saved.rest,
        "lost": lost,
    }));
    let rows = [
        ("entries of the identity log", saved.entries),
        ("operations", saved.ops),
        ("chunks of files", saved.chunks),
    ];
    cx.say(counts(&rows));
    for loss in &lost {
        cx.say(format!("lost: {loss}"));
    }
    if saved.rest > 0 {
        cx.say(match rest {
            Some(file) => format!(
                "The newest content of {} records could not be kept. It is in {}, not encrypted: sync first, and then\n\
                 twin import {}",
                saved.rest,
                file.display(),
                file.display()
            ),
            None => format!(
                "The newest content of {} records could not be kept. To have it: the same again into another folder, with\n\
                 --rest FILE.",
                saved.rest
            ),
        });
    }
    if !saved.vault {
        return Err(CliError::NoneSalvaged);
    }
    let home = folder.display();
    cx.say(format!(
        "A new vault is in {home}. The damaged one is as it was: keep it until the new one is in use everywhere."
    ));
    help(&saved).into_iter().for_each(|help| cx.say(help));
    cx.say(format!("From now on: twin --home {home}"));
    Ok(())
}

/// What brings back what was lost.
fn help(saved: &Salvaged) -> Vec<&'static str> {
    let mut help = Vec::new();
    let lost = |which: fn(&Loss) -> bool| saved.lost.iter().any(which);
    if lost(|loss| matches!(loss, Loss::Keys)) {
        help.push(
            "Without its own keys this device is not in the twin any more: here you can read, search and export, but not\n\
             write or sync. Link it again (twin link offer, into another folder), or bring the twin back with its words\n\
             (twin recover); then take in what twin export --plain writes here.",
        );
    } else if lost(|loss| !matches!(loss, Loss::Slot(_))) {
        help.push(
            "What was lost comes again from any device that has it (twin sync), and from a backup (twin import FILE).",
        );
    }
    if lost(|loss| matches!(loss, Loss::Slot(_))) {
        help.push("A way to unlock it was lost: add it again (twin slots add).");
    }
    help
}

/// How many there are of each, below each other.
fn counts(of: &[(&str, u64)]) -> String {
    let row = |(name, count): &(&str, u64)| vec![(*name).to_owned(), count.to_string()];
    let rows: Vec<_> = of.iter().map(row).collect();
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
