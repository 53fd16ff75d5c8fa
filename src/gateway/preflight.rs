//! A browser's question whether a page of another origin may send a request (Fetch standard, section 3.2.2).
//!
//! It comes without credentials by its nature, so nobody is asked to sign in. A route with a rule about other origins
//! has it answered here: for listed origins only, and never by the upstream. Nothing of the app is told.

use http::Response;
use http::header::HeaderMap;

use super::refusal::Refusal;
use crate::base::Facts;
use crate::limit;
use crate::message::response::cors::{PREFLIGHT_STATUS, preflight_origin};
use crate::message::{Body, CleanRequest};
use crate::plan::Plan;
use crate::route::Route;

/// The answer to a preflight request; `None` when the request is none, or the route leaves such requests to its upstream.
///
/// # Errors
/// [`Refusal::OriginRefused`] for an origin that is not listed; a hidden route is not there for it.
pub(super) fn answer(
    request: &CleanRequest,
    route: &Route,
    facts: &Facts,
    plan: &Plan,
) -> Result<Option<Response<Body>>, Refusal> {
    let Some(rules) = &route.responses.cors else {
        return Ok(None);
    };
    let Some(origin) = preflight_origin(request.method(), request.headers()) else {
        return Ok(None);
    };
    request.target().permitted_by(route.path_allows)?;
    let caller = limit::Caller {
        address: facts.client,
        principal: None,
        route: &route.name,
    };
    plan.limits
        .admit_to_route(route.rate_limit.as_deref(), caller)?;
    if rules.admits(origin) {
        Ok(Some(empty(rules.preflight(origin))))
    } else if route.hidden {
        Err(Refusal::NoRoute)
    } else {
        Err(Refusal::OriginRefused)
    }
}

fn empty(headers: HeaderMap) -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = PREFLIGHT_STATUS;
    *response.headers_mut() = headers;
    response
}
