//! `twin list`

use serde_json::{Value as Json, json};
use twin::{Collection, Record};

use crate::args::List;
use crate::commands::record::{CollectionPath, is_all, printable, row, to_json};
use crate::error::{CliError, Result};
use crate::output::{Context, table};

/// How many records are read at once.
const PAGE: usize = 500;

pub fn run(cx: &Context, options: &List) -> Result<()> {
    match &options.place {
        None => {
            let spaces = cx.open()?.spaces()?;
            names(cx, spaces.iter().map(ToString::to_string).collect());
        }
        Some(place) if place.contains('/') => {
            let path = CollectionPath::parse(place)?;
            let twin = cx.open()?;
            let collection = path.collection(&twin)?;
            match options.limit {
                None => all(cx, &collection)?,
                Some(limit) => page(cx, &collection, options.after.as_deref(), limit)?,
            }
            is_all(&twin)?;
        }
        Some(place) if options.limit.is_some() => {
            return Err(CliError::CollectionPath(place.clone()));
        }
        Some(space) => names(cx, cx.open()?.space(space)?.collections()?),
    }
    Ok(())
}

fn names(cx: &Context, names: Vec<String>) {
    cx.event(json!(names));
    if names.is_empty() {
        cx.say("nothing here yet");
    } else {
        let names: Vec<String> = names.iter().map(|name| printable(name)).collect();
        cx.say(names.join("\n"));
    }
}

fn all(cx: &Context, collection: &Collection) -> Result<()> {
    let mut records = collection.list_all(PAGE)?;
    // The vault's order hides names, which people like sorted.
    records.sort_by(|a, b| a.id.cmp(&b.id));
    cx.event(Json::Array(records.iter().map(to_json).collect()));
    if records.is_empty() {
        cx.say("nothing here yet");
    }
    rows(cx, &records);
    Ok(())
}

/// In the vault's order, by which pages follow each other.
fn page(cx: &Context, collection: &Collection, after: Option<&str>, limit: usize) -> Result<()> {
    // One more tells whether there is a next page.
    let mut records = collection.list(after, limit.saturating_add(1))?;
    let more = records.len() > limit;
    records.truncate(limit);
    let next = records.last().filter(|_| more).map(|last| &*last.id);
    cx.event(json!({
        "records": records.iter().map(to_json).collect::<Vec<_>>(),
        "next": next,
    }));
    rows(cx, &records);
    match (next, after) {
        (Some(next), _) => cx.say(format!("there are more: --after {}", quoted(next))),
        (None, None) if records.is_empty() => cx.say("nothing here yet"),
        (None, _) => cx.say("these are the last ones"),
    }
    Ok(())
}

fn rows(cx: &Context, records: &[Record]) {
    let rows: Vec<Vec<String>> = records.iter().map(|record| row(record).into()).collect();
    if !rows.is_empty() {
        cx.say(table(&rows).trim_end());
    }
}

/// An id as it can be given to a shell.
pub fn quoted(id: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "-_./:@".contains(c);
    if id.chars().all(is_plain) {
        id.to_owned()
    } else {
        format!("'{}'", printable(id).replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_shell_would_read_otherwise_is_quoted() {
        for (id, wanted) in [
            ("r-1", "r-1"),
            ("Müller/2", "Müller/2"),
            ("a b", "'a b'"),
            ("it's", r"'it'\''s'"),
            ("$x", "'$x'"),
        ] {
            assert_eq!(quoted(id), wanted);
        }
    }
}
