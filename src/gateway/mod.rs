//! The path of one request: refuse what is malformed, find the route, learn who asks, decide, write down, forward.
//!
//! [`Gateway::serve`] never fails; [`Gateway::respond`] is the order of the steps, which is the security argument
//! (`docs/request-path.md`). It waits for nothing, so that only what has to be waited for, a page of our own or an
//! upstream, lives on in a future. One gateway per worker: it owns that worker's upstream connections and shares the rest.

pub(crate) mod answer;
mod again;
mod carry;
mod denial;
pub(crate) mod identity;
mod plain;
mod preflight;
pub(crate) mod record;
pub(crate) mod refusal;
mod stream;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version};
use http_body::Body as _;
use hyper::body::Incoming;

use self::again::Overseer;
use self::answer::Asked;
use self::record::{Ledger, Record};
use self::refusal::{Denied, Refusal};
use self::stream::Stream;
use crate::audit::{self, AnsweredBy, AuditLog, SecurityEvent};
use crate::authn::cookie::Presented;
use crate::authn::session::rules::SessionRules;
use crate::authn::{Authenticator, Authn, BadCredential};
use crate::authz::{AccessRequest, Action, Caller, Circumstances, Permit, Target};
use crate::base::{Facts, Host, Peer, Reason, RequestId};
use crate::config::Limits;
use crate::keys::random;
use crate::limit::{self, TooFast};
use crate::message::body::unread;
use crate::message::cookie::Found;
use crate::message::frames::Flood;
use crate::message::upgrade::UpgradeRefused;
use crate::message::watch::Watched;
use crate::message::{AdmitError, Body, CleanRequest, forwarded, security};
use crate::plan::{Plan, RequestContext};
use crate::portal::{Assertions, Portal};
use crate::route::Route;
use crate::tasks::Tasks;
use crate::telemetry::Metrics;
use crate::tls::Challenges;
use crate::upstream::Pools;

/// What all workers share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) plan: Arc<ArcSwap<Plan>>,
    pub(crate) audit: Arc<AuditLog>,
    pub(crate) authenticator: Arc<Authenticator>,
    pub(crate) assertions: Arc<Assertions>,
    pub(crate) portal: Portal,
    pub(crate) challenges: Arc<Challenges>,
    pub(crate) ledger: Ledger,
}

/// Answers requests on one worker.
#[derive(Debug)]
pub(crate) struct Gateway {
    shared: Arc<Shared>,
    pools: Pools,
    tasks: Tasks,
}

/// A request that went all the way: the answer, and a stream when both sides agreed to one.
struct Carried {
    response: Response<Body>,
    /// Boxed: few requests have one.
    stream: Option<Box<Stream>>,
    /// The answer is the upstream's, so sending it needs the permission to its end.
    permitted: bool,
}

/// What is known of a request under way.
struct Visit {
    asked: Asked,
    cx: RequestContext,
    record: Record,
}

/// How far a request gets without waiting.
enum Begun {
    /// To its end, where it has no place.
    Answered(Response<Body>),
    UnderWay(Box<Visit>, Next),
}

/// What a request has to wait for.
enum Next {
    /// Nothing: it has its answer.
    Answer(Carried),
    OwnPage(Box<CleanRequest>),
    Upstream(Box<Permitted>),
}

/// A request that may go to its upstream.
struct Permitted {
    request: CleanRequest,
    authn: Authn,
    permit: Permit,
    route: Arc<Route>,
}

/// Who may go where, and the proof.
#[derive(Clone, Copy)]
struct Granted<'a> {
    authn: &'a Authn,
    permit: &'a Permit,
    route: &'a Arc<Route>,
}

impl Gateway {
    pub(crate) fn new(shared: Arc<Shared>, tasks: Tasks) -> Self {
        Self {
            shared,
            pools: Pools::new(tasks.clone()),
            tasks,
        }
    }

    /// Bounds of connections accepted from now on.
    pub(crate) fn limits(&self) -> Limits {
        self.shared.plan.load().config.server.limits.clone()
    }

    /// What refusals say that the connection makes before there is a request.
    pub(crate) fn transport_security(&self) -> HeaderValue {
        self.shared.plan.load().message.hsts.clone()
    }

    /// `true` when a TLS handshake for this name may go on at this listener.
    pub(crate) fn shakes_hands(&self, name: &Host, listener: &str) -> bool {
        self.shared.plan.load().shakes_hands(name, listener)
    }

    pub(crate) fn metrics(&self) -> &Arc<Metrics> {
        &self.shared.ledger.metrics
    }

