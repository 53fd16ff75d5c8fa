//! The plain listener: it sends GET and HEAD of known hosts to https and refuses everything else (D24).
//!
//! It sets no cookie, serves nothing and reflects nothing but the host and target that it has checked.

use http::header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION};
use http::{HeaderValue, Method, Response, StatusCode};

use crate::base::Authority;
use crate::message::{Body, CleanRequest};
use crate::plan::Plan;

/// 308 to the same address on https, or 403.
pub(crate) fn answer(request: &CleanRequest, listener: &str, plan: &Plan) -> Response<Body> {
    let safe = matches!(*request.method(), Method::GET | Method::HEAD);
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

fn secure_form(request: &CleanRequest, plan: &Plan) -> Option<HeaderValue> {
    let authority = Authority {
        host: request.host().clone(),
        port: plan.portal().port,
    };
    HeaderValue::try_from(format!("https://{authority}{}", request.target().as_str())).ok()
}
