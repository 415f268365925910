//! `twin link offer | accept`

use std::path::Path;

use serde_json::json;
use twin::{NewDevice, PendingLink, Role, Twin, Unlock};

use crate::args::{Accept, Offer, RoleArg};
use crate::commands::activity::days;
use crate::commands::record::printable;
use crate::error::{CliError, Result};
use crate::output::Context;
use crate::{password, qr};

pub async fn offer(cx: &Context, options: &Offer) -> Result<()> {
    let home = cx.home()?;
    if Twin::exists(home) {
        return Err(twin::Error::from(twin::VaultError::Exists).into());
    }
    twin::check_name(&options.device)?;
    let password = password::choose()?;
    let device = show_code(
        cx,
        options.qr.as_deref(),
        "Scan this with your phone (twin link accept), on the same network, within two minutes:",
    )
    .await?;
    let invitation = device.invited().await?;
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
        .join(home, Unlock::Password(&password), &options.device)
        .await?;
    cx.event(json!({
        "event": "linked",
        "twin": twin.id().to_string(),
        "device": twin.device_id().to_string(),
        "sent": traffic.wire_sent,
        "received": traffic.wire_received,
    }));
    cx.say(format!(
        "Linked. {} holds everything of {name} now, sealed with its own password.",
        options.device
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
    let mut pending = twin.link_accept(&text).await?;
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
