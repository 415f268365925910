//! `twin recovery guardians`, and the shares that guardians hand back.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde_json::json;
use twin::{CombineError, Gathered, GuardianSecret, GuardiansPlan, Share};

use crate::args::{GuardiansCommand, SetGuardians};
use crate::commands::activity::{days, time};
use crate::commands::record::printable;
use crate::error::{CliError, Result};
use crate::output::Context;
use crate::{qr, words};

/// What a person should know before they let guardians open their data.
const HOLD_DATA: &str = "These guardians can open your data, too. This part cannot be delayed and you cannot object to it: as many\n\
     of them as are needed can read whatever copy of your data they get hold of.";

pub fn run(cx: &Context, command: &GuardiansCommand) -> Result<()> {
    match command {
        GuardiansCommand::Set(options) => set(cx, options),
        GuardiansCommand::Show => show(cx),
        GuardiansCommand::Dismiss => dismiss(cx),
    }
}

fn set(cx: &Context, options: &SetGuardians) -> Result<()> {
    let twin = cx.open()?;
    if !twin.is_admin() {
        return Err(twin::Error::NotAdmin.into());
    }
    if options.hold_data {
        cx.say(HOLD_DATA);
    }
    if let Some(folder) = &options.out {
        let made = fs::create_dir_all(folder);
        made.map_err(|error| CliError::Unwritable(folder.clone(), error.to_string()))?;
        // Shares of an earlier set may be all that another device knows to count.
        let mut files = (1..=options.guardians).flat_map(|index| files(folder, index));
        if files.any(|file| file.exists()) {
            return Err(twin::Error::FileExists.into());
        }
    }
    let words = words::ask(cx, "your 24 words")?;
    let plan = GuardiansPlan {
        name: options.name.clone(),
        needed: options.needed,
        guardians: options.guardians,
        delay_days: options.delay_days,
        hold_data: options.hold_data,
    };
    let shares = twin.name_guardians(&words, &plan)?;
    for share in &shares {
        hand_out(cx, share, options.out.as_deref())?;
    }
    let set = shares.first().map(|share| share.set_id().short());
    cx.event(json!({
        "event": "named",
        "set": set,
        "guardians": plan.guardians,
        "needed": plan.needed,
        "delay_days": plan.delay_days,
        "hold_data": plan.hold_data,
    }));
    cx.say(format!(
        "Give each of your {} guardians one share; no copy is kept here. Any {} of them can give your twin a new\n\
         phone and new words, {} after they ask for it. Shares of earlier guardians are worth nothing now,\n\
         and these count, where it is known: sync another device (twin sync), and make a new backup.",
        plan.guardians,
        plan.needed,
        days(plan.delay_days)
    ));
    Ok(())
}

/// One share, to a file for each form of it, or onto the screen.
fn hand_out(cx: &Context, share: &Share, folder: Option<&Path>) -> Result<()> {
    let text = share.to_text();
    let title = format!(
        "Share {} of {} of “{}” ({})",
        share.index(),
        share.guardians(),
        printable(share.set_name()),
        share.set_id().short()
    );
    let Some(folder) = folder else {
        cx.event(json!({"event": "share", "index": share.index(), "text": *text}));
        cx.say(format!("{title}:\n"));
        cx.say(qr::for_terminal(&text)?);
        cx.say(format!("or as text: {}\n", *text));
        return Ok(());
    };
    let [picture, paper] = files(folder, share.index());
    let begin = private(&picture).and_then(|_| private(&paper));
    let written = begin.and_then(|mut file| file.write_all(format!("{}\n", *text).as_bytes()));
    written.map_err(|error| CliError::Unwritable(paper.clone(), error.to_string()))?;
    qr::to_png(&text, &picture)?;
    cx.event(json!({
        "event": "share", "index": share.index(), "text_file": paper, "picture": picture,
    }));
    cx.say(format!(
        "{title}: {} and {}",
        picture.display(),
        paper.display()
    ));
    Ok(())
}

