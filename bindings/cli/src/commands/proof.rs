//! `twin proof`: who this twin is, for somebody who has nothing else of it.
//!
//! As text: the twin id, white space, and the proof in Base64 (RFC 4648 §4), broken into lines.

use std::fs;
use std::io::Read;
use std::path::Path;

use data_encoding::BASE64;
use serde_json::{Value as Json, json};
use twin::contact::Contact;
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
    let no_proof = || CliError::NoProof(file.to_owned());
    let text = read(file)?.ok_or_else(no_proof)?;
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
    let mut contact = match before {
        Some((before, _)) if before != twin => {
            return Err(twin::Error::from(proof::ProofError::OtherTwin).into());
        }
        Some((_, contact)) => contact,
        None => Contact::default(),
    };
    let checked = contact.check(&twin, &proof, SystemClock.now());
    // What waits is remembered, too.
    let news = contact.known.is_some() || !contact.waiting.is_empty();
    if let Some(path) = known.filter(|_| news) {
        remember(path, &twin, &contact)?;
    }
    let checked = checked.map_err(twin::Error::from)?;
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

/// What a file holds, or standard input; no more than a proof can have, and nothing if it is no text.
fn read(file: &Path) -> Result<Option<String>> {
    let unreadable =
        |error: std::io::Error| CliError::Unreadable(file.to_owned(), error.to_string());
    let mut bytes = Vec::new();
    let most = u64::try_from(MAX_TEXT).unwrap_or(u64::MAX);
    if file == Path::new("-") {
        std::io::stdin().take(most).read_to_end(&mut bytes)
    } else {
        let file = fs::File::open(file).map_err(unreadable)?;
        file.take(most).read_to_end(&mut bytes)
    }
    .map_err(unreadable)?;
    Ok(String::from_utf8(bytes).ok())
}

/// All of it or nothing: what was seen of a twin must not be lost half-way.
fn write(path: &Path, text: &str) -> Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let written = fs::write(&new, text).and_then(|()| fs::rename(&new, path));
    written.map_err(|error| CliError::Unwritable(path.to_owned(), error.to_string()))
}

fn remember(path: &Path, twin: &TwinId, contact: &Contact) -> Result<()> {
    let waiting = contact.waiting.iter();
    let waiting = waiting.map(|(rotation, seen)| json!([rotation.to_string(), seen]));
    let known = contact.known.as_ref();
    let json = json!({
        "twin": twin.to_string(),
        "waiting": waiting.collect::<Vec<_>>(),
        "rotations": known.map(|known| known.rotations),
        "rotation": known.map(|known| known.rotation.to_string()),
        "height": known.map(|known| known.height),
    });
    write(path, &format!("{json}\n"))
}

fn recall(path: &Path) -> Result<(TwinId, Contact)> {
    let text = read(path)?;
    let parsed = text.and_then(|text| serde_json::from_str(&text).ok());
    let contact = parsed.and_then(|json: Json| {
        let contact = Contact {
            known: match json.get("rotation").filter(|rotation| !rotation.is_null()) {
                Some(rotation) => Some(Known {
                    rotations: u32::try_from(json.get("rotations")?.as_u64()?).ok()?,
                    rotation: entry_id(rotation)?,
                    height: json.get("height")?.as_u64()?,
                }),
                None => None,
            },
            waiting: match json.get("waiting") {
                Some(waiting) => waiting
                    .as_array()?
                    .iter()
                    .map(|one| Some((entry_id(one.get(0)?)?, one.get(1)?.as_u64()?)))
                    .collect::<Option<_>>()?,
                None => Vec::new(),
            },
        };
        Some((json.get("twin")?.as_str()?.parse().ok()?, contact))
    });
    contact.ok_or_else(|| CliError::NoKnown(path.to_owned()))
}

fn entry_id(json: &Json) -> Option<EntryId> {
    let hex = data_encoding::HEXLOWER.decode(json.as_str()?.as_bytes());
    let id: [u8; 32] = hex.ok()?.try_into().ok()?;
    Some(EntryId::from_bytes(id))
}
