//! What an upstream is told about the person: a signed assertion, and plain headers where a route wants them.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};

use crate::authn::Principal;
use crate::base::{RequestId, Timestamp};
use crate::config::HeaderNames;
use crate::keys::KeyError;
use crate::plan::Plan;
use crate::portal::Assertions;
use crate::route::Route;

/// The headers that tell an upstream who asks and under which request id.
///
/// # Errors
/// [`KeyError`] when the route wants an assertion and it cannot be signed.
pub(crate) fn statements(
    assertions: &Assertions,
    principal: Option<&Arc<Principal>>,
    route: &Route,
    plan: &Plan,
    (id, now): (RequestId, Timestamp),
) -> Result<Vec<(HeaderName, HeaderValue)>, KeyError> {
    let names: &HeaderNames = &plan.config.server.headers;
    let mut headers = Vec::with_capacity(4);
    if let Ok(value) = HeaderValue::try_from(id.to_string()) {
        headers.push((names.request_id.clone(), value));
    }
    let Some(principal) = principal else {
        return Ok(headers);
    };
    if route.identity.assertion {
        headers.push((
            names.assertion.clone(),
            assertions.of(principal, route, plan, now)?,
        ));
    }
    if route.identity.headers {
        let groups = principal
            .groups
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(",");
        for (name, text) in [
            (&names.user, &*principal.email),
            (&names.groups, groups.as_str()),
        ] {
            // A name that cannot stand in a header is left out rather than changed into another one.
            if let Ok(value) = HeaderValue::from_str(text) {
                headers.push((name.clone(), value));
            }
        }
    }
    Ok(headers)
}
