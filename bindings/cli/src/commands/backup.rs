//! What is said about sealed exports.

use std::ops::ControlFlow;

use serde_json::{Value as Json, json};
use twin::{Contained, Damage, Progress, TakenIn, Unit};

use crate::commands::activity::time;
use crate::output::{Context, table};

/// Less work than this is done before anybody asks how far it is: bytes.
const MANY_BYTES: u64 = 64 << 20;
/// And operations.
const MANY_OPERATIONS: u64 = 20_000;

/// Says how far long work is, at every tenth.
pub struct Tenths<'a> {
    cx: &'a Context,
    what: &'static str,
    unit: Unit,
    tenths: u64,
}

impl<'a> Tenths<'a> {
    /// Of work of which one says that it is so far, `what`.
    pub const fn new(cx: &'a Context, what: &'static str) -> Self {
        Self {
            cx,
            what,
            unit: Unit::Bytes,
            tenths: 0,
        }
    }

    /// Says how far it is, and that it goes on.
    pub fn show(&mut self, progress: Progress) -> ControlFlow<()> {
        let Progress { done, total, unit } = progress;
        if unit != self.unit {
            (self.unit, self.tenths) = (unit, 0);
        }
        let (many, name) = match unit {
            Unit::Bytes => (MANY_BYTES, "bytes"),
            Unit::Operations => (MANY_OPERATIONS, "operations"),
        };
        let total = total.unwrap_or_default();
        let tenths = done.saturating_mul(10).checked_div(total).unwrap_or(0);
        if tenths > self.tenths && total >= many {
            self.tenths = tenths;
            self.cx
                .event(json!({"event": "progress", "done": done, "total": total, "of": name}));
            self.cx
                .say(format!("{} % of {name} {}", tenths * 10, self.what));
        }
        ControlFlow::Continue(())
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
        "chunks": contained.chunks,
        "incomplete_files": contained.incomplete,
        "records_only": contained.records_only,
        "unknown": contained.unknown,
    })
}

/// The same for a person.
pub fn say(cx: &Context, contained: &Contained) {
    let scope = match &contained.space {
        Some(space) => format!("the space {space} only"),
        None => "everything".to_owned(),
    };
    let files = if contained.records_only {
        "left out: their records only".to_owned()
    } else if contained.incomplete > 0 {
        format!(
            "{} chunks; {} files were not, or not whole, on that device",
            contained.chunks, contained.incomplete
        )
    } else {
        format!("{} chunks", contained.chunks)
    };
    let rows = [
        ("holds", scope),
        ("made", time(contained.made)),
        ("by device", contained.by.to_string()),
        ("operations", contained.operations.to_string()),
        ("logs", contained.logs.to_string()),
        ("identity entries", contained.entries.to_string()),
        ("grants of keys", contained.grants.to_string()),
        ("content of files", files),
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
        "chunks": taken.chunks,
        "unknown": taken.unknown,
    })
}

/// The same for a person.
pub fn say_taken(cx: &Context, taken: &TakenIn) {
    cx.say(format!(
        "operations taken in: {}, here already: {}",
        taken.new, taken.here
    ));
    if taken.chunks > 0 {
        cx.say(format!("chunks of files taken in: {}", taken.chunks));
    }
    if taken.refused > 0 {
        cx.say(format!(
            "not taken, because they do not count for this device: {}",
            taken.refused
        ));
    }
    say_unknown(cx, taken.unknown);
}

/// What is damaged of a sealed export.
pub fn damage_to_json(damage: &Damage) -> Json {
    json!({
        "pieces": damage.pieces,
        "near": damage.near,
        "operations": damage.operations,
        "chunks": damage.chunks,
    })
}

/// The same for a person.
pub fn say_damage(cx: &Context, damage: &Damage) {
    if damage.pieces == 0 {
        cx.say("Nothing in it was found to be damaged.");
        return;
    }
    let chunks = damage.chunks.map_or_else(
        || "an unknown number of".to_owned(),
        |chunks| chunks.to_string(),
    );
    let near: Vec<String> = damage.near.iter().map(u64::to_string).collect();
    cx.say(format!(
        "WARNING: the file is damaged in {} places, near byte {}. Lost with them: {} signed operations and {chunks} chunks of\n\
         files. Keep the file, and look for another copy: what is lost here may be there.",
        damage.pieces,
        near.join(", "),
        damage.operations
    ));
}

fn say_unknown(cx: &Context, unknown: u64) {
    if unknown > 0 {
        cx.say(format!(
            "WARNING: {unknown} items were made by a newer version of the app and were passed over: update, and import\n\
             the file once more"
        ));
    }
}
