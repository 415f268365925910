//! What happens, told so that somebody who has never heard of it understands what they see.

use std::time::Instant;

use serde_json::{Value as Json, json};

use super::browser::{Browser, text_of};
use super::process::Process;
use super::stage::Stage;
use crate::error::{CliError, Result};
use crate::qr;
use crate::stop::Stop;

/// What goes on running after `--keep`.
pub struct Kept {
    phone: Process,
    laptop: Process,
    site: Process,
    url: String,
}

pub async fn tell(stage: &mut Stage<'_>, keep: bool) -> Result<Option<Kept>> {
    stage.say(
        "This is a digital twin: one identity that a person owns, on devices that they own.\n\
         You will see three programs on this machine: Ada's phone, Ada's laptop, and a shop's web site.\n\
         No server in between, no account anywhere, no internet.",
    );
    birth(stage).await?;
    link(stage).await?;
    apart(stage).await?;
    let phone = together(stage).await?;
    let (site, url) = login(stage).await?;
    stage.end();
    if keep {
        stage.keep();
        return Ok(Some(keep_running(stage, phone, site, url).await?));
    }
    let last = phone.stop("offline").await?;
    stage.sent("phone, online", &last);
    Ok(None)
}

async fn birth(stage: &mut Stage<'_>) -> Result<()> {
    stage.chapter(
        "1. A twin is born on the phone",
        "Keys are made on the phone and stay there. 24 words on paper bring everything back if all devices are lost.",
    );
    let begun = Instant::now();
    let born = stage
        .run("phone", &["create", "--name", "Ada", "--device", "phone"])
        .await?;
    stage.step("a twin is born on the phone", begun);
    stage.say(format!(
        "          Ada's id, for life: {}\n          (and 24 words, not shown here)\n",
        text(&born, "twin")
    ));
    let note = ["put", "home/notes/shopping", "title=Shopping", "milk:=1"];
    stage.run("phone", &note).await?;
    Ok(())
}

async fn link(stage: &mut Stage<'_>) -> Result<()> {
    stage.chapter(
        "2. The laptop is linked, by a QR code that it shows and the phone scans",
        "The laptop makes keys of its own. Its QR code holds an address and a one-time secret.",
    );
    let begun = Instant::now();
    let picture = stage.path("link.png").display().to_string();
    let mut laptop = stage.start("laptop", &["link", "offer", "--qr", &picture])?;
    let offer = laptop.event("offer").await?;
    stage.say(qr::for_terminal(&text(&offer, "text"))?);
    let mut phone = stage.start("phone", &["link", "accept", &picture])?;
    let invited = laptop.event("invited").await?;
    stage.say(format!(
        "          laptop asks: Join the twin “{}”?  Ada says yes.",
        text(&invited, "name")
    ));
    laptop.type_line("y").await?;
    let code = text(&laptop.event("code").await?, "code");
    stage.say(format!("          laptop shows the code: {code}"));
    phone.event("code_needed").await?;
    stage.say(format!("          Ada types it on the phone: {code}"));
    phone.type_line(&code).await?;
    let (at_phone, at_laptop) = (phone.event("linked").await?, laptop.event("linked").await?);
    phone.finish().await?;
    laptop.finish().await?;
    stage.step("the laptop is linked and has everything", begun);
    stage.sent("phone, linking", &at_phone);
    stage.sent("laptop, linking", &at_laptop);
    let copy = stage.run("laptop", &["get", "home/notes/shopping"]).await?;
    expect(
        &copy,
        "/fields/title",
        "Shopping",
        "the laptop has the phone's note",
    )?;
    stage.say("          The laptop holds the note that was written on the phone.");
    Ok(())
}

async fn apart(stage: &mut Stage<'_>) -> Result<()> {
    stage.chapter(
        "3. Both write while they cannot reach each other",
        "No program of the other device runs now. Both change the same note: other fields, and one field both.",
    );
    let begun = Instant::now();
    let phone = [
        "put",
        "home/notes/shopping",
        "--patch",
        "milk:=2",
        "bread:=1",
    ];
    stage.run("phone", &phone).await?;
    stage
        .run(
            "phone",
            &["put", "home/contacts/grace", "name=Grace", "phone=555-0100"],
        )
        .await?;
    let laptop = [
        "put",
        "home/notes/shopping",
        "--patch",
        "milk:=3",
        "shop=at the corner",
    ];
    stage.run("laptop", &laptop).await?;
    stage
        .run("laptop", &["put", "home/contacts/alan", "name=Alan"])
        .await?;
    stage.step("both write while apart", begun);
    Ok(())
}

async fn together(stage: &mut Stage<'_>) -> Result<Process> {
    stage.chapter(
        "4. They meet again",
        "They compare how far each has got and send only what the other lacks, encrypted from device to device.",
    );
    let begun = Instant::now();
    let mut phone = stage.start(
        "phone",
        &["run", "--listen", "127.0.0.1:0", "--no-discovery"],
    )?;
    let address = text(&phone.event("listening").await?, "address");
    let sync = [
        "sync",
        "--once",
        "--no-discovery",
        "--listen",
        "127.0.0.1:0",
        "--peer",
        &address,
    ];
    let mut laptop = stage.start("laptop", &sync)?;
    let synced = laptop.event("synced").await?;
    laptop.finish().await?;
    stage.step("they meet and hold the same again", begun);
    stage.sent("laptop, syncing", &synced);
    for what in ["home/notes", "home/contacts"] {
        let here = stage.run("phone", &["list", what]).await?;
        let there = stage.run("laptop", &["list", what]).await?;
        if here != there {
            return Err(CliError::Demo(format!(
                "phone and laptop hold different {what}: this should never happen, please report it"
            )));
        }
        for record in here.as_array().into_iter().flatten() {
            let fields = record.get("fields").cloned().unwrap_or_default();
            stage.say(format!(
                "          both hold {what}/{}: {fields}",
                text(record, "id")
            ));
        }
    }
    stage.say("          milk was changed on both: the later writing counts, the same on both.");
    Ok(phone)
}

