//! `twin schema`

use std::collections::BTreeMap;

use serde_json::json;

use crate::args::SchemaOptions;
use crate::commands::record::{CollectionPath, printable};
use crate::error::{CliError, Result};
use crate::output::{Context, table};

pub fn run(cx: &Context, options: &SchemaOptions) -> Result<()> {
    let path = CollectionPath::parse(&options.collection)?;
    // What cannot be understood is said before anything is asked.
    let rules = options
        .fields
        .iter()
        .map(|text| match text.split_once('=') {
            Some((field, rule)) if !field.is_empty() => Ok((field.to_owned(), rule)),
            _ => Err(CliError::Rule(text.clone())),
        })
        .map(|typed| match typed? {
            (field, "") => Ok((field, None)),
            (field, rule) => Ok((field, Some(rule.parse().map_err(CliError::Words)?))),
        })
        .collect::<Result<Vec<_>>>()?;
    let twin = cx.open()?;
    let collection = path.collection(&twin)?;
    let mut schema = collection.schema()?;
    if !rules.is_empty() {
        for (field, rule) in rules {
            match rule {
                Some(rule) => schema.0.insert(field, rule),
                None => schema.0.remove(&field),
            };
        }
        collection.set_schema(&schema)?;
    }
    let rules: BTreeMap<&String, String> = schema
        .0
        .iter()
        .map(|(field, rule)| (field, rule.to_string()))
        .collect();
    cx.event(json!(rules));
    if rules.is_empty() {
        cx.say("no schema: every field may hold anything");
        return Ok(());
    }
    let rows: Vec<Vec<String>> = rules
        .iter()
        .map(|(field, rule)| vec![printable(field), printable(rule)])
        .collect();
    cx.say(table(&rows).trim_end());
    Ok(())
}
