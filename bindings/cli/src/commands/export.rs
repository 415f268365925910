//! `twin export | import`

use serde_json::json;
use twin::{ImportOptions, RECORDS, SpaceName};

use crate::args::{Export, Import};
use crate::commands::progress::Bar;
use crate::error::Result;
use crate::output::Context;

pub fn export(cx: &Context, options: &Export) -> Result<()> {
    let exported = cx.open()?.export_plain(&options.folder)?;
    cx.event(json!({
        "spaces": exported.spaces,
        "collections": exported.collections,
        "records": exported.records,
        "files": exported.files,
        "absent": exported.absent,
    }));
    let folder = options.folder.display();
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
    Ok(())
}

pub fn import(cx: &Context, options: &Import) -> Result<()> {
    let to = options.to.as_deref().map(|to| match to.split_once('/') {
        Some((space, collection)) => (space, Some(collection.to_owned())),
        None => (to, None),
    });
    let to =
        to.map(|(space, collection)| Ok::<_, twin::Error>((SpaceName::new(space)?, collection)));
    let wanted = ImportOptions {
        to: to.transpose()?,
        id_field: options.id_column.clone(),
    };
    let twin = cx.open()?;
    let mut bar = Bar::new(cx);
    let imported = twin.import(&options.path, &wanted, &mut |progress| bar.show(progress));
    bar.clear();
    let imported = imported?;
    cx.event(json!({
        "written": imported.written,
        "same": imported.same,
        "skipped": imported.skipped,
    }));
    cx.say(format!(
        "written: {}, here already: {}",
        imported.written, imported.same
    ));
    if imported.skipped > 0 {
        cx.say(format!(
            "passed over, hidden or no files: {}",
            imported.skipped
        ));
    }
    Ok(())
}
