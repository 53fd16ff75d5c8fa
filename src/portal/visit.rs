//! One request for a page of ours: who asks, with which cookies, where they want to go.
//!
//! Cookies and addresses are read here and nowhere else in the portal, each under one rule.

use std::sync::Arc;

use http::header::{HeaderMap, HeaderName, ORIGIN, USER_AGENT};
use http::{HeaderValue, StatusCode};

use super::answer::{Answer, Stop, seconds};
use super::destination::Destination;
use super::{Fields, Portal};
use crate::authn::cookie::{self, Presented};
use crate::authn::csrf;
use crate::authn::event::{Event, Told};
use crate::authn::sign_in::Visitor;
use crate::authn::{Authn, BadCredential, Principal};
use crate::base::{Authority, Origin, Timestamp};
use crate::keys::random;
use crate::message::cookie::{Found, Keep, SameSite, build, find};
use crate::message::{CleanRequest, Target};
use crate::pages::{Form, Frame, Mishap, Moment, Theme, Visitor as Shown};
use crate::plan::{Plan, RequestContext};

/// Holds a random number that form tokens are bound to before anybody is signed in.
pub(super) const FORM: &str = "form";
pub(super) const THEME: &str = "theme";
/// The name that a person asked to be kept on this device.
pub(super) const NAME: &str = "name";

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// What a form's token says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    Good,
    /// Made for another sign-in of this browser, or by somebody else.
    Stale,
    /// The browser sent none of the cookies that tokens are bound to.
    NoCookie,
}

/// Everything that handlers know of a request.
#[derive(Debug)]
pub(super) struct Visit<'a> {
    pub(super) portal: &'a Portal,
    pub(super) cx: &'a RequestContext,
    pub(super) query: Fields,
    /// Who is signed in on this host.
    pub(super) person: Option<Arc<Principal>>,
    /// A session cookie was sent that opens nothing any more.
    pub(super) stale_session: bool,
    headers: HeaderMap,
    target: Target,
    authority: Authority,
    /// The cookie value that this page's tokens are bound to, and whether it still has to be set.
    binding: (String, bool),
}

impl<'a> Visit<'a> {
    /// Reads what every page needs.
    ///
    /// # Errors
    /// [`Mishap::ConflictingCredentials`] for two sessions in one request.
    pub(super) fn open(
        portal: &'a Portal,
        cx: &'a RequestContext,
        request: CleanRequest,
    ) -> Result<Self, Stop> {
        let parts = request.into_parts();
        let (headers, target, authority) = (parts.headers, parts.target, parts.authority);
        let query =
            Fields::parse(target.query().unwrap_or_default().as_bytes()).unwrap_or_default();
        let cookies = &cx.plan.message.cookies;
        let presented = match cookies.session(&headers) {
            Found::None => Presented::Nothing,
            Found::One(value) => Presented::One(value),
            Found::Conflict => Presented::Conflicting,
        };
        let rules = portal.auth.rules().session;
        let (person, stale) = match portal.auth.sessions.authenticate(
            presented,
            &authority.host,
            &rules,
            cx.facts.now,
        ) {
            Ok(Authn::Known(person)) => (Some(person), false),
            Ok(Authn::Anonymous) => (None, false),
            Err(BadCredential::Conflicting) => return Err(Mishap::ConflictingCredentials.into()),
            Err(_worthless) => (None, true),
        };
        let binding = match (&person, presented, find(&headers, &cookies.name_of(FORM))) {
            (Some(_), Presented::One(session), _) => (session.to_owned(), false),
            (_, _, Found::One(value)) if cookie::is_reference(value) => (value.to_owned(), false),
            _ => (random::token().expose().clone(), true),
        };
        Ok(Self {
            portal,
            cx,
            query,
            person,
            stale_session: stale,
            headers,
            target,
            authority,
            binding,
        })
    }

    pub(super) fn plan(&self) -> &Plan {
        &self.cx.plan
    }

    pub(super) fn now(&self) -> Timestamp {
        self.cx.facts.now
    }

    pub(super) fn path(&self) -> &str {
        self.target.path()
    }

    pub(super) const fn target(&self) -> &Target {
        &self.target
    }

    pub(super) const fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    pub(super) const fn authority(&self) -> &Authority {
        &self.authority
    }

    pub(super) fn on_portal(&self) -> bool {
        self.plan().is_portal(&self.authority.host)
    }

    /// Who is signed in; pages for signed-in people call it.
    pub(super) fn signed_in(&self) -> Result<&Arc<Principal>, Stop> {
        self.person
            .as_ref()
            .ok_or_else(|| Mishap::SignInRequired.into())
    }

    /// The value of one of our cookies besides the session's. Two different values are none.
    pub(super) fn cookie(&self, purpose: &str) -> Option<&str> {
        match find(&self.headers, &self.plan().message.cookies.name_of(purpose)) {
            Found::One(value) => Some(value),
            Found::None | Found::Conflict => None,
        }
    }

    /// The `Set-Cookie` value for one of our cookies besides the session's.
    pub(super) fn set_cookie(&self, purpose: &str, value: &str, keep: Keep) -> Option<HeaderValue> {
        build(
            &self.plan().message.cookies.name_of(purpose),
            value,
            SameSite::Lax,
            keep,
        )
    }

    /// The session cookie of this host. It ends with the browser; the session itself ends earlier by its own limits.
    pub(super) fn set_session(&self, value: &str) -> Option<HeaderValue> {
        build(
            self.plan().message.cookies.session_name(),
            value,
            SameSite::Lax,
            Keep::WhileOpen,
        )
    }

