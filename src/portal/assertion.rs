//! Signed statements about a person, for upstreams and for nobody else.
//!
//! Assertions are remembered per session and route until half of their life is gone (D13). At the edge they are no
//! credential. Whether and to whom one is sent is the gateway's business.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::HeaderValue;
use serde::Serialize;

use crate::authn::Principal;
use crate::base::recent::Recent;
use crate::base::{SessionId, Timestamp};
use crate::keys::{KeyError, TokenSigner, TokenType};
use crate::plan::Plan;
use crate::route::Route;

/// Assertions that a worker remembers; what leaves is signed anew when asked for. One is about 1 KiB.
const MOST: usize = 16_384;

/// The assertion's claims (RFC 7519 section 4.1, and OpenID Connect's names where they exist).
#[derive(Debug, Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    iat: i64,
    nbf: i64,
    exp: i64,
    email: &'a str,
    name: &'a str,
    groups: Vec<&'a str>,
    tenant: &'a str,
    sid: &'a str,
    /// How it was proven (RFC 8176 says `pwd` and `otp`).
    amr: Vec<&'static str>,
    auth_time: i64,
}

#[derive(Debug)]
struct Remembered {
    value: HeaderValue,
    generation: u64,
    until: Timestamp,
    principal: std::sync::Weak<Principal>,
}

/// Signs assertions; each worker remembers those that it sent.
#[derive(Debug)]
pub(crate) struct Assertions {
    signer: ArcSwap<TokenSigner>,
    remembered: Recent<(SessionId, usize), Remembered>,
}

impl Assertions {
    pub(crate) fn new(signer: TokenSigner) -> Self {
        Self {
            signer: ArcSwap::from_pointee(signer),
            remembered: Recent::new(MOST),
        }
    }

    /// The public keys that verify assertions, as a JWK set (RFC 7517).
    ///
    /// # Errors
    /// [`KeyError`] when they cannot be written down.
    pub(crate) fn jwks(&self, now: Timestamp) -> Result<String, KeyError> {
        self.signer.load().jwks(now)
    }

    /// The assertion of `principal` for `route`, remembered or signed now.
    ///
    /// # Errors
    /// [`KeyError`] when it cannot be signed.
    pub(crate) fn of(
        &self,
        principal: &Arc<Principal>,
        route: &Route,
        plan: &Plan,
        now: Timestamp,
    ) -> Result<HeaderValue, KeyError> {
        let key = (principal.session.id.clone(), route.index);
        let kept = self.remembered.with(&key, |held| {
            let stands = held.until > now
                && held.generation == plan.generation
                && std::ptr::eq(held.principal.as_ptr(), Arc::as_ptr(principal));
            stands.then(|| held.value.clone())
        });
        if let Some(Some(value)) = kept {
            return Ok(value);
        }
        let life = plan.config.auth.assertion_life;
        let value = self.sign(principal, route, &plan.portal_origin(), (now, life))?;
        let held = Remembered {
            value: value.clone(),
            generation: plan.generation,
            until: now.plus(life / 2),
            principal: Arc::downgrade(principal),
        };
        self.remembered.insert(key, held);
        Ok(value)
    }

    fn sign(
        &self,
        principal: &Principal,
        route: &Route,
        issuer: &str,
        (now, life): (Timestamp, Duration),
    ) -> Result<HeaderValue, KeyError> {
        let claims = Claims {
            iss: issuer,
            sub: principal.id.as_str(),
            aud: &route.identity.audience,
            iat: now.secs(),
            nbf: now.secs(),
            exp: now.plus(life).secs(),
            email: &principal.email,
            name: &principal.name,
            groups: principal.groups.iter().map(String::as_str).collect(),
            tenant: &principal.tenant,
            sid: principal.session.id.as_str(),
            amr: principal
                .session
                .methods
                .iter()
                .map(|method| method.code())
                .collect(),
            auth_time: principal.session.verified_at.secs(),
        };
        let token = self
            .signer
            .load()
            .sign(TokenType::Assertion, &claims, now)?;
        let mut value = HeaderValue::try_from(token)
            .map_err(|_never| KeyError::Refused("write an assertion"))?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// Signs with `signer` from now on; what was signed before stays remembered and valid.
    pub(crate) fn replace_signer(&self, signer: TokenSigner) {
        self.signer.store(Arc::new(signer));
    }
}
