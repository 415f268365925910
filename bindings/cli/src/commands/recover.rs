//! `twin recover`: the twin comes back to a machine that has none.

use std::path::Path;

use serde_json::json;
use twin::{DeviceState, Means, Twin, Unlock};

use crate::args::Recover;
use crate::commands::activity::time;
use crate::commands::backup::{self, Tenths};
use crate::commands::device;
use crate::commands::guardians::ask_shares;
use crate::commands::link::show_code;
use crate::commands::list::quoted;
use crate::commands::record::printable;
use crate::error::Result;
use crate::output::Context;
use crate::{password, words};

pub async fn run(cx: &Context, options: &Recover) -> Result<()> {
    twin::check_name(&options.device)?;
    if options.finish {
        return finish(cx, &options.device);
    }
    let home = cx.home()?;
    if Twin::exists(home) {
        return Err(twin::Error::from(twin::VaultError::Exists).into());
    }
    match (&options.name, &options.backup) {
        (Some(name), _) => alone(cx, home, options, name),
        (None, Some(file)) => from_backup(cx, home, options, file),
        (None, None) => with_help(cx, home, options).await,
    }
}

/// From the words and nothing else.
fn alone(cx: &Context, home: &Path, options: &Recover, name: &str) -> Result<()> {
    twin::check_name(name)?;
    cx.say(
        "This makes your twin anew: the same id and the same pseudonyms at sites, but none of your data.\n\
         If a device of yours is left, use `twin recover` without --alone, and if you have a sealed export,\n\
         `twin recover --backup FILE`: they bring everything back, while this makes a second one that is a\n\
         stranger to the first.\n\
         It takes the words that your twin began with: if you have replaced them since, a device must help.",
    );
    cx.agree(options.yes, "Is really nothing left?")?;
    let words = words::ask(cx, "your 24 words")?;
    let id = Twin::id_of_words(&words);
    cx.event(json!({"event": "leads_to", "twin": id.to_string()}));
    cx.say(format!(
        "These words lead to the twin {id}\n\
         If you know another id of yours, from a proof or a contact, these words had replaced others: say no, and\n\
         look for those that your twin began with."
    ));
    cx.agree(options.yes, "Make this twin anew?")?;
    let password = password::choose()?;
    let unlock = Unlock::Password(&password);
    let twin = Twin::recover_alone(home, unlock, words, name, &options.device)?;
    cx.event(json!({
        "event": "recovered",
        "twin": twin.id().to_string(),
        "device": twin.device_id().to_string(),
    }));
    cx.say(format!(
        "{name} is back: {}\n\
         This device is called {} and is your phone now.",
        twin.id(),
        options.device
    ));
    Ok(())
}

/// From a sealed export and nothing else.
fn from_backup(cx: &Context, home: &Path, options: &Recover, file: &Path) -> Result<()> {
    // Nobody types 24 words for a file that is worth nothing.
    if !options.damaged {
        let mut tenths = Tenths::new(cx, "checked");
        Twin::check_sealed(file, &mut |progress| tenths.show(progress))?;
    }
    let means = ask_means(cx, options)?;
    let password = password::choose()?;
    let unlock = Unlock::Password(&password);
    cx.event(json!({"event": "begun"}));
    let mut tenths = Tenths::new(cx, "done");
    let watch = &mut |progress| tenths.show(progress);
    let device = &options.device;
    let (restored, damage) = if options.damaged {
        cx.say(
            "Looking for everything in the export that can still be read; this may take a while.",
        );
        let (restored, damage) =
            Twin::recover_from_damaged(home, unlock, file, means, device, watch)?;
        (restored, Some(damage))
    } else {
        cx.say("The export is complete. Verifying it and taking it in; this may take a while.");
        let restored = Twin::recover_from_backup(home, unlock, file, means, device, watch)?;
        (restored, None)
    };
    let twin = &restored.twin;
    let waits = waits(twin)?;
    cx.event(json!({
        "event": if waits.is_some() { "waits" } else { "recovered" },
        "twin": twin.id().to_string(),
        "device": twin.device_id().to_string(),
        "due": waits,
        "made": restored.contained.made,
        "taken": backup::taken_to_json(&restored.taken),
        "damage": damage.as_ref().map(backup::damage_to_json),
    }));
    backup::say_taken(cx, &restored.taken);
    if let Some(damage) = &damage {
        backup::say_damage(cx, damage);
    }
    if let Some(due) = waits {
        say_waits(cx, due, &options.device);
        return Ok(());
    }
    cx.say(format!(
        "Recovered as of {}: {}\n\
         This device is your phone now, called {}. Every other device that could add or remove devices is out.\n\
         What was written after that time is not here, unless another device of yours has it.",
        time(restored.contained.made),
        twin.id(),
        options.device
    ));
    let me = twin.device_id();
    let others = twin.devices()?.into_iter();
    let others = others.filter(|device| device.id != me && device.state == DeviceState::Active);
    let others: Vec<String> = others.map(|device| device::name(&device)).collect();
    if !others.is_empty() {
        cx.say(format!(
            "These devices were in your twin then, and are again: {}\n\
             Remove those that you have lost: twin device revoke NAME\n\
             The others do not know this device yet. Let them: twin export FILE here, then twin import FILE there.",
            others.join(", ")
        ));
    }
    Ok(())
}

