//! Whether a vault that was cut off holds what it must, and is whole.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use twin_identity::id::DeviceId;
use twin_ops::file::Root;
use twin_ops::store::OpStore;
use twin_ops::value::{Fields, Value};
use twin_vault::{Vault, VaultError};

use super::load::{COLLECTIONS, FILES, Load, OF_LAPTOP, OPS_RECORDS, WORDS, home, keys, open};
use super::truth::Truth;

type Held<T> = Result<T, String>;

/// Whether the vault in a folder, of which so much was acknowledged, is whole and holds that, or that and the next step;
/// returns which.
pub fn cut_off(folder: &Path, acknowledged: &Load) -> Held<Load> {
    let mut ahead = acknowledged.clone();
    ahead.take();
    let found = [acknowledged, &ahead].map(|load| holds(folder, &load.truth));
    let load = match found {
        [Ok(()), _] => acknowledged.clone(),
        [_, Ok(())] => ahead,
        [Err(without), Err(with)] => {
            return Err(format!(
                "neither without the step {:?}: {without}\n  nor with it: {with}",
                acknowledged.next()
            ));
        }
    };
    is_whole(folder, &load.truth)?;
    Ok(load)
}

fn holds(folder: &Path, truth: &Truth) -> Held<()> {
    for chip in truth.slots.values() {
        open(folder, *chip).map_err(|error| format!("chip {chip}: {error:?}"))?;
    }
    let (_, chip) = truth.slots.first_key_value().ok_or("no slot")?;
    let mut vault = open(folder, *chip).map_err(|error| error.to_string())?;
    shows(&mut vault, truth)
}

/// What a vault shows.
#[derive(Debug)]
pub struct Read {
    slots: Vec<u32>,
    records: BTreeMap<(String, String), Fields>,
    files: BTreeMap<String, Vec<u8>>,
    of_laptop: usize,
    devices: BTreeSet<DeviceId>,
}

/// Reads all that a vault shows.
///
/// # Errors
/// Those of the vault.
pub fn read(vault: &mut Vault) -> Result<Read, VaultError> {
    let slots = vault.slots()?.iter().map(|slot| slot.number).collect();
    let mut records = BTreeMap::new();
    for collection in COLLECTIONS {
        for record in vault.list(&home(), collection, None, usize::MAX)? {
            records.insert((collection.to_owned(), record.id), record.fields);
        }
    }
    let mut files = BTreeMap::new();
    for record in vault.list(&home(), FILES, None, usize::MAX)? {
        files.insert(record.id, content(vault, &record.fields)?);
    }
    let devices = vault.identity().devices().values();
    Ok(Read {
        slots,
        records,
        files,
        devices: devices.map(|device| device.public.id).collect(),
        of_laptop: vault.list(&home(), OF_LAPTOP, None, usize::MAX)?.len(),
    })
}

/// The content of the file that a record names.
fn content(vault: &mut Vault, fields: &Fields) -> Result<Vec<u8>, VaultError> {
    let root = fields.0.get("root").and_then(Root::of);
    let root = root.expect("the load writes no file without a root");
    let mut file = vault.open_file(&home(), root)?;
    let mut content = vec![0; usize::try_from(file.len()).unwrap()];
    let mut at = 0;
    while at < content.len() {
        at += vault.read_file(&mut file, at as u64, &mut content[at..])?;
    }
    Ok(content)
}

impl Read {
    /// How it differs from what must be there.
    pub fn differs(&self, truth: &Truth) -> Held<()> {
        same("slots", &self.slots, &truth.slots.keys().copied().collect())?;
        same("records", &self.records, &truth.records)?;
        same(
            "the laptop's",
            &self.of_laptop,
            &(truth.of_laptop * OPS_RECORDS),
        )?;
        same("devices", &self.devices.len(), &(truth.devices.len() + 2))?;
        let admitted = truth.devices.iter().map(|device| keys(*device).id());
        if !{ admitted }.all(|device| self.devices.contains(&device)) {
            return Err("other devices".to_owned());
        }
        same("files", &self.files.len(), &truth.files.len())?;
        self.has_no_other_file(truth)
    }

