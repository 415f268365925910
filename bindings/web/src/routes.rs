//! What is answered to whom.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, SET_COOKIE};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::from_fn_with_state;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use futures::stream::unfold;
use twin_login::http::{MAX_BODY_BYTES, REQUEST_OBJECT};
use twin_login::site::{Fetch, Progress, Refusal};

use crate::guard::{cookie, guard, is_own_page, set_cookie};
use crate::page::{self, View};
use crate::server::{App, now, rng};
use crate::watcher::Watcher;

type Shared = State<Arc<App>>;

pub(crate) fn router(app: Arc<App>) -> Router {
    let request = get(wallet_request).post(wallet_request);
    Router::new()
        .route("/", get(home))
        .route("/events", get(events))
        .route("/again", post(again))
        .route("/sign-out", post(sign_out))
        .route("/login/request/{id}", request)
        .route("/login/answer/{id}", post(wallet_answer))
        .route(app.site.did_document().0, get(did_document))
        .route(
            "/page.css",
            get(|| asset("text/css; charset=utf-8", page::CSS)),
        )
        .route(
            "/page.js",
            get(|| asset("text/javascript; charset=utf-8", page::SCRIPT)),
        )
        .route("/icon.svg", get(|| asset("image/svg+xml", page::ICON)))
        .fallback(lost)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(from_fn_with_state(Arc::clone(&app), guard))
        .with_state(app)
}

/// The page. Whoever opens it gets a code that works: an ended login is replaced by a new one.
async fn home(State(app): Shared, headers: HeaderMap) -> Response {
    let now = now();
    let origin = app.site.origin();
    let mut visits = app.visits();
    let known = cookie(&headers, origin).filter(|secret| visits.get(secret, now).is_some());
    let secret = match known {
        Some(secret) => secret,
        None => visits.begin(now, &mut rng()),
    };
    let ended =
        |visit: &crate::visits::Visit| matches!(visit.attempt.progress(now), Progress::Ended(_));
    if visits.get(&secret, now).is_some_and(|visit| ended(visit)) {
        visits.again(&secret, now, &mut rng());
    }
    let Some(visit) = visits.get(&secret, now) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let view = View::new(&app.site, visit, now);
    let set = [(SET_COOKIE, set_cookie(&secret, origin))];
    (set, Html(page::document(&app.site, &view))).into_response()
}

/// The page's inside, each time it changes. 204 tells a browser not to ask again.
async fn events(State(app): Shared, headers: HeaderMap) -> Response {
    let Ok(permit) = Arc::clone(&app.watchers).try_acquire_owned() else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let watcher = cookie(&headers, app.site.origin())
        .and_then(|secret| Watcher::new(Arc::clone(&app), secret, permit));
    let Some(watcher) = watcher else {
        return StatusCode::NO_CONTENT.into_response();
    };
    let stream = unfold(Some(watcher), async |watcher| {
        let (view, rest) = watcher?.next().await?;
        let event = Event::default().data(view.html());
        Some((Ok::<_, Infallible>(event), rest))
    });
    Sse::new(stream)
        .keep_alive(KeepAlive::default())
        .into_response()
}

/// "Try again": a new code.
async fn again(State(app): Shared, headers: HeaderMap) -> Response {
    if !is_own_page(&headers, app.site.origin()) {
        return StatusCode::FORBIDDEN.into_response();
    }
    if let Some(secret) = cookie(&headers, app.site.origin()) {
        app.visits().again(&secret, now(), &mut rng());
    }
    Redirect::to("/").into_response()
}

/// "Sign out": forgets the visit, here and in the browser.
async fn sign_out(State(app): Shared, headers: HeaderMap) -> Response {
    let origin = app.site.origin();
    if !is_own_page(&headers, origin) {
        return StatusCode::FORBIDDEN.into_response();
    }
    if let Some(secret) = cookie(&headers, origin) {
        app.visits().end(&secret);
    }
    ([(SET_COOKIE, set_cookie("", origin))], Redirect::to("/")).into_response()
}

/// A wallet fetches the request object.
async fn wallet_request(
    State(app): Shared,
    Path(id): Path<String>,
    method: Method,
    body: Bytes,
) -> Response {
    let fetch = match method {
        Method::POST => Fetch::Post(&body),
        _ => Fetch::Get,
    };
    let mut visits = app.visits();
    let Some(visit) = visits.of_attempt(&id) else {
        return refused(Refusal::Unknown);
    };
    let served = visit.attempt.serve(&app.site, fetch, now(), &mut rng());
    visit.changed();
    match served {
        Ok(object) => ([(CONTENT_TYPE, REQUEST_OBJECT)], object).into_response(),
        Err(refusal) => refused(refusal),
    }
}

/// A wallet answers.
async fn wallet_answer(State(app): Shared, Path(id): Path<String>, body: Bytes) -> Response {
    let mut visits = app.visits();
    let Some(visit) = visits.of_attempt(&id) else {
        return refused(Refusal::Unknown);
    };
    let outcome = visit.attempt.answer(&app.site, &body, now()).map(|_| ());
    visit.changed();
    match outcome {
        Ok(()) => json(StatusCode::OK, "{}".to_owned()),
        // The wallet that says no is told that it was heard.
        Err(Refusal::Declined) => json(StatusCode::OK, "{}".to_owned()),
        Err(refusal) => refused(refusal),
    }
}

async fn did_document(State(app): Shared) -> Response {
    let (_, document) = app.site.did_document();
    ([(CONTENT_TYPE, "application/did+json")], document).into_response()
}

async fn asset(kind: &'static str, text: &'static str) -> Response {
    // Revalidated each time: a new version of the site never meets an old style.
    ([(CONTENT_TYPE, kind), (CACHE_CONTROL, "no-cache")], text).into_response()
}

async fn lost(State(app): Shared) -> Response {
    (StatusCode::NOT_FOUND, Html(page::lost(&app.site))).into_response()
}

fn refused(refusal: Refusal) -> Response {
    let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::BAD_REQUEST);
    json(status, refusal.body())
}

fn json(status: StatusCode, body: String) -> Response {
    (status, [(CONTENT_TYPE, "application/json")], body).into_response()
}
