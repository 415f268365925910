//! `twin create`

use serde_json::json;
use twin::{Twin, Unlock};

use crate::args::Create;
use crate::error::{CliError, Result};
use crate::output::Context;
use crate::{password, words};

pub fn run(cx: &Context, options: &Create) -> Result<()> {
    let home = cx.home()?;
    if Twin::exists(home) {
        // Say so before anything is asked.
        return Err(twin::Error::from(twin::VaultError::Exists).into());
    }
    twin::check_name(&options.name)?;
    twin::check_name(&options.device)?;
    let password = password::choose()?;
    let words = Twin::new_words();
    let text = Twin::words_text(&words);
    words::show(cx, &text)?;
    let twin = Twin::create(
        home,
        Unlock::Password(&password),
        words,
        &options.name,
        &options.device,
    )
    .map_err(|error| CliError::NotMade(Box::new(error)))?;
    cx.event(json!({
        "twin": twin.id().to_string(),
        "name": options.name,
        "device": twin.device_id().to_string(),
        "device_name": options.device,
        "words": *text,
    }));
    cx.say(format!(
        "{} is here: {}\nThis device is called {} and holds its keys.",
        options.name,
        twin.id(),
        options.device
    ));
    Ok(())
}
