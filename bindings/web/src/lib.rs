//! Log in with your twin: the reference site, a small web server with one page.
//!
//! It keeps everything in memory, asks for a pseudonym and nothing else, and shows the person
//! exactly what it learned. Give it a loopback address and it runs by plain http for this device;
//! on the web it stands behind a proxy that speaks https, limits connections and passes `Host` on.
//!
//! ```text
//! GET  /                         the page; begins a visit (one cookie) and a login
//! GET  /events                   the same page's inside, sent whenever it changes (SSE)
//! POST /again, /sign-out         the page's two buttons
//! GET  /.well-known/did.json     the site's key
//! GET, POST /login/request/{id}  a wallet fetches the request
//! POST /login/answer/{id}        a wallet answers
//! ```
//!
//! Modules, read top-down: [`options`], [`server`]; inside `routes` answer requests, `guard` sets
//! the headers that protect them, `watcher` follows one page, `visits` remember, `page` and `qr` draw.

mod guard;
pub mod options;
mod page;
mod qr;
mod routes;
pub mod server;
mod visits;
mod watcher;

pub use options::{Options, SiteError};
pub use server::Server;