    /// Whether it is what must be there.
    pub fn is(&self, truth: &Truth) -> bool {
        self.differs(truth).is_ok()
    }

    /// Whether nothing else is there than what must be, though not all of it may be.
    pub fn is_part_of(&self, truth: &Truth) -> bool {
        let mut records = self.records.iter();
        records.all(|(name, fields)| truth.records.get(name) == Some(fields))
            && self.of_laptop <= truth.of_laptop * OPS_RECORDS
            && self.has_no_other_file(truth).is_ok()
    }

    fn has_no_other_file(&self, truth: &Truth) -> Held<()> {
        for (id, content) in &self.files {
            let expected = truth.files.get(id).map(|content| content.bytes());
            if expected.as_ref() != Some(content) {
                return Err(format!("file {id} has another content"));
            }
        }
        Ok(())
    }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, expected: &T) -> Held<()> {
    if found == expected {
        Ok(())
    } else {
        Err(format!("{what}: {found:?} instead of {expected:?}"))
    }
}

/// Whether a vault shows what it must and nothing else.
pub fn shows(vault: &mut Vault, truth: &Truth) -> Held<()> {
    let read = read(vault).map_err(|error| format!("{error:?}"))?;
    read.differs(truth)
}

/// Whether nothing is damaged, all ops are there, words find what they must, and the index is what is made of the ops.
pub fn is_whole(folder: &Path, truth: &Truth) -> Held<()> {
    let failed = |error: VaultError| format!("{error:?}");
    let (_, chip) = truth.slots.first_key_value().ok_or("no slot")?;
    let mut vault = open(folder, *chip).map_err(failed)?;
    let whole = |vault: &mut Vault| {
        let report = vault.check().map_err(failed)?;
        let named: Vec<String> = report.named.iter().map(ToString::to_string).collect();
        same("damages", &named, &Vec::new())
    };
    whole(&mut vault)?;
    for head in vault.heads().map_err(failed)? {
        let base = vault.base(&head.log).map_err(failed)?;
        let base = base.map_or(0, |base| base.height);
        let run = vault
            .read_run(&head.log, base, usize::MAX)
            .map_err(failed)?;
        same(
            "ops of a log",
            &(base + run.len() as u64),
            &head.head.height,
        )?;
    }
    for word in WORDS {
        let found = vault.search(&home(), word, None, 1000).map_err(failed)?;
        let found: BTreeSet<_> = found
            .into_iter()
            .map(|hit| (hit.collection, hit.record.id))
            .collect();
        let has = |value: &Value| matches!(value, Value::Text(text) if text.contains(word));
        let expected = truth.records.iter();
        let expected = expected.filter(|(_, fields)| fields.0.values().any(has));
        let expected = expected.map(|(name, _)| name.clone()).collect();
        same(word, &found, &expected)?;
    }
    vault.settle_index().map_err(failed)?;
    let index = index(folder)?;
    vault.rebuild_index().map_err(failed)?;
    same("the index made anew", &self::index(folder)?, &index)?;
    whole(&mut vault)?;
    shows(&mut vault, truth)
}

/// The rows of the index, as they are in the file.
fn index(folder: &Path) -> Held<Vec<Vec<rusqlite::types::Value>>> {
    let rows = || -> rusqlite::Result<_> {
        let file = rusqlite::Connection::open(folder.join(twin_vault::FILE_NAME))?;
        let mut rows = file.prepare("SELECT * FROM rec ORDER BY k")?;
        let columns = rows.column_count();
        let rows = rows.query_map([], |row| (0..columns).map(|at| row.get(at)).collect())?;
        rows.collect()
    };
    rows().map_err(|error| error.to_string())
}
