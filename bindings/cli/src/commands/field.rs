//! Fields as they are typed and shown: `field=text`, `tags+=text`, `count++=5`.

use std::collections::BTreeMap;

use serde_json::Value as Json;
use twin::json::{from_json, keeps_digits, moment, to_json};
use twin::{FieldEdit, Fields, Set, Value};

use crate::commands::record::printable;
use crate::error::{CliError, Result};

/// What is to become of a record.
#[derive(Debug, Default, PartialEq)]
pub struct Typed {
    /// The fields that get a value.
    pub fields: Fields,
    /// What is done to other fields.
    pub edits: BTreeMap<String, FieldEdit>,
}

/// What stands before the first `=`, and what it does. The longer ones first: `+:` ends in `:`, too.
const OPERATORS: [(&str, Operator); 7] = [
    ("++", Operator::Up),
    ("--", Operator::Down),
    ("+:", Operator::AddJson),
    ("-:", Operator::RemoveJson),
    (":", Operator::Json),
    ("+", Operator::Add),
    ("-", Operator::Remove),
];

#[derive(Clone, Copy)]
enum Operator {
    Up,
    Down,
    AddJson,
    RemoveJson,
    Json,
    Add,
    Remove,
}

impl Typed {
    /// Reads what was typed.
    pub fn parse(texts: &[String]) -> Result<Self> {
        let mut typed = Self::default();
        for text in texts {
            typed.take(text)?;
        }
        Ok(typed)
    }

    fn take(&mut self, text: &str) -> Result<()> {
        let named = text.split_once('=').map(|(left, right)| {
            let mut operators = OPERATORS.iter();
            let found = operators
                .find_map(|(end, operator)| Some((left.strip_suffix(end)?, Some(*operator))));
            let (name, operator) = found.unwrap_or((left, None));
            (name, operator, right)
        });
        let wrong = || CliError::Field(text.to_owned());
        let (name, operator, right) = named
            .filter(|(name, ..)| !name.is_empty())
            .ok_or_else(wrong)?;
        let is_value = matches!(operator, None | Some(Operator::Json));
        let is_given = self.fields.0.contains_key(name);
        if is_given || (is_value && self.edits.contains_key(name)) {
            return Err(CliError::FieldTwice(name.to_owned()));
        }
        let is_json = matches!(
            operator,
            Some(Operator::Json | Operator::AddJson | Operator::RemoveJson)
        );
        if is_json && !keeps_digits(right) {
            return Err(CliError::Digits(text.to_owned()));
        }
        let is_no_value = |json: Json| from_json(&json).is_none();
        if is_json && serde_json::from_str(right).is_ok_and(is_no_value) {
            return Err(CliError::NoValue(text.to_owned()));
        }
        self.put(name, operator, right).ok_or_else(wrong)
    }

    fn put(&mut self, name: &str, operator: Option<Operator>, right: &str) -> Option<()> {
        let name = name.to_owned();
        match operator {
            None => {
                self.fields.0.insert(name, Value::from(right));
                Some(())
            }
            Some(Operator::Json) => {
                self.fields.0.insert(name, parse_json(right)?);
                Some(())
            }
            Some(Operator::Up) => self.count(name, right.parse().ok()?),
            Some(Operator::Down) => self.count(name, right.parse::<i64>().ok()?.checked_neg()?),
            Some(Operator::Add) => self.element(name, Value::from(right), true),
            Some(Operator::AddJson) => self.element(name, parse_json(right)?, true),
            Some(Operator::Remove) => self.element(name, Value::from(right), false),
            Some(Operator::RemoveJson) => self.element(name, parse_json(right)?, false),
        }
    }

    fn count(&mut self, name: String, by: i64) -> Option<()> {
        match self.edits.entry(name).or_insert(FieldEdit::Count(0)) {
            FieldEdit::Count(sum) => *sum = sum.checked_add(by)?,
            FieldEdit::Elements { .. } => return None,
        }
        Some(())
    }

