//! `twin search | query`

use std::ops::Bound;

use serde_json::{Value as Json, json};
use twin::{Hit, MAX_HITS, Order, Query as Asked, Record, Space, Twin, Value};

use crate::args::{Answer, OrderArg, Query, Search};
use crate::commands::field::parse_json;
use crate::commands::record::{CollectionPath, is_all, printable, row, to_json};
use crate::error::{CliError, Result};
use crate::output::{Context, table};

pub fn search(cx: &Context, options: &Search) -> Result<()> {
    let twin = cx.open()?;
    let words = options.words.join(" ");
    let mut hits: Vec<(String, Hit)> = Vec::new();
    let mut more = false;
    for space in spaces(&twin, options.space.as_deref())? {
        // One more than is wanted tells that there are more; at most so many are found at all.
        let wanted = options.limit.saturating_add(1);
        let found = space.search(&words, options.collection.as_deref(), wanted)?;
        more |= found.len() == MAX_HITS;
        let name = space.name().to_string();
        hits.extend(found.into_iter().map(|hit| (name.clone(), hit)));
    }
    hits.sort_by(|(_, a), (_, b)| b.score.total_cmp(&a.score));
    more |= hits.len() > options.limit;
    hits.truncate(options.limit);
    let answers = hits.iter().map(|(space, hit)| {
        let mut json = to_json(&hit.record);
        if let Json::Object(members) = &mut json {
            members.insert("space".to_owned(), json!(space));
            members.insert("collection".to_owned(), json!(hit.collection));
            members.insert("score".to_owned(), json!(hit.score));
        }
        json
    });
    cx.event(Json::Array(answers.collect()));
    if hits.is_empty() {
        cx.say("nothing found");
    }
    let rows: Vec<Vec<String>> = hits
        .iter()
        .map(|(space, hit)| {
            let place = format!("{space}/{}/{}", hit.collection, hit.record.id);
            let [_, fields] = row(&hit.record);
            vec![printable(&place), fields]
        })
        .collect();
    if !rows.is_empty() {
        cx.say(table(&rows).trim_end());
    }
    if more {
        cx.say("there may be more: raise --limit, or search for rarer words");
    }
    is_all(&twin)
}

fn spaces(twin: &Twin, name: Option<&str>) -> Result<Vec<Space>> {
    if let Some(name) = name {
        return Ok(vec![twin.space(name)?]);
    }
    let names = twin.spaces()?.into_iter();
    let spaces = names.map(|name| Ok(twin.space(name.as_str())?));
    spaces.collect()
}

pub fn query(cx: &Context, options: &Query) -> Result<()> {
    let path = CollectionPath::parse(&options.place)?;
    let mut asked = asked(&options.conditions, &options.answer)?;
    let limit = asked.limit;
    let twin = cx.open()?;
    let collection = path.collection(&twin)?;
    let mut records: Vec<Record> = Vec::new();
    let mut scanned = 0;
    let (indexed, more) = loop {
        asked.limit = limit.saturating_sub(records.len());
        let page = collection.query(&asked)?;
        scanned += page.scanned;
        records.extend(page.records);
        let more = page.next.is_some();
        asked.after = page.next;
        if !more || records.len() >= limit {
            break (page.indexed, more);
        }
    };
    cx.event(json!({
        "records": records.iter().map(to_json).collect::<Vec<_>>(),
        "scanned": scanned,
        "indexed": indexed,
        "more": more,
    }));
    let rows: Vec<Vec<String>> = records.iter().map(|record| row(record).into()).collect();
    if !rows.is_empty() {
        cx.say(table(&rows).trim_end());
    }
    let how = if indexed {
        "by the index"
    } else {
        "one by one: the field is not indexed"
    };
    let more = if more { ", and there are more" } else { "" };
    cx.say(format!(
        "{} found{more}; {scanned} records were read {how}",
        records.len()
    ));
    is_all(&twin)
}

