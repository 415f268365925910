//! What protects the page: its name, its headers, its one cookie.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, COOKIE, HOST, LOCATION, ORIGIN, REFERRER_POLICY,
    STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use twin_login::origin::Origin;

use crate::server::App;

/// Nothing from elsewhere, nothing inline, nobody else's frame.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; \
     connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Answers only to the site's own name, so that no other name can be pointed at it (DNS
/// rebinding), and sets the headers that every answer has.
pub(crate) async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let origin = app.site.origin();
    let host = request
        .headers()
        .get(HOST)
        .and_then(|host| host.to_str().ok());
    let mut response = if host.is_some_and(|host| host.eq_ignore_ascii_case(&origin.authority())) {
        next.run(request).await
    } else if request.method() == Method::GET && request.uri().path() == "/" {
        let home = [(LOCATION, format!("{origin}/"))];
        (StatusCode::TEMPORARY_REDIRECT, home).into_response()
    } else {
        StatusCode::MISDIRECTED_REQUEST.into_response()
    };
    let headers = response.headers_mut();
    let fixed = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "same-origin"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("permissions-policy"),
            "camera=(), geolocation=(), microphone=()",
        ),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    if origin.is_secure() {
        let year = HeaderValue::from_static("max-age=31536000");
        headers.insert(STRICT_TRANSPORT_SECURITY, year);
    }
    response
}

/// True when a button of our own page was pressed: browsers name the origin of every POST.
pub(crate) fn is_own_page(headers: &HeaderMap, origin: &Origin) -> bool {
    let sender = headers.get(ORIGIN).and_then(|value| value.to_str().ok());
    sender == Some(origin.to_string().as_str())
}

/// The cookie's name: bound to the host by its prefix on https; on this device, where cookies are
/// shared by all ports, it carries the port.
fn cookie_name(origin: &Origin) -> String {
    if origin.is_secure() {
        "__Host-twin-visit".to_owned()
    } else {
        format!("twin-visit-{}", origin.port())
    }
}

/// The visit's secret, if the browser sent one.
pub(crate) fn cookie(headers: &HeaderMap, origin: &Origin) -> Option<String> {
    let name = cookie_name(origin);
    let cookies = headers.get_all(COOKIE).into_iter();
    let mut pairs = cookies
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='));
    let (_, secret) = pairs.find(|(other, _)| *other == name)?;
    Some(secret.to_owned())
}

/// The `Set-Cookie` header for a visit's secret; an empty one takes the cookie away.
pub(crate) fn set_cookie(secret: &str, origin: &Origin) -> String {
    let name = cookie_name(origin);
    let secure = if origin.is_secure() { "; Secure" } else { "" };
    let age = if secret.is_empty() { "; Max-Age=0" } else { "" };
    format!("{name}={secret}; Path=/; HttpOnly; SameSite=Lax{secure}{age}")
}
