//! Values as bytes that sort as the values do: no before yes, numbers by what they are worth whatever their type, texts
//! byte by byte, moments by time, references by what they lead to; and these kinds one after the other.

use std::ops::Bound;

use twin_ops::value::{Reference, Value};

/// The most bytes of a text, a reference or bytes by which it is sorted.
const MAX_TEXT: usize = 256;

const BOOL: u8 = 1;
const NUMBER: u8 = 2;
const TEXT: u8 = 3;
const TIMESTAMP: u8 = 4;
const REFERENCE: u8 = 5;
const BYTES: u8 = 6;

/// The bytes by which a value is compared; `None` for what has no order: nothing, what is not a number, sets and what a
/// later version has written.
pub(crate) fn whole(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::Null | Value::Set(_) | Value::Unknown(_) => None,
        Value::Bool(value) => Some(vec![BOOL, u8::from(*value)]),
        Value::Int(value) | Value::Counter(value) => Some(int(*value)),
        Value::Timestamp(moment) => {
            // With the sign turned, so that what is before 1970 sorts first.
            let bytes = (moment.cast_unsigned() ^ (1 << 63)).to_be_bytes();
            Some([[TIMESTAMP].as_slice(), &bytes].concat())
        }
        Value::Float(value) if value.is_nan() => None,
        Value::Float(value) => Some(number(*value, 0)),
        Value::Text(text) => Some([[TEXT].as_slice(), text.as_bytes()].concat()),
        Value::Bytes(bytes) => Some([[BYTES].as_slice(), bytes].concat()),
        Value::Reference(Reference { collection, id }) => {
            // The name of a collection has at most 128 bytes; with its length before it no two references are one.
            let len = u8::try_from(collection.len()).unwrap_or(u8::MAX);
            let head = [REFERENCE, len];
            Some([head.as_slice(), collection.as_bytes(), id.as_bytes()].concat())
        }
    }
}

/// The bytes by which a value is sorted: of what may be long the first 256.
pub(crate) fn sorted(value: &Value) -> Option<Vec<u8>> {
    let mut bytes = whole(value)?;
    bytes.truncate(1 + MAX_TEXT);
    Some(bytes)
}

/// A whole number as the nearest float, and what it is more or less than that: a float sorts beside it exactly.
fn int(value: i64) -> Vec<u8> {
    let near = value as f64;
    // Within 2^63 in both directions, so that it is exact.
    let rest = i128::from(value) - near as i128;
    // At most half of the 1,024 between two floats near 2^63.
    number(near, i16::try_from(rest).unwrap_or(i16::MAX))
}

fn number(value: f64, rest: i16) -> Vec<u8> {
    // Both zeroes are one.
    let bits = (value + 0.0).to_bits();
    let negative = bits >> 63 == 1;
    let ordered = if negative { !bits } else { bits | (1 << 63) };
    let rest = rest.cast_unsigned() ^ 0x8000;
    let mut bytes = vec![NUMBER];
    bytes.extend_from_slice(&ordered.to_be_bytes());
    bytes.extend_from_slice(&rest.to_be_bytes());
    bytes
}

/// The bytes that a value's must lie between.
pub(crate) struct Between {
    low: Bound<Vec<u8>>,
    high: Bound<Vec<u8>>,
}

impl Between {
    /// Between these values. `None` if one of them has no order, or the two are not of one kind.
    pub fn new(low: &Bound<Value>, high: &Bound<Value>) -> Option<Self> {
        let bytes = |bound: &Bound<Value>| {
            Some(match bound {
                Bound::Unbounded => Bound::Unbounded,
                Bound::Included(value) => Bound::Included(whole(value)?),
                Bound::Excluded(value) => Bound::Excluded(whole(value)?),
            })
        };
        let (mut low, mut high) = (bytes(low)?, bytes(high)?);
        // Of one kind: what is more than a number is another number, not any text.
        match (kind(&low), kind(&high)) {
            (Some(one), Some(other)) if one != other => return None,
            (Some(one), None) => high = Bound::Excluded(vec![one + 1]),
            (None, Some(one)) => low = Bound::Included(vec![one]),
            _ => {}
        }
        Some(Self { low, high })
    }

