//! `twin status`

use serde_json::json;
use twin::{DeviceState, PeerStatus, Standing, SyncStatus, Twin};

use crate::commands::activity::time;
use crate::commands::advice::{self, Advice};
use crate::commands::device;
use crate::commands::record::printable;
use crate::error::Result;
use crate::output::{Context, table};

pub fn run(cx: &Context) -> Result<()> {
    let twin = cx.open()?;
    // What waited for the clock counts from here on.
    twin.refresh()?;
    let devices = twin.devices()?;
    let standing = twin.standing()?;
    let this = devices.iter().find(|device| device.is_this);
    let this_name = this.map_or("", |device| device.name.as_str());
    let role = this.map_or("not in the twin", |device| device::role(device.role));
    let spaces: Vec<String> = twin.spaces()?.iter().map(ToString::to_string).collect();
    let size = twin.vault_size(cx.home()?)?;
    let sync = twin.sync_status()?;
    let advice = match standing.this {
        Some(_) => advice::all(&devices, &standing),
        None => Vec::new(),
    };
    cx.event(json!({
        "twin": twin.id().to_string(),
        "name": twin.name()?,
        "device": twin.device_id().to_string(),
        "device_name": this_name,
        "role": role,
        "state": state(&standing),
        "devices": devices.len(),
        "may_replace_phone": standing.admins,
        "guardians": standing.guardians.map(|guardians| json!({
            "delay_days": guardians.delay_days,
            "hold_data": guardians.hold_data,
        })),
        "pending": standing.pending.iter().map(|pending| json!({
            "recovery": pending.rotation.to_string(),
            "due": pending.due,
            "vetoed": pending.vetoed,
        })).collect::<Vec<_>>(),
        "contested": standing.contested,
        "unheard": standing.unheard,
        "set_aside": standing.set_aside.iter().map(|aside| aside.changes).sum::<u64>(),
        "behind": standing.behind.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "spaces": spaces,
        "vault_bytes": size,
        "needs_update": standing.needs_update,
        "sync": sync.peers.iter().map(peer).collect::<Vec<_>>(),
        "lacking": sync.lacking.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "advice": advice.iter().map(|advice| json!({
            "lost": advice.lost, "still": advice.still, "remedy": advice.remedy,
        })).collect::<Vec<_>>(),
    }));
    let row = |name: &str, value: String| vec![name.to_owned(), value];
    let count = match (devices.len(), standing.admins) {
        (1, _) => "1".to_owned(),
        (count, 1) => format!("{count}, one of which can add and remove others"),
        (count, admins) => format!("{count}, {admins} of which can add and remove others"),
    };
    let device = match this {
        Some(_) => format!("{}  ({role}; {})", printable(this_name), state(&standing)),
        None => format!("not in the twin  ({})", state(&standing)),
    };
    let guardians = match &standing.guardians {
        None => "none".to_owned(),
        Some(guardians) => format!(
            "a recovery by them waits {} days; they {} open your data",
            guardians.delay_days,
            if guardians.hold_data { "can" } else { "cannot" }
        ),
    };
    cx.say(
        table(&[
            row(
                "twin",
                format!("{}  {}", printable(&twin.name()?), twin.id())
                    .trim_start()
                    .to_owned(),
            ),
            row("device", device),
            row("devices", count),
            row("guardians", guardians),
            row(
                "spaces",
                if spaces.is_empty() {
                    "none yet".to_owned()
                } else {
                    spaces.join(", ")
                },
            ),
            row("vault", format!("{} kB, sealed", size.div_ceil(1000))),
        ])
        .trim_end(),
    );
    if !sync.peers.is_empty() {
        cx.say("\nYour other devices …");
        cx.say(table(&sync.peers.iter().map(stands).collect::<Vec<_>>()).trim_end());
    }
    for warning in warnings(&twin, &standing, &sync, devices.len()) {
        cx.say(format!("\n{warning}"));
    }
    if !advice.is_empty() {
        cx.say("\nIf you lose …");
        for Advice {
            lost,
            still,
            remedy,
        } in advice
        {
            cx.say(format!(
                "  {lost}\n      what is left: {still}\n      what to do:   {remedy}"
            ));
        }
    }
    Ok(())
}

