//! Our own pages: signing in, second factors, enrolment, the launcher, a person's account, hand-over between hosts.
//!
//! [`routes::ROUTES`] lists them all with who may call them; [`Portal::serve`] checks that, and everything that is
//! true of every form, in one place. Handlers ask `authn` and draw `pages`; whether somebody may open an app is
//! `authz`'s answer alone.

mod answer;
mod apps;
mod assertion;
mod assets;
mod browser;
mod confirm;
mod destination;
mod enrol;
mod events;
pub(crate) mod form;
mod handover;
mod recovery_codes;
mod routes;
mod second_factor;
mod sessions;
mod sign_in;
mod sign_out;
mod theme;
mod visit;
mod wellknown;

use std::sync::Arc;

use http::{HeaderMap, Method, Response, StatusCode};

use self::answer::{Answer, Outcome, Stop, extra};
use self::form::Fields;
use self::recovery_codes::Shown;
use self::routes::{Endpoint, Found, Page, Verb, Who};
use self::visit::{Token, Visit};
use crate::audit::AuditLog;
use crate::authn::return_to::ReturnTo;
use crate::authn::{Authenticator, Principal};
use crate::base::Reason;
use crate::config::HostPattern;
use crate::message::{Body, CleanRequest};
use crate::pages::{
    self, CookieRefused, Failed, FormExpired, Frame, Mishap, Moment, Page as _, paths,
};
use crate::plan::{Plan, RequestContext};
use crate::telemetry::Metrics;

pub(crate) use assertion::Assertions;

/// Serves our own pages; shared by all workers.
#[derive(Debug)]
pub(crate) struct Portal {
    auth: Arc<Authenticator>,
    audit: Arc<AuditLog>,
    assertions: Arc<Assertions>,
    metrics: Arc<Metrics>,
    /// Recovery codes that have just been made.
    codes: Shown,
}

/// The answer of a page of ours, and what the request's entry has to say of it.
#[derive(Debug)]
pub(crate) struct OwnPage {
    pub(crate) response: Response<Body>,
    pub(crate) principal: Option<Arc<Principal>>,
    pub(crate) reason: Reason,
}

impl Portal {
    pub(crate) fn new(
        auth: Arc<Authenticator>,
        audit: Arc<AuditLog>,
        assertions: Arc<Assertions>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            auth,
            audit,
            assertions,
            metrics,
            codes: Shown::default(),
        }
    }

    /// Is this one of our own pages? On every known host what lies below our two prefixes; on the portal's host also
    /// our pages, and whatever no route has by a prefix of its own. A wildcard route never takes the portal's host.
    pub(crate) fn owns(request: &CleanRequest, plan: &Plan) -> bool {
        let (host, path) = (request.host(), request.path());
        if path.starts_with(paths::OWN) || path.starts_with(paths::WELL_KNOWN) {
            return plan.serves(host);
        }
        let of_a_route = || {
            let route = plan.routes.find(host, path);
            route.is_some_and(|route| {
                route.prefix != "/" && route.host == HostPattern::Exact(host.clone())
            })
        };
        plan.is_portal(host) && (routes::exists(path, true) || !of_a_route())
    }

    /// The path as a log may tell it: the secret part of an enrolment link opens an account.
    pub(crate) fn told_path<'a>(request: &'a CleanRequest, plan: &Plan) -> &'a str {
        let path = request.path();
        if !plan.is_portal(request.host()) {
            return path;
        }
        match routes::find(&Method::GET, path, true) {
            Found::Page(endpoint) if endpoint.page == Page::Enrol => paths::ENROL,
            Found::Page(_) | Found::Method(_) | Found::Nothing => path,
        }
    }

    /// Answers a request for one of our own pages. Infallible.
    pub(crate) async fn serve(&self, request: CleanRequest, cx: &RequestContext) -> OwnPage {
        let on_portal = cx.plan.is_portal(request.host());
        let wants_page = request.wants_page();
        let (stop, person) = match self.respond(request, cx).await {
            Ok(page) => return page,
            Err(refused) => refused,
        };
        if let Stop::Answer(answer) = stop {
            return OwnPage {
                response: answer.response,
                principal: answer.person.or(person),
                reason: answer.reason,
            };
        }
        let header = extra(&stop);
        let mishap = match stop {
            Stop::Mishap(mishap) => mishap,
            Stop::Method(_) | Stop::Answer(_) => Mishap::Method,
        };
        let mut answer = failed(&mishap, cx, (on_portal, wants_page));
        if let Some((name, value)) = header {
            answer = answer.with(name, &value);
        }
        OwnPage {
            response: answer.response,
            principal: person,
            reason: answer.reason,
        }
    }

    /// The checks that hold for every page, in their order.
    async fn respond(
        &self,
        mut request: CleanRequest,
        cx: &RequestContext,
    ) -> Result<OwnPage, (Stop, Option<Arc<Principal>>)> {
        let nobody = |stop: Stop| (stop, None);
        let on_portal = cx.plan.is_portal(request.host());
        let endpoint = match routes::find(request.method(), request.path(), on_portal) {
            Found::Page(endpoint) => endpoint,
            Found::Method(allowed) => return Err(nobody(Stop::Method(allowed))),
            Found::Nothing => return Err(nobody(Mishap::NoPage.into())),
        };
        let (body, wants_page) = (request.take_body(), request.wants_page());
        let visit = Visit::open(self, cx, request).map_err(nobody)?;
        let outcome = visit.answer(endpoint, body, wants_page).await;
        let mut answer = outcome.map_err(|stop| (stop, visit.person.clone()))?;
        let is_page = answer
            .response
            .headers()
            .get(http::header::CONTENT_TYPE)
            .is_some_and(|kind| kind == pages::CONTENT_TYPE);
        if is_page && on_portal {
            answer = answer.cookie(visit.new_binding());
        }
        let principal = answer.person.take().or_else(|| visit.person.clone());
        Ok(OwnPage {
            response: answer.response,
            principal,
            reason: answer.reason,
        })
    }

    /// 303 to the sign-in page for somebody who wanted `address`. `headers` are the request's, or its cookies: a
    /// browser keeps the flow cookie it has, so that several tabs may go at once. `None` when `address` is not ours.
    pub(crate) fn to_sign_in(
        &self,
        address: &str,
        headers: &HeaderMap,
        cx: &RequestContext,
    ) -> Option<Response<Body>> {
        handover::begin(address, headers, cx).map(|answer| answer.response)
    }

    /// Address of the page that asks for a fresh second factor, for a refused `method` on `address`.
    pub(crate) fn confirm_address(
        &self,
        address: &str,
        method: &Method,
        cx: &RequestContext,
    ) -> String {
        confirm::address(address, method, &cx.plan)
    }
}

