//! Signing in to a site: OpenID4VP and SIOPv2, the wallet side and the site side, without sockets.
//!
//! What follows which standard:
//! - the request: OpenID4VP 1.0 §5 (by `request_uri`, §5.10 by POST), signed per RFC 9101 (JAR)
//!   under the `decentralized_identifier:` client id prefix (§5.9.3) with `did:web`;
//! - the answer: a self-issued ID token, SIOPv2 draft 13 §11, subject = RFC 7638 thumbprint of the
//!   pseudonym's key, sent by `response_mode=direct_post`, OpenID4VP 1.0 §8.2;
//! - signatures: compact JWS (RFC 7515), `EdDSA` (RFC 8037) and `ES256` (RFC 7518).
//!
//! Ours alone is the **number match** ([`number`]): a wallet that announces it is asked for two
//! digits which only the site's page shows. Other wallets never notice it. Whoever sees a code can
//! decline that login or wear its code out ([`site::Attempt`]); the page then offers a new one.
//!
//! ```text
//! wallet                                              site
//! Invitation::parse(QR text)                          Attempt::start -> QR text
//!   ask_key      -> HttpRequest ── GET did.json ─────▶ Site::did_document
//! KeyFetch::received
//!                -> HttpRequest ── POST request_uri ─▶ Attempt::serve -> request object
//! RequestFetch::received -> Consent   (the person decides)
//!   approve      -> HttpRequest ── POST response_uri ▶ Attempt::answer -> Subject
//! Sent::received
//! ```
//!
//! Whoever carries these bytes must verify certificates by WebPKI, follow no redirects, send no
//! cookies, and cut bodies at [`http::MAX_BODY_BYTES`].
//!
//! Modules, read top-down: [`wallet`] and [`site`] are the two sides; [`http`], [`number`],
//! [`origin`], [`did_web`] are what they exchange; `request`, `id_token`, `jws`, `jwk`, `time` the encodings.

pub mod did_web;
pub mod http;
mod id_token;
pub mod jwk;
mod jws;
pub mod number;
pub mod origin;
mod request;
pub mod site;
mod text;
mod time;
pub mod wallet;

#[cfg(test)]
mod testing;

pub use number::Number;
