//! The status page: one document for a browser, which shows what [`Feed`] sends. Nothing on it
//! changes the relay.

mod feed;

use std::convert::Infallible;

use axum::body::Body;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt as _;

pub(super) use self::feed::Feed;
use crate::hex;
use crate::limits::STATUS_STREAMS_MAX;

/// Returns the page.
pub(super) fn page() -> Response {
    let mut random = [0; 16];
    getrandom::fill(&mut random).expect("the system gives random numbers");
    let mut digits = [0; 32];
    let nonce = String::from_utf8_lossy(hex::encode(&random, &mut digits));
    // No markup that gets into the page can do anything: only its own style and script have the
    // number of this answer.
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src data:; \
         connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let headers =
        [(CONTENT_TYPE, "text/html; charset=utf-8"), (CONTENT_SECURITY_POLICY, policy.as_str())];
    (PRIVATE, headers, document(&nonce)).into_response()
}

fn document(nonce: &str) -> String {
    PAGE.replace("{style}", STYLE)
        .replace("{script}", &[FIGURES, VIEW].concat())
        .replace("{nonce}", nonce)
}

/// Returns the status, as JSON.
pub(super) fn status(json: String) -> Response {
    (PRIVATE, [(CONTENT_TYPE, "application/json")], json).into_response()
}

/// Returns the status once a second, as server-sent events.
pub(super) fn events(feed: &Feed) -> Response {
    let Some(events) = feed.listen() else {
        let why = format!("{STATUS_STREAMS_MAX} pages are open: close one\n");
        return (StatusCode::SERVICE_UNAVAILABLE, why).into_response();
    };
    let body = Body::from_stream(events.map(Ok::<_, Infallible>));
    (PRIVATE, [(CONTENT_TYPE, "text/event-stream")], body).into_response()
}

/// Neither kept nor used by anybody but the page itself.
const PRIVATE: [(axum::http::HeaderName, &str); 3] = [
    (CACHE_CONTROL, "no-store"),
    (axum::http::header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (axum::http::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const FIGURES: &str = include_str!("figures.js");
const VIEW: &str = include_str!("view.js");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_whole() {
        let document = document("0a1b");
        // Its own tags only: none ends early, and nothing is left to be filled in.
        for (part, times) in
            [("</script", 1), ("</style", 1), ("nonce=\"0a1b\"", 2), ("{nonce}", 0), ("{style}", 0)]
        {
            assert_eq!(document.matches(part).count(), times, "{part}");
        }
        assert!(!document.contains("innerHTML"));
        // The name of a namespace is no address; there are no others.
        let addresses = document.matches("://").count();
        assert_eq!(addresses, document.matches("http://www.w3.org/2000/svg").count());
    }

    #[test]
    fn each_page_has_a_number_of_its_own() {
        let policy = || page().headers()[CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned();
        let (one, two) = (policy(), policy());
        assert!(one.contains("script-src 'nonce-") && one != two, "{one}");
    }
}
