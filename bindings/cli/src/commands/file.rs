//! `twin file add | get | keep | list`

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value as Json, json};
use twin::{Collection, FILES, FileInfo, Keep, Space, Stay, Twin};

use crate::args::{AddFiles, FileCommand, GetFile, KeepFiles};
use crate::commands::online;
use crate::commands::progress::Bar;
use crate::commands::record::{RecordPath, is_all, place, printable};
use crate::error::{CliError, Result};
use crate::output::{Context, table};
use crate::stop::Stop;

pub async fn run(cx: &Context, command: &FileCommand) -> Result<()> {
    match command {
        FileCommand::Add(options) => add(cx, options),
        FileCommand::Get(options) => get(cx, options).await,
        FileCommand::Keep { what } => keep(cx, *what),
        FileCommand::List { space } => list(cx, space.as_deref()),
    }
}

fn add(cx: &Context, options: &AddFiles) -> Result<()> {
    let (space, collection) = place(&options.place)?;
    let twin = cx.open()?;
    let collection = twin.space(space)?.collection(collection.unwrap_or(FILES));
    for path in &options.paths {
        let mut bar = Bar::new(cx);
        let added = collection.add_file(path, &mut |progress| bar.show(progress));
        bar.clear();
        let added = added.map_err(|error| unreadable(path, error))?;
        let record = format!("{space}/{}/{}", collection.name(), added.id);
        cx.event(json!({
            "record": record,
            "size": added.size,
            "added": added.is_new,
            "stored_chunks": added.stored,
        }));
        let record = printable(&record);
        cx.say(if added.is_new {
            format!("added: {record}")
        } else {
            format!("here already: {record}")
        });
    }
    Ok(())
}

/// Says which file it was.
fn unreadable(path: &Path, error: twin::Error) -> CliError {
    match error {
        twin::Error::File(error) => CliError::Unreadable(path.to_owned(), error.to_string()),
        twin::Error::NotAFile => CliError::Unreadable(
            path.to_owned(),
            "it is no file; for a folder use twin import FOLDER --to SPACE".to_owned(),
        ),
        other => other.into(),
    }
}

/// Gets from another device what is not here. Ctrl-C stops it; what has come stays.
async fn fetch(
    cx: &Context,
    twin: &Twin,
    collection: &Collection,
    options: &GetFile,
    id: &str,
) -> Result<()> {
    let Some(mut fetch) = collection.fetch_file(id)? else {
        return Ok(());
    };
    cx.say("Not all of it is here: looking for a device that has it.");
    let config = online::config(&options.reach, Stay::Online).await?;
    let mut stop = Stop::new()?;
    let (mut bar, stopped) = (Bar::new(cx), AtomicBool::new(false));
    let mut watch = |progress| {
        if stopped.load(Ordering::Relaxed) {
            return ControlFlow::Break(());
        }
        bar.show(progress)
    };
    let patience = Duration::from_secs(options.wait);
    let fetched = {
        let fetching = twin.fetch_once(config, &mut fetch, patience, &mut watch);
        tokio::pin!(fetching);
        tokio::select! {
            fetched = &mut fetching => fetched,
            () = stop.asked() => {
                stopped.store(true, Ordering::Relaxed);
                (&mut fetching).await
            }
        }
    };
    bar.clear();
    let twin::Progress { done, total, .. } = fetch.progress();
    cx.event(json!({
        "event": if fetched.is_ok() { "fetched" } else { "unfinished" },
        "here": done,
        "size": total,
    }));
    Ok(fetched?)
}

fn keep(cx: &Context, what: Option<KeepFiles>) -> Result<()> {
    let twin = cx.open()?;
    if let Some(what) = what {
        twin.set_keeps_files(match what {
            KeepFiles::All => Keep::All,
            KeepFiles::Wanted => Keep::Wanted,
        })?;
    }
    let (name, meaning) = match twin.keeps_files()? {
        Keep::All => (
            "all",
            "it gets the content of every file from the devices that it meets",
        ),
        Keep::Wanted => (
            "wanted",
            "it gets the content of a file when you want to see it; what is here stays",
        ),
    };
    cx.event(json!({"keep": name}));
    cx.say(format!("this device keeps: {name} ({meaning})"));
    Ok(())
}

