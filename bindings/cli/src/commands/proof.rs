//! `twin proof`: who this twin is, for somebody who has nothing else of it.
//!
//! As text: the twin id, white space, and the proof in Base64 (RFC 4648 §4), broken into lines.

use std::fs;
use std::io::Read;
use std::path::Path;

use data_encoding::BASE64;
use serde_json::{Value as Json, json};
use twin::platform::{Clock, SystemClock};
use twin::proof::{self, Known, MAX_PROOF_LEN};
use twin::{EntryId, TwinId};

use crate::args::{Proof, ProofCommand};
use crate::commands::activity::time;
use crate::error::{CliError, Result};
use crate::output::{Context, show};

/// How many characters of Base64 go on a line (RFC 2045).
const LINE: usize = 76;
/// The most bytes of a proof as text, with room for line ends of two characters.
const MAX_TEXT: usize = MAX_PROOF_LEN / 3 * 4 / LINE * (LINE + 2) + 1024;

pub fn run(cx: &Context, options: &Proof) -> Result<()> {
    match &options.command {
        None => make(cx, options.out.as_deref()),
        Some(ProofCommand::Check { file, twin, known }) => {
            check(cx, file, twin.as_deref(), known.as_deref())
        }
    }
}

fn make(cx: &Context, out: Option<&Path>) -> Result<()> {
    let twin = cx.open()?;
    let proof = twin.prove()?;
    let mut text = format!("{}\n", twin.id());
    let encoded = BASE64.encode(&proof);
    for line in encoded.as_bytes().chunks(LINE) {
        text.push_str(&String::from_utf8_lossy(line));
        text.push('\n');
    }
    match out {
        None if cx.json => cx.event(json!({"twin": twin.id().to_string(), "proof": text})),
        None => show(&text),
        Some(path) => {
            write(path, &text)?;
            cx.event(json!({"twin": twin.id().to_string(), "out": path}));
            cx.say(format!(
                "{} holds the proof. It is good for a day.",
                path.display()
            ));
        }
    }
    Ok(())
}

fn check(cx: &Context, file: &Path, wanted: Option<&str>, known: Option<&Path>) -> Result<()> {
    let text = read(file)?;
    let no_proof = || CliError::NoProof(file.to_owned());
    let (named, encoded) = text
        .trim()
        .split_once(char::is_whitespace)
        .ok_or_else(no_proof)?;
    let named: TwinId = named.parse().map_err(|_| no_proof())?;
    let encoded: String = encoded.split_whitespace().collect();
    let proof = BASE64.decode(encoded.as_bytes()).map_err(|_| no_proof())?;
    let twin = match wanted {
        Some(wanted) => wanted.parse().map_err(CliError::TwinId)?,
        None => named,
    };
    let before = match known {
        Some(path) if path.exists() => Some(recall(path)?),
        _ => None,
    };
    if before.is_some_and(|(before, _)| before != twin) {
        return Err(twin::Error::from(proof::ProofError::OtherTwin).into());
    }
    let before = before.map(|(_, known)| known);
    let checked = proof::check(&twin, &proof, before.as_ref(), SystemClock.now());
    let checked = checked.map_err(twin::Error::from)?;
    if let Some(path) = known {
        remember(path, &twin, &checked.known)?;
    }
    cx.event(json!({
        "twin": twin.to_string(),
        "signer": checked.signer.to_string(),
        "rotations": checked.known.rotations,
        "expires": checked.expires,
    }));
    cx.say(format!(
        "This is a proof of {twin}, good until {}.\n\
         It says nothing of who that is: compare the id with one that you have from the person.",
        time(checked.expires)
    ));
    Ok(())
}

/// What a file holds, or standard input; no more than a proof can have.
fn read(file: &Path) -> Result<String> {
    let unreadable =
        |error: std::io::Error| CliError::Unreadable(file.to_owned(), error.to_string());
    let mut text = String::new();
    let most = u64::try_from(MAX_TEXT).unwrap_or(u64::MAX);
    if file == Path::new("-") {
        std::io::stdin().take(most).read_to_string(&mut text)
    } else {
        let file = fs::File::open(file).map_err(unreadable)?;
        file.take(most).read_to_string(&mut text)
    }
    .map_err(unreadable)?;
    Ok(text)
}

/// All of it or nothing: what was seen of a twin must not be lost half-way.
fn write(path: &Path, text: &str) -> Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let written = fs::write(&new, text).and_then(|()| fs::rename(&new, path));
    written.map_err(|error| CliError::Unwritable(path.to_owned(), error.to_string()))
}

fn remember(path: &Path, twin: &TwinId, known: &Known) -> Result<()> {
    let json = json!({
        "twin": twin.to_string(),
        "rotations": known.rotations,
        "rotation": known.rotation.to_string(),
        "height": known.height,
    });
    write(path, &format!("{json}\n"))
}

fn recall(path: &Path) -> Result<(TwinId, Known)> {
    let text = read(path)?;
    let parsed = serde_json::from_str(&text).ok();
    let known = parsed.and_then(|json: Json| {
        let hex = data_encoding::HEXLOWER.decode(json.get("rotation")?.as_str()?.as_bytes());
        let rotation: [u8; 32] = hex.ok()?.try_into().ok()?;
        let known = Known {
            rotations: u32::try_from(json.get("rotations")?.as_u64()?).ok()?,
            rotation: EntryId::from_bytes(rotation),
            height: json.get("height")?.as_u64()?,
        };
        Some((json.get("twin")?.as_str()?.parse().ok()?, known))
    });
    known.ok_or_else(|| CliError::NoKnown(path.to_owned()))
}
