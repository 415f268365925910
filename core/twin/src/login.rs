//! Signing in to a site.

use twin_login::Number;
use twin_login::http::{HttpReply, HttpRequest};
use twin_login::wallet::{Consent, Invitation};
use twin_net::Traffic;
use twin_net::https::{Client, Reply, Request};

use crate::activity::What;
use crate::error::{Error, Result};
use crate::platform::rng;
use crate::twin::Twin;

/// A proven request of a site, with the connection on which the answer will go.
pub struct LoginRequest {
    consent: Consent,
    client: Client,
}

impl LoginRequest {
    /// Who asks, how far that is proven, for what: to be shown before anything is answered.
    pub const fn consent(&self) -> &Consent {
        &self.consent
    }
}

/// A login that the site took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginReceipt {
    /// The site, as it was proven.
    pub site: String,
    /// A page that the site wants opened; its own choice, ask before following it.
    pub redirect: Option<String>,
    /// The bytes that it took, from the first request on.
    pub traffic: Traffic,
}

impl Twin {
    /// Fetches and checks what a site's QR code asks for. Nothing about the person is sent.
    pub async fn login_inspect(&self, text: &str) -> Result<LoginRequest> {
        if !self.is_admin() {
            return Err(Error::NotAdmin);
        }
        let invitation = Invitation::parse(text)?;
        let client = Client::new()?;
        let (request, fetch) = invitation.ask_key();
        let reply = send(&client, &request).await?;
        let (request, fetch) = fetch.received(&http_reply(&reply), &mut rng())?;
        let reply = send(&client, &request).await?;
        let consent = fetch.received(&http_reply(&reply), self.now())?;
        Ok(LoginRequest { consent, client })
    }

    /// The person agreed: signs in, with the two digits that the page shows if the request needs them. `persona` tells
    /// which of the persons that they can be at a site; the first is 0.
    pub async fn login_approve(
        &self,
        request: &LoginRequest,
        number: Option<Number>,
        persona: u32,
    ) -> Result<LoginReceipt> {
        let consent = &request.consent;
        let persona = self.persona(consent.site_id(), persona, consent.algorithms())?;
        let (answer, sent) = consent.approve(&persona, number, self.now())?;
        let site = consent.site_id().to_string();
        let given: Vec<String> = consent.asks().iter().map(ToString::to_string).collect();
        // Before it is sent: whatever the site says afterwards, it may have it then.
        self.note(What::LoggedIn {
            site: site.clone(),
            given: given.join("; "),
        })?;
        let reply = send(&request.client, &answer).await?;
        let logged_in = sent.received(&http_reply(&reply))?;
        Ok(LoginReceipt {
            site,
            redirect: logged_in.redirect_uri().map(str::to_owned),
            traffic: request.client.traffic(),
        })
    }

    /// The person said no: tells the site so, and nothing else.
    pub async fn login_decline(&self, request: &LoginRequest) -> Result<()> {
        let (answer, _) = request.consent.decline();
        let told = send(&request.client, &answer).await;
        self.note(What::Declined {
            site: request.consent.site_id().to_string(),
        })?;
        told.map(|_| ())
    }
}

async fn send(client: &Client, request: &HttpRequest) -> Result<Reply> {
    let request = Request {
        url: request.url(),
        accept: request.accept(),
        form: request.form(),
    };
    Ok(client.send(request).await?)
}

fn http_reply(reply: &Reply) -> HttpReply<'_> {
    HttpReply {
        status: reply.status,
        body: &reply.body,
    }
}