    pub(super) fn clear_session(&self) -> Option<HeaderValue> {
        build(
            self.plan().message.cookies.session_name(),
            "",
            SameSite::Lax,
            Keep::Never,
        )
    }

    /// The cookie that this page's tokens are bound to, when the browser has not got it yet.
    pub(super) fn new_binding(&self) -> Option<HeaderValue> {
        let (value, fresh) = &self.binding;
        fresh
            .then(|| self.set_cookie(FORM, value, Keep::WhileOpen))
            .flatten()
    }

    pub(super) fn token(&self) -> String {
        self.portal.auth.csrf.token(&self.binding.0)
    }

    /// Is a form's token bound to a cookie that came with it?
    pub(super) fn judge_token(&self, form: &Fields) -> Token {
        let (token, session) = (
            form.text("csrf"),
            self.plan().message.cookies.session(&self.headers),
        );
        let session = match session {
            Found::One(value) => Some(value),
            Found::None | Found::Conflict => None,
        };
        let mut cookies = [session, self.cookie(FORM)]
            .into_iter()
            .flatten()
            .peekable();
        if cookies.peek().is_none() {
            Token::NoCookie
        } else if cookies.any(|value| self.portal.auth.csrf.verify(value, token)) {
            Token::Good
        } else {
            Token::Stale
        }
    }

    /// Did the browser send this from a page of the same host, as far as it tells?
    pub(super) fn is_same_origin(&self) -> bool {
        let own = Origin {
            secure: true,
            host: self.authority.host.clone(),
            port: self.authority.port.unwrap_or(443),
        };
        csrf::is_same_origin(&own, self.header(&ORIGIN), self.header(&SEC_FETCH_SITE))
    }

    /// A header that is there but is not text counts as the empty text, which equals nothing.
    fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers
            .get(name)
            .map(|value| value.to_str().unwrap_or_default())
    }

    pub(super) fn visitor(&self) -> Visitor<'_> {
        Visitor {
            address: self.cx.facts.client,
            user_agent: self.header(&USER_AGENT),
            device: self.cookie(cookie::DEVICE),
            now: self.now(),
        }
    }

    /// The page's surroundings.
    pub(super) fn frame(&self) -> Frame {
        let plan = self.plan();
        let theme = self
            .cookie(THEME)
            .and_then(Theme::from_code)
            .unwrap_or_default();
        let shown = |person: &Arc<Principal>| Shown {
            name: person.name.to_string(),
            login: person.email.to_string(),
        };
        Frame {
            theme,
            visitor: self.person.as_ref().map(shown),
            csrf: self.on_portal().then(|| self.token()),
            here: self.here(),
            ..Frame::bare(
                Arc::clone(&plan.brand),
                if self.on_portal() {
                    String::new()
                } else {
                    plan.portal_origin()
                },
            )
        }
    }

    /// Where the theme switch comes back to; pages that only answer a form lead to the same path with GET.
    fn here(&self) -> String {
        let exists = super::routes::find(&http::Method::GET, self.path(), true);
        match (exists, self.target.query()) {
            (super::routes::Found::Page(_), Some(query)) => format!("{}?{query}", self.path()),
            (super::routes::Found::Page(_), None) => self.path().to_owned(),
            _ => crate::pages::paths::APPS.to_owned(),
        }
    }

    pub(super) fn form(&self, action: &str, destination: &Destination) -> Form {
        Form {
            kept: destination.kept(),
            ..Form::new(action, self.token())
        }
    }

    /// Where the person wants to go, from a query or a form.
    pub(super) fn destination(&self, fields: &Fields) -> Destination {
        Destination::read(fields, self.cx)
    }

    pub(super) fn clock(&self, at: Timestamp) -> String {
        let zone = &self.plan().config.server.timezone.zone;
        at.to_jiff()
            .to_zoned(zone.clone())
            .strftime("%H:%M:%S %Z")
            .to_string()
    }

    pub(super) fn moment(&self, at: Timestamp) -> Moment {
        Moment::day(at, &self.plan().config.server.timezone.zone)
    }

    /// Counts an attempt to prove something, before anything typed is looked at.
    pub(super) fn count_attempt(&self) -> Result<(), Stop> {
        self.plan()
            .limits
            .admit_sign_in(self.cx.facts.client)
            .inspect_err(|limited| {
                self.portal.metrics.rate_limited(&limited.limit);
            })?;
        Ok(())
    }

    /// Refuses a change that could not be recorded, before it is made.
    pub(super) fn check_log(&self) -> Result<(), Stop> {
        Ok(self.portal.audit.check()?)
    }

    /// Records what happened and gives the result.
    pub(super) async fn told<T>(&self, told: Told<T>) -> Result<T, Stop> {
        self.record(told.events).await?;
        Ok(told.value)
    }

    async fn record(&self, events: Vec<Event>) -> Result<(), Stop> {
        self.portal.record(events, self).await
    }

    /// A page with a form that has to be filled in again.
    pub(super) fn again(&self, answer: Answer) -> Answer {
        answer.status(StatusCode::UNPROCESSABLE_ENTITY)
    }

    /// The same for somebody who has to wait.
    pub(super) fn later(&self, answer: Answer, until: Timestamp) -> Answer {
        let wait = seconds(until.since(self.now()));
        answer
            .status(StatusCode::TOO_MANY_REQUESTS)
            .with(http::header::RETRY_AFTER, &wait)
            .because(crate::base::Reason::RateLimited)
    }
}
