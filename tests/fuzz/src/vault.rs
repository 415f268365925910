//! The readers of what is in a vault's file.

use chacha20_rng::ChaCha20Rng;
use chacha20_rng::rand_core::SeedableRng;
use twin_vault::{Rule, readers};

/// A reader's name, and the function that feeds it.
pub type Target = (&'static str, fn(&[u8]) -> bool);

/// Every reader here.
pub const TARGETS: &[Target] = &[
    ("salvage_carve", salvage_carve),
    ("salvage_pages", salvage_pages),
    ("schema_rule", schema_rule),
    ("vault_block", vault_block),
    ("vault_late", vault_late),
    ("vault_op_row", vault_op_row),
    ("vault_row", vault_row),
    ("vault_slot", vault_slot),
    ("vault_todo", vault_todo),
    ("vault_wal", vault_wal),
];

/// What a vault has written: the golden vectors hold none of it.
#[allow(dead_code, reason = "for the corpus alone")]
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let mut samples = readers::samples(&mut ChaCha20Rng::from_seed([1; 32]));
    let rule = "timestamp required indexed";
    samples.push(("schema_rule", rule.as_bytes().to_vec()));
    samples
}

pub fn salvage_carve(bytes: &[u8]) -> bool {
    readers::carve(bytes)
}

pub fn salvage_pages(bytes: &[u8]) -> bool {
    readers::pages(bytes)
}

/// What a schema says of a field, as it is typed.
pub fn schema_rule(bytes: &[u8]) -> bool {
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    let Ok(rule) = text.parse::<Rule>() else {
        return false;
    };
    assert_eq!(rule.to_string().parse(), Ok(rule));
    true
}

pub fn vault_block(bytes: &[u8]) -> bool {
    readers::block(bytes)
}

pub fn vault_late(bytes: &[u8]) -> bool {
    readers::late(bytes)
}

pub fn vault_op_row(bytes: &[u8]) -> bool {
    readers::op_row(bytes)
}

pub fn vault_row(bytes: &[u8]) -> bool {
    readers::row(bytes)
}

pub fn vault_slot(bytes: &[u8]) -> bool {
    readers::slot(bytes)
}

pub fn vault_todo(bytes: &[u8]) -> bool {
    readers::todo(bytes)
}

pub fn vault_wal(bytes: &[u8]) -> bool {
    readers::wal(bytes)
}
