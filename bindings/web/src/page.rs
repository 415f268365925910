//! The page, drawn on the server: one frame, and inside it the view of the moment.

use std::fmt::Write as _;

use twin_login::Number;
use twin_login::site::{Progress, Refusal, Site, Subject};

use crate::qr;
use crate::visits::Visit;

/// The style sheet.
pub(crate) const CSS: &str = include_str!("page/page.css");
/// The only script: it swaps the view when the site says so.
pub(crate) const SCRIPT: &str = include_str!("page/page.js");
/// The site's icon.
pub(crate) const ICON: &str = include_str!("page/icon.svg");

/// What a person sees at one moment of a login.
pub(crate) struct View {
    site: String,
    stage: Stage,
}

enum Stage {
    Code {
        code: String,
        notice: Option<Refusal>,
    },
    Scanned(Option<Number>),
    SignedIn(Subject),
    Ended(Refusal),
}

impl View {
    pub fn new(site: &Site, visit: &Visit, now: u64) -> Self {
        let stage = match visit.attempt.progress(now) {
            Progress::Waiting => Stage::Code {
                code: visit.attempt.code(site),
                notice: visit.notice,
            },
            Progress::Fetched(number) => Stage::Scanned(number),
            Progress::SignedIn(subject) => Stage::SignedIn(subject),
            Progress::Ended(refusal) => Stage::Ended(refusal),
        };
        Self {
            site: escape(site.name()),
            stage,
        }
    }

    /// True when nothing changes any more without the person.
    pub fn is_final(&self) -> bool {
        matches!(self.stage, Stage::SignedIn(_) | Stage::Ended(_))
    }

    fn title(&self) -> &'static str {
        match self.stage {
            Stage::Code { .. } => "Log in with your twin",
            Stage::Scanned(Some(_)) => "Type the number on your phone",
            Stage::Scanned(None) => "Approve on your phone",
            Stage::SignedIn(_) => "You are signed in",
            Stage::Ended(_) => "This login has ended",
        }
    }

    /// What a screen reader announces when this view appears.
    fn announcement(&self) -> String {
        match &self.stage {
            Stage::Code { .. } => "A new login code is shown.".to_owned(),
            Stage::Scanned(Some(number)) => {
                format!("Your phone has scanned the code. Type the number {number} on it.")
            }
            Stage::Scanned(None) => "Your phone has scanned the code. Approve it there.".to_owned(),
            Stage::SignedIn(_) => format!("You are signed in at {}.", self.site),
            Stage::Ended(refusal) => escape(&refusal.to_string()),
        }
    }

    /// One `<section>`, on one line, with what the script needs in its data attributes.
    pub fn html(&self) -> String {
        let (name, inside) = match &self.stage {
            Stage::Code { code, notice } => ("code", self.code(code, *notice)),
            Stage::Scanned(number) => ("scanned", self.scanned(*number)),
            Stage::SignedIn(subject) => ("signed-in", self.signed_in(subject)),
            Stage::Ended(refusal) => ("ended", ended(*refusal)),
        };
        let title = self.title();
        let html = format!(
            r#"<section class="view {name}" data-title="{title} – {site}" data-say="{say}" data-final="{last}"><h1 tabindex="-1">{title}</h1>{inside}</section>"#,
            site = self.site,
            say = self.announcement(),
            last = self.is_final(),
        );
        html.replace('\n', " ")
    }

    fn code(&self, code: &str, notice: Option<Refusal>) -> String {
        let notice = notice.map_or_else(String::new, |refusal| {
            format!(r#"<p class="notice">{}</p>"#, escape(&refusal.to_string()))
        });
        let alt = format!("QR code: scan it with your twin to log in at {}", self.site);
        let picture = qr::svg(code, &alt);
        let code = escape(code);
        format!(
            r#"{notice}
<p class="lead">{site} asks for a pseudonym and nothing else. No password, no email address.</p>
<div class="split">
<figure class="qr">{picture}</figure>
<div>
<ol class="steps">
<li>Open your twin on your phone.</li>
<li>Scan this code.</li>
<li>See who asks, and approve.</li>
</ol>
<details><summary>Cannot scan?</summary>
<p>On this device: <a href="{code}">open your twin</a>.</p>
<p><label for="code">On another one: copy this login code into your twin.</label></p>
<textarea id="code" readonly rows="5" spellcheck="false">{code}</textarea>
<p><button type="button" class="quiet" data-copy="code" hidden>Copy</button></p>
</details>
<p class="small">The code is good for five minutes and for one login.</p>
</div>
</div>"#,
            site = self.site
        )
    }

    fn scanned(&self, number: Option<Number>) -> String {
        let what = match number {
            Some(number) => format!(
                r#"<p class="lead">Your phone has scanned the code. Type this number on it:</p>
<p class="number" id="number">{number}</p>
<p>It proves that you are looking at this page yourself. Never type a number that somebody else tells you.</p>"#
            ),
            None => r#"<p class="lead">Your phone has scanned the code. Look there who asks, and approve it if it is you.</p>"#
                .to_owned(),
        };
        format!(
            r#"{what}
<p class="waiting"><span class="dots" aria-hidden="true"><i></i><i></i><i></i></span> Waiting for your phone</p>
{}"#,
            button("/again", "Start over", "quiet")
        )
    }

    fn signed_in(&self, subject: &Subject) -> String {
        format!(
            r#"<p class="lead">{site} knows you by this pseudonym:</p>
<div class="persona">{pattern}<p class="pseudonym" id="pseudonym">{subject}</p></div>
<h2>What this site knows about you</h2>
<ul class="facts">
<li class="yes">This pseudonym. It is the same each time you come back, and no other site ever sees it.</li>
<li class="yes">That you signed in here, just now.</li>
<li class="no">Not your name, your email address or your phone number.</li>
<li class="no">Not where else you have an account.</li>
</ul>
{out}"#,
            site = self.site,
            pattern = qr::pattern(subject.as_str()),
            out = button("/sign-out", "Sign out", "quiet"),
        )
    }
}

