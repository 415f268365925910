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
        What::Removed { device } => json!({"when": when, "what": "removed", "device": device}),
        What::Suspended { device } => json!({"when": when, "what": "suspended", "device": device}),
        What::Resumed { device } => json!({"when": when, "what": "resumed", "device": device}),
        What::Accepted { device } => json!({"when": when, "what": "accepted", "device": device}),
        What::Promoted { device } => json!({"when": when, "what": "promoted", "device": device}),
        What::Recovered => json!({"when": when, "what": "recovered"}),
        What::WordsReplaced => json!({"when": when, "what": "words_replaced"}),
        What::GuardiansChanged => json!({"when": when, "what": "guardians_changed"}),
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
            let role = if *may_replace_phone {
                "may replace the phone"
            } else {
                "companion"
            };
            format!("linked device {} ({role})", short(device))
        }
        What::LoggedIn { site, given } => {
            format!(
                "logged in at {}; given: {}",
                printable(site),
                printable(given)
            )
        }
        What::Declined { site } => format!("said no to {}", printable(site)),
        What::Removed { device } => format!("removed device {}", short(device)),
        What::Suspended { device } => format!("suspended device {}", short(device)),
        What::Resumed { device } => format!("resumed device {}", short(device)),
        What::Accepted { device } => format!(
            "accepted what device {} wrote after it was out",
            short(device)
        ),
        What::Promoted { device } => {
            format!(
                "device {} may replace the phone from here on",
                short(device)
            )
        }
        What::Recovered => "this twin was recovered".to_owned(),
        What::WordsReplaced => "the 24 words were replaced".to_owned(),
        What::GuardiansChanged => "guardians were named or sent away".to_owned(),
        What::Other => "something that a newer version recorded".to_owned(),
    }
}

/// As much of a device's id as tells it from the others.
fn short(device: &str) -> String {
    device.chars().take(16).collect()
}

/// So many days, in words.
pub fn days(count: u16) -> String {
    if count == 1 {
        "1 day".to_owned()
    } else {
        format!("{count} days")
    }
}

/// A moment in UTC, to the minute.
pub fn time(millis: u64) -> String {
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