/// Where the forms of a share go.
fn files(folder: &Path, index: u8) -> [PathBuf; 2] {
    ["png", "txt"].map(|form| folder.join(format!("share-{index}.{form}")))
}

/// A file that only this person can read.
fn private(path: &Path) -> std::io::Result<fs::File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(path)
}

fn show(cx: &Context) -> Result<()> {
    let twin = cx.open()?;
    twin.refresh()?;
    let standing = twin.standing()?;
    let pending = standing.pending.iter();
    cx.event(json!({
        "guardians": standing.guardians.map(|guardians| json!({
            "delay_days": guardians.delay_days,
            "hold_data": guardians.hold_data,
        })),
        "pending": pending.clone().map(|pending| json!({
            "recovery": pending.rotation.to_string(),
            "due": pending.due,
            "vetoed": pending.vetoed,
        })).collect::<Vec<_>>(),
    }));
    match standing.guardians {
        None => cx.say("There are no guardians. Name some: twin recovery guardians set"),
        Some(guardians) => {
            cx.say(format!(
                "There are guardians. A recovery by them waits for {}. Who they are, and how many are needed,\n\
                 is only on their shares.",
                days(guardians.delay_days)
            ));
            if guardians.hold_data {
                cx.say(HOLD_DATA);
            }
        }
    }
    for pending in pending {
        cx.say(format!(
            "A recovery by guardians waits until {}: {}",
            time(pending.due),
            if pending.vetoed {
                "one of your devices has objected, which is possible once"
            } else {
                "if it was not you, object with twin recovery veto"
            }
        ));
    }
    Ok(())
}

fn dismiss(cx: &Context) -> Result<()> {
    let twin = cx.open()?;
    if !twin.is_admin() {
        return Err(twin::Error::NotAdmin.into());
    }
    let words = words::ask(cx, "your 24 words")?;
    twin.dismiss_guardians(&words)?;
    cx.event(json!({"event": "dismissed"}));
    cx.say("There are no guardians any more, and their shares are worth nothing.");
    Ok(())
}

/// Asks for shares until there are enough of one set, and says of each what is wrong with it.
pub fn ask_shares(cx: &Context) -> Result<GuardianSecret> {
    cx.say("Enter the guardians' shares, one at a time: the text of a share, or the PNG file of its QR code.\nWhat you type is not shown.");
    let mut gathered = Gathered::default();
    let mut taken = 0;
    loop {
        let line = cx.ask_unseen(&format!("Share {}:", taken + 1))?;
        let share = match read_share(line.trim()) {
            Ok(share) => share,
            Err(problem) => {
                refused(cx, &problem.to_string());
                continue;
            }
        };
        let set = share.set_id().short();
        match gathered.add(share) {
            Ok(secret) => return Ok(secret),
            Err(CombineError::TooFew { have, needed, name }) => {
                taken += 1;
                cx.event(json!({
                    "event": "share_taken", "set": set, "have": have, "needed": needed,
                }));
                cx.say(format!(
                    "That is a share of “{}” ({set}). You have {have} of {needed}.",
                    printable(&name)
                ));
                if gathered.sets() > 1 {
                    cx.say(
                        "Not all of your shares are of that set, and sets do not go together: the first that is\n\
                         complete counts, and shares of others do no harm.",
                    );
                }
            }
            Err(problem) => refused(cx, &printable(&problem.to_string())),
        }
    }
}

fn refused(cx: &Context, problem: &str) {
    cx.event(json!({"event": "share_refused", "message": problem}));
    cx.say(format!("Not taken: {problem}."));
}

fn read_share(given: &str) -> Result<Share> {
    // A picture takes its share into memory that is not wiped; this process ends soon.
    let text = zeroize::Zeroizing::new(qr::read(given)?);
    Ok(Share::parse(&text).map_err(twin::Error::from)?)
}
