//! `twin create`

use serde_json::json;
use twin::{Twin, Unlock};

use crate::args::Create;
use crate::error::Result;
use crate::output::Context;
use crate::password;

/// Which words a person is asked for, counted from 1.
const ASKED: [usize; 3] = [4, 11, 22];

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
    cx.say(
        "These 24 words are your twin. Write them down on paper and keep them where nobody else looks:\n\
         with them you get everything back when every device is lost, and so would anybody else.\n",
    );
    cx.say(grid(&text));
    if cx.is_interactive() {
        confirm_words(cx, &text)?;
    }
    let twin = Twin::create(
        home,
        Unlock::Password(&password),
        words,
        &options.name,
        &options.device,
    )?;
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

/// The words in four columns, numbered.
fn grid(words: &str) -> String {
    let words: Vec<&str> = words.split(' ').collect();
    let mut text = String::new();
    for row in 0..6 {
        for column in 0..4 {
            let index = column * 6 + row;
            if let Some(word) = words.get(index) {
                text.push_str(&format!("  {:>2}. {word:<10}", index + 1));
            }
        }
        text.push('\n');
    }
    text
}

fn confirm_words(cx: &Context, text: &str) -> Result<()> {
    for number in ASKED {
        let word = text.split(' ').nth(number - 1).unwrap_or_default();
        while !cx
            .ask(&format!("To be sure, type word number {number}:"))?
            .eq_ignore_ascii_case(word)
        {
            cx.say("That is not it. Look at your paper, or at the list above.");
        }
    }
    Ok(())
}
