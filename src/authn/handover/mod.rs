//! Carrying a sign-in from the portal to the host of an app.
//!
//! The app's host marks the browser with a random flow cookie and sends it to the portal with that cookie's hash as
//! `state`. The portal answers a signed-in browser with a code. The code works once, for a minute, on that host, for
//! the browser that holds the flow cookie. It is no session and never becomes a cookie's value.

use std::sync::Arc;

use arc_swap::ArcSwap;
use data_encoding::BASE64URL_NOPAD;
use subtle::ConstantTimeEq as _;

use super::cookie::is_reference;
use super::return_to::ReturnTo;
use super::rules::Rules;
use super::session::Sessions;
use super::waiting::Waiting;
use super::{BadCredential, Principal};
use crate::base::{Host, Secret, SessionId, Timestamp};
use crate::keys::{self, random};
use crate::store::StoreError;

/// How an app's host begins.
#[derive(Debug)]
pub(crate) struct Flow {
    /// For the flow cookie.
    pub(crate) cookie: Secret<String>,
    /// For the address of the portal.
    pub(crate) state: String,
}

impl Flow {
    /// Begins a hand-over. A browser that already has a flow cookie keeps it, so that several tabs may go at once.
    pub(crate) fn begin(existing: Option<&str>) -> Self {
        let cookie = match existing.filter(|value| is_reference(value)) {
            Some(value) => Secret::new(value.to_owned()),
            None => random::token(),
        };
        let state = state_of(cookie.expose());
        Self { cookie, state }
    }
}

fn state_of(flow_cookie: &str) -> String {
    let input = format!("hand-over\0{flow_cookie}");
    BASE64URL_NOPAD.encode(&keys::sha256(input.as_bytes()))
}

/// Why a code was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("the code is unknown, was used, or has expired")]
    Code,
    #[error("the code was issued for another host")]
    OtherHost,
    #[error("the code was issued to another browser")]
    OtherBrowser,
    #[error("the session ended in the meantime")]
    Ended,
}

impl From<Refused> for BadCredential {
    fn from(_why: Refused) -> Self {
        Self::Unknown
    }
}

/// A browser that has arrived on an app's host.
#[derive(Debug)]
pub(crate) struct Arrived {
    /// For the session cookie of this host.
    pub(crate) cookie: Secret<String>,
    pub(crate) to: ReturnTo,
}

#[derive(Debug)]
struct Issued {
    session: SessionId,
    state: String,
    to: ReturnTo,
}

/// Issues and accepts codes.
#[derive(Debug)]
pub(crate) struct Handover {
    sessions: Arc<Sessions>,
    rules: Arc<ArcSwap<Rules>>,
    issued: Waiting<Issued>,
}

impl Handover {
    pub(super) fn new(sessions: Arc<Sessions>, rules: Arc<ArcSwap<Rules>>) -> Self {
        Self {
            sessions,
            rules,
            issued: Waiting::default(),
        }
    }

    /// A code for `to`, whose host the portal has checked against the known ones. `None` when `state` is not one.
    pub(crate) fn issue(
        &self,
        principal: &Principal,
        state: &str,
        to: ReturnTo,
        now: Timestamp,
    ) -> Option<Secret<String>> {
        let expires = now.plus(self.rules.load().handover_life);
        is_reference(state).then(|| {
            let issued = Issued {
                session: principal.session.id.clone(),
                state: state.to_owned(),
                to,
            };
            self.issued.put(issued, now, expires)
        })
    }

    /// Takes a code on `host` and gives the session a cookie there. A code that is presented wrongly is used up too.
    pub(crate) async fn accept(
        &self,
        code: &str,
        host: &Host,
        flow_cookie: Option<&str>,
        now: Timestamp,
    ) -> Result<Result<Arrived, Refused>, StoreError> {
        let Some(issued) = self.issued.take(code, now) else {
            return Ok(Err(Refused::Code));
        };
        if issued.to.host() != host {
            return Ok(Err(Refused::OtherHost));
        }
        let same_browser = flow_cookie.is_some_and(|cookie| {
            let state = state_of(cookie);
            state.as_bytes().ct_eq(issued.state.as_bytes()).into()
        });
        if !same_browser {
            return Ok(Err(Refused::OtherBrowser));
        }
        let cookie = self.sessions.extend(&issued.session, host).await?;
        Ok(cookie
            .map(|cookie| Arrived {
                cookie,
                to: issued.to,
            })
            .ok_or(Refused::Ended))
    }

    pub(super) fn sweep(&self, now: Timestamp) {
        self.issued.sweep(now);
    }
}

#[cfg(test)]
mod tests;