    /// Records a request that could not be parsed and was answered before anybody else could see it.
    pub(crate) fn unparsed(&self, peer: Arc<Peer>, reason: Reason, status: u16) {
        let plan = self.shared.plan.load_full();
        let facts = self.facts(&HeaderMap::new(), peer, &plan);
        if let Ok(slot) = self.shared.audit.reserve() {
            let record = Record::open(
                slot,
                &Request::new(()),
                &facts,
                &plan,
                self.shared.ledger.clone(),
            );
            record.unparsed(reason, status);
        }
    }

    /// Records that a connection was ended for what its client did, where no request's entry says it.
    pub(crate) fn cut(&self, client: IpAddr, kind: &'static str) {
        let now = self.shared.ledger.clock.now();
        let event = SecurityEvent::new(now, audit::Action::ConnectionCut)
            .from(client, None)
            .detail("portcullis.kind", kind);
        self.shared.audit.offer(event);
    }

    /// Records that a connection was ended because its client flooded it.
    pub(crate) fn flooded(&self, peer: &Peer, flood: Flood) {
        let now = self.shared.ledger.clock.now();
        let event = SecurityEvent::new(now, audit::Action::ConnectionFlooded)
            .from(peer.ip(), None)
            .detail("portcullis.flood", flood.code());
        self.shared.audit.offer(event);
    }

    /// Answers one request. Infallible: whatever goes wrong becomes a response and an audit entry.
    pub(crate) fn serve(
        self: &Arc<Self>,
        request: Request<Incoming>,
        peer: Arc<Peer>,
    ) -> impl Future<Output = Response<Body>> + Send + use<> {
        let begun = self.begin(request, peer);
        let gateway = Arc::clone(self);
        async move {
            match begun {
                Begun::Answered(response) => response,
                Begun::UnderWay(visit, next) => gateway.end(visit, next).await,
            }
        }
    }

    /// Everything up to the first wait; the answer where a request gets no further.
    fn begin(&self, request: Request<Incoming>, peer: Arc<Peer>) -> Begun {
        let plan = self.shared.plan.load_full();
        let facts = self.facts(request.headers(), peer, &plan);
        let asked = Asked::of(&request);
        let cx = RequestContext::new(facts, plan);
        let guest = cx.plan.limits.enter(cx.facts.client);
        let slot = match self.shared.audit.reserve() {
            Ok(slot) => slot,
            Err(error) => return Begun::Answered(self.unrecorded(&asked, &cx, error)),
        };
        let ledger = self.shared.ledger.clone();
        let record = Record::open(slot, &request, &cx.facts, &cx.plan, ledger);
        let request = self.keep_content(request);
        // In a box from here on: every hand that it went through would copy it.
        let mut visit = Box::new(Visit { asked, cx, record });
        match guest {
            Ok(guest) => visit.record.hold(guest),
            Err(limited) => return Begun::Answered(self.crowded(limited, *visit)),
        }
        let next = self.respond(request, &visit.cx, &mut visit.record);
        let next = next.unwrap_or_else(|refusal| Next::Answer(self.refuse(&refusal, &mut visit)));
        Begun::UnderWay(visit, next)
    }

    /// Over HTTP/2, content that an answer leaves unread is taken in for a moment, so that the answer is not lost.
    fn keep_content(&self, request: Request<Incoming>) -> Request<Body> {
        let over_h2 = request.version() == Version::HTTP_2;
        request.map(|content| match Body::from(content) {
            content @ Body::Incoming(_) if over_h2 => {
                let (content, rest) = unread::keep(content);
                self.tasks.spawn("unread-content", rest.take_in());
                content
            }
            content => content,
        })
    }

    /// Waits for what is left to wait for, and finishes the answer.
    async fn end(&self, mut visit: Box<Visit>, next: Next) -> Response<Body> {
        let Visit { cx, record, .. } = &mut *visit;
        let outcome = match next {
            Next::Answer(carried) => Ok(carried),
            // Boxed: requests that are carried would take the room for pages along.
            Next::OwnPage(request) => Box::pin(self.own_page(*request, cx, record)).await,
            Next::Upstream(permitted) => {
                let Permitted {
                    request,
                    authn,
                    permit,
                    route,
                } = *permitted;
                let granted = Granted {
                    authn: &authn,
                    permit: &permit,
                    route: &route,
                };
                self.forward(request, granted, cx, record).await
            }
        };
        let carried = outcome.unwrap_or_else(|refusal| self.refuse(&refusal, &mut visit));
        let Visit { asked, cx, record } = *visit;
        self.finish(carried, &asked, &cx, record)
    }

    fn refuse(&self, refusal: &Refusal, visit: &mut Visit) -> Carried {
        let Visit { asked, cx, record } = visit;
        record.refused(refusal.reason());
        if let Refusal::RateLimited(limited) = refusal {
            self.metrics().rate_limited(&limited.limit);
        }
        answer::log(refusal, cx);
        let mut response = answer::response(refusal, asked, cx, &self.shared.portal);
        let listener = cx.facts.peer.listener();
        asked.let_read(response.headers_mut(), listener, &cx.plan);
        Carried::answered(response, record)
    }

