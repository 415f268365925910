//! `twin history`

use serde_json::{Value as Json, json};
use twin::json::{edits_to_json, fields_to_json};
use twin::{Edit, Kind, Revision, Twin, Value};

use crate::args::HistoryOptions;
use crate::commands::activity::time;
use crate::commands::device::called;
use crate::commands::field::for_people;
use crate::commands::record::{RecordPath, printable};
use crate::error::{CliError, Result};
use crate::output::{Context, table};

/// How many revisions are read at once.
const PAGE: usize = 100;

pub fn run(cx: &Context, options: &HistoryOptions) -> Result<()> {
    let path = RecordPath::parse(&options.record)?;
    let twin = cx.open()?;
    let collection = path.collection(&twin)?;
    let mut revisions: Vec<Revision> = Vec::new();
    while revisions.len() < options.limit {
        let before = revisions.last().map(|revision| revision.at);
        let limit = PAGE.min(options.limit - revisions.len());
        let page = collection.history(path.id, before, limit)?;
        if page.is_empty() {
            break;
        }
        revisions.extend(page);
    }
    if revisions.is_empty() {
        return Err(CliError::NoRecord(options.record.clone()));
    }
    let told = revisions
        .iter()
        .map(|revision| to_json(&twin, revision))
        .collect::<Result<Vec<Json>>>()?;
    cx.event(Json::Array(told));
    let rows = revisions
        .iter()
        .map(|revision| row(&twin, revision))
        .collect::<Result<Vec<_>>>()?;
    cx.say(table(&rows).trim_end());
    Ok(())
}

fn to_json(twin: &Twin, revision: &Revision) -> Result<Json> {
    Ok(json!({
        "changed": revision.changed.millis(),
        "by": revision.by.to_string(),
        "device": twin.device_name(&revision.by)?,
        "kind": match revision.kind {
            Kind::Put => "put",
            Kind::Patch => "patch",
            Kind::Delete => "delete",
        },
        "fields": fields_to_json(&revision.given),
        "edits": edits_to_json(&revision.edits),
        "record": revision.record.as_ref().map(fields_to_json),
    }))
}

fn row(twin: &Twin, revision: &Revision) -> Result<Vec<String>> {
    let nothing_said = revision.given.0.is_empty() && revision.edits.0.is_empty();
    let what = match revision.kind {
        Kind::Put => "written",
        // A patch that says nothing undoes a delete.
        Kind::Patch if nothing_said => "restored",
        Kind::Patch => "changed",
        Kind::Delete => "deleted",
    };
    let given = revision.given.0.iter();
    let given = given.map(|(name, value)| format!("{}={}", printable(name), for_people(value)));
    let edits = revision.edits.0.iter();
    let edits = edits.map(|(name, edit)| {
        let record = revision.record.as_ref();
        let became = record.and_then(|record| record.0.get(name));
        format!("{}{}", printable(name), edited(edit, became))
    });
    let fields: Vec<String> = given.chain(edits).collect();
    Ok(vec![
        time(revision.changed.millis()),
        called(&revision.by, &twin.device_name(&revision.by)?),
        what.to_owned(),
        fields.join("  "),
    ])
}

/// What is done to a field that became this.
fn edited(edit: &Edit, became: Option<&Value>) -> String {
    match edit {
        Edit::Elements { added, removed } => {
            let added = added
                .iter()
                .map(|element| format!("+={}", for_people(element)));
            let removed = removed.iter();
            let removed = removed.map(|element| format!("-={}", for_people(element)));
            added.chain(removed).collect::<Vec<_>>().join(" ")
        }
        Edit::Count { .. } => match became {
            Some(number @ Value::Counter(_)) => format!(" counted to {}", for_people(number)),
            _ => " counted".to_owned(),
        },
        Edit::Unknown(_) => " changed as a newer version does".to_owned(),
    }
}
