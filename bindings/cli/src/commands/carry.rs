//! `twin export --since DEVICE` and what takes it in: carried over by hand, as a file or as pictures.

use std::fs;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use twin::{Carried, Frames, Gathering, Received, Seen, Twin};

use crate::args::{Check, Export, Import};
use crate::commands::backup::Tenths;
use crate::commands::device::{self, called};
use crate::commands::export::{unreadable, unwritable};
use crate::commands::record::printable;
use crate::error::{CliError, Result};
use crate::output::Context;
use crate::qr;
use crate::stop::Asked;

/// How long each picture is shown: a camera takes at least ten a second.
const SHOWN: Duration = Duration::from_millis(200);
/// Clears the terminal, and begins at its top.
const CLEAR: &str = "\x1b[2J\x1b[H";

/// Writes what a device lacks into a file, or shows it.
pub fn export(cx: &Context, options: &Export, since: &str) -> Result<()> {
    let twin = cx.open()?;
    let device = device::find(&twin, since)?;
    let name = device::name(&device);
    if options.qr {
        let (frames, carried) = twin.pictures_since(&device.id)?;
        return match &options.frames {
            Some(folder) => write(cx, &frames, &carried, folder),
            None => show(cx, &frames, &carried),
        };
    }
    let file = options.path.as_deref().ok_or(CliError::NoInput)?;
    let asked = Asked::new()?;
    let mut tenths = Tenths::new(cx, "written");
    let bundled = twin.export_since(file, &device.id, !options.without_files, &mut |progress| {
        let _ = tenths.show(progress);
        asked.flow()
    });
    let bundled = bundled.map_err(|error| unwritable(file, error))?;
    cx.event(to_json(&bundled.carried, "exported", bundled.bytes));
    let file = file.display();
    say_carried(cx, &bundled.carried, &name);
    cx.say(format!(
        "{file}: {} bytes, sealed. There: twin import {file}\nWhat it had got is known here once its own export comes back.",
        bundled.bytes
    ));
    if options.without_files {
        cx.say("The content of files was left out: only their records are in it.");
    }
    Ok(())
}

/// Says whether a file for another device is whole; with --open, whether every piece of it is as its maker wrote it.
pub fn check(cx: &Context, options: &Check) -> Result<()> {
    if options.words {
        return Err(CliError::NotSealed);
    }
    let mut tenths = Tenths::new(cx, "checked");
    let outlined = Twin::check_bundle(&options.file, &mut |progress| tenths.show(progress));
    let outlined = outlined.map_err(|error| unreadable(&options.file, error))?;
    let opened = if options.open {
        let twin = cx.open()?;
        let mut tenths = Tenths::new(cx, "verified");
        let watch = &mut |progress| tenths.show(progress);
        let opened = twin.look_into_bundle(&options.file, watch)?;
        let devices = twin.devices()?;
        let by = devices.iter().find(|device| device.id == opened.by);
        let by = by.map_or_else(|| called(&opened.by, ""), device::name);
        Some((opened, by))
    } else {
        None
    };
    cx.event(json!({
        "event": "complete",
        "bytes": outlined.bytes,
        "pieces": outlined.pieces,
        "devices": outlined.devices,
        "by": opened.as_ref().map(|(opened, _)| opened.by.to_string()),
        "made": opened.as_ref().map(|(opened, _)| opened.made),
    }));
    cx.say(format!(
        "Complete: {} bytes in {} pieces, made for {} of somebody's devices.",
        outlined.bytes, outlined.pieces, outlined.devices
    ));
    cx.say(match opened {
        Some((_, by)) => format!("Undamaged: all of it opens here, and is signed by {by}."),
        None => "Whether anything in it was changed, and who has made it, only a device for which it was made can tell:\n\
                 twin check --open"
            .to_owned(),
    });
    Ok(())
}

fn to_json(carried: &Carried, event: &str, size: u64) -> serde_json::Value {
    json!({
        "event": event,
        "size": size,
        "entries": carried.entries,
        "grants": carried.grants,
        "operations": carried.ops,
        "chunks": carried.chunks,
    })
}

fn say_carried(cx: &Context, carried: &Carried, name: &str) {
    if carried.is_empty() {
        cx.say(format!(
            "Nothing is known that {name} lacks: there is only word of what is here in it."
        ));
    } else {
        cx.say(format!(
            "For {name}: {} signed operations, {} changes of devices and keys, {} chunks of files.",
            carried.ops,
            carried.entries + carried.grants,
            carried.chunks
        ));
    }
}

/// How many pictures are made where they are not shown for ever: enough if three in ten are missed.
fn enough(frames: &Frames) -> u32 {
    frames.least() + frames.least() / 2 + 4
}

