//! `twin link offer | accept | invite | join`

use std::path::Path;

use serde_json::json;
use twin::{AFAR_WARNING, Invitation, NewDevice, PendingLink, PhoneAt, Role, Twin, Unlock};

use crate::args::{Accept, Admission, Invite, Join, Offer, RoleArg};
use crate::commands::activity::days;
use crate::commands::online::resolve;
use crate::commands::record::printable;
use crate::error::{CliError, Result};
use crate::output::Context;
use crate::{password, qr};
use zeroize::Zeroizing;

pub async fn offer(cx: &Context, options: &Offer) -> Result<()> {
    let password = prepare(cx, &options.device)?;
    let device = show_code(
        cx,
        options.qr.as_deref(),
        "Scan this with your phone (twin link accept), on the same network, within two minutes:",
    )
    .await?;
    let invitation = device.invited().await?;
    enter(cx, invitation, &options.device, &password).await
}

/// On the new device, somewhere else: the passcode that the phone shows.
pub async fn join(cx: &Context, options: &Join) -> Result<()> {
    let password = prepare(cx, &options.device)?;
    let phone = match &options.relay {
        Some(relay) => {
            // As it stands on the phone, its key may be before it.
            let place = relay.rsplit('@').next().unwrap_or(relay);
            PhoneAt::Relay(resolve(&[place.to_owned()]).await?)
        }
        None => PhoneAt::Addresses(resolve(&options.peer).await?),
    };
    let typed = match &options.passcode {
        Some(passcode) => Zeroizing::new(passcode.clone()),
        None => Zeroizing::new(cx.ask("Type the passcode that the phone shows:")?),
    };
    let invitation = NewDevice::join(&typed, &phone, &options.device).await?;
    enter(cx, invitation, &options.device, &password).await
}

/// There is no twin here yet: the password of the one that is to come.
fn prepare(cx: &Context, device: &str) -> Result<Zeroizing<String>> {
    if Twin::exists(cx.home()?) {
        return Err(twin::Error::from(twin::VaultError::Exists).into());
    }
    twin::check_name(device)?;
    password::choose()
}

/// Asks whether to join, shows the six digits, and makes the vault.
async fn enter(cx: &Context, invitation: Invitation, device: &str, password: &str) -> Result<()> {
    let home = cx.home()?;
    let name = printable(invitation.twin_name());
    cx.event(json!({
        "event": "invited",
        "twin": invitation.twin().to_string(),
        "name": invitation.twin_name(),
    }));
    let question = format!("Join the twin “{name}” ({})?", invitation.twin());
    if !cx.confirm(&question)? {
        invitation.decline().await;
        return Err(CliError::Declined);
    }
    let code = invitation.code();
    cx.event(json!({"event": "code", "code": code}));
    cx.say(format!("Type this code on the phone:  {code}"));

    let (twin, traffic) = invitation
        .join(home, Unlock::Password(password), device)
        .await?;
    cx.event(json!({
        "event": "linked",
        "twin": twin.id().to_string(),
        "device": twin.device_id().to_string(),
        "sent": traffic.wire_sent,
        "received": traffic.wire_received,
    }));
    cx.say(format!(
        "Linked. {device} holds everything of {name} now, sealed with its own password."
    ));
    Ok(())
}

/// Shows this new device's code, with what to do with it.
pub async fn show_code(cx: &Context, qr: Option<&Path>, what_to_do: &str) -> Result<NewDevice> {
    let device = NewDevice::offer().await?;
    let text = device.text();
    if let Some(path) = qr {
        qr::to_png(&text, path)?;
    }
    cx.event(json!({"event": "offer", "text": text, "qr": qr}));
    cx.say(format!("{what_to_do}\n"));
    cx.say(qr::for_terminal(&text)?);
    cx.say(format!("or as text: {text}\n"));
    Ok(device)
}

/// Asks for the six digits while the other device may still say no.
pub async fn ask_code(cx: &Context, pending: &mut PendingLink) -> Result<String> {
    tokio::select! {
        typed = cx.ask_meanwhile("Type the six digits that the new device shows:") => typed,
        error = pending.ended() => {
            // The question stands there unanswered.
            cx.say("");
            Err(error.into())
        }
    }
}

pub async fn accept(cx: &Context, options: &Accept) -> Result<()> {
    let twin = cx.open()?;
    let text = qr::read(&options.code)?;
    let pending = twin.link_accept(&text).await?;
    admit(cx, &twin, pending, &options.admission).await
}

/// On the phone, for a device that is somewhere else: shows a passcode.
pub async fn invite(cx: &Context, options: &Invite) -> Result<()> {
    let twin = cx.open()?;
    let shown = twin.link_invite(resolve(&options.listen).await?).await?;
    let addresses = shown.addresses();
    cx.event(json!({
        "event": "passcode",
        "passcode": shown.passcode(),
        "addresses": addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "relays": shown.relays().iter().map(|relay| relay.place().to_string()).collect::<Vec<_>>(),
    }));
    cx.say(format!("{AFAR_WARNING}\n"));
    cx.say(format!("passcode: {}\n", shown.passcode()));
    let peers = addresses.iter().map(|address| format!(" --peer {address}"));
    let peers: String = peers.collect();
    cx.say(format!("On the new device: twin link join{peers}"));
    for relay in shown.relays() {
        cx.say(format!(
            "or, from anywhere: twin link join --relay {}",
            relay.place()
        ));
    }
    let pending = shown.typed().await?;
    let name = printable(pending.device_name().unwrap_or_default());
    cx.event(json!({"event": "typed", "device": pending.device_name()}));
    cx.say(format!(
        "The passcode was typed on a device that calls itself “{name}”. Is that yours? If not, end this with Ctrl-C."
    ));
    admit(cx, &twin, pending, &options.admission).await
}

/// Says what the new device will be, asks for the six digits, and adds it.
async fn admit(
    cx: &Context,
    twin: &Twin,
    mut pending: PendingLink,
    options: &Admission,
) -> Result<()> {
    let role = match options.role {
        RoleArg::Companion => Role::Member,
        RoleArg::MayReplaceMyPhone => Role::Admin,
    };
    cx.event(json!({"event": "code_needed"}));
    cx.say(match role {
        Role::Member => "The new device will be a companion: it reads and writes your data.",
        Role::Admin => {
            "The new device will be able to take this phone's place: to link and remove devices."
        }
    });
    cx.say(format!(
        "It should ask to join “{}” ({}). If it names another twin, say no there.",
        printable(&twin.name()?),
        twin.id()
    ));
    let typed = ask_code(cx, &mut pending).await?;
    let (device, traffic) = pending.confirm(&typed, role, options.days).await?;
    cx.event(json!({
        "event": "linked",
        "device": device.to_string(),
        "sent": traffic.wire_sent,
        "received": traffic.wire_received,
    }));
    cx.say("Linked. The new device holds everything now.");
    if let Some(count) = options.days {
        cx.say(format!(
            "It takes part for {}: then it gets nothing new, and reads nothing that is written later.",
            days(count)
        ));
    }
    Ok(())
}
