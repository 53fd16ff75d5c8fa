//! What an upstream is told about the person: a signed assertion, and plain headers where a route wants them.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};

use crate::authn::Principal;
use crate::config::HeaderNames;
use crate::keys::KeyError;
use crate::plan::RequestContext;
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
    cx: &RequestContext,
) -> Result<Vec<(HeaderName, HeaderValue)>, KeyError> {
    let RequestContext { facts, plan, id } = cx;
    let names: &HeaderNames = &plan.config.server.headers;
    let mut headers = Vec::with_capacity(4);
    headers.push((names.request_id.clone(), id.clone()));
    let Some(principal) = principal else {
        return Ok(headers);
    };
    if route.identity.assertion {
        headers.push((
            names.assertion.clone(),
            assertions.of(principal, route, plan, facts.now)?,
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