    /// Whether a value lies there.
    pub fn has(&self, value: &Value) -> bool {
        whole(value).is_some_and(|bytes| self.has_bytes(&bytes))
    }

    /// Whether a value with these sorted bytes may lie there: of what was cut nobody can tell.
    pub fn may_have(&self, sorted: &[u8]) -> bool {
        sorted.len() > MAX_TEXT || self.has_bytes(sorted)
    }

    fn has_bytes(&self, bytes: &[u8]) -> bool {
        let after = match &self.low {
            Bound::Unbounded => true,
            Bound::Included(low) => bytes >= low.as_slice(),
            Bound::Excluded(low) => bytes > low.as_slice(),
        };
        let before = match &self.high {
            Bound::Unbounded => true,
            Bound::Included(high) => bytes <= high.as_slice(),
            Bound::Excluded(high) => bytes < high.as_slice(),
        };
        after && before
    }

    /// Where the sorted bytes of such values begin.
    pub fn first(&self) -> Vec<u8> {
        match &self.low {
            Bound::Unbounded => Vec::new(),
            Bound::Included(low) | Bound::Excluded(low) => cut(low),
        }
    }

    /// The highest sorted bytes of such values; `None` if there is no highest.
    pub fn last(&self) -> Option<Vec<u8>> {
        match &self.high {
            Bound::Unbounded => None,
            Bound::Included(high) | Bound::Excluded(high) => Some(cut(high)),
        }
    }
}

fn cut(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().take(1 + MAX_TEXT).copied().collect()
}

