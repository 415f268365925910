//! `twin recovery`: what a device that is in can do about words, guardians, and a new device that needs help.

use serde_json::json;

use crate::args::{Help, RecoveryCommand};
use crate::commands::activity::time;
use crate::commands::guardians;
use crate::commands::link::ask_code;
use crate::commands::record::printable;
use crate::commands::sites;
use crate::error::{CliError, Result};
use crate::output::Context;
use crate::{qr, words};

pub async fn run(cx: &Context, command: &RecoveryCommand) -> Result<()> {
    match command {
        RecoveryCommand::Help(options) => help(cx, options).await,
        RecoveryCommand::Rotate => rotate(cx),
        RecoveryCommand::Guardians(command) => guardians::run(cx, command),
        RecoveryCommand::Veto { rotation } => veto(cx, rotation.as_deref()),
    }
}

async fn help(cx: &Context, options: &Help) -> Result<()> {
    let twin = cx.open()?;
    let text = qr::read(&options.code)?;
    let mut pending = twin.recovery_help(&text).await?;
    cx.event(json!({"event": "code_needed"}));
    cx.say(format!(
        "A new device wants to recover “{}” ({}).\n\
         It comes in by your words or your guardians, and every other device that can add or remove devices goes.\n\
         Go on only if you hold the new device.",
        printable(&twin.name()?),
        twin.id()
    ));
    let typed = ask_code(cx, &mut pending).await?;
    let (is_in, traffic) = pending.help(&typed).await?;
    let waits = twin.standing()?.pending.first().map(|pending| pending.due);
    let waits = waits.filter(|_| !is_in);
    cx.event(json!({
        "event": if is_in { "helped" } else { "waits" },
        "due": waits,
        "sent": traffic.wire_sent,
        "received": traffic.wire_received,
    }));
    match waits {
        None => cx.say("The new device is in and holds everything now."),
        Some(due) => cx.say(format!(
            "The guardians' recovery waits until {}. If it was not you: twin recovery veto",
            time(due)
        )),
    }
    Ok(())
}

fn rotate(cx: &Context) -> Result<()> {
    let twin = cx.open()?;
    if !twin.is_admin() {
        return Err(twin::Error::NotAdmin.into());
    }
    let old = words::ask(cx, "the 24 words that you have now")?;
    twin.check_words(&old)?;
    let new = words::new(cx)?;
    twin.replace_words(&old, &new)?;
    let sites = twin.sites()?;
    let to_move: Vec<_> = sites.into_iter().filter(|site| site.to_move).collect();
    cx.event(json!({
        "event": "replaced",
        "to_move": to_move.iter().map(sites::to_json).collect::<Vec<_>>(),
    }));
    cx.say(
        "The new words count wherever it is known that you have them. Sync another device of yours (twin sync) and\n\
         make a new backup (twin export FILE); twin status says whether another device knows. Then destroy the old\n\
         words: nobody can remove or add a device with them any more. Until then keep both.",
    );
    if !to_move.is_empty() {
        cx.say(
            "\nWhoever had the old words could sign in as you at these sites, until you have moved there\n\
             (twin sites move SITE):\n",
        );
        cx.say(sites::listed(&to_move));
    }
    Ok(())
}

fn veto(cx: &Context, wanted: Option<&str>) -> Result<()> {
    let twin = cx.open()?;
    twin.refresh()?;
    let pending = twin.standing()?.pending;
    let mut fitting = pending.iter().filter(|pending| {
        let id = pending.rotation.to_string();
        wanted.is_none_or(|wanted| id.starts_with(&wanted.to_lowercase()))
    });
    let chosen = match (fitting.next(), fitting.next(), wanted) {
        (Some(one), None, _) => one.rotation,
        (None, _, None) => return Err(CliError::NothingWaits),
        (None, _, Some(wanted)) => return Err(CliError::NoSuchRotation(wanted.to_owned())),
        (Some(_), Some(_), _) => return Err(CliError::WhichRotation),
    };
    twin.veto(&chosen)?;
    let due = twin.standing()?.pending;
    let due = due
        .iter()
        .find(|pending| pending.rotation == chosen)
        .map(|pending| pending.due);
    cx.event(json!({"event": "vetoed", "recovery": chosen.to_string(), "due": due}));
    if let Some(due) = due {
        cx.say(format!(
            "Your objection counts, once: the recovery waits until {}. Before that day, with your words,\n\
             send these guardians away: twin recovery guardians dismiss",
            time(due)
        ));
    }
    Ok(())
}
