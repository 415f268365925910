//! The activity log: every login, link and share, in the keys space. Who and what by name, never the values.

use data_encoding::HEXLOWER;
use twin_ops::space::SpaceName;
use twin_ops::value::{Fields, Value};
use twin_vault::WriteChange;

use crate::error::{Error, Result};
use crate::platform::rng;
use crate::space::Space;
use crate::twin::Twin;

pub(crate) const ACTIVITY: &str = "activity";
const PAGE: usize = 1000;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activity {
    /// When, in milliseconds since the Unix epoch, by the clock of the device where it happened.
    pub when: u64,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// The twin was made.
    Created,
    /// A device was linked.
    Linked {
        /// Its id, hexadecimal.
        device: String,
        /// Whether it may replace the phone.
        may_replace_phone: bool,
    },
    /// A site was given an answer to a login. Whether it took it is the site's word.
    LoggedIn {
        /// The site, as it was proven (a site id).
        site: String,
        /// What was given, by name.
        given: String,
    },
    /// The person said no to a site.
    Declined {
        /// The site, as it was proven (a site id).
        site: String,
    },
    /// A device was removed.
    Removed {
        /// Its id, hexadecimal.
        device: String,
    },
    /// A device was suspended.
    Suspended {
        /// Its id, hexadecimal.
        device: String,
    },
    /// A device was resumed.
    Resumed {
        /// Its id, hexadecimal.
        device: String,
    },
    /// What a device wrote after it was removed or suspended counts after all.
    Accepted {
        /// Its id, hexadecimal.
        device: String,
    },
    /// A companion was allowed to replace the phone.
    Promoted {
        /// Its id, hexadecimal.
        device: String,
    },
    /// The twin was recovered on this device, by words or by guardians.
    Recovered,
    /// The words were replaced.
    WordsReplaced,
    /// Guardians were named, or sent away.
    GuardiansChanged,
    /// Something that a later version recorded.
    Other,
}

impl Twin {
    /// What has happened, newest first. Only devices that may replace the phone see it.
    pub fn activity(&self) -> Result<Vec<Activity>> {
        if !self.is_admin() {
            return Err(Error::NotAdmin);
        }
        let collection = self.collection_of(SpaceName::keys(), ACTIVITY);
        let mut activities: Vec<Activity> = collection
            .list_all(PAGE)?
            .iter()
            .map(|record| Activity::from_fields(&record.fields))
            .collect();
        activities.sort_by_key(|activity| std::cmp::Reverse(activity.when));
        Ok(activities)
    }

    /// Records that something happened.
    pub(crate) fn note(&self, what: What) -> Result<()> {
        let keys = Space::new(self.clone(), SpaceName::keys());
        keys.commit(vec![change(self.now(), what)])
    }
}

/// The record of something that happens now.
pub(crate) fn change(now: u64, what: What) -> WriteChange {
    let mut id = [0; 16];
    rand_core::Rng::fill_bytes(&mut rng(), &mut id);
    let id = HEXLOWER.encode(&id);
    WriteChange::put(ACTIVITY, &id, Activity { when: now, what }.to_fields())
}

impl Activity {
    fn to_fields(&self) -> Fields {
        let text = |text: &str| Value::Text(text.to_owned());
        let mut fields = vec![(
            "when",
            Value::Int(i64::try_from(self.when).unwrap_or(i64::MAX)),
        )];
        match &self.what {
            What::Created => fields.push(("what", text("created"))),
            What::Linked {
                device,
                may_replace_phone,
            } => fields.extend([
                ("what", text("linked")),
                ("device", text(device)),
                ("may_replace_phone", Value::Bool(*may_replace_phone)),
            ]),
            What::LoggedIn { site, given } => fields.extend([
                ("what", text("logged in")),
                ("site", text(site)),
                ("given", text(given)),
            ]),
            What::Declined { site } => {
                fields.extend([("what", text("declined")), ("site", text(site))]);
            }
            What::Removed { device } => {
                fields.extend([("what", text("removed")), ("device", text(device))]);
            }
            What::Suspended { device } => {
                fields.extend([("what", text("suspended")), ("device", text(device))]);
            }
            What::Resumed { device } => {
                fields.extend([("what", text("resumed")), ("device", text(device))]);
            }
            What::Accepted { device } => {
                fields.extend([("what", text("accepted")), ("device", text(device))]);
            }
            What::Promoted { device } => {
                fields.extend([("what", text("promoted")), ("device", text(device))]);
            }
            What::Recovered => fields.push(("what", text("recovered"))),
            What::WordsReplaced => fields.push(("what", text("words replaced"))),
            What::GuardiansChanged => fields.push(("what", text("guardians changed"))),
            What::Other => {}
        }
        Fields(
            fields
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
        )
    }

    fn from_fields(fields: &Fields) -> Self {
        let text = |name: &str| match fields.0.get(name) {
            Some(Value::Text(text)) => text.clone(),
            _ => String::new(),
        };
        let when = match fields.0.get("when") {
            Some(Value::Int(when)) => u64::try_from(*when).unwrap_or(0),
            _ => 0,
        };
        let what = match text("what").as_str() {
            "created" => What::Created,
            "linked" => What::Linked {
                device: text("device"),
                may_replace_phone: fields.0.get("may_replace_phone") == Some(&Value::Bool(true)),
            },
            "logged in" => What::LoggedIn {
                site: text("site"),
                given: text("given"),
            },
            "declined" => What::Declined { site: text("site") },
            "removed" => What::Removed {
                device: text("device"),
            },
            "suspended" => What::Suspended {
                device: text("device"),
            },
            "resumed" => What::Resumed {
                device: text("device"),
            },
            "accepted" => What::Accepted {
                device: text("device"),
            },
            "promoted" => What::Promoted {
                device: text("device"),
            },
            "recovered" => What::Recovered,
            "words replaced" => What::WordsReplaced,
            "guardians changed" => What::GuardiansChanged,
            _ => What::Other,
        };
        Self { when, what }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for what in [
            What::Created,
            What::Linked {
                device: "ab".to_owned(),
                may_replace_phone: true,
            },
            What::LoggedIn {
                site: "web:example.com".to_owned(),
                given: "pseudonym".to_owned(),
            },
            What::Declined {
                site: "web:example.com".to_owned(),
            },
            What::Removed {
                device: "ab".to_owned(),
            },
            What::Suspended {
                device: "ab".to_owned(),
            },
            What::Resumed {
                device: "ab".to_owned(),
            },
            What::Accepted {
                device: "ab".to_owned(),
            },
            What::Promoted {
                device: "ab".to_owned(),
            },
            What::Recovered,
            What::WordsReplaced,
            What::GuardiansChanged,
        ] {
            let activity = Activity { when: 7, what };
            assert_eq!(Activity::from_fields(&activity.to_fields()), activity);
        }
    }
}
