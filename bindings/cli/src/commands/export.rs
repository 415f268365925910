//! `twin export | check | import`

use std::path::Path;

use serde_json::json;
use twin::{ImportOptions, RECORDS, RecoverySecret, Scope, SpaceName, Twin};

use crate::args::{Check, Export, Import};
use crate::commands::activity::time;
use crate::commands::backup::{self, Tenths};
use crate::commands::carry;
use crate::commands::progress::Bar;
use crate::commands::record::{is_all, place, printable};
use crate::error::{CliError, Result};
use crate::output::Context;
use crate::stop::Asked;
use crate::words;

pub fn export(cx: &Context, options: &Export) -> Result<()> {
    if let Some(since) = &options.since {
        return carry::export(cx, options, since);
    }
    let path = options.path.as_deref().ok_or(CliError::NoInput)?;
    if options.plain {
        return plain(cx, path);
    }
    let scope = match &options.space {
        Some(name) => Scope::Space(SpaceName::new(name).map_err(twin::Error::from)?),
        None => Scope::Twin,
    };
    let twin = cx.open()?;
    let mut tenths = Tenths::new(cx, "exported");
    let mut watch = |progress| tenths.show(progress);
    let sealed = if options.without_files {
        twin.export_sealed_records(path, &scope, &mut watch)
    } else {
        twin.export_sealed(path, &scope, &mut watch)
    };
    let sealed = sealed.map_err(|error| unwritable(path, error))?;
    cx.event(json!({
        "event": "exported",
        "operations": sealed.operations,
        "bytes": sealed.bytes,
        "kept": sealed.kept,
        "begun": sealed.begun,
        "chunks": sealed.chunks,
        "damaged_chunks": sealed.damaged,
        "incomplete_files": sealed.incomplete,
        "incomplete": sealed.incomplete_names,
    }));
    if sealed.kept > 0 {
        cx.say(format!(
            "Went on with an export that had been broken off: it holds what was here on {}, and nothing newer.",
            time(sealed.begun)
        ));
    }
    let file = path.display();
    if options.without_files {
        cx.say("The content of files was left out: only their records are in it.");
    }
    say_incomplete(cx, &sealed);
    cx.say(format!(
        "{file} is whole: {} signed operations, {} bytes, sealed. Your words open it, and the devices that\n\
         you have now. Keep it away from them, and see from time to time that it is whole: twin check {file}",
        sealed.operations, sealed.bytes
    ));
    cx.say(match &options.space {
        Some(name) => {
            format!("It holds the space {name} only, and so does not bring your twin back.")
        }
        None => format!("If everything is lost: twin recover --backup {file}"),
    });
    Ok(())
}

/// Which files are not in it, or not whole, because this device has not got them.
fn say_incomplete(cx: &Context, sealed: &twin::Sealed) {
    if sealed.damaged > 0 {
        cx.say(format!(
            "WARNING: {} chunks of files are damaged on this device and were left out: twin vault check",
            sealed.damaged
        ));
    }
    if sealed.incomplete == 0 {
        return;
    }
    cx.say(format!(
        "NOT WHOLE in it: {} files that are not, or not all, on this device. Get them (twin file get), or export on a\n\
         device that keeps all files:",
        sealed.incomplete
    ));
    for name in &sealed.incomplete_names {
        cx.say(format!("    {}", printable(name)));
    }
    if sealed.incomplete > sealed.incomplete_names.len() as u64 {
        cx.say("    ...");
    }
}

fn plain(cx: &Context, folder: &Path) -> Result<()> {
    let twin = cx.open()?;
    let asked = Asked::new()?;
    let mut bar = Bar::new(cx);
    let exported = twin.export_plain(folder, &mut |progress| {
        let _ = bar.show(progress);
        asked.flow()
    });
    bar.clear();
    let exported = exported.map_err(|error| unwritable(folder, error))?;
    cx.event(json!({
        "spaces": exported.spaces,
        "collections": exported.collections,
        "records": exported.records,
        "files": exported.files,
        "absent": exported.absent,
        "left_out": exported.left_out,
    }));
    let folder = folder.display();
    cx.say(format!(
        "{} records are in {folder}/{RECORDS}, not encrypted: whoever has the folder can read them.",
        exported.records
    ));
    if exported.absent > 0 {
        cx.say(format!(
            "{} files are not on this device and were left out: export on one that has them.",
            exported.absent
        ));
    }
    is_all(&twin)
}

