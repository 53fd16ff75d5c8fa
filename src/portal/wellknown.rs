//! What upstreams need to verify an assertion: the public keys, and the claims to expect. Nothing here is secret.

use http::StatusCode;
use serde::Serialize;

use super::answer::{Answer, Outcome};
use super::visit::Visit;
use crate::pages::{Mishap, paths};

/// Shorter than the time between announcing a signing key and using it.
const CACHE_CONTROL: &str = "public, max-age=300";

#[derive(Serialize)]
struct Discovery<'a> {
    issuer: &'a str,
    jwks_uri: String,
    assertion_header: &'a str,
    assertion_type: &'a str,
    assertion_signing_alg_values_supported: [&'a str; 1],
    assertion_lifetime_seconds: u64,
    sign_out_uri: String,
}

/// The JWK set (RFC 7517).
pub(super) fn key_set(visit: &Visit<'_>) -> Outcome {
    let keys = visit.portal.assertions.jwks(visit.now())?;
    Ok(Answer::of(StatusCode::OK, "application/jwk-set+json", keys).cached(CACHE_CONTROL))
}

pub(super) fn discovery(visit: &Visit<'_>) -> Outcome {
    let plan = visit.plan();
    let issuer = plan.portal_origin();
    let document = Discovery {
        jwks_uri: format!("{issuer}{}", paths::JWKS),
        assertion_header: plan.config.server.headers.assertion.as_str(),
        assertion_type: crate::keys::TokenType::Assertion.typ(),
        assertion_signing_alg_values_supported: ["ES256"],
        assertion_lifetime_seconds: plan.config.auth.assertion_life.as_secs(),
        sign_out_uri: format!("{issuer}{}", paths::SIGN_OUT),
        issuer: &issuer,
    };
    let text = serde_json::to_string(&document).map_err(|_never| Mishap::Defect)?;
    Ok(Answer::of(StatusCode::OK, "application/json", text).cached(CACHE_CONTROL))
}