fn peer(peer: &PeerStatus) -> serde_json::Value {
    json!({
        "device": peer.device.to_string(), "name": peer.name, "heard": peer.heard, "in_sync": peer.in_sync,
        "lacks": peer.lacks, "has_more": peer.has_more,
        "apart": peer.apart.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

/// A device, and how it stands with this one.
fn stands(peer: &PeerStatus) -> Vec<String> {
    let PeerStatus {
        heard,
        in_sync,
        lacks,
        has_more,
        ..
    } = peer;
    let Some(heard) = heard.map(time) else {
        let never = "this device does not know what it has: twin sync when both are on".to_owned();
        return vec![called(peer), never];
    };
    let stands = match (in_sync, lacks, has_more) {
        (true, ..) => format!("in sync, as of {heard}"),
        (false, 0, 0) => format!("not in sync: who is in or a key has changed since {heard}"),
        (false, lacks, 0) => format!("not known to have {lacks} changes of here since {heard}"),
        (false, 0, more) => format!("has {more} changes that are not here, as of {heard}"),
        (false, lacks, more) => format!(
            "has {more} changes that are not here and is not known to have {lacks} of here, as of {heard}"
        ),
    };
    let apart: Vec<String> = peer
        .apart
        .iter()
        .map(|space| printable(space.as_str()))
        .collect();
    let stands = if apart.is_empty() {
        stands
    } else {
        format!(
            "{stands}; but for {}, which not both keep",
            apart.join(", ")
        )
    };
    vec![called(peer), stands]
}

fn called(peer: &PeerStatus) -> String {
    format!("  {}", device::called(&peer.device, &peer.name))
}

/// Whether this device takes part, in one word.
const fn state(standing: &Standing) -> &'static str {
    match standing.this {
        Some(state) => device::state(state),
        None if standing.pending.is_empty() => "removed",
        None => "waiting",
    }
}

/// What the person should know first.
fn warnings(twin: &Twin, standing: &Standing, sync: &SyncStatus, devices: usize) -> Vec<String> {
    let mut warnings = Vec::new();
    match (standing.this, standing.pending.first()) {
        (Some(DeviceState::Active), _) => {}
        (Some(DeviceState::Suspended), _) => warnings.push(
            "This device is suspended: it gets nothing new. Resume it on your phone: twin device resume"
                .to_owned(),
        ),
        (Some(DeviceState::Expired), _) => warnings.push(
            "The time for which this device was added is over: it gets nothing new. Link it again."
                .to_owned(),
        ),
        (Some(DeviceState::Waiting), _) => warnings.push(
            "The device that added this one is suspended: this one waits until that one is resumed."
                .to_owned(),
        ),
        (None, Some(pending)) => warnings.push(format!(
            "This device waits: the guardians' recovery counts from {} on. Then: twin recover --finish",
            time(pending.due)
        )),
        (None, None) => warnings.push(
            "This device was removed from the twin: it keeps what it has and gets nothing new.\n\
             To take part again it has to be linked anew, into an empty folder."
                .to_owned(),
        ),
    }
    let others = standing.pending.iter();
    for pending in others.filter(|pending| !pending.brings.contains(&twin.device_id())) {
        let id: String = pending.rotation.to_string().chars().take(8).collect();
        warnings.push(format!(
            "Guardians want to give your twin a new phone. It counts from {} on. {}",
            time(pending.due),
            if pending.vetoed {
                "One of your devices has\n\
                 objected, which is possible once; to stop it, use your words: twin recovery guardians dismiss"
                    .to_owned()
            } else {
                format!("If it was\nnot you: twin recovery veto {id}")
            }
        ));
    }
    if standing.unheard {
        warnings.push(if devices > 1 {
            "Only this device knows of your newest words or guardians. Until another has synced with it (twin sync),\n\
             keep the words before them, too; and make a new backup (twin export FILE)."
        } else {
            "Your newest words or guardians are known to this device only. Make a new backup (twin export FILE), or link\n\
             a second device; backups from before open with the words of their day."
        }
        .to_owned());
    }
    if standing.contested {
        warnings.push(
            "Two devices have used your words or guardians at the same time, and your devices do not agree on\n\
             which counts. Sync them all. If you made only one of the two, somebody else has your words: replace\n\
             them with twin recovery rotate."
                .to_owned(),
        );
    }
    for aside in &standing.set_aside {
        let name = device::called(&aside.device, &aside.name);
        warnings.push(format!(
            "Set aside, because {name} wrote it after it was removed or suspended: {} changes.\n\
             If they should count: twin device accept {name}",
            aside.changes
        ));
    }
    if !standing.behind.is_empty() {
        warnings.push(
            "Another device knows of changes of who is in this twin that have not come here. Sync with all devices;\n\
             if this stays, somebody may be keeping back that a device was removed: compare twin device list."
                .to_owned(),
        );
    }
    let lacking = sync.lacking.iter();
    warnings.extend(lacking.map(|lacking| format!("Not shown here: {lacking}.")));
    warnings
}
