//! `twin watch`

use std::time::Duration;

use serde_json::json;
use tokio::time::{MissedTickBehavior, interval};
use twin::{Collection, CollectionWatch, Record, RecordWatch, Twin};

use crate::args::Watch;
use crate::commands::record::{printable, row, to_json};
use crate::error::{CliError, Result};
use crate::output::Context;
use crate::stop::Stop;

/// How often changes by other processes of this device are looked for.
const REFRESH: Duration = Duration::from_millis(500);

pub async fn run(cx: &Context, options: &Watch) -> Result<()> {
    let parts: Vec<&str> = options.place.splitn(3, '/').collect();
    let (space, collection, id) = match parts.as_slice() {
        [space, collection] => (*space, *collection, None),
        [space, collection, id] => (*space, *collection, Some(*id)),
        _ => return Err(CliError::CollectionPath(options.place.clone())),
    };
    if parts.iter().any(|part| part.is_empty()) {
        return Err(CliError::CollectionPath(options.place.clone()));
    }
    let twin = cx.open()?;
    let mut stop = Stop::new()?;
    let mut watched = Watched::new(&twin.space(space)?.collection(collection), id);
    tokio::select! {
        ended = watched.show_all(cx) => ended,
        ended = refresh(&twin) => ended,
        () = stop.asked() => Ok(()),
    }
}

/// Looks for what other processes write, until that fails.
async fn refresh(twin: &Twin) -> Result<()> {
    let mut refresh = interval(REFRESH);
    refresh.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        refresh.tick().await;
        twin.refresh()?;
    }
}

/// What is watched.
enum Watched {
    One { watch: RecordWatch, id: String },
    All(CollectionWatch),
}

impl Watched {
    fn new(collection: &Collection, id: Option<&str>) -> Self {
        match id {
            Some(id) => Self::One {
                watch: collection.watch_record(id),
                id: id.to_owned(),
            },
            None => Self::All(collection.watch()),
        }
    }

    /// Shows what is there, and what changes, for as long as it can be read.
    async fn show_all(&mut self, cx: &Context) -> Result<()> {
        loop {
            match self {
                Self::One { watch, id } => match watch.next().await? {
                    Some(record) => changed(cx, &record),
                    None => gone(cx, id),
                },
                Self::All(watch) => {
                    let changes = watch.next().await?;
                    changes
                        .records
                        .iter()
                        .for_each(|record| changed(cx, record));
                    changes.gone.iter().for_each(|id| gone(cx, id));
                }
            }
        }
    }
}

fn changed(cx: &Context, record: &Record) {
    cx.event(json!({"event": "record", "record": to_json(record)}));
    let [id, fields] = row(record);
    cx.say(format!("{id}  {fields}"));
}

fn gone(cx: &Context, id: &str) {
    cx.event(json!({"event": "gone", "id": id}));
    cx.say(format!("{} is not there", printable(id)));
}
