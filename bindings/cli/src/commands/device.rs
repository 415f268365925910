//! `twin device`: who is in, who comes and who goes.

use std::collections::BTreeSet;

use serde_json::json;
use twin::{DeviceId, DeviceInfo, DeviceState, Place, Role, Twin};

use crate::args::DeviceCommand;
use crate::commands::keeps;
use crate::commands::record::printable;
use crate::error::{CliError, Result};
use crate::output::{Context, table};
use crate::words;

/// The fewest digits of an id that name a device.
const MIN_DIGITS: usize = 4;

pub fn run(cx: &Context, command: &DeviceCommand) -> Result<()> {
    match command {
        DeviceCommand::List => list(cx),
        DeviceCommand::Promote { device } => promote(cx, device),
        DeviceCommand::Revoke { device, yes } => revoke(cx, device, *yes),
        DeviceCommand::Suspend { device } => suspend(cx, device),
        DeviceCommand::Resume { device } => resume(cx, device),
        DeviceCommand::Accept { device } => accept(cx, device),
        DeviceCommand::Rename { device, name } => rename(cx, device, name),
        DeviceCommand::At { device, place } => at(cx, device, place.as_ref()),
        DeviceCommand::Keeps { with, without } => keeps::run(cx, with, without),
        DeviceCommand::Replace { old, yes } => replace(cx, old, *yes),
    }
}

fn list(cx: &Context) -> Result<()> {
    let twin = cx.open()?;
    let devices = twin.devices()?;
    let places = twin.places()?;
    let place = |device: &DeviceInfo| places.get(&device.id).map(ToString::to_string);
    let list: Vec<_> = devices
        .iter()
        .map(|device| {
            json!({
                "device": device.id.to_string(),
                "name": device.name,
                "may_replace_phone": device.role == Role::Admin,
                "state": state(device.state),
                "this": device.is_this,
                "at": place(device),
            })
        })
        .collect();
    cx.event(json!(list));
    let rows: Vec<Vec<String>> = devices
        .iter()
        .map(|device| {
            let shown = if device.name.is_empty() {
                "(not met yet)".to_owned()
            } else {
                name(device)
            };
            let state = match device.state {
                DeviceState::Active => "",
                other => state(other),
            };
            let this = if device.is_this { "this device" } else { "" };
            let id: String = device.id.to_string().chars().take(16).collect();
            let place = place(device).map_or_else(String::new, |place| format!("at {place}"));
            let marks = [state, this, &place]
                .into_iter()
                .filter(|mark| !mark.is_empty());
            let marks: Vec<&str> = marks.collect();
            vec![shown, role(device.role).to_owned(), id, marks.join(", ")]
        })
        .collect();
    if rows.is_empty() {
        cx.say("No device is known here.");
    } else {
        cx.say(table(&rows).trim_end());
    }
    Ok(())
}

fn at(cx: &Context, wanted: &str, place: Option<&Place>) -> Result<()> {
    let twin = cx.open()?;
    let device = find(&twin, wanted)?;
    twin.set_place(&device.id, place)?;
    let shown = place.map(ToString::to_string);
    cx.event(json!({"event": "placed", "device": device.id.to_string(), "at": shown}));
    cx.say(match shown {
        Some(place) => format!(
            "Your devices look for {} at {place} from the next time on that they hear of it. It has to listen there: twin run --listen.",
            name(&device)
        ),
        None => format!("Your devices look for {} nowhere but around them.", name(&device)),
    });
    Ok(())
}

fn promote(cx: &Context, wanted: &str) -> Result<()> {
    let twin = cx.open()?;
    let device = find(&twin, wanted)?;
    twin.promote(&device.id)?;
    done(cx, "promoted", &device);
    cx.say(format!(
        "{} may replace your phone now: it can link and remove devices, and sign in to sites once it has synced.\n\
         Only your words can remove it again.",
        name(&device)
    ));
    Ok(())
}

fn revoke(cx: &Context, wanted: &str, yes: bool) -> Result<()> {
    let twin = cx.open()?;
    let device = find(&twin, wanted)?;
    let question = if device.is_this {
        "Remove THIS device from your twin, for good?".to_owned()
    } else {
        format!(
            "Remove {} for good? It would have to be linked anew.",
            with_id(&device)
        )
    };
    cx.agree(yes, &question)?;
    twin.revoke(&device.id)?;
    done(cx, "revoked", &device);
    cx.say(format!(
        "{} is removed. What it has written stays; it reads nothing that is written from now on.\n\
         What it holds already is still in it: if it is lost, change what was secret.\n\
         Your other devices hear of it when they sync.",
        with_id(&device)
    ));
    Ok(())
}

fn suspend(cx: &Context, wanted: &str) -> Result<()> {
    let twin = cx.open()?;
    let device = find(&twin, wanted)?;
    twin.suspend(&device.id)?;
    done(cx, "suspended", &device);
    cx.say(format!(
        "{} is suspended: it gets nothing new, and what it writes waits.\n\
         If it turns up: twin device resume. If it does not: {}",
        with_id(&device),
        match device.role {
            Role::Member => "twin device revoke",
            Role::Admin => "twin device replace, with your words",
        }
    ));
    Ok(())
}

