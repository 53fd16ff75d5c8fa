//! Verifies `X-Portcullis-Assertion` in a service behind Portcullis: who is asking, proven by a signature.
//!
//! Crates: jsonwebtoken 11 (features `aws_lc_rs`), serde. Never decides anything on a token that did not verify.

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;

/// The person behind a request.
#[derive(Debug, Deserialize)]
pub(crate) struct Caller {
    /// Stays the same when name or e-mail address change.
    pub(crate) sub: String,
    pub(crate) email: String,
    pub(crate) groups: Vec<String>,
}

/// Checks assertions for one service.
#[derive(Debug)]
pub(crate) struct Verifier {
    keys: JwkSet,
    rules: Validation,
}

impl Verifier {
    /// `jwks` is the text of `https://PORTAL/.well-known/portcullis/jwks.json`; fetch it again, at most once a
    /// minute, when an assertion names a key that is not in it. `issuer` is the portal's origin, `audience` the name
    /// of the route.
    pub(crate) fn new(jwks: &str, issuer: &str, audience: &str) -> Result<Self, serde_json::Error> {
        let mut rules = Validation::new(Algorithm::ES256);
        rules.set_issuer(&[issuer]);
        rules.set_audience(&[audience]);
        rules.set_required_spec_claims(&["exp", "nbf", "iss", "aud", "sub"]);
        rules.validate_nbf = true;
        rules.leeway = 5;
        Ok(Self {
            keys: serde_json::from_str(jwks)?,
            rules,
        })
    }

    /// `None` means: answer 401.
    pub(crate) fn verify(&self, assertion: &str) -> Option<Caller> {
        let header = decode_header(assertion).ok()?;
        if header.typ.as_deref() != Some("portcullis-assertion+jwt") {
            return None;
        }
        let key = DecodingKey::from_jwk(self.keys.find(&header.kid?)?).ok()?;
        let token = decode::<Caller>(assertion, &key, &self.rules).ok()?;
        Some(token.claims)
    }
}