fn ended(refusal: Refusal) -> String {
    format!(
        r#"<p class="lead">{}</p>{}"#,
        escape(&refusal.to_string()),
        button("/again", "Try again", "main")
    )
}

fn button(action: &str, label: &str, class: &str) -> String {
    format!(
        r#"<form method="post" action="{action}"><button class="{class}">{label}</button></form>"#
    )
}

/// The whole page around a view.
pub(crate) fn document(site: &Site, view: &View) -> String {
    frame(site, view.title(), &view.html())
}

/// The page for an address that is none.
pub(crate) fn lost(site: &Site) -> String {
    let inside = r#"<section class="view" data-final="true"><h1>There is no such page</h1><p class="lead">The address may be old or cut.</p><p><a class="button main" href="/">Go to the login</a></p></section>"#;
    frame(site, "No such page", inside)
}

fn frame(site: &Site, title: &str, inside: &str) -> String {
    let name = escape(site.name());
    let host = escape(&site.origin().authority());
    format!(
        r##"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title} – {name}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="description" content="Log in at {name} with a pseudonym of your own.">
<link rel="icon" href="/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/page.css">
<script src="/page.js" defer></script>
</head>
<body>
<a class="skip" href="#view">Skip to the login</a>
<header><p><img src="/icon.svg" alt="" width="28" height="28"> {name}</p></header>
<main id="view">{inside}</main>
<p id="say" role="status" class="unseen"></p>
<noscript><p class="plain">Without JavaScript this page does not update by itself: <a href="/">look again</a> after approving on your phone.</p></noscript>
<footer><p>You are at <strong>{host}</strong>. Your phone shows the same name before you approve.</p></footer>
</body>
</html>
"##
    )
}

/// Text made safe for HTML, inside and outside of attributes.
fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' | '<' | '>' | '"' | '\'' => {
                let _ = write!(safe, "&#{};", u32::from(c));
            }
            _ => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::server::rng;
    use crate::visits::Visits;
    use twin_identity::pseudonym::SiteKey;
    use twin_login::origin::Origin;

    fn site(name: &str) -> Site {
        let origin = Origin::parse("https://shop.example").unwrap();
        Site::new(&origin, name, "", SiteKey::generate(&mut rng())).unwrap()
    }

    #[test]
    fn a_name_cannot_break_out_of_the_page() {
        let site = site(r#"<script>"'&"#);
        let mut visits = Visits::default();
        let cookie = visits.begin(0, &mut rng());
        let view = View::new(&site, visits.get(&cookie, 0).unwrap(), 0);
        let html = document(&site, &view);
        assert_eq!(html.matches("<script").count(), 1);
        assert!(html.contains("&#60;script&#62;&#34;&#39;&#38;"));
    }

    #[test]
    fn every_view_has_one_heading_and_fits_on_one_line() {
        let site = site("Shop");
        let mut visits = Visits::default();
        let cookie = visits.begin(0, &mut rng());
        let visit = visits.get(&cookie, 0).unwrap();
        for now in [0, 299_999, 300_000] {
            let view = View::new(&site, visit, now);
            let html = view.html();
            assert_eq!(html.matches("<h1").count(), 1);
            assert!(!html.contains('\n'));
            assert_eq!(view.is_final(), now == 300_000);
        }
    }
}
