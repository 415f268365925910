//! The roots that grow from the recovery words and that admins need every day, kept in the keys space.

use twin_identity::pseudonym::PseudonymRoot;
use twin_identity::secret::Secret;
use twin_identity::words::RecoverySecret;
use twin_ops::space::SpaceName;
use twin_ops::value::{Fields, Value};
use twin_vault::WriteChange;
use zeroize::Zeroize;

use crate::error::{Error, Result};
use crate::twin::Twin;

const ROOTS: &str = "roots";
const PSEUDONYMS: &str = "pseudonyms";
const BACKUP: &str = "backup";
const SECRET: &str = "secret";

/// The generation of pseudonyms that is in use.
pub(crate) const GENERATION: u32 = 0;

/// The records that keep the roots of new recovery words.
pub(crate) fn changes(words: &RecoverySecret) -> Vec<WriteChange> {
    vec![
        keep(PSEUDONYMS, words.pseudonym_root(GENERATION).expose()),
        keep(BACKUP, words.backup_root().expose()),
    ]
}

/// The pseudonym root; only devices that may replace the phone have it.
pub(crate) fn pseudonyms(twin: &Twin) -> Result<PseudonymRoot> {
    if !twin.is_admin() {
        return Err(Error::NotAdmin);
    }
    let record = twin
        .collection_of(SpaceName::keys(), ROOTS)
        .get(PSEUDONYMS)?;
    let mut record = record.ok_or(Error::NotAdmin)?;
    let Some(Value::Bytes(mut bytes)) = record.fields.0.remove(SECRET) else {
        return Err(Error::NotAdmin);
    };
    let secret = Secret::<32>::from_slice(&bytes);
    bytes.zeroize();
    let secret = secret.ok_or(Error::NotAdmin)?;
    Ok(PseudonymRoot::from_bytes(*secret.expose()))
}

fn keep(id: &str, secret: &[u8; 32]) -> WriteChange {
    let fields = Fields([(SECRET.to_owned(), Value::Bytes(secret.to_vec()))].into());
    WriteChange::put(ROOTS, id, fields)
}