async fn login(stage: &mut Stage<'_>) -> Result<(Process, String)> {
    stage.chapter(
        "5. Ada logs in to a shop, by the QR code on its page",
        "No user name, no password. The shop gets a pseudonym that nobody else ever sees.",
    );
    let begun = Instant::now();
    let mut site = stage.start("site", &["site", "--name", "Example Shop"])?;
    let url = text(&site.event("serving").await?, "url");
    let mut browser = Browser::new(&url);
    let request = shown(&browser.load().await?, "code")?;
    let picture = stage.path("login.png");
    qr::to_png(&request, &picture)?;
    stage.say(qr::for_terminal(&request)?);
    let picture = picture.display().to_string();
    let mut phone = stage.start("phone", &["login", &picture])?;
    let asked = phone.event("request").await?;
    stage.say(format!(
        "          phone shows: {} asks ({}).\n          It gets: {}. Ada says yes.",
        text(&asked, "site"),
        text(&asked, "proof"),
        asked
            .pointer("/asks/0")
            .and_then(Json::as_str)
            .unwrap_or_default(),
    ));
    phone.type_line("y").await?;
    let number = shown(&browser.load().await?, "number")?;
    stage.say(format!(
        "          the page shows {number}, Ada types {number} on the phone"
    ));
    phone.type_line(&number).await?;
    let at_phone = phone.event("logged_in").await?;
    phone.finish().await?;
    let pseudonym = shown(&browser.load().await?, "pseudonym")?;
    stage.step("Ada logs in to a shop", begun);
    stage.sent("phone, logging in", &at_phone);
    // What the site sent is what the other two received from it.
    let (to_site, from_site) = browser.traffic;
    let bytes = |name: &str| at_phone.get(name).and_then(Json::as_u64).unwrap_or(0);
    stage.sent(
        "site",
        &json!({
            "sent": bytes("received") + from_site as u64,
            "received": bytes("sent") + to_site as u64,
        }),
    );
    stage.say(format!(
        "          the page turned to: signed in as {pseudonym}\n"
    ));
    let activity = stage.run("phone", &["activity"]).await?;
    expect(
        &activity,
        "/0/what",
        "logged_in",
        "the phone remembers the login",
    )?;
    stage.say("          The phone remembers what was given to whom; the shop knows nothing else.");
    site.check_alive()?;
    Ok((site, url))
}

async fn keep_running(
    stage: &Stage<'_>,
    mut phone: Process,
    site: Process,
    url: String,
) -> Result<Kept> {
    phone.check_alive()?;
    let laptop = stage.start("laptop", &["run", "--listen", "127.0.0.1:0"])?;
    Ok(Kept {
        phone,
        laptop,
        site,
        url,
    })
}

impl Kept {
    /// Waits until the person has seen enough, or one of the processes ends.
    pub async fn wait(mut self, stage: &Stage<'_>, stop: &mut Stop) -> Result<()> {
        stage.say(format!(
            "Everything keeps running. Now you play the phone:\n\
             \n  export TWIN_HOME={}/phone TWIN_PASSWORD='{}'\n\
             \n- open {} in a browser on this machine, under “Cannot scan?” copy the login code, then\n\
             \x20   twin login 'PASTE IT HERE'\n\
             - write something here and look at it on the laptop:\n\
             \x20   twin put home/notes/hello text=hi\n\
             \x20   twin --home {}/laptop get home/notes/hello\n\
             \n(twin is {}) Stop with Ctrl-C; the folder stays.",
            stage.folder().display(),
            stage.password(),
            self.url,
            stage.folder().display(),
            std::env::current_exe()?.display(),
        ));
        let mut look = tokio::time::interval(std::time::Duration::from_secs(1));
        loop {
            tokio::select! {
                // First of all: Ctrl-C ends the others, too.
                biased;
                () = stop.asked() => return Ok(()),
                _ = look.tick() => {
                    for process in [&mut self.phone, &mut self.laptop, &mut self.site] {
                        process.check_alive()?;
                    }
                }
            }
        }
    }
}

fn text(json: &Json, name: &str) -> String {
    let value = json.get(name).and_then(Json::as_str);
    value.unwrap_or_default().to_owned()
}

fn shown(page: &str, id: &str) -> Result<String> {
    text_of(page, id).ok_or_else(|| {
        CliError::Demo(format!(
            "the site's page does not show the {id} that it should"
        ))
    })
}

fn expect(json: &Json, pointer: &str, value: &str, what: &str) -> Result<()> {
    if json.pointer(pointer).and_then(Json::as_str) == Some(value) {
        Ok(())
    } else {
        Err(CliError::Demo(format!(
            "it should be that {what}, but it is not"
        )))
    }
}
