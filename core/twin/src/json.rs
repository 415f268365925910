//! Values as JSON, and back. What JSON has no form for is an object with one member that says what it is:
//! `{"hex": "00ff"}` for bytes, `{"float": "NaN"}` for a float that is no number.

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use serde_json::{Map, Value as Json, json};
use twin_ops::value::{Fields, Value};

const HEX: &str = "hex";
const FLOAT: &str = "float";

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
    }
}

/// The value that [`to_json`] made this of. `None` for what is not a value: lists, other objects, whole numbers from
/// 2^63 to 2^64. Larger ones are floats.
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

fn one(object: &Map<String, Json>) -> Option<Value> {
    let mut members = object.iter();
    let (Some((name, Json::String(text))), None) = (members.next(), members.next()) else {
        return None;
    };
    match name.as_str() {
        HEX => {
            let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes());
            bytes.ok().map(Value::Bytes)
        }
        FLOAT => match text.as_str() {
            "NaN" => Some(f64::NAN),
            "inf" => Some(f64::INFINITY),
            "-inf" => Some(f64::NEG_INFINITY),
            _ => None,
        }
        .map(Value::Float),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
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