impl Visit<'_> {
    async fn answer(&self, endpoint: &Endpoint, body: Body, wants_page: bool) -> Outcome {
        let mut fields = Fields::default();
        if endpoint.verb == Verb::Post {
            let limits = &self.plan().config.server.limits;
            fields = form::read(self.headers(), body, limits).await?;
            self.check_sender(endpoint, &fields)?;
        }
        self.check_caller(endpoint.who, endpoint.verb, wants_page)?;
        let answer = routes::call(endpoint, self, &fields).await?;
        let spoken_for = answer.sets_session(self.plan().message.cookies.session_name());
        Ok(if self.stale_session && !spoken_for {
            answer.cookie(self.clear_session())
        } else {
            answer
        })
    }

    /// Changes come from our own forms only (OWASP: token bound to the browser, and the browser's own word).
    fn check_sender(&self, endpoint: &Endpoint, fields: &Fields) -> Result<(), Stop> {
        if !self.is_same_origin() {
            return Err(Mishap::CrossSite.into());
        }
        let again = || {
            let Found::Page(page) = routes::find(&Method::GET, self.path(), true) else {
                return paths::APPS.to_owned();
            };
            if page.page == Page::Enrol {
                self.path().to_owned()
            } else {
                self.destination(fields).after(page.path)
            }
        };
        let answer = match self.judge_token(fields) {
            Token::Good => return Ok(()),
            // The sign-in page shows itself again and keeps what was typed.
            Token::Stale if endpoint.page == Page::GivePassword => return Ok(()),
            Token::Stale => Answer::page(&FormExpired {
                frame: self.frame(),
                again: again(),
                request_id: self.cx.facts.id,
            }),
            Token::NoCookie => Answer::page(&CookieRefused {
                frame: self.frame(),
                host: self.authority().host.to_string(),
                again: again(),
                request_id: self.cx.facts.id,
            }),
        };
        let answer = answer
            .status(StatusCode::FORBIDDEN)
            .because(Reason::CrossSiteRequest);
        Err(answer.cookie(self.new_binding()).into())
    }

    fn check_caller(&self, who: Who, verb: Verb, wants_page: bool) -> Result<(), Stop> {
        match who {
            Who::Anyone => Ok(()),
            Who::HalfWay => {
                let cookie = self.cookie(crate::authn::cookie::SIGN_IN);
                let half_way =
                    cookie.and_then(|cookie| self.portal.auth.sign_in.half_way(cookie, self.now()));
                half_way
                    .map(|_email| ())
                    .ok_or_else(|| sign_in::start_again(self).into())
            }
            Who::SignedIn | Who::Fresh if self.person.is_none() => {
                if verb == Verb::Get && wants_page {
                    Err(Answer::to(&self.here_after_sign_in())
                        .because(Reason::SignInRequired)
                        .into())
                } else if self.stale_session {
                    Err(Mishap::CredentialRejected.into())
                } else {
                    Err(Mishap::SignInRequired.into())
                }
            }
            Who::SignedIn => Ok(()),
            Who::Fresh => {
                let rules = self.portal.auth.rules().session;
                let verified = self.signed_in()?.session.verified_at;
                if rules.is_fresh(verified, self.now()) {
                    Ok(())
                } else {
                    Err(confirm::first(self).into())
                }
            }
        }
    }

    fn here_after_sign_in(&self) -> String {
        let bare = self.path() == paths::APPS && self.target().query().is_none();
        let to = ReturnTo::of(self.authority(), self.target().as_str()).filter(|_| !bare);
        to.map_or_else(
            || paths::SIGN_IN.to_owned(),
            |to| destination::Destination::of(to).after(paths::SIGN_IN),
        )
    }
}

/// A mishap as a page for people, as a document for programs.
fn failed(mishap: &Mishap, cx: &RequestContext, (on_portal, wants_page): (bool, bool)) -> Answer {
    let status = StatusCode::from_u16(mishap.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let answer = if wants_page {
        let portal = if on_portal {
            String::new()
        } else {
            cx.plan.portal_origin()
        };
        let page = Failed {
            frame: Frame::bare(Arc::clone(&cx.plan.brand), portal),
            mishap: mishap.clone(),
            request_id: cx.facts.id,
            at: Moment::exact(cx.facts.now, &cx.plan.config.server.timezone.zone),
        };
        Answer::of(status, pages::CONTENT_TYPE, page.html())
    } else {
        Answer::of(
            status,
            pages::PROBLEM_JSON,
            mishap.problem(cx.facts.id).json(),
        )
    };
    answer.because(mishap.reason())
}