fn resume(cx: &Context, wanted: &str) -> Result<()> {
    let twin = cx.open()?;
    let device = find(&twin, wanted)?;
    twin.resume(&device.id)?;
    done(cx, "resumed", &device);
    cx.say(format!("{} takes part again.", name(&device)));
    Ok(())
}

fn accept(cx: &Context, wanted: &str) -> Result<()> {
    let twin = cx.open()?;
    let aside = twin.set_aside()?;
    let known = aside
        .iter()
        .map(|aside| (&aside.device, &*aside.name, aside));
    let aside = match meant(known, wanted)? {
        Some(aside) => aside,
        None => return Err(CliError::NothingAside(printable(wanted))),
    };
    let changes = twin.accept_aside(&aside.device)?;
    cx.event(json!({
        "event": "accepted",
        "device": aside.device.to_string(),
        "changes": changes,
    }));
    cx.say(format!("Changes that count now: {changes}"));
    Ok(())
}

fn rename(cx: &Context, wanted: &str, new: &str) -> Result<()> {
    twin::check_name(new)?;
    let twin = cx.open()?;
    let device = find(&twin, wanted)?;
    twin.rename_device(&device.id, new)?;
    cx.event(json!({"event": "renamed", "device": device.id.to_string(), "name": new}));
    cx.say(format!("{} is called {new} now.", name(&device)));
    Ok(())
}

fn replace(cx: &Context, wanted: &[String], yes: bool) -> Result<()> {
    let twin = cx.open()?;
    let mut gone = Vec::new();
    for wanted in wanted {
        gone.push(find(&twin, wanted)?);
    }
    if gone.iter().any(|device| device.is_this) {
        return Err(CliError::ReplaceItself);
    }
    let names: Vec<String> = gone.iter().map(with_id).collect();
    let names = names.join(" and ");
    let question =
        format!("{names} goes for good, and this device becomes your phone. Is that right?");
    cx.agree(yes, &question)?;
    let words = words::ask(cx, "your 24 words")?;
    let ids: BTreeSet<_> = gone.iter().map(|device| device.id).collect();
    twin.take_over(&words, &ids)?;
    cx.event(json!({
        "event": "replaced",
        "gone": ids.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "device": twin.device_id().to_string(),
    }));
    cx.say(format!(
        "This device is your phone now. {names} is out and reads nothing that is written from now on.\n\
         Your other devices go on as they are, and hear of it when they sync."
    ));
    Ok(())
}

fn done(cx: &Context, what: &str, device: &DeviceInfo) {
    cx.event(json!({"event": what, "device": device.id.to_string()}));
}

/// The device that a person means.
pub fn find(twin: &Twin, wanted: &str) -> Result<DeviceInfo> {
    let devices = twin.devices()?;
    let known = devices
        .iter()
        .map(|device| (&device.id, &*device.name, device));
    let device = meant(known, wanted)?.cloned();
    device.ok_or_else(|| CliError::NoDevice(printable(wanted)))
}

/// The device that a person means: the only one with that name, else the only one whose id begins so.
fn meant<'a, T>(
    known: impl Iterator<Item = (&'a DeviceId, &'a str, T)>,
    wanted: &str,
) -> Result<Option<T>> {
    let digits = wanted.to_lowercase();
    let (mut named, mut begun) = (Vec::new(), Vec::new());
    for (id, name, device) in known {
        if !wanted.is_empty() && name == wanted {
            named.push(device);
        } else if digits.len() >= MIN_DIGITS && id.to_string().starts_with(&digits) {
            begun.push(device);
        }
    }
    let mut fitting = if named.is_empty() { begun } else { named };
    match fitting.len() {
        0 | 1 => Ok(fitting.pop()),
        _ => Err(CliError::ManyDevices(printable(wanted))),
    }
}

/// What a person can call a device by: its name, or as much of its id as commands want while its name is not known.
pub fn called(id: &DeviceId, name: &str) -> String {
    if name.is_empty() {
        id.to_string().chars().take(8).collect()
    } else {
        printable(name)
    }
}

/// The same of a device that is known.
pub fn name(device: &DeviceInfo) -> String {
    called(&device.id, &device.name)
}

/// The same, with the beginning of its id: before it goes, a person should know which one it is.
fn with_id(device: &DeviceInfo) -> String {
    if device.name.is_empty() {
        return name(device);
    }
    format!("{} ({})", name(device), called(&device.id, ""))
}

/// What a device may do.
pub const fn role(role: Role) -> &'static str {
    match role {
        Role::Admin => "phone, or may replace it",
        Role::Member => "companion",
    }
}

/// Whether a device takes part, in one word.
pub const fn state(state: DeviceState) -> &'static str {
    match state {
        DeviceState::Active => "active",
        DeviceState::Suspended => "suspended",
        DeviceState::Expired => "expired",
        DeviceState::Waiting => "waiting",
    }
}