    fn element(&mut self, name: String, element: Value, comes: bool) -> Option<()> {
        let nothing = FieldEdit::Elements {
            add: Set::default(),
            remove: Set::default(),
        };
        match self.edits.entry(name).or_insert(nothing) {
            FieldEdit::Elements { add, remove } => {
                let set = if comes { add } else { remove };
                set.insert(element).then_some(())
            }
            FieldEdit::Count(_) => None,
        }
    }
}

/// The value that a JSON text says, with all its digits.
pub fn parse_json(text: &str) -> Option<Value> {
    if !keeps_digits(text) {
        return None;
    }
    from_json(&serde_json::from_str::<Json>(text).ok()?)
}

/// A value as people read it.
pub fn for_people(value: &Value) -> String {
    match value {
        Value::Text(text) => printable(text),
        Value::Timestamp(millis) => moment(*millis).unwrap_or_else(|| millis.to_string()),
        Value::Reference(to) => printable(&format!("{}/{}", to.collection, to.id)),
        Value::Set(set) => {
            let elements: Vec<String> = set.iter().map(for_people).collect();
            format!("{{{}}}", elements.join(", "))
        }
        Value::Counter(number) => number.to_string(),
        other => to_json(other).to_string(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn typed(texts: &[&str]) -> Result<Typed> {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        Typed::parse(&texts)
    }

    #[test]
    fn each_sign_does_one_thing() {
        let all = typed(&[
            "a=1=2",
            "b:=5",
            "tags+=x",
            "tags-=y",
            "tags+:=5",
            "tags-:=[\"no\"]",
        ]);
        assert!(matches!(all, Err(CliError::NoValue(_))), "a list in a set");
        let all = typed(&[
            "a=1=2", "b:=5", "t+=x", "t-=y", "t+:=5", "n++=5", "n--=7", "m--=-1",
        ]);
        let all = all.unwrap();
        let fields = [("a", Value::from("1=2")), ("b", Value::Int(5))];
        let fields = fields.map(|(name, value)| (name.to_owned(), value));
        assert_eq!(all.fields, Fields(fields.into()));
        let tags = FieldEdit::Elements {
            add: Set::of([Value::from("x"), Value::Int(5)]).unwrap(),
            remove: Set::of([Value::from("y")]).unwrap(),
        };
        let edits = [
            ("t", tags),
            ("n", FieldEdit::Count(-2)),
            ("m", FieldEdit::Count(1)),
        ];
        let edits = edits.map(|(name, edit)| (name.to_owned(), edit));
        assert_eq!(all.edits, edits.into());
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for texts in [
            &["a"][..],
            &["=1"],
            &["+=1"],
            &["++=1"],
            &["a:=x"],
            &["a++=x"],
            &["a++=1.5"],
            &["a--=-9223372036854775808"],
            &["a+:=null"],
            &["a+=x", "a++=1"],
            &["a++=1", "a-=x"],
        ] {
            assert!(matches!(typed(texts), Err(CliError::Field(_))), "{texts:?}");
        }
        for texts in [
            &["a=1", "a=2"][..],
            &["a=1", "a:=2"],
            &["a=1", "a++=2"],
            &["a+=x", "a=1"],
        ] {
            assert!(
                matches!(typed(texts), Err(CliError::FieldTwice(_))),
                "{texts:?}"
            );
        }
        for text in [
            "a:=[]",
            "a:={\"set\":[null]}",
            "a:={\"timestamp\":\"2026-02-30T00:00:00Z\"}",
        ] {
            assert!(
                matches!(typed(&[text]), Err(CliError::NoValue(_))),
                "{text}"
            );
        }
        for text in ["a:=12345678901234567890123", "a+:=0.12345678901234567890"] {
            assert!(matches!(typed(&[text]), Err(CliError::Digits(_))), "{text}");
        }
    }
}