pub fn check(cx: &Context, options: &Check) -> Result<()> {
    if Twin::is_bundle(&options.file).map_err(|error| unreadable(&options.file, error))? {
        return carry::check(cx, options);
    }
    let mut tenths = Tenths::new(cx, "checked");
    let complete = Twin::check_sealed(&options.file, &mut |progress| tenths.show(progress));
    let complete = complete.map_err(|error| unreadable(&options.file, error))?;
    let contained = if options.open {
        let twin = cx.open()?;
        let words = backup_words(cx, options.words)?;
        let mut tenths = Tenths::new(cx, "verified");
        let watch = &mut |progress| tenths.show(progress);
        let contained = twin.look_into_sealed(&options.file, words.as_ref(), watch)?;
        Some(contained)
    } else {
        None
    };
    cx.event(json!({
        "event": "complete",
        "bytes": complete.bytes,
        "chunks": complete.chunks,
        "contained": contained.as_ref().map(backup::to_json),
    }));
    cx.say(format!(
        "Complete and undamaged: {} bytes in {} chunks.",
        complete.bytes, complete.chunks
    ));
    match &contained {
        Some(contained) => backup::say(cx, contained),
        None => cx.say(
            "Who has made it, and what is in it, can be told only by opening it: twin check --open",
        ),
    }
    Ok(())
}

/// Says what cannot be written.
pub fn unwritable(path: &Path, error: twin::Error) -> CliError {
    match error {
        twin::Error::File(error) => CliError::Unwritable(path.to_owned(), error.to_string()),
        twin::Error::Stopped => CliError::Stopped,
        other => other.into(),
    }
}

/// Says what cannot be read.
pub fn unreadable(path: &Path, error: twin::Error) -> CliError {
    match error {
        twin::Error::File(error) => CliError::Unreadable(path.to_owned(), error.to_string()),
        twin::Error::NotAFile => CliError::Unreadable(
            path.to_owned(),
            "it is no file; save what it gives to a file first".to_owned(),
        ),
        other => other.into(),
    }
}

pub fn import(cx: &Context, options: &Import) -> Result<()> {
    if options.qr {
        return carry::import_pictures(cx, options);
    }
    let sealed_one = Twin::is_sealed(&options.path);
    if sealed_one.map_err(|error| unreadable(&options.path, error))? {
        return sealed(cx, options);
    }
    if options.words || options.damaged {
        return Err(CliError::NotSealed);
    }
    if Twin::is_bundle(&options.path).map_err(|error| unreadable(&options.path, error))? {
        return carry::import(cx, &options.path);
    }
    let to = match options.to.as_deref().map(place).transpose()? {
        Some((space, collection)) => {
            let space = SpaceName::new(space).map_err(twin::Error::from)?;
            Some((space, collection.map(str::to_owned)))
        }
        None => None,
    };
    let wanted = ImportOptions {
        to,
        id_field: options.id_column.clone(),
    };
    let twin = cx.open()?;
    let mut bar = Bar::new(cx);
    let imported = twin.import(&options.path, &wanted, &mut |progress| bar.show(progress));
    bar.clear();
    let imported = imported.map_err(|error| unreadable(&options.path, error))?;
    cx.event(json!({
        "written": imported.written,
        "replaced": imported.replaced,
        "same": imported.same,
        "skipped": imported.skipped,
        "empty": imported.empty,
        "as_text": imported.as_text,
    }));
    cx.say(format!(
        "written: {}, here already: {}",
        imported.written, imported.same
    ));
    if imported.replaced > 0 {
        cx.say(format!(
            "of these, in the place of others that were here (twin history shows them): {}",
            imported.replaced
        ));
    }
    if imported.skipped > 0 {
        cx.say(format!(
            "passed over, hidden or no files: {}",
            imported.skipped
        ));
    }
    if imported.empty > 0 {
        cx.say(format!("passed over, empty rows: {}", imported.empty));
    }
    if imported.as_text > 0 {
        cx.say(format!(
            "kept as text, numbers with more digits than a number can hold: {}",
            imported.as_text
        ));
    }
    Ok(())
}

fn sealed(cx: &Context, options: &Import) -> Result<()> {
    let twin = cx.open()?;
    let words = backup_words(cx, options.words)?;
    let mut tenths = Tenths::new(cx, "taken in");
    let watch = &mut |progress| tenths.show(progress);
    if options.damaged {
        let (taken, damage) = twin.import_damaged(&options.path, words.as_ref(), watch)?;
        let mut event = backup::taken_to_json(&taken);
        if let Some(event) = event.as_object_mut() {
            event.insert("damage".to_owned(), backup::damage_to_json(&damage));
        }
        cx.event(event);
        backup::say_taken(cx, &taken);
        backup::say_damage(cx, &damage);
        return Ok(());
    }
    let taken = twin.import_sealed(&options.path, words.as_ref(), watch)?;
    cx.event(backup::taken_to_json(&taken));
    backup::say_taken(cx, &taken);
    Ok(())
}

fn backup_words(cx: &Context, asked: bool) -> Result<Option<RecoverySecret>> {
    let words = asked.then(|| words::ask(cx, "the 24 words of the day on which it was made"));
    words.transpose()
}