async fn get(cx: &Context, options: &GetFile) -> Result<()> {
    let path = RecordPath::parse(&options.record)?;
    let twin = cx.open()?;
    let collection = path.collection(&twin)?;
    let record = collection.get(path.id)?;
    let record = record.ok_or_else(|| CliError::NoRecord(options.record.clone()))?;
    let info = FileInfo::of(collection.name(), &record).ok_or(twin::Error::NoSuchFile)?;
    let to = match &options.to {
        Some(to) if to.is_dir() => to.join(twin::plain_file_name(&info.name)),
        Some(to) => to.clone(),
        None => PathBuf::from(twin::plain_file_name(&info.name)),
    };
    // Nobody fetches what cannot be written.
    if to.symlink_metadata().is_ok() {
        return Err(twin::Error::FileExists.into());
    }
    fetch(cx, &twin, &collection, options, path.id).await?;
    let mut bar = Bar::new(cx);
    let saved = collection.save_file(path.id, &to, &mut |progress| bar.show(progress));
    bar.clear();
    let size = saved.map_err(|error| match error {
        twin::Error::File(error) => CliError::Unwritable(to.clone(), error.to_string()),
        other => other.into(),
    })?;
    cx.event(json!({"written": to.display().to_string(), "size": size}));
    cx.say(format!("written: {}", printable(&to.display().to_string())));
    Ok(())
}

fn list(cx: &Context, space: Option<&str>) -> Result<()> {
    let twin = cx.open()?;
    let mut files = Vec::new();
    for space in spaces(&twin, space)? {
        space.each_file(|file| {
            files.push((space.name().to_string(), file));
            Ok(())
        })?;
    }
    files.sort_by(|(a, one), (b, other)| {
        (a, &one.collection, &one.id).cmp(&(b, &other.collection, &other.id))
    });
    let json = files.iter().map(|(space, file)| to_json(space, file));
    cx.event(Json::Array(json.collect()));
    if files.is_empty() {
        is_all(&twin)?;
        cx.say("no files yet");
        return Ok(());
    }
    let rows: Vec<Vec<String>> = files
        .iter()
        .map(|(space, file)| {
            vec![
                printable(&format!("{space}/{}/{}", file.collection, file.id)),
                size(file.size),
                printable(&file.media_type),
            ]
        })
        .collect();
    cx.say(table(&rows).trim_end());
    is_all(&twin)
}

fn spaces(twin: &Twin, only: Option<&str>) -> Result<Vec<Space>> {
    if let Some(name) = only {
        return Ok(vec![twin.space(name)?]);
    }
    let names = twin.spaces()?;
    let spaces = names.iter().map(|name| twin.space(name.as_str()));
    Ok(spaces.collect::<twin::Result<_>>()?)
}

fn to_json(space: &str, file: &FileInfo) -> Json {
    json!({
        "record": format!("{space}/{}/{}", file.collection, file.id),
        "name": file.name,
        "type": file.media_type,
        "size": file.size,
        "modified": file.modified,
    })
}

/// A size for people, in steps of 1,000.
pub fn size(bytes: u64) -> String {
    let mut unit = 1u64;
    for name in ["B", "kB", "MB", "GB", "TB", "PB"] {
        let next = unit.saturating_mul(1000);
        if bytes < next || name == "PB" {
            let tenths = bytes.saturating_mul(10) / unit;
            return if unit == 1 || tenths >= 1000 {
                format!("{} {name}", tenths / 10)
            } else {
                format!("{}.{} {name}", tenths / 10, tenths % 10)
            };
        }
        unit = next;
    }
    format!("{bytes} B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_for_people() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (65_535, "65.5 kB"),
            (999_999, "999 kB"),
            (1_234_567, "1.2 MB"),
            (u64::MAX / 10, "1844 PB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }
}
