//! What is said about sealed exports.

use serde_json::{Value as Json, json};
use twin::{Contained, TakenIn};

use crate::commands::activity::time;
use crate::output::{Context, table};

/// Less work than this is done before anybody asks how far it is: bytes.
const MANY_BYTES: u64 = 64 << 20;
/// And operations.
const MANY_OPERATIONS: u64 = 20_000;

/// Says how far long work is, at every tenth.
pub struct Progress<'a> {
    cx: &'a Context,
    what: &'static str,
    many: u64,
    tenths: u64,
}

impl<'a> Progress<'a> {
    /// Of work that is counted in bytes.
    pub const fn of_bytes(cx: &'a Context, what: &'static str) -> Self {
        Self {
            cx,
            what,
            many: MANY_BYTES,
            tenths: 0,
        }
    }

    /// Of work that is counted in operations.
    pub const fn of_operations(cx: &'a Context, what: &'static str) -> Self {
        Self {
            many: MANY_OPERATIONS,
            ..Self::of_bytes(cx, what)
        }
    }

    /// To be given to the work.
    pub fn shown(&mut self) -> impl FnMut(u64, u64) + use<'_, 'a> {
        |done, total| {
            let tenths = done.saturating_mul(10).checked_div(total).unwrap_or(0);
            if tenths <= self.tenths || total < self.many {
                return;
            }
            self.tenths = tenths;
            self.cx
                .event(json!({"event": "progress", "done": done, "total": total}));
            self.cx.say(format!("{} %  {}", tenths * 10, self.what));
        }
    }
}

/// What is in a sealed export.
pub fn to_json(contained: &Contained) -> Json {
    json!({
        "made": contained.made,
        "by": contained.by.to_string(),
        "space": contained.space.as_ref().map(ToString::to_string),
        "entries": contained.entries,
        "grants": contained.grants,
        "logs": contained.logs,
        "operations": contained.operations,
        "unknown": contained.unknown,
    })
}

/// The same for a person.
pub fn say(cx: &Context, contained: &Contained) {
    let scope = match &contained.space {
        Some(space) => format!("the space {space} only"),
        None => "everything".to_owned(),
    };
    let rows = [
        ("holds", scope),
        ("made", time(contained.made)),
        ("by device", contained.by.to_string()),
        ("operations", contained.operations.to_string()),
        ("logs", contained.logs.to_string()),
        ("identity entries", contained.entries.to_string()),
        ("grants of keys", contained.grants.to_string()),
    ];
    let rows = rows.map(|(name, value)| vec![name.to_owned(), value]);
    cx.say(table(&rows).trim_end());
    say_unknown(cx, contained.unknown);
}

/// What was taken in.
pub fn taken_to_json(taken: &TakenIn) -> Json {
    json!({
        "event": "imported",
        "new": taken.new,
        "here": taken.here,
        "refused": taken.refused,
        "unknown": taken.unknown,
    })
}

/// The same for a person.
pub fn say_taken(cx: &Context, taken: &TakenIn) {
    cx.say(format!(
        "operations taken in: {}, here already: {}",
        taken.new, taken.here
    ));
    if taken.refused > 0 {
        cx.say(format!(
            "not taken, because they do not count for this device: {}",
            taken.refused
        ));
    }
    say_unknown(cx, taken.unknown);
}

fn say_unknown(cx: &Context, unknown: u64) {
    if unknown > 0 {
        cx.say(format!(
            "WARNING: {unknown} items were made by a newer version of the app and were passed over: update, and import\n\
             the file once more"
        ));
    }
}
