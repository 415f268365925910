//! Golden vectors: every test makes its file's content anew and compares. `UPDATE_VECTORS=1` writes it instead.

#![allow(dead_code, reason = "each test takes what it needs")]

use std::convert::Infallible;
use std::path::PathBuf;

use data_encoding::HEXLOWER;
use rand_core::{TryCryptoRng, TryRng};
use serde_json::Value;

/// The randomness of the vectors: 00 01 02 … ff 00 …, going on from draw to draw.
#[derive(Default)]
pub struct Counter(u8);

impl TryRng for Counter {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for byte in bytes {
            *byte = self.0;
            self.0 = self.0.wrapping_add(1);
        }
        Ok(())
    }
}

impl TryCryptoRng for Counter {}

/// The next `N` bytes of the vectors' randomness, for the input column of a vector.
pub fn drawn<const N: usize>(rng: &mut Counter) -> [u8; N] {
    let mut bytes = [0; N];
    let Ok(()) = rng.try_fill_bytes(&mut bytes);
    bytes
}

pub fn hex(bytes: impl AsRef<[u8]>) -> String {
    HEXLOWER.encode(bytes.as_ref())
}

pub fn unhex(text: &str) -> Vec<u8> {
    HEXLOWER.decode(text.as_bytes()).unwrap()
}

/// The bytes of a field that a vector file gives as hex.
pub fn bytes(value: &Value) -> Vec<u8> {
    unhex(value.as_str().unwrap())
}

/// The lists `refused` of a file say which bytes no reader may accept, and why. Asserts that ours refuses each.
pub fn all_refused<E>(refused: &Value, mut read: impl FnMut(&[u8]) -> Result<(), E>) {
    let cases = refused.as_array().unwrap();
    assert!(!cases.is_empty());
    for case in cases {
        assert!(read(&bytes(&case["bytes"])).is_err(), "{}", case["why"]);
    }
}

/// Compares what was made with `tests/vectors/{name}.json`.
pub fn check(name: &str, made: &Value) {
    let path: PathBuf = [
        env!("CARGO_MANIFEST_DIR"),
        "../../tests/vectors",
        &format!("{name}.json"),
    ]
    .iter()
    .collect();
    if std::env::var_os("UPDATE_VECTORS").is_some() {
        let text = serde_json::to_string_pretty(made).unwrap() + "\n";
        std::fs::write(&path, text).unwrap();
    }
    let text = std::fs::read_to_string(&path).unwrap();
    let golden: Value = serde_json::from_str(&text).unwrap();
    compare(name, &golden, made);
}

fn compare(at: &str, golden: &Value, made: &Value) {
    match (golden, made) {
        (Value::Object(golden), Value::Object(made)) => {
            let keys = |map: &serde_json::Map<String, Value>| {
                let mut keys: Vec<String> = map.keys().cloned().collect();
                keys.sort();
                keys
            };
            assert_eq!(keys(golden), keys(made), "{at}");
            for (key, golden) in golden {
                compare(&format!("{at}.{key}"), golden, &made[key]);
            }
        }
        (Value::Array(golden), Value::Array(made)) => {
            assert_eq!(golden.len(), made.len(), "{at}");
            for (index, (golden, made)) in golden.iter().zip(made).enumerate() {
                compare(&format!("{at}[{index}]"), golden, made);
            }
        }
        _ => assert_eq!(golden, made, "{at}"),
    }
}
