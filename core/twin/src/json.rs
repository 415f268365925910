//! Values as JSON, and back. What JSON has no form for is an object with one member that says what it is:
//! `{"hex": "00ff"}` for bytes, `{"float": "NaN"}` for a float that is no number,
//! `{"timestamp": "2026-11-23T10:00:00Z"}` for a moment, `{"ref": ["people", "ada"]}` for another record,
//! `{"set": ["a", "b"]}` for a set, `{"counter": 5}` for a counter, `{"unknown": "8209f6"}` for what a later version
//! wrote.

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use serde_json::{Map, Value as Json, json};
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};
use twin_ops::edit::{Edit, Edits};
use twin_ops::set::Set;
use twin_ops::value::{Fields, Reference, Unknown, Value};

use crate::import::digits::quoted;

const HEX: &str = "hex";
const FLOAT: &str = "float";
const TIMESTAMP: &str = "timestamp";
const REFERENCE: &str = "ref";
const SET: &str = "set";
const COUNTER: &str = "counter";
const UNKNOWN: &str = "unknown";

const NANOS_PER_MILLI: i128 = 1_000_000;

/// A value as JSON.
pub fn to_json(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(value) => json!(value),
        Value::Int(value) => json!(value),
        Value::Float(value) if !value.is_finite() => json!({FLOAT: value.to_string()}),
        Value::Float(value) => json!(value),
        Value::Text(text) => json!(text),
        Value::Bytes(bytes) => json!({HEX: HEXLOWER.encode(bytes)}),
        Value::Timestamp(millis) => match moment(*millis) {
            Some(text) => json!({TIMESTAMP: text}),
            None => json!({TIMESTAMP: millis}),
        },
        Value::Reference(Reference { collection, id }) => json!({REFERENCE: [collection, id]}),
        Value::Set(set) => json!({SET: set.iter().map(to_json).collect::<Vec<_>>()}),
        Value::Counter(number) => json!({COUNTER: number}),
        Value::Unknown(unknown) => json!({UNKNOWN: HEXLOWER.encode(unknown.as_bytes())}),
    }
}

/// A moment as text (RFC 3339, in UTC); `None` before the year 0 and after the year 9999, for which there is none.
pub fn moment(millis: i64) -> Option<String> {
    let nanos = i128::from(millis) * NANOS_PER_MILLI;
    let time = OffsetDateTime::from_unix_timestamp_nanos(nanos).ok()?;
    time.format(&Rfc3339).ok()
}

/// Whether every number in a JSON text keeps its digits as a value: whole ones of at most 64 bits, others of at most 17
/// digits.
pub fn keeps_digits(text: &str) -> bool {
    quoted(text.as_bytes()).1 == 0
}

/// The value that [`to_json`] made this of. `None` for what is not a value: lists, other objects, whole numbers from
/// 2^63 to 2^64. Larger ones are floats. Of a moment, what is less than a millisecond is left out.
pub fn from_json(json: &Json) -> Option<Value> {
    Some(match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => match number.as_i64() {
            Some(value) => Value::Int(value),
            None if number.is_u64() => return None,
            None => Value::Float(number.as_f64()?),
        },
        Json::String(text) => Value::Text(text.clone()),
        Json::Object(object) => return one(object),
        Json::Array(_) => return None,
    })
}

/// Fields as a JSON object.
pub fn fields_to_json(fields: &Fields) -> Json {
    let fields = fields.0.iter();
    Json::Object(
        fields
            .map(|(name, value)| (name.clone(), to_json(value)))
            .collect(),
    )
}

/// The fields that [`fields_to_json`] made this of.
pub fn fields_from_json(json: &Json) -> Option<Fields> {
    let fields = json.as_object()?.iter();
    let fields = fields.map(|(name, value)| Some((name.clone(), from_json(value)?)));
    fields.collect::<Option<_>>().map(Fields)
}

/// What was done to fields as a JSON object: for a set `{"add": [...], "remove": [...]}`, for a counter
/// `{"counted": 5}`, all that its device has counted since the counter was last given a number.
pub fn edits_to_json(edits: &Edits) -> Json {
    let edit = |edit: &Edit| match edit {
        Edit::Elements { added, removed } => json!({
            "add": added.iter().map(to_json).collect::<Vec<_>>(),
            "remove": removed.iter().map(to_json).collect::<Vec<_>>(),
        }),
        Edit::Count { total, .. } => json!({"counted": total}),
        Edit::Unknown(unknown) => json!({UNKNOWN: HEXLOWER.encode(unknown.as_bytes())}),
    };
    let edits = edits.0.iter();
    Json::Object(
        edits
            .map(|(name, done)| (name.clone(), edit(done)))
            .collect(),
    )
}

