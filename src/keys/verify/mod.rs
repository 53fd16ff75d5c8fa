//! Checks tokens that this program signed itself: hand-over codes and access tokens.
//!
//! Only ES256, only our own keys by `kid`, only the expected `typ`, audience and issuer (RFC 8725). Keys named inside a
//! token are never followed. Time is compared with `now` here: the library would read the clock itself.

use std::collections::HashSet;

use jsonwebtoken::{Algorithm, Validation};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::sign::{TokenSigner, TokenType};
use crate::base::Timestamp;

/// What a token must be to count here and now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expected<'a> {
    pub(crate) kind: TokenType,
    /// The one audience; a token for several audiences is refused.
    pub(crate) audience: &'a str,
    pub(crate) issuer: &'a str,
}

/// Why a token does not count. For the log; the bearer is told only that it was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenError {
    #[error("not a signed token")]
    Malformed,
    #[error("signed under an unknown key")]
    UnknownKey,
    #[error("not a token for this use")]
    WrongType,
    #[error("the signature, issuer or audience is wrong")]
    Rejected(#[source] jsonwebtoken::errors::Error),
    #[error("expired or not yet valid")]
    NotNow,
}

/// The claims that every token of ours has, and their types (RFC 7519 section 4.1).
#[derive(Deserialize)]
struct OwnClaims {
    /// One audience: a list is refused by its type.
    #[serde(rename = "aud")]
    _aud: String,
    exp: i64,
    nbf: Option<i64>,
}

impl TokenSigner {
    /// Verifies a token of ours and gives its claims. It is valid up to, not including, the second in `exp`.
    pub(crate) fn verify<C: DeserializeOwned>(
        &self,
        token: &str,
        expected: &Expected<'_>,
        now: Timestamp,
    ) -> Result<C, TokenError> {
        let header = jsonwebtoken::decode_header(token).map_err(|_shape| TokenError::Malformed)?;
        if header.typ.as_deref() != Some(expected.kind.typ()) || header.crit.is_some() {
            return Err(TokenError::WrongType);
        }
        let pair = header
            .kid
            .as_deref()
            .and_then(|kid| self.pair(kid, now))
            .ok_or(TokenError::UnknownKey)?;
        super::install_providers();
        let claims = jsonwebtoken::decode::<Value>(token, &pair.verifying, &rules(expected))
            .map_err(TokenError::Rejected)?
            .claims;
        let rejected = |cause: serde_json::Error| TokenError::Rejected(cause.into());
        let own = OwnClaims::deserialize(&claims).map_err(rejected)?;
        if own.exp <= now.secs() || own.nbf.is_some_and(|from| from > now.secs()) {
            return Err(TokenError::NotNow);
        }
        C::deserialize(claims).map_err(rejected)
    }
}

fn rules(expected: &Expected<'_>) -> Validation {
    let mut rules = Validation::new(Algorithm::ES256);
    rules.validate_exp = false;
    rules.required_spec_claims = ["exp", "aud", "iss"].map(str::to_owned).into();
    rules.aud = Some(HashSet::from([expected.audience.to_owned()]));
    rules.iss = Some(HashSet::from([expected.issuer.to_owned()]));
    rules
}

#[cfg(test)]
mod tests;