    /// Refuses a request of a network that has too many under way. The entry leaves now: a client that does not take
    /// its answers must not hold a place in the log with this one too.
    fn crowded(&self, limited: TooFast, mut visit: Visit) -> Response<Body> {
        let mut response = self.refuse(&limited.into(), &mut visit).response;
        let Visit { asked, cx, record } = visit;
        let length = response.body().size_hint().exact().unwrap_or_default();
        record.close(if asked.expects_no_content(response.status()) {
            0
        } else {
            length
        });
        finish_head(&mut response, &cx);
        asked.leave_out_content(&mut response);
        response
    }

    /// The order of these steps is the security argument; see docs/request-path.md before moving one.
    fn respond(
        &self,
        request: Request<Body>,
        cx: &RequestContext,
        record: &mut Record,
    ) -> Result<Next, Refusal> {
        let RequestContext { facts, plan, .. } = cx;

        let mut request = CleanRequest::admit(request, &facts.peer, &plan.message)?;
        record.admitted_message(&request, Portal::told_path(&request, plan));
        plan.limits.admit_address(facts.client)?;
        let listener = facts.peer.listener();
        if facts.peer.tls.is_none() {
            let answer = plain::answer(&request, listener, plan, &self.shared.challenges);
            return Ok(Next::Answer(Carried::page(answer, record)));
        }
        let (host, owned) = (request.host(), Portal::owns(&request, plan));
        // Of every other host the routes themselves know their listeners.
        if (owned || plan.is_portal(host)) && !plan.serves_on(host, listener) {
            return Err(Refusal::NoRoute);
        }
        if owned {
            return Ok(Next::OwnPage(Box::new(request)));
        }
        let route = plan.routes.find_on(host, request.path(), listener);
        let route = Arc::clone(route.ok_or(Refusal::NoRoute)?);
        record.matched(&route, &request);
        admit_path(&route, &request)?;
        if let Some(answer) = preflight::answer(&request, &route, facts, plan)? {
            return Ok(Next::Answer(Carried::preflight(answer, record)));
        }

        let authn = self.authenticate(&request, facts, &route, plan)?;
        record.identified(&authn);
        let caller = limit::Caller {
            address: facts.client,
            principal: authn.principal_id(),
            route: &route.name,
        };
        plan.limits
            .admit_to_route(route.rate_limit.as_deref(), caller)?;

        let decision = plan
            .policies
            .decide(&question(&authn, &route, &request, facts));
        record.decided(&decision);
        let permit = decision.into_permit().map_err(|denial| {
            let principal = authn.principal().cloned();
            Refusal::Denied(Box::new(Denied {
                denial,
                route: Arc::clone(&route),
                principal,
            }))
        })?;
        // Only now: what a route carries is for those who may know that it exists.
        admit_to(&route, &mut request)?;
        Ok(Next::Upstream(Box::new(Permitted {
            request,
            authn,
            permit,
            route,
        })))
    }

    /// Everything that is still known when the log cannot take an entry: nothing is served.
    fn unrecorded(
        &self,
        asked: &Asked,
        cx: &RequestContext,
        error: audit::Unavailable,
    ) -> Response<Body> {
        let refusal = Refusal::from(error);
        answer::log(&refusal, cx);
        let mut response = answer::response(&refusal, asked, cx, &self.shared.portal);
        security::finish(
            response.headers_mut(),
            cx.facts.peer.tls.is_some(),
            &cx.plan.message,
        );
        asked.leave_out_content(&mut response);
        response
    }

    fn facts(&self, headers: &HeaderMap, peer: Arc<Peer>, plan: &Plan) -> Facts {
        let now = self.shared.ledger.clock.now();
        let client = forwarded::client_address(peer.ip(), headers, &plan.message.trusted_proxies);
        Facts {
            id: RequestId::new(now, random::u64()),
            now,
            peer,
            client,
        }
    }

    async fn own_page(
        &self,
        request: CleanRequest,
        cx: &RequestContext,
        record: &mut Record,
    ) -> Result<Carried, Refusal> {
        if request.is_extended_connect() {
            return Err(UpgradeRefused::NotCarried.into());
        }
        let page = self.shared.portal.serve(request, cx).await;
        if let Some(principal) = page.principal {
            record.identified(&Authn::Known(principal));
        }
        record.refused(page.reason);
        Ok(Carried::answered(page.response, record))
    }