/// What is asked for by conditions, and which of it is wanted.
pub fn asked(texts: &[String], answer: &Answer) -> Result<Asked> {
    let order = match answer.order {
        OrderArg::Up => Order::Up,
        OrderArg::Down => Order::Down,
    };
    Ok(Asked {
        order,
        limit: answer.limit,
        ..conditions(texts)?
    })
}

/// One or two conditions on one field.
fn conditions(texts: &[String]) -> Result<Asked> {
    let mut asked: Option<Asked> = None;
    for text in texts {
        let wrong = || CliError::Condition(text.clone());
        let (field, low, high) = condition(text).ok_or_else(wrong)?;
        asked = Some(match asked {
            None => Asked::range(&field, low, high),
            Some(before) if before.field == field => Asked {
                low: one(before.low, low).ok_or_else(wrong)?,
                high: one(before.high, high).ok_or_else(wrong)?,
                ..before
            },
            Some(_) => return Err(CliError::OneField),
        });
    }
    asked.ok_or_else(|| CliError::Condition(String::new()))
}

/// The bound that there is; `None` if there are two.
fn one(a: Bound<Value>, b: Bound<Value>) -> Option<Bound<Value>> {
    match (a, b) {
        (Bound::Unbounded, bound) | (bound, Bound::Unbounded) => Some(bound),
        _ => None,
    }
}

/// A field and between what its value lies.
fn condition(text: &str) -> Option<(String, Bound<Value>, Bound<Value>)> {
    let at = text.find(['<', '>', '='])?;
    let (field, rest) = text.split_at(at);
    let signs = ["<=", ">=", "<", ">", "="];
    let (sign, value) = signs
        .iter()
        .find_map(|sign| Some((*sign, rest.strip_prefix(sign)?)))?;
    let (field, value) = match field.strip_suffix(':') {
        Some(field) => (field, parse_json(value)?),
        // Whoever means "unlike" is not to be told that there is nothing.
        None if field.ends_with('!') => return None,
        None => (field, Value::from(value)),
    };
    if field.is_empty() {
        return None;
    }
    let (low, high) = match sign {
        "<=" => (Bound::Unbounded, Bound::Included(value)),
        ">=" => (Bound::Included(value), Bound::Unbounded),
        "<" => (Bound::Unbounded, Bound::Excluded(value)),
        ">" => (Bound::Excluded(value), Bound::Unbounded),
        _ => (Bound::Included(value.clone()), Bound::Included(value)),
    };
    Some((field.to_owned(), low, high))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_understood() {
        let five = || Value::Int(5);
        let included = Bound::Included;
        for (texts, field, low, high) in [
            (
                &["a=b"][..],
                "a",
                included("b".into()),
                included("b".into()),
            ),
            (&["a:=5"], "a", included(five()), included(five())),
            (&["a:>5"], "a", Bound::Excluded(five()), Bound::Unbounded),
            (&["a:<=5"], "a", Bound::Unbounded, included(five())),
            (&["a>=5"], "a", included("5".into()), Bound::Unbounded),
            (&["a<"], "a", Bound::Unbounded, Bound::Excluded("".into())),
            (
                &["a b:=true"],
                "a b",
                included(Value::Bool(true)),
                included(Value::Bool(true)),
            ),
            (&["a==b"], "a", included("=b".into()), included("=b".into())),
            (
                &["a:<5", "a:>=-1.5"],
                "a",
                included(Value::Float(-1.5)),
                Bound::Excluded(five()),
            ),
        ] {
            let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
            let asked = conditions(&texts).ok();
            assert_eq!(asked, Some(Asked::range(field, low, high)), "{texts:?}");
        }
    }

    #[test]
    fn what_is_no_condition_is_refused() {
        for texts in [
            &["a"][..],
            &["=b"],
            &[":=5"],
            &["a:=b"],
            &["a!=b"],
            &["a:>[1]"],
            &["a:<5", "b:>1"],
            &["a:<5", "a:<6"],
            &["a=b", "a>c"],
            &[],
        ] {
            let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
            assert!(conditions(&texts).is_err(), "{texts:?}");
        }
    }
}
