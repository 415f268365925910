//! `twin export | import`

use std::path::Path;

use serde_json::json;
use twin::RECORDS;

use crate::args::Export;
use crate::error::Result;
use crate::output::Context;

pub fn export(cx: &Context, options: &Export) -> Result<()> {
    let exported = cx.open()?.export_plain(&options.folder)?;
    cx.event(json!({
        "spaces": exported.spaces,
        "collections": exported.collections,
        "records": exported.records,
    }));
    let folder = options.folder.display();
    cx.say(format!(
        "{} records are in {folder}/{RECORDS}, not encrypted: whoever has the folder can read them.",
        exported.records
    ));
    Ok(())
}

pub fn import(cx: &Context, file: &Path) -> Result<()> {
    let imported = cx.open()?.import_plain(file)?;
    cx.event(json!({"written": imported.written, "same": imported.same}));
    cx.say(format!(
        "written: {}, here already: {}",
        imported.written, imported.same
    ));
    Ok(())
}