    fn authenticate(
        &self,
        request: &CleanRequest,
        facts: &Facts,
        route: &Route,
        plan: &Plan,
    ) -> Result<Authn, BadCredential> {
        let presented = match plan.message.cookies.session(request.headers()) {
            Found::None => Presented::Nothing,
            Found::One(value) => Presented::One(value),
            Found::Conflict => Presented::Conflicting,
        };
        let found = self.shared.authenticator.sessions.authenticate(
            presented,
            request.host(),
            &session_rules(route),
            facts.now,
        );
        match found {
            // A public route serves whoever has an old or garbled cookie as it serves a stranger.
            Err(
                BadCredential::Unknown
                | BadCredential::Expired
                | BadCredential::Idle
                | BadCredential::Malformed,
            ) if route.public => Ok(Authn::Anonymous),
            other => other,
        }
    }

    /// The last touch on an answer, and the watch on its end.
    fn finish(
        &self,
        carried: Carried,
        asked: &Asked,
        cx: &RequestContext,
        record: Record,
    ) -> Response<Body> {
        let Carried {
            mut response,
            stream,
            permitted,
        } = carried;
        finish_head(&mut response, cx);
        asked.leave_out_content(&mut response);
        if let Some(stream) = stream {
            self.relay(stream, cx.plan.config.audit.stream_interval, record);
            return response;
        }
        let (head, body) = response.into_parts();
        let shared = (permitted && !body.is_end_stream()).then(|| Arc::clone(&self.shared));
        let peer = Arc::clone(&cx.facts.peer);
        let mut watched = Watched::new(
            body,
            Overseer {
                record,
                shared,
                peer,
            },
        );
        if asked.expects_no_content(head.status) {
            watched = watched.without_content();
        }
        Response::from_parts(head, Body::wrap(watched))
    }

    /// Lets an upgraded stream run by itself.
    fn relay(&self, stream: Box<Stream>, interval: Duration, record: Record) {
        let shared = Arc::clone(&self.shared);
        let streams = self.metrics().streams_active.clone();
        streams.inc();
        self.tasks.spawn("upgraded-stream", async move {
            stream.run(shared, interval, record).await;
            streams.dec();
        });
    }
}

impl Carried {
    fn answered(response: Response<Body>, record: &mut Record) -> Self {
        record.answered(response.status().as_u16(), AnsweredBy::Portcullis);
        Self {
            response,
            stream: None,
            permitted: false,
        }
    }

    fn preflight(response: Response<Body>, record: &mut Record) -> Self {
        record.refused(Reason::Preflight);
        Self::answered(response, record)
    }

    fn page(response: Response<Body>, record: &mut Record) -> Self {
        record.refused(if response.status() == StatusCode::FORBIDDEN {
            Reason::NoRoute
        } else {
            Reason::OwnPage
        });
        Self::answered(response, record)
    }
}

/// What every recorded answer gets.
fn finish_head(response: &mut Response<Body>, cx: &RequestContext) {
    security::finish(
        response.headers_mut(),
        cx.facts.peer.tls.is_some(),
        &cx.plan.message,
    );
    let name = &cx.plan.config.server.headers.request_id;
    response.headers_mut().insert(name, cx.id.clone());
}

/// The kinds of paths that only the route admits; before the policies, which read the path. A hidden route looks like
/// none.
fn admit_path(route: &Route, request: &CleanRequest) -> Result<(), Refusal> {
    let hidden = |error| {
        if route.hidden {
            Refusal::NoRoute
        } else {
            Refusal::Malformed(error)
        }
    };
    route.admit_path(request).map_err(hidden)
}

/// What else only the route knows of a message: its methods, its bound, its upgrades.
fn admit_to(route: &Route, request: &mut CleanRequest) -> Result<(), Refusal> {
    route.admit(request).map_err(|error| match error {
        AdmitError::MethodRefused => Refusal::MethodRefused(route.methods.clone()),
        other => Refusal::Malformed(other),
    })?;
    request.settle_upgrade(&route.upgrades, &route.websocket_origins)?;
    Ok(())
}

/// The limits of sessions on a route.
fn session_rules(route: &Route) -> SessionRules {
    SessionRules {
        lifetime: route.session.lifetime,
        idle: route.session.idle,
        step_up: route.session.step_up,
    }
}

fn question<'a>(
    authn: &'a Authn,
    route: &'a Route,
    request: &'a CleanRequest,
    facts: &Facts,
) -> AccessRequest<'a> {
    AccessRequest {
        caller: Caller::from(authn),
        action: Action::Http(request.method().as_str()),
        target: Target::Route(&route.name),
        host: request.host().as_str(),
        path: request.path(),
        client: facts.client,
        now: facts.now,
        id: facts.id,
        circumstances: Circumstances::NONE,
    }
}
