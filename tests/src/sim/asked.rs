//! What a device was asked to write, and what it wrote.

use twin_ops::change::Kind;
use twin_ops::edit::Edit;
use twin_ops::value::Value;
use twin_vault::{FieldEdit, WriteChange};

use super::reference::Write;

/// Whether an op says of a record what was asked for. A patch of what is not there puts it, edits and all.
pub fn says(write: &Write, asked: &WriteChange) -> bool {
    let edits = asked.edits.iter();
    if asked.kind == Kind::Patch && write.kind == Kind::Put {
        let begun = edits.map(|(name, edit)| {
            let value = match edit {
                FieldEdit::Elements { add, .. } => Value::Set(add.clone()),
                FieldEdit::Count(by) => Value::Counter(*by),
            };
            (name.clone(), value)
        });
        let mut fields = asked.fields.clone();
        fields.0.extend(begun);
        return write.fields == fields && write.edits.0.is_empty();
    }
    let mut edits = edits.map(|(name, edit)| (edit, write.edits.0.get(name)));
    let edited = edits.all(|asked| match asked {
        (FieldEdit::Elements { add, remove }, Some(Edit::Elements { added, removed })) => {
            added == add && removed.iter().all(|element| remove.contains(element))
        }
        (FieldEdit::Count(_), Some(Edit::Count { .. })) => true,
        _ => false,
    });
    write.kind == asked.kind
        && write.fields == asked.fields
        && write.edits.0.len() == asked.edits.len()
        && edited
}
