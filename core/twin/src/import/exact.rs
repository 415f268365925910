//! JSON of which nothing is lost without a word: a name that stands twice in an object is a fault, and a number with more
//! digits than a value holds becomes text.

use std::fmt;

use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value as Json};

use super::digits::quoted;
use super::entry::MAX_ENTRY;

/// The most values in one text: more do not fit into a record, for each takes two bytes of it even in a list.
const MAX_VALUES: usize = MAX_ENTRY / 2;

/// What a text says.
pub(super) struct Exact {
    pub json: Json,
    /// How many numbers became text.
    pub as_text: u64,
}

/// Why a text cannot be read.
pub(super) struct Fault {
    /// The line in it, from 1 on.
    pub line: u64,
    pub why: Why,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    NoJson,
    /// An object has a name twice: nobody can say which of the two values was meant.
    NameTwice,
    TooMany,
    /// A text has one half of a pair that stands for a character (RFC 8259, section 8.2), as of an emoji cut in two.
    HalfCharacter,
}

impl Why {
    /// For people.
    pub const fn text(self) -> &'static str {
        match self {
            Self::NoJson => "it is not JSON",
            Self::NameTwice => "an object in it has the same name twice: keep one of the two",
            Self::TooMany => "it is too large for a record",
            Self::HalfCharacter => {
                "a text in it has half a character (\\ud800 to \\udfff alone): take that out"
            }
        }
    }
}

/// Reads a text that is one value.
pub(super) fn read(text: &[u8]) -> Result<Exact, Fault> {
    let (text, as_text) = quoted(text);
    let mut tree = Tree {
        left: MAX_VALUES,
        fault: Why::NoJson,
    };
    let mut reader = serde_json::Deserializer::from_slice(&text);
    let read = tree.deserialize(&mut reader);
    match read.and_then(|json| reader.end().map(|()| json)) {
        Ok(json) => Ok(Exact { json, as_text }),
        Err(error) => Err(Fault {
            line: u64::try_from(error.line()).unwrap_or(u64::MAX).max(1),
            why: match tree.fault {
                // The reader tells it by its words only.
                Why::NoJson if error.to_string().contains("hex escape") => Why::HalfCharacter,
                fault => fault,
            },
        }),
    }
}

/// Makes a value, and notes what is wrong with one that is JSON all the same.
struct Tree {
    left: usize,
    fault: Why,
}

impl Tree {
    fn fail<E: serde::de::Error>(&mut self, why: Why) -> E {
        self.fault = why;
        E::custom("refused")
    }
}

impl<'de> DeserializeSeed<'de> for &mut Tree {
    type Value = Json;

    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<Json, D::Error> {
        match self.left.checked_sub(1) {
            Some(left) => self.left = left,
            None => return Err(self.fail(Why::TooMany)),
        }
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &mut Tree {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(&mut *self)? {
            list.push(item);
        }
        Ok(Json::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if object.contains_key(&name) {
                return Err(self.fail(Why::NameTwice));
            }
            object.insert(name, members.next_value_seed(&mut *self)?);
        }
        Ok(Json::Object(object))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn fault(text: &str) -> Option<(u64, Why)> {
        let fault = read(text.as_bytes()).err()?;
        Some((fault.line, fault.why))
    }

    #[test]
    fn numbers_keep_their_digits_or_become_text() {
        for number in [
            "0",
            "-0",
            "-0.0",
            "0e9",
            "5.0",
            "1.10",
            "1e5",
            "1E+5",
            "0.1",
            "0.30000000000000004",
            "0.10000000000000001",
            "100000000000000000000.0",
            "-9223372036854775808",
            "9223372036854775807",
            "1.7976931348623157e308",
            "5e-324",
        ] {
            let Exact { json, as_text } = read(number.as_bytes()).ok().unwrap();
            assert!(json.is_number() && as_text == 0, "{number}");
        }
        for number in [
            "9223372036854775808",
            "12345678901234567890",
            "-9223372036854775809",
            "100000000000000000000",
            "0.1000000000000000055511151231257827",
            "123456789.123456789123456789",
            "1e400",
            "-1e400",
            "1e-400",
            "1.00000000000000000001",
            "9007199254740993.5",
        ] {
            let Exact { json, as_text } = read(number.as_bytes()).ok().unwrap();
            assert_eq!((json, as_text), (json!(number), 1));
        }
        let text = r#"{"a\"1e400": [ 1e400,"1e400", {"b":-1e400}], "c" :5}"#;
        let Exact { json, as_text } = read(text.as_bytes()).ok().unwrap();
        assert_eq!(
            json,
            json!({"a\"1e400": ["1e400", "1e400", {"b": "-1e400"}], "c": 5})
        );
        assert_eq!(as_text, 2);
    }

    #[test]
    fn what_is_no_json_does_not_become_it() {
        for text in [
            "",
            "1e400 1",
            "1e400x",
            "00000000000000000000000",
            "1.",
            "--1",
            "{1e400:1}",
            "{1e400 :1}",
            "[1e400",
            "\"1e400",
            "\"\\",
            "1e400\"",
            "[12345678901234567890\"\"]",
        ] {
            assert_eq!(fault(text), Some((1, Why::NoJson)), "{text}");
        }
        let deep = "[".repeat(1 << 20);
        assert_eq!(fault(&deep), Some((1, Why::NoJson)));
    }

    #[test]
    fn half_a_character_is_a_fault_of_its_own() {
        for half in [r"\ud83d", r"\ud83d!", r"\ude00", r"\ude00\ud83d"] {
            let text = format!("{{\"a\":\"{half}\"}}");
            assert_eq!(fault(&text), Some((1, Why::HalfCharacter)), "{text}");
        }
        assert_eq!(fault(r#"{"a":"\ud83d\ude00"}"#), None);
    }

    #[test]
    fn a_name_twice_and_too_many_values_are_faults() {
        assert_eq!(fault("{\"a\":1,\n\"a\":1}"), Some((2, Why::NameTwice)));
        assert_eq!(
            fault(r#"{"a":[{"b":1,"\u0062":2}]}"#),
            Some((1, Why::NameTwice))
        );
        assert_eq!(fault(r#"{"a":{"b":1},"b":{"b":2}}"#), None);
        let many = format!("[{}0]", "0,".repeat(MAX_VALUES));
        assert_eq!(fault(&many), Some((1, Why::TooMany)));
    }

    proptest! {
        #[test]
        fn a_float_as_it_is_written_stays_one(float in any::<f64>().prop_filter("JSON", |f| f.is_finite())) {
            for text in [json!(float).to_string(), format!("{float:.16e}")] {
                let Exact { json, as_text } = read(text.as_bytes()).ok().unwrap();
                prop_assert_eq!(json.as_f64(), Some(float));
                prop_assert_eq!(as_text, 0, "{}", text);
            }
        }

        #[test]
        fn whole_numbers_stay_whole(number: i128) {
            let Exact { json, as_text } = read(number.to_string().as_bytes()).ok().unwrap();
            match i64::try_from(number) {
                Ok(number) => prop_assert_eq!(json, json!(number)),
                Err(_) => prop_assert_eq!((json, as_text), (json!(number.to_string()), 1)),
            }
        }
    }
}
