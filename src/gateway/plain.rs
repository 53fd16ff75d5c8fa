//! The plain listener: it sends GET and HEAD of known hosts to https, answers the challenge that an authority was just
//! told to look for (HTTP-01, RFC 8555 section 8.3), and refuses everything else (D24).
//!
//! It sets no cookie, serves nothing else and reflects nothing but the host and target that it has checked.

use http::header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION};
use http::{HeaderValue, Method, Response, StatusCode};

use crate::base::Authority;
use crate::config::Challenge;
use crate::message::{Body, CleanRequest};
use crate::plan::Plan;
use crate::tls::Challenges;

/// Below it an authority looks for the answer to HTTP-01.
const CHALLENGES: &str = "/.well-known/acme-challenge/";

/// 308 to the same address on https, the answer to a challenge, or 403. Where challenges are answered here, a token that
/// nobody presents is 404: a redirect would let an app behind prove names that are ours to prove.
pub(crate) fn answer(
    request: &CleanRequest,
    listener: &str,
    plan: &Plan,
    challenges: &Challenges,
) -> Response<Body> {
    let safe = matches!(*request.method(), Method::GET | Method::HEAD);
    if safe
        && answers_challenges(plan)
        && let Some(token) = request.path().strip_prefix(CHALLENGES)
    {
        return challenge(challenges.http(request.host(), token));
    }
    if safe
        && plan.serves_on(request.host(), listener)
        && let Some(location) = secure_form(request, plan)
    {
        let mut response = Response::new(Body::Empty);
        *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
        response.headers_mut().insert(LOCATION, location);
        response
            .headers_mut()
            .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        return response;
    }
    let mut response = Response::new(Body::from(bytes::Bytes::from_static(
        b"This address is served over https only.\n",
    )));
    *response.status_mut() = StatusCode::FORBIDDEN;
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}

fn answers_challenges(plan: &Plan) -> bool {
    let obtained = plan.config.tls.obtained();
    obtained.is_some_and(|acme| acme.challenge.value == Challenge::Http01)
}

fn challenge(authorization: Option<String>) -> Response<Body> {
    let (status, kind, body) = match authorization {
        Some(text) => (StatusCode::OK, "application/octet-stream", Body::from(text)),
        None => (
            StatusCode::NOT_FOUND,
            "text/plain; charset=utf-8",
            Body::from("No certificate is being obtained with this token.\n"),
        ),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn secure_form(request: &CleanRequest, plan: &Plan) -> Option<HeaderValue> {
    let authority = Authority {
        host: request.host().clone(),
        port: plan.portal().port,
    };
    HeaderValue::try_from(format!("https://{authority}{}", request.target().as_str())).ok()
}
