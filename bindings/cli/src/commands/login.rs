//! `twin login`

use serde_json::json;
use twin::{Consent, Number};

use crate::args::Login;
use crate::error::{CliError, Result};
use crate::output::{Context, table};
use crate::qr;

pub async fn run(cx: &Context, options: &Login) -> Result<()> {
    let given = options.number.as_deref().map(number).transpose()?;
    let twin = cx.open()?;
    let text = qr::read(&options.code)?;
    let request = twin.login_inspect(&text).await?;
    let consent = request.consent();
    show(cx, consent);
    if !options.yes && !cx.confirm("Log in?")? {
        twin.login_decline(&request).await?;
        return Err(CliError::Declined);
    }
    let number = match given {
        Some(number) => Some(number),
        None if consent.needs_number() => Some(number(
            &cx.ask("Type the two digits that the page shows:")?,
        )?),
        None => None,
    };
    let receipt = twin
        .login_approve(&request, number, options.persona)
        .await?;
    cx.event(json!({
        "event": "logged_in",
        "site": receipt.site,
        "redirect": receipt.redirect,
        "sent": receipt.traffic.wire_sent,
        "received": receipt.traffic.wire_received,
    }));
    cx.say(format!("Logged in at {}.", consent.site()));
    if let Some(page) = receipt.redirect {
        cx.say(format!("The site asks you to open {page}"));
    }
    Ok(())
}

fn number(text: &str) -> Result<Number> {
    text.trim()
        .parse()
        .map_err(|_| CliError::Number(text.to_owned()))
}

fn show(cx: &Context, consent: &Consent) {
    let asks: Vec<String> = consent.asks().iter().map(ToString::to_string).collect();
    cx.event(json!({
        "event": "request",
        "site": consent.site(),
        "proof": consent.proof().to_string(),
        "calls_itself": consent.calls_itself(),
        "purpose": consent.purpose(),
        "asks": asks,
        "answer_goes_to": consent.answer_goes_to(),
        "needs_number": consent.needs_number(),
    }));
    let row = |name: &str, value: &str| vec![name.to_owned(), value.to_owned()];
    let mut rows = vec![
        row("who asks", &consent.site()),
        row("how far proven", &consent.proof().to_string()),
    ];
    if let Some(name) = consent.calls_itself() {
        rows.push(row("calls itself", &format!("{name} (its own words)")));
    }
    if let Some(purpose) = consent.purpose() {
        rows.push(row("what for", &format!("{purpose} (its own words)")));
    }
    rows.push(row("it gets", &asks.join("; ")));
    rows.push(row("sent to", &consent.answer_goes_to()));
    cx.say(table(&rows).trim_end());
}