fn kind(bound: &Bound<Vec<u8>>) -> Option<u8> {
    match bound {
        Bound::Unbounded => None,
        Bound::Included(bytes) | Bound::Excluded(bytes) => bytes.first().copied(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::cmp::Ordering;

    use proptest::prelude::*;
    use twin_ops::set::Set;

    use super::*;

    /// How two values compare, said without bytes.
    fn compare(a: &Value, b: &Value) -> Option<Ordering> {
        match (a, b) {
            (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
            (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
            (Value::Float(a), Value::Float(b)) => a.partial_cmp(b),
            (Value::Text(a), Value::Text(b)) => Some(a.cmp(b)),
            (Value::Timestamp(a), Value::Timestamp(b)) => Some(a.cmp(b)),
            (Value::Bytes(a), Value::Bytes(b)) => Some(a.cmp(b)),
            (Value::Reference(a), Value::Reference(b)) => {
                let key =
                    |of: &Reference| (of.collection.len(), of.collection.clone(), of.id.clone());
                Some(key(a).cmp(&key(b)))
            }
            (Value::Int(a), Value::Float(b)) => int_with_float(*a, *b),
            (Value::Float(a), Value::Int(b)) => int_with_float(*b, *a).map(Ordering::reverse),
            _ => None,
        }
    }

    fn int_with_float(a: i64, b: f64) -> Option<Ordering> {
        if b.is_nan() {
            None
        } else if b >= 1e30 {
            Some(Ordering::Less)
        } else if b <= -1e30 {
            Some(Ordering::Greater)
        } else {
            let floor = b.floor();
            let order = i128::from(a).cmp(&(floor as i128));
            Some(if order == Ordering::Equal && b > floor {
                Ordering::Less
            } else {
                order
            })
        }
    }

    fn value() -> impl Strategy<Value = Value> {
        let near = (any::<i64>(), -3i64..4).prop_map(|(n, d)| Value::Int(n.saturating_add(d)));
        prop_oneof![
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Int),
            (-3i64..4).prop_map(Value::Int),
            near,
            any::<f64>().prop_map(Value::Float),
            (-8i32..8).prop_map(|n| Value::Float(f64::from(n) / 2.0)),
            any::<i64>().prop_map(|n| Value::Float(n as f64)),
            any::<i64>().prop_map(Value::Timestamp),
            "[ab\\u{0}ä]{0,4}".prop_map(Value::Text),
            proptest::collection::vec(0u8..4, 0..4).prop_map(Value::Bytes),
            ("[ab\\u{0}]{1,3}", "[ab\\u{0}]{1,3}")
                .prop_map(|(collection, id)| { Value::Reference(Reference { collection, id }) }),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn bytes_sort_as_values_do(a in value(), b in value()) {
            let (left, right) = (whole(&a), whole(&b));
            if let Some(order) = compare(&a, &b) {
                prop_assert_eq!(left.cmp(&right), order, "{:?} {:?}", a, b);
            } else if let (Some(left), Some(right)) = (left, right) {
                prop_assert_ne!(left.first(), right.first());
            }
        }

        #[test]
        fn a_float_beside_a_whole_number(n: i64, step in -2i32..3) {
            let mut near = n as f64;
            for _ in 0..step.abs() {
                near = if step < 0 { near.next_down() } else { near.next_up() };
            }
            let (a, b) = (Value::Int(n), Value::Float(near));
            prop_assert_eq!(whole(&a).cmp(&whole(&b)), int_with_float(n, near).unwrap_or(Ordering::Equal));
        }

        #[test]
        fn what_lies_between_is_found_between(low in value(), high in value(), it in value()) {
            let (from, to) = (Bound::Included(low.clone()), Bound::Excluded(high.clone()));
            let Some(between) = Between::new(&from, &to) else {
                prop_assert_eq!(compare(&low, &high), None);
                return Ok(());
            };
            let lies = compare(&low, &it).is_some_and(Ordering::is_le)
                && compare(&it, &high).is_some_and(Ordering::is_lt);
            prop_assert_eq!(between.has(&it), lies);
            if lies && let Some(bytes) = sorted(&it) {
                prop_assert!(bytes >= between.first());
                prop_assert!(between.last().is_none_or(|last| bytes <= last));
            }
        }
    }

    #[test]
    fn what_has_no_order_lies_nowhere() {
        let all = Between::new(&Bound::Unbounded, &Bound::Unbounded);
        for value in [
            Value::Null,
            Value::Set(Set::default()),
            Value::Float(f64::NAN),
        ] {
            assert_eq!(whole(&value), None);
            assert!(all.as_ref().is_some_and(|all| !all.has(&value)));
            assert!(Between::new(&Bound::Included(value), &Bound::Unbounded).is_none());
        }
    }

    #[test]
    fn one_side_alone_keeps_to_its_kind() {
        let above = Between::new(&Bound::Excluded(Value::Int(5)), &Bound::Unbounded).unwrap();
        let below = Between::new(&Bound::Unbounded, &Bound::Included("m".into())).unwrap();
        assert!(above.has(&Value::Float(5.5)) && above.has(&Value::Float(f64::INFINITY)));
        assert!(!above.has(&Value::Int(5)) && !above.has(&Value::from("z")));
        assert!(below.has(&Value::from("")) && below.has(&Value::from("m")));
        assert!(
            !below.has(&Value::from("n"))
                && !below.has(&Value::Int(1))
                && !below.has(&Value::Bool(true))
        );
    }

    #[test]
    fn long_texts_are_sorted_by_their_beginning() {
        let text = |end: &str| Value::Text("a".repeat(MAX_TEXT) + end);
        assert_eq!(sorted(&text("x")), sorted(&text("y")));
        assert_ne!(whole(&text("x")), whole(&text("y")));
        let between = Between::new(&Bound::Excluded(text("x")), &Bound::Unbounded);
        assert!(between.is_some_and(|between| between.has(&text("y")) && !between.has(&text("x"))));
    }
}