fn write(cx: &Context, frames: &Frames, carried: &Carried, folder: &Path) -> Result<()> {
    let unwritable =
        |error: std::io::Error| CliError::Unwritable(folder.to_owned(), error.to_string());
    fs::create_dir(folder).map_err(unwritable)?;
    let count = enough(frames);
    for number in 0..count {
        let picture = folder.join(format!("picture-{:04}.png", number + 1));
        qr::moving_to_png(&frames.text(number), &picture)?;
    }
    cx.event(to_json(carried, "pictures", count.into()));
    cx.say(format!(
        "{count} pictures are in {}, of which about {} in any order will do. There: twin import --qr FOLDER",
        folder.display(),
        frames.least()
    ));
    Ok(())
}

fn show(cx: &Context, frames: &Frames, carried: &Carried) -> Result<()> {
    if cx.json || !std::io::stdout().is_terminal() {
        cx.event(to_json(carried, "pictures", enough(frames).into()));
        for number in 0..enough(frames) {
            let text = frames.text(number);
            cx.event(json!({"event": "picture", "text": text}));
            cx.say(&text);
        }
        return Ok(());
    }
    let asked = Asked::new()?;
    for number in 0_u32.. {
        if asked.flow().is_break() {
            break;
        }
        cx.say(format!(
            "{CLEAR}{}Point the other device's camera here. It takes about {} pictures; Ctrl-C when it has them.",
            qr::moving_for_terminal(&frames.text(number))?,
            frames.least()
        ));
        std::thread::sleep(SHOWN);
    }
    Ok(())
}

/// Takes in a file that another device has written.
pub fn import(cx: &Context, file: &Path) -> Result<()> {
    let twin = cx.open()?;
    let mut tenths = Tenths::new(cx, "taken in");
    let received = twin.import_bundle(file, &mut |progress| tenths.show(progress));
    let received = received.map_err(|error| unreadable(file, error))?;
    say_received(cx, &twin, &received)
}

/// Takes in pictures of what another device shows.
pub fn import_pictures(cx: &Context, options: &Import) -> Result<()> {
    let twin = cx.open()?;
    let mut gathering = Gathering::default();
    let (mut have, mut need) = (0, 0);
    let mut paths: Vec<PathBuf> = Vec::new();
    for path in std::iter::once(&options.path).chain(&options.more) {
        if path.is_dir() {
            paths.extend(pictures_in(path)?);
        } else {
            paths.push(path.clone());
        }
    }
    for path in paths {
        let texts = match qr::texts(&path) {
            // Some are blurred: others come instead.
            Err(CliError::NoQr(_)) => continue,
            texts => texts?,
        };
        for text in texts {
            match gathering.take(&text) {
                Seen::Whole(bytes) => {
                    let received = twin.take_in_bundle(&bytes)?;
                    return say_received(cx, &twin, &received);
                }
                Seen::Some {
                    have: more,
                    need: of,
                } => {
                    if more > have {
                        (have, need) = (more, of);
                    }
                }
                Seen::Newer => return Err(twin::Error::from(twin::BundleError::Newer).into()),
                Seen::Foreign => {}
            }
        }
    }
    Err(CliError::PicturesMissing(have, need))
}

fn pictures_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let unreadable =
        |error: std::io::Error| CliError::Unreadable(folder.to_owned(), error.to_string());
    let mut pictures = Vec::new();
    for file in fs::read_dir(folder).map_err(unreadable)? {
        let path = file.map_err(unreadable)?.path();
        let is_png = path.extension();
        if is_png.is_some_and(|extension| extension.eq_ignore_ascii_case("png")) {
            pictures.push(path);
        }
    }
    pictures.sort();
    Ok(pictures)
}

fn say_received(cx: &Context, twin: &Twin, received: &Received) -> Result<()> {
    cx.event(json!({
        "event": "received",
        "by": received.by.to_string(),
        "made": received.made,
        "changes": received.changes,
        "new": received.new,
        "here": received.here,
        "early": received.early,
        "refused": received.refused,
        "chunks": received.chunks,
        "more": received.more,
    }));
    let devices = twin.devices()?;
    let by = devices.iter().find(|device| device.id == received.by);
    let name = by.map_or_else(String::new, |device| device.name.clone());
    let name = called(&received.by, &name);
    cx.say(format!(
        "From {name}: operations taken in: {}, here already: {}",
        received.new, received.here
    ));
    if received.chunks > 0 {
        cx.say(format!("chunks of files taken in: {}", received.chunks));
    }
    if received.early > 0 {
        cx.say(format!(
            "NOT taken in: {}, which go on from what has not come here. {name} sends them again once it knows what is\n\
             here: twin export --since {} FILE, and take it in there.",
            received.early,
            printable(&name)
        ));
    }
    if received.refused > 0 {
        cx.say(format!(
            "not taken, because they do not count for this device: {}",
            received.refused
        ));
    }
    if received.more {
        cx.say(format!(
            "There was not room for all of it: {name} has more."
        ));
    }
    Ok(())
}
