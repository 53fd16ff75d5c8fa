//! How our own pages leave: pages, redirects, documents, and the mishaps that stand in for them.
//!
//! Every answer made here carries the headers of our own pages and may not be kept by anybody, unless it says so.

use std::sync::Arc;

use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, RETRY_AFTER, SET_COOKIE,
};
use http::{HeaderName, HeaderValue, Response, StatusCode};

use crate::audit::Unavailable;
use crate::authn::Principal;
use crate::authn::people::PeopleError;
use crate::authn::vault::AuthnError;
use crate::base::{Origin, Reason};
use crate::keys::{KeyError, PasswordError};
use crate::limit::TooFast;
use crate::message::{Body, security};
use crate::pages::{self, Mishap, Page};
use crate::store::StoreError;

/// What a handler gives.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) response: Response<Body>,
    pub(super) reason: Reason,
    /// Who has just signed in, when nobody was when the request came.
    pub(super) person: Option<Arc<Principal>>,
}

/// Why a handler gave up; how it looks is decided where the request's reader is known.
#[derive(Debug)]
pub(super) enum Stop {
    Mishap(Mishap),
    /// The path exists; these methods are served there.
    Method(&'static str),
    /// An answer that is already made, such as a redirect to the sign-in page.
    Answer(Box<Answer>),
}

pub(super) type Outcome = Result<Answer, Stop>;

impl Answer {
    pub(super) fn of(
        status: StatusCode,
        content_type: &'static str,
        body: impl Into<Body>,
    ) -> Self {
        let mut response = Response::new(body.into());
        *response.status_mut() = status;
        response
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        security::own_answer(response.headers_mut());
        Self {
            response,
            reason: Reason::OwnPage,
            person: None,
        }
    }

    pub(super) fn page(page: &impl Page) -> Self {
        Self::of(StatusCode::OK, pages::CONTENT_TYPE, page.html())
    }

    /// 303: whatever was sent, the browser asks for `location` with GET.
    pub(super) fn to(location: &str) -> Self {
        let mut response = Response::new(Body::Empty);
        *response.status_mut() = StatusCode::SEE_OTHER;
        security::own_answer(response.headers_mut());
        let answer = Self {
            response,
            reason: Reason::OwnPage,
            person: None,
        };
        answer.with(LOCATION, location)
    }

    #[must_use]
    pub(super) fn status(mut self, status: StatusCode) -> Self {
        *self.response.status_mut() = status;
        self
    }

    #[must_use]
    pub(super) const fn because(mut self, reason: Reason) -> Self {
        self.reason = reason;
        self
    }

    #[must_use]
    pub(super) fn by(mut self, person: &Arc<Principal>) -> Self {
        self.person = Some(Arc::clone(person));
        self
    }

    /// Sets a header. A text that no header can hold is left out, so it must not be what safety rests on.
    #[must_use]
    pub(super) fn with(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::try_from(value) {
            self.response.headers_mut().insert(name, value);
        }
        self
    }

    /// Adds a `Set-Cookie` value.
    #[must_use]
    pub(super) fn cookie(mut self, cookie: Option<HeaderValue>) -> Self {
        if let Some(cookie) = cookie {
            self.response.headers_mut().append(SET_COOKIE, cookie);
        }
        self
    }

    /// Does this answer set or clear the session cookie of that name?
    pub(super) fn sets_session(&self, name: &str) -> bool {
        let mut cookies = self.response.headers().get_all(SET_COOKIE).iter();
        cookies.any(|cookie| {
            cookie
                .as_bytes()
                .strip_prefix(name.as_bytes())
                .is_some_and(|rest| rest.first() == Some(&b'='))
        })
    }

    /// Others may keep it.
    #[must_use]
    pub(super) fn cached(self, control: &str) -> Self {
        self.with(CACHE_CONTROL, control)
    }

    /// The form on this page may end on another host of ours, and browsers check the policy there too.
    #[must_use]
    pub(super) fn hands_over_to(self, origin: Option<&Origin>) -> Self {
        match origin {
            Some(origin) => self.with(CONTENT_SECURITY_POLICY, &pages::csp::with_hand_over(origin)),
            None => self,
        }
    }
}

/// Headers that a mishap's answer carries.
pub(super) fn extra(stop: &Stop) -> Option<(HeaderName, String)> {
    match stop {
        Stop::Mishap(Mishap::RateLimited { wait }) => Some((RETRY_AFTER, seconds(*wait))),
        Stop::Mishap(Mishap::AuditUnavailable | Mishap::StoreUnavailable | Mishap::Overloaded) => {
            Some((RETRY_AFTER, "5".to_owned()))
        }
        Stop::Method(allowed) => Some((ALLOW, (*allowed).to_owned())),
        Stop::Mishap(_) | Stop::Answer(_) => None,
    }
}

/// Whole seconds, rounded up.
pub(super) fn seconds(wait: std::time::Duration) -> String {
    let part = u64::from(wait.subsec_nanos() > 0);
    wait.as_secs().saturating_add(part).max(1).to_string()
}

impl From<Mishap> for Stop {
    fn from(mishap: Mishap) -> Self {
        Self::Mishap(mishap)
    }
}

impl From<Answer> for Stop {
    fn from(answer: Answer) -> Self {
        Self::Answer(Box::new(answer))
    }
}

impl From<AuthnError> for Stop {
    fn from(error: AuthnError) -> Self {
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "a page of the portal could not be served"
        );
        Self::Mishap(match error {
            AuthnError::Password(PasswordError::Overloaded) => Mishap::Overloaded,
            AuthnError::Password(_)
            | AuthnError::Store(_)
            | AuthnError::Key(_)
            | AuthnError::Secret(_) => Mishap::StoreUnavailable,
        })
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        AuthnError::from(error).into()
    }
}

impl From<PeopleError> for Stop {
    fn from(error: PeopleError) -> Self {
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "a page of the portal could not be served"
        );
        Self::Mishap(Mishap::StoreUnavailable)
    }
}

impl From<KeyError> for Stop {
    fn from(error: KeyError) -> Self {
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "a page of the portal could not be served"
        );
        Self::Mishap(Mishap::SignerUnavailable)
    }
}

impl From<Unavailable> for Stop {
    fn from(error: Unavailable) -> Self {
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "a change could not be recorded"
        );
        Self::Mishap(Mishap::AuditUnavailable)
    }
}

impl From<TooFast> for Stop {
    fn from(limited: TooFast) -> Self {
        Self::Mishap(Mishap::RateLimited {
            wait: std::time::Duration::from_secs(limited.retry_after()),
        })
    }
}
