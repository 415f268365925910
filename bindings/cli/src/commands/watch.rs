//! `twin watch`

use serde_json::json;
use twin::{CollectionWatch, Page, Query, QueryWatch, Record, RecordWatch, Twin};

use crate::args::Watch;
use crate::commands::find::asked;
use crate::commands::record::{CollectionPath, RecordPath, printable, row, to_json};
use crate::error::{CliError, Result};
use crate::output::{Context, table};
use crate::stop::Stop;

pub async fn run(cx: &Context, options: &Watch) -> Result<()> {
    let what = What::asked_for(options)?;
    let twin = cx.open()?;
    let mut stop = Stop::new()?;
    let mut watched = what.watch(&twin)?;
    tokio::select! {
        ended = watched.show_all(cx, &twin) => ended,
        ended = refresh(&twin) => ended,
        () = stop.asked() => Ok(()),
    }
}

/// What is to be watched.
enum What<'a> {
    Record(RecordPath<'a>),
    Collection(CollectionPath<'a>),
    Query(CollectionPath<'a>, Query),
}

impl<'a> What<'a> {
    fn asked_for(options: &'a Watch) -> Result<Self> {
        let place = &options.place;
        if !options.conditions.is_empty() {
            let query = asked(&options.conditions, &options.answer)?;
            return Ok(Self::Query(CollectionPath::parse(place)?, query));
        }
        match CollectionPath::parse(place) {
            Err(CliError::IsRecordPath(_)) => Ok(Self::Record(RecordPath::parse(place)?)),
            path => Ok(Self::Collection(path?)),
        }
    }

    fn watch(self, twin: &Twin) -> Result<Watched> {
        Ok(match self {
            Self::Record(path) => Watched::One {
                watch: path.collection(twin)?.watch_record(path.id),
                id: path.id.to_owned(),
            },
            Self::Collection(path) => Watched::All(path.collection(twin)?.watch()),
            Self::Query(path, query) => Watched::Found(path.collection(twin)?.watch_query(query)),
        })
    }
}

/// Looks for what other processes write, until that fails.
async fn refresh(twin: &Twin) -> Result<()> {
    let elsewhere = twin.elsewhere();
    loop {
        twin.refresh()?;
        elsewhere.wrote().await;
    }
}

/// What is watched.
enum Watched {
    One { watch: RecordWatch, id: String },
    All(CollectionWatch),
    Found(QueryWatch),
}

impl Watched {
    /// Shows what is there, and what changes, for as long as it can be read.
    async fn show_all(&mut self, cx: &Context, twin: &Twin) -> Result<()> {
        let mut told = 0;
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
                Self::Found(watch) => found(cx, &watch.next().await?),
            }
            let left_out = twin.left_out();
            if left_out != told && left_out > 0 {
                cx.event(json!({"event": "left_out", "records": left_out}));
                cx.say(CliError::LeftOut(left_out).to_string());
            }
            told = left_out;
        }
    }
}

/// The whole answer to a query, as it is now.
fn found(cx: &Context, page: &Page) {
    let more = page.next.is_some();
    cx.event(json!({
        "event": "found",
        "records": page.records.iter().map(to_json).collect::<Vec<_>>(),
        "more": more,
    }));
    let more = if more { ", and there are more" } else { "" };
    cx.say(format!("{} found{more}", page.records.len()));
    let rows: Vec<Vec<String>> = page
        .records
        .iter()
        .map(|record| row(record).into())
        .collect();
    if !rows.is_empty() {
        cx.say(table(&rows).trim_end());
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