fn one(object: &Map<String, Json>) -> Option<Value> {
    let mut members = object.iter();
    let (Some((name, content)), None) = (members.next(), members.next()) else {
        return None;
    };
    match (name.as_str(), content) {
        (HEX, Json::String(text)) => unhex(text).map(Value::Bytes),
        (FLOAT, Json::String(text)) => match text.as_str() {
            "NaN" => Some(f64::NAN),
            "inf" => Some(f64::INFINITY),
            "-inf" => Some(f64::NEG_INFINITY),
            _ => None,
        }
        .map(Value::Float),
        (TIMESTAMP, Json::String(text)) => {
            let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
            let nanos = time.to_offset(UtcOffset::UTC).unix_timestamp_nanos();
            let millis = i64::try_from(nanos.div_euclid(NANOS_PER_MILLI));
            millis.ok().map(Value::Timestamp)
        }
        (TIMESTAMP, Json::Number(millis)) => millis.as_i64().map(Value::Timestamp),
        (REFERENCE, Json::Array(names)) => match names.as_slice() {
            [Json::String(collection), Json::String(id)] => {
                let reference = Reference {
                    collection: collection.clone(),
                    id: id.clone(),
                };
                reference.is_valid().then_some(Value::Reference(reference))
            }
            _ => None,
        },
        // Elements are no sets again, so this goes down no further.
        (SET, Json::Array(elements)) => {
            let is_set = |element: &Json| element.get(SET).is_some();
            if elements.iter().any(is_set) {
                return None;
            }
            let elements = elements.iter().map(from_json);
            Set::of(elements.collect::<Option<Vec<_>>>()?).map(Value::Set)
        }
        (COUNTER, Json::Number(number)) => number.as_i64().map(Value::Counter),
        (UNKNOWN, Json::String(text)) => {
            let unknown = Unknown::from_bytes(&unhex(text)?);
            unknown.ok().map(Value::Unknown)
        }
        _ => None,
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;
    use twin_identity::cbor;

    use super::*;

    #[test]
    fn values_come_back_as_they_went() {
        let floats = [
            0.1 + 0.2,
            5.0,
            -0.0,
            f64::MIN_POSITIVE,
            1e300,
            f64::INFINITY,
            f64::NEG_INFINITY,
        ];
        let values = [
            Value::Null,
            Value::Bool(true),
            Value::Int(i64::MIN),
            Value::Int(i64::MAX),
        ]
        .into_iter()
        .chain(floats.map(Value::Float))
        .chain(["", "Grüße\n\"\u{0}\u{10ffff}"].map(Value::from))
        .chain([vec![], vec![0, 127, 255]].map(Value::Bytes));
        for value in values {
            let text = to_json(&value).to_string();
            let read = from_json(&serde_json::from_str(&text).unwrap());
            assert_eq!(read, Some(value), "{text}");
        }
        let nan = from_json(&to_json(&Value::Float(f64::NAN)));
        assert!(matches!(nan, Some(Value::Float(nan)) if nan.is_nan()));
    }

    fn element() -> impl Strategy<Value = Value> {
        prop_oneof![
            any::<i64>().prop_map(Value::Int),
            any::<f64>().prop_map(Value::Float),
            any::<String>().prop_map(Value::Text),
            any::<Vec<u8>>().prop_map(Value::Bytes),
            any::<i64>().prop_map(Value::Timestamp),
            (-1_i64 << 45..1 << 48).prop_map(Value::Timestamp),
            ("\\PC{1,20}", "\\PC{1,40}")
                .prop_map(|(collection, id)| Value::Reference(Reference { collection, id })),
            (4u8..24, any::<u8>()).prop_map(|(kind, more)| {
                let bytes = [0x82, kind, 0x41, more];
                Value::Unknown(Unknown::from_bytes(&bytes).unwrap())
            }),
        ]
    }

    proptest! {
        #[test]
        fn all_types_come_back_as_they_went(
            elements in prop::collection::vec(element(), 0..5),
            number: i64,
        ) {
            let set = Value::Set(Set::of(elements.clone()).unwrap());
            for value in elements.into_iter().chain([set, Value::Counter(number)]) {
                let text = to_json(&value).to_string();
                let back = from_json(&serde_json::from_str(&text).unwrap()).unwrap();
                prop_assert_eq!(cbor::encode(&back), cbor::encode(&value), "{}", text);
            }
        }
    }

    #[test]
    fn moments_are_read_in_any_zone_and_written_in_utc() {
        for (text, millis) in [
            ("2026-11-23T10:00:00.5Z", 1_795_428_000_500),
            ("2026-11-23T11:00:00.5009+01:00", 1_795_428_000_500),
            ("1969-12-31T23:59:59.9999Z", -1),
        ] {
            let read = from_json(&json!({"timestamp": text}));
            assert_eq!(read, Some(Value::Timestamp(millis)), "{text}");
        }
        let written = to_json(&Value::Timestamp(1_795_428_000_500));
        assert_eq!(written, json!({"timestamp": "2026-11-23T10:00:00.5Z"}));
        assert_eq!(
            to_json(&Value::Timestamp(i64::MAX)),
            json!({"timestamp": i64::MAX})
        );
    }

    #[test]
    fn what_is_no_value_is_refused() {
        let not = [
            "[]",
            "[1]",
            "{}",
            "{\"a\":1}",
            "{\"hex\":1}",
            "{\"hex\":\"0\"}",
            "{\"hex\":\"0g\"}",
            "{\"hex\":\"+1\"}",
            "{\"hex\":\"ü\"}",
            "{\"hex\":\"00\",\"b\":1}",
            "{\"float\":\"1\"}",
            "{\"timestamp\":\"2026-11-23\"}",
            "{\"timestamp\":\"2026-13-23T10:00:00Z\"}",
            "{\"timestamp\":1.5}",
            "{\"ref\":\"people/ada\"}",
            "{\"ref\":[\"people\"]}",
            "{\"ref\":[\"\",\"ada\"]}",
            "{\"ref\":[\"people\",\"ada\",\"b\"]}",
            "{\"set\":1}",
            "{\"set\":[null]}",
            "{\"set\":[{\"set\":[]}]}",
            "{\"set\":[{\"counter\":1}]}",
            "{\"counter\":1.5}",
            "{\"counter\":9223372036854775808}",
            "{\"unknown\":\"820000\"}",
            "{\"unknown\":\"82\"}",
            "18446744073709551615",
        ];
        for text in not {
            assert_eq!(
                from_json(&serde_json::from_str(text).unwrap()),
                None,
                "{text}"
            );
        }
        assert_eq!(fields_from_json(&json!({"a": []})), None);
        assert_eq!(fields_from_json(&json!([])), None);
    }
}