/// What the person has: words, or guardians' shares and new words.
fn ask_means(cx: &Context, options: &Recover) -> Result<Means> {
    if !options.guardians {
        return Ok(Means::Words(words::ask(cx, "your 24 words")?));
    }
    let secret = ask_shares(cx)?;
    cx.say("\nThe guardians' shares are complete. Your twin gets new words.");
    let new_words = words::new(cx)?;
    Ok(Means::Guardians { secret, new_words })
}

/// Until when a device has to wait that guardians have named.
fn waits(twin: &Twin) -> Result<Option<u64>> {
    let waits = twin.standing()?.pending.first().map(|pending| pending.due);
    Ok(waits.filter(|_| !twin.is_admin()))
}

fn say_waits(cx: &Context, due: u64, device_name: &str) {
    cx.say(format!(
        "The guardians have spoken for this device. Your twin waits until {}, so that whoever holds\n\
         one of your devices can object. From then on, run this here, with the new words:\n\
         \n    twin recover --finish --device {}\n",
        time(due),
        quoted(device_name)
    ));
}

/// With a device that is still in. What the person has to type comes first, so that a slip is found before they walk
/// to the other device.
async fn with_help(cx: &Context, home: &Path, options: &Recover) -> Result<()> {
    let means = ask_means(cx, options)?;
    let password = password::choose()?;
    let device = show_code(
        cx,
        options.qr.as_deref(),
        "On a device that is still in your twin, on the same network, within two minutes, scan this\n\
         with `twin recovery help`:",
    )
    .await?;
    let invitation = device.invited().await?;
    let code = invitation.code();
    let name = printable(invitation.twin_name());
    cx.event(json!({
        "event": "code",
        "code": code,
        "twin": invitation.twin().to_string(),
        "name": invitation.twin_name(),
    }));
    cx.say(format!(
        "A device of “{name}” ({}) answers.",
        invitation.twin()
    ));
    cx.say(format!("Type this code there:  {code}"));
    let unlock = Unlock::Password(&password);
    let (twin, traffic) = invitation
        .recover(home, unlock, &options.device, means)
        .await?;
    let waits = waits(&twin)?;
    cx.event(json!({
        "event": if waits.is_some() { "waits" } else { "recovered" },
        "twin": twin.id().to_string(),
        "device": twin.device_id().to_string(),
        "due": waits,
        "sent": traffic.wire_sent,
        "received": traffic.wire_received,
    }));
    match waits {
        None => cx.say(format!(
            "Recovered. This device is your phone now, called {}, and holds everything of {name}.\n\
             Every other device that could add or remove devices is out, but for the one that helped.\n\
             If somebody else may have seen your words, replace them now: twin recovery rotate",
            options.device
        )),
        Some(due) => say_waits(cx, due, &options.device),
    }
    Ok(())
}

/// The last step of a recovery by guardians.
fn finish(cx: &Context, device_name: &str) -> Result<()> {
    let twin = cx.open()?;
    twin.refresh()?;
    let standing = twin.standing()?;
    if standing.this.is_none()
        && let Some(pending) = standing.pending.first()
    {
        cx.say(format!(
            "The guardians' recovery counts from {} on.",
            time(pending.due)
        ));
        return Err(twin::Error::NotYet.into());
    }
    let words = words::ask(cx, "the new 24 words")?;
    twin.finish_recovery(&words, device_name)?;
    cx.event(json!({
        "event": "recovered",
        "twin": twin.id().to_string(),
        "device": twin.device_id().to_string(),
    }));
    cx.say(format!(
        "Recovered. This device is your phone now, called {device_name}.\n\
         Meet your other devices to get your data: twin sync\n\
         Your guardians' shares are used up: name guardians again with twin recovery guardians set"
    ));
    Ok(())
}
