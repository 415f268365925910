//! The roots that grow from the recovery words and that admins need every day, kept in the keys space: one pseudonym
//! root for each generation, and the backup root of the newest words.

use twin_identity::log::IdentityLog;
use twin_identity::pseudonym::PseudonymRoot;
use twin_identity::seal::SealingPublic;
use twin_identity::secret::Secret;
use twin_identity::words::RecoverySecret;
use twin_ops::space::SpaceName;
use twin_ops::value::{Fields, Value};
use twin_vault::{VaultError, WriteChange};
use zeroize::{Zeroize, Zeroizing};

use crate::error::{Error, Result};
use crate::platform::rng;
use crate::twin::Twin;

const ROOTS: &str = "roots";
const BACKUP: &str = "backup";
const SECRET: &str = "secret";
const LEN: usize = 32;
/// What roots in a rotation are sealed for.
const INFO: &[u8] = b"digital-twin v1 roots";

/// The records that keep the roots of a new twin's words.
pub(crate) fn of_words(words: &RecoverySecret) -> Vec<WriteChange> {
    vec![
        keep(&name(0), words.pseudonym_root(0).expose()),
        keep(BACKUP, words.backup_root().expose()),
    ]
}

/// The records that keep the roots of all generations, as far as the words know them: older ones are sealed to the words
/// in the rotation that counts, the others grow from the words.
pub(crate) fn of_rotation(log: &IdentityLog, words: &RecoverySecret) -> Result<Vec<WriteChange>> {
    let sealed = log.current().and_then(|current| current.roots.as_deref());
    let mut kept: Vec<WriteChange> = Vec::new();
    // Where no older roots were sealed to these words, they know none: entry 1 has none, and guardians know none.
    let mut next = log.generation();
    if let Some(sealed) = sealed {
        let older = words.sealing().open(INFO, log.twin().as_bytes(), sealed)?;
        next = 0;
        for root in older.chunks_exact(LEN) {
            let root = Secret::<LEN>::from_slice(root).ok_or(VaultError::Damaged("the roots"))?;
            kept.push(keep(&name(next), root.expose()));
            next += 1;
        }
    }
    for generation in next..=log.generation() {
        kept.push(keep(
            &name(generation),
            words.pseudonym_root(generation).expose(),
        ));
    }
    kept.push(keep(BACKUP, words.backup_root().expose()));
    Ok(kept)
}

/// The record of one generation that new words begin, with their backup root.
pub(crate) fn of_generation(generation: u32, words: &RecoverySecret) -> Vec<WriteChange> {
    vec![
        keep(&name(generation), words.pseudonym_root(generation).expose()),
        keep(BACKUP, words.backup_root().expose()),
    ]
}

/// The roots of all generations so far, sealed to new words; `None` if one is not here.
pub(crate) fn seal_all(twin: &Twin, to: &SealingPublic) -> Result<Option<Vec<u8>>> {
    let generation = twin.vault().identity().generation();
    let mut roots = Zeroizing::new(Vec::with_capacity((generation as usize + 1) * LEN));
    for generation in 0..=generation {
        match root(twin, generation)? {
            Some(root) => roots.extend_from_slice(root.expose()),
            None => return Ok(None),
        }
    }
    let sealed = to.seal(INFO, twin.id().as_bytes(), &roots, &mut rng())?;
    Ok(Some(sealed))
}

/// The pseudonym root of a generation; only devices that may replace the phone have it.
pub(crate) fn pseudonyms(twin: &Twin, generation: u32) -> Result<PseudonymRoot> {
    if !twin.is_admin() {
        return Err(Error::NotAdmin);
    }
    let root = root(twin, generation)?.ok_or(Error::NotAdmin)?;
    Ok(PseudonymRoot::from_bytes(*root.expose()))
}

fn root(twin: &Twin, generation: u32) -> Result<Option<Secret<LEN>>> {
    let record = twin
        .collection_of(SpaceName::keys(), ROOTS)
        .get(&name(generation))?;
    let Some(mut record) = record else {
        return Ok(None);
    };
    let Some(Value::Bytes(mut bytes)) = record.fields.0.remove(SECRET) else {
        return Ok(None);
    };
    let secret = Secret::from_slice(&bytes);
    bytes.zeroize();
    Ok(secret)
}

fn name(generation: u32) -> String {
    format!("pseudonyms-{generation}")
}

fn keep(id: &str, secret: &[u8; LEN]) -> WriteChange {
    let fields = Fields([(SECRET.to_owned(), Value::Bytes(secret.to_vec()))].into());
    WriteChange::put(ROOTS, id, fields)
}
