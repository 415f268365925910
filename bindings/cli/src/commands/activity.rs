//! `twin activity`

use serde_json::json;
use time::OffsetDateTime;
use twin::{Activity, What};

use crate::commands::record::printable;
use crate::error::Result;
use crate::output::{Context, table};

pub fn run(cx: &Context) -> Result<()> {
    let activities = cx.open()?.activity()?;
    let list: Vec<_> = activities.iter().map(to_json).collect();
    cx.event(json!(list));
    let rows: Vec<Vec<String>> = activities
        .iter()
        .map(|activity| vec![time(activity.when), text(&activity.what)])
        .collect();
    cx.say(table(&rows).trim_end());
    Ok(())
}

fn to_json(activity: &Activity) -> serde_json::Value {
    let when = activity.when;
    match &activity.what {
        What::Created => json!({"when": when, "what": "created"}),
        What::Linked {
            device,
            may_replace_phone,
        } => json!({
            "when": when, "what": "linked", "device": device, "may_replace_phone": may_replace_phone,
        }),
        What::LoggedIn { site, given } => {
            json!({"when": when, "what": "logged_in", "site": site, "given": given})
        }
        What::Declined { site } => json!({"when": when, "what": "declined", "site": site}),
        What::Other => json!({"when": when, "what": "other"}),
    }
}

fn text(what: &What) -> String {
    match what {
        What::Created => "this twin was made".to_owned(),
        What::Linked {
            device,
            may_replace_phone,
        } => {
            let id: String = device.chars().take(16).collect();
            let role = if *may_replace_phone {
                "may replace the phone"
            } else {
                "companion"
            };
            format!("linked device {id} ({role})")
        }
        What::LoggedIn { site, given } => {
            format!(
                "logged in at {}; given: {}",
                printable(site),
                printable(given)
            )
        }
        What::Declined { site } => format!("said no to {}", printable(site)),
        What::Other => "something that a newer version recorded".to_owned(),
    }
}

/// UTC, to the minute.
fn time(millis: u64) -> String {
    let seconds = i64::try_from(millis / 1000).unwrap_or(i64::MAX);
    match OffsetDateTime::from_unix_timestamp(seconds) {
        Ok(time) => format!(
            "{} {:02}:{:02} UTC",
            time.date(),
            time.hour(),
            time.minute()
        ),
        Err(_) => "at an unknown time".to_owned(),
    }
}
