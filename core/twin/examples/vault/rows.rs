//! What is written: records of 256 bytes.

use chacha20_rng::ChaCha20Rng;
use chacha20_rng::rand_core::{Rng, SeedableRng};
use data_encoding::HEXLOWER;

/// How many collections the records are in.
const COLLECTIONS: u32 = 10;

/// A record: 32 bytes of id, and 256 of content in four fields.
pub struct Row {
    pub id: String,
    pub collection: String,
    pub name: String,
    pub note: String,
    pub count: i64,
    pub done: bool,
}

/// Records with random ids, the same for the same seed.
pub fn rows(count: usize, seed: u64) -> Vec<Row> {
    let rng = &mut ChaCha20Rng::seed_from_u64(seed);
    let mut text = |bytes: usize| {
        let mut random = vec![0; bytes];
        rng.fill_bytes(&mut random);
        HEXLOWER.encode(&random)
    };
    (0u32..)
        .take(count)
        .map(|number| Row {
            id: text(16),
            collection: format!("collection {}", number % COLLECTIONS),
            name: text(20),
            note: text(100),
            count: i64::from(number),
            done: number % 2 == 0,
        })
        .collect()
}
