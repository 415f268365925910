//! `twin sites`

use serde_json::json;
use twin::Site;

use crate::args::{Sites, SitesCommand};
use crate::commands::record::printable;
use crate::error::Result;
use crate::output::{Context, table};

pub fn run(cx: &Context, options: &Sites) -> Result<()> {
    match &options.command {
        None => list(cx),
        Some(SitesCommand::Move { site, persona }) => begin_move(cx, site, *persona),
    }
}

fn list(cx: &Context) -> Result<()> {
    let sites = cx.open()?.sites()?;
    cx.event(json!(sites.iter().map(to_json).collect::<Vec<_>>()));
    if sites.is_empty() {
        cx.say("You have not signed in to any site yet.");
        return Ok(());
    }
    cx.say(listed(&sites));
    if sites.iter().any(|site| site.to_move) {
        cx.say(
            "\nTo move: whoever had your old words can sign in there as you. Sign in once more, add a way to get back\n\
             in, then run twin sites move SITE: from the next login on the site sees a new pseudonym.",
        );
    }
    Ok(())
}

fn begin_move(cx: &Context, site: &str, persona: u32) -> Result<()> {
    let twin = cx.open()?;
    twin.move_site(site, persona)?;
    cx.event(json!({"event": "moved", "site": site, "persona": persona}));
    cx.say(format!(
        "The next login at {} is under a new pseudonym, which the site does not know yet:\n\
         tell it who you are in the way that it offers, and let it forget the old one.",
        printable(site)
    ));
    Ok(())
}

/// The sites as a table.
pub fn listed(sites: &[Site]) -> String {
    let rows: Vec<Vec<String>> = sites
        .iter()
        .map(|site| {
            let to_move = if site.to_move { "to move" } else { "" };
            vec![
                printable(&site.site),
                format!("persona {}", site.persona),
                to_move.to_owned(),
            ]
        })
        .collect();
    table(&rows).trim_end().to_owned()
}

/// A persona at a site as JSON.
pub fn to_json(site: &Site) -> serde_json::Value {
    json!({
        "site": site.site,
        "persona": site.persona,
        "generation": site.generation,
        "to_move": site.to_move,
    })
}
