//! The request path without a network, for the programs in `benches/`; nothing else may use it.
//!
//! Every part is the real one, opened as the server opens it: plan, sessions, policies, audit log. The steps are those of
//! `gateway::respond`, in their order, up to the request that would go to the upstream; that request is made and dropped,
//! and an answer of 1 KiB is recorded in its place.

pub mod growth;

use std::collections::BTreeSet;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use futures_util::future::try_join_all;
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use parking_lot::Mutex;
use tokio::runtime::Runtime;

use crate::audit::tree::{FullTile, Tree, leaf_hash};
use crate::audit::{AnsweredBy, Renderer, RequestEntry, Told, Verdict};
use crate::authn::cookie::Presented;
use crate::authn::people::NewPerson;
use crate::authn::session::live::SignInOrigin;
use crate::authn::session::rules::SessionRules;
use crate::authn::session::{Begun, Proven};
use crate::authn::{Authn, Method, Principal};
use crate::authz::{AccessRequest, Action, Caller, Circumstances, Permit, Target};
use crate::base::{Clock, Facts, Host, Peer, RequestId, TlsFacts};
use crate::gateway::identity::statements;
use crate::gateway::record::{Record, admission};
use crate::keys::random;
use crate::limit;
use crate::message::cookie::Found;
use crate::message::response::Came;
use crate::message::{Body, CleanRequest, forwarded, security};
use crate::plan::{Compiled, Plan, RequestContext};
use crate::route::Route;
use crate::server::core::Core;
use crate::store::User;
use crate::upstream::UpstreamRequest;
use crate::upstream::request::Destination;

/// Why a measurement could not be made.
pub type Failure = Box<dyn Error + Send + Sync>;

const ANSWER_BYTES: u64 = 1024;
/// Requests that are ready at once in a turn of a busy worker.
const READY: usize = 8;

/// Whether a policy decision may come from the memory of earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// As in service.
    Used,
    /// Every decision is made anew.
    Bypassed,
}

/// A request as it comes off the wire, not judged yet.
#[derive(Debug)]
pub struct Ask(Request<Body>);

/// A request that was admitted and found its route and its person.
#[derive(Debug)]
pub struct Known {
    request: CleanRequest,
    route: Arc<Route>,
    authn: Authn,
    facts: Facts,
}

/// What the log is told of a request that has ended.
#[derive(Debug, Clone)]
pub struct Entry(Box<RequestEntry>);

/// The log's Merkle tree by itself, in memory.
#[derive(Debug, Default)]
pub struct Leaves {
    tree: Tree,
    full: Vec<FullTile>,
}

impl Leaves {
    /// Hashes `line` and adds it. Full tiles are let go, as the writer does when they are on disk.
    pub fn add(&mut self, line: &[u8]) {
        self.full.clear();
        self.tree.push(leaf_hash(line), &mut self.full);
    }
}

/// An installation with one person, who is signed in on every host.
#[derive(Debug)]
pub struct Site {
    core: Core,
    plan: Arc<Plan>,
    peer: Arc<Peer>,
    cookie: HeaderValue,
    host: Host,
    /// The upstream that answers, and its one server.
    carrier: (Arc<str>, Arc<str>),
    renderer: Mutex<Renderer>,
    /// Drives requests as a worker does.
    runtime: Runtime,
}

impl Site {
    /// Opens what the configuration at `path` names and signs a member of `groups` in on `host`.
    ///
    /// # Errors
    /// Whatever keeps the server from starting.
    pub fn open(path: &Path, host: &str, groups: &[&str]) -> Result<Self, Failure> {
        let Compiled { plan, .. } =
            Plan::load(path, None).map_err(|problems| format!("{problems:?}"))?;
        let core = Core::open(plan, Clock::System)?;
        let plan = core.plan.load_full();
        let host = Host::parse(host)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let cookie = runtime.block_on(sign_in(&core, &plan, &host, groups))?;
        let tls = TlsFacts {
            server_name: host.clone(),
            version: "1.3",
            cipher: "TLS_AES_256_GCM_SHA384",
        };
        let peer = Peer::new(
            "198.51.100.7:50000".parse()?,
            "192.0.2.80:443".parse()?,
            Some(tls),
        );
        Ok(Self {
            renderer: Mutex::new(core.audit.renderer()),
            core,
            plan,
            peer: Arc::new(peer),
            cookie,
            host,
            carrier: ("behind".into(), "http://127.0.0.1:3000".into()),
            runtime,
        })
    }

    /// A browser's request for `path` with the session's cookie.
    ///
    /// # Errors
    /// For a path that is none.
    pub fn ask(&self, path: &str) -> Result<Ask, Failure> {
        let request = Request::get(path)
            .header("host", self.host.as_str())
            .header(
                "user-agent",
                "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
            )
            .header(
                "accept",
                "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            )
            .header("accept-language", "en-GB,en;q=0.5")
            .header("accept-encoding", "gzip, deflate, br")
            .header("sec-fetch-mode", "navigate")
            .header("sec-fetch-site", "same-origin")
            .header("cookie", self.cookie.clone());
        Ok(Ask(request.body(Body::Empty)?))
    }

    /// Takes requests from their admission to their audit entries, as a worker does that always has some ready.
    ///
    /// # Errors
    /// When one is refused, which no request of [`Site::ask`] should be.
    pub fn serve(&self, asks: Vec<Ask>, memory: Memory) -> Result<(), Failure> {
        let mut asks = asks.into_iter().peekable();
        self.runtime.block_on(async {
            while asks.peek().is_some() {
                let ready = asks.by_ref().take(READY);
                try_join_all(ready.map(|ask| self.serve_one(ask, memory))).await?;
            }
            Ok(())
        })
    }

    async fn serve_one(&self, ask: Ask, memory: Memory) -> Result<(), Failure> {
        let (Ask(request), plan) = (ask, &*self.plan);
        let cx = RequestContext::new(self.facts(request.headers()), Arc::clone(&self.plan));
        let facts = &cx.facts;
        let slot = self.core.audit.reserve()?;
        let mut record = Record::open(slot, &request, facts, plan, self.core.ledger.clone());
        let mut request = CleanRequest::admit(request, &facts.peer, &plan.message)?;
        record.admitted_message(&request, request.path());
        plan.limits.admit_address(facts.client).map_err(refused)?;
        let route = plan
            .routes
            .find(request.host(), request.path())
            .ok_or("no route")?;
        record.matched(route, &request);
        route.admit(&mut request)?;
        request
            .settle_upgrade(&route.upgrades, &route.websocket_origins)
            .map_err(refused)?;
        let authn = self.authenticate(request.headers(), request.host(), route, facts)?;
        record.identified(&authn);
        let caller = limit::Caller {
            address: facts.client,
            principal: authn.principal_id(),
            route: &route.name,
        };
        plan.limits
            .admit_to_route(route.rate_limit.as_deref(), caller)
            .map_err(refused)?;
        let asked = question(&authn, route, &request, facts);
        let decision = match memory {
            Memory::Used => plan.policies.decide(&asked),
            Memory::Bypassed => plan.policies.decide_afresh(&asked),
        };
        record.decided(&decision);
        let permit = decision.into_permit().map_err(refused)?;
        self.carry(request, (authn.principal(), &permit), (route, &cx), record)
            .await
    }

    /// The first step alone: what is malformed is refused, the rest has one reading.
    ///
    /// # Errors
    /// As [`Site::serve`].
    pub fn admit(&self, Ask(request): Ask) -> Result<(), Failure> {
        drop(CleanRequest::admit(
            request,
            &self.peer,
            &self.plan.message,
        )?);
        Ok(())
    }

    /// Everything before the decision, to measure the steps that follow by themselves.
    ///
    /// # Errors
    /// As [`Site::serve`].
    pub fn know(&self, Ask(request): Ask) -> Result<Known, Failure> {
        let facts = self.facts(request.headers());
        let request = CleanRequest::admit(request, &facts.peer, &self.plan.message)?;
        let route = self.plan.routes.find(request.host(), request.path());
        let route = Arc::clone(route.ok_or("no route")?);
        let authn = self.authenticate(request.headers(), request.host(), &route, &facts)?;
        Ok(Known {
            request,
            route,
            authn,
            facts,
        })
    }

    /// Finds the route of a request once more.
    #[must_use]
    pub fn find_route(&self, known: &Known) -> bool {
        let (host, path) = (known.request.host(), known.request.path());
        self.plan.routes.find(host, path).is_some()
    }

    /// Looks up the session of a request once more.
    #[must_use]
    pub fn find_session(&self, known: &Known) -> bool {
        let headers = known.request.headers();
        let found = self.authenticate(headers, known.request.host(), &known.route, &known.facts);
        found.is_ok()
    }

    /// Decides about a request once more; `true` when it is allowed.
    #[must_use]
    pub fn decide(&self, known: &Known, memory: Memory) -> bool {
        let asked = question(&known.authn, &known.route, &known.request, &known.facts);
        let decision = match memory {
            Memory::Used => self.plan.policies.decide(&asked),
            Memory::Bypassed => self.plan.policies.decide_afresh(&asked),
        };
        decision.into_permit().is_ok()
    }

    /// The entry of a request that was served, as it is handed to the log's writer.
    #[must_use]
    pub fn entry(&self, known: &Known) -> Entry {
        let Known {
            request,
            route,
            authn,
            facts,
        } = known;
        let decision = self
            .plan
            .policies
            .decide(&question(authn, route, request, facts));
        let target = request.target().path_and_query();
        let tls = facts.peer.tls.as_ref();
        Entry(Box::new(RequestEntry {
            id: facts.id,
            received: facts.now,
            decided: Some(facts.now),
            first_byte: Some(facts.now),
            ended: facts.now,
            client: facts.client,
            peer: facts.peer.ip(),
            tls: tls.map(|tls| (tls.version, tls.cipher)),
            who: authn.principal().cloned().map(|person| person as _),
            host: Some(request.host().clone()),
            route: Some(route.name.clone()),
            method: Some(request.method().clone()),
            protocol: "1.1",
            path: Some(Told::path_of(target)),
            query: target.query().map(|_| Told::query_of(target)),
            user_agent: request.headers().get("user-agent").cloned(),
            verdict: Verdict::Allow,
            policies: decision.shared_policies(),
            reason: decision.reason(),
            probe: None,
            answered_by: AnsweredBy::Upstream,
            upstream: Some(self.carrier.clone()),
            status: StatusCode::OK.as_u16(),
            request_bytes: 0,
            response_bytes: ANSWER_BYTES,
            revision: Arc::clone(&self.plan.revision),
        }))
    }

    /// Renders and seals the line of an entry, which is the writer's work; nothing is written.
    ///
    /// # Errors
    /// When the person's key cannot be had.
    pub fn seal(&self, Entry(entry): Entry, number: u64) -> Result<Vec<u8>, Failure> {
        Ok(self.renderer.lock().line_of(entry, number)?)
    }

    /// What follows a decision: identity, journal, the request for the upstream, the entry.
    async fn carry(
        &self,
        request: CleanRequest,
        (principal, permit): (Option<&Arc<Principal>>, &Permit),
        (route, cx): (&Route, &RequestContext),
        mut record: Record,
    ) -> Result<(), Failure> {
        let RequestContext { facts, plan, .. } = cx;
        let group = Arc::clone(plan.upstream_of(route).ok_or("no upstream")?);
        let destination = Destination {
            group: &group,
            preserve_host: route.preserve_host,
            statements: statements(&self.core.assertions, principal, route, cx)?,
            ended: principal.map(|principal| principal.session.cancelled.clone()),
        };
        let receipt = record
            .admit(admission(permit, route, &request, facts))
            .await?;
        let onward = request.onward(facts.client, &facts.peer, &plan.message);
        drop(UpstreamRequest::build(
            onward,
            permit,
            &receipt,
            destination,
        ));
        record.carried(&group.name, Some(&self.carrier.1), None);
        record.answered(StatusCode::OK.as_u16(), AnsweredBy::Upstream);
        let mut headers = HeaderMap::new();
        security::from_upstream(
            StatusCode::OK,
            &mut headers,
            &plan.message,
            &route.responses,
            &Came::nowhere(),
        );
        security::finish(&mut headers, true, &plan.message);
        record.close(ANSWER_BYTES);
        Ok(())
    }

    fn facts(&self, headers: &HeaderMap) -> Facts {
        let now = self.core.ledger.clock.now();
        let client =
            forwarded::client_address(self.peer.ip(), headers, &self.plan.message.trusted_proxies);
        Facts {
            id: RequestId::new(now, random::u64()),
            now,
            peer: Arc::clone(&self.peer),
            client,
        }
    }

    fn authenticate(
        &self,
        headers: &HeaderMap,
        host: &Host,
        route: &Route,
        facts: &Facts,
    ) -> Result<Authn, Failure> {
        let presented = match self.plan.message.cookies.session(headers) {
            Found::None => Presented::Nothing,
            Found::One(value) => Presented::One(value),
            Found::Conflict => Presented::Conflicting,
        };
        let (session, sessions) = (&route.session, &self.core.authenticator.sessions);
        let rules = SessionRules {
            lifetime: session.lifetime,
            idle: session.idle,
            step_up: session.step_up,
        };
        sessions
            .authenticate(presented, host, &rules, facts.now)
            .map_err(refused)
    }

    /// Places taken in the audit log: entries that its writer has not written yet.
    #[must_use]
    pub fn unwritten(&self) -> usize {
        self.core.audit.stats().queue
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

fn refused(why: impl std::fmt::Debug) -> Failure {
    format!("{why:?}").into()
}

/// A person with a session on `host`; gives the request header that carries it.
async fn sign_in(
    core: &Core,
    plan: &Plan,
    host: &Host,
    groups: &[&str],
) -> Result<HeaderValue, Failure> {
    let person = NewPerson {
        login: "alice".to_owned(),
        email: Some("alice@example.com".to_owned()),
        name: Some("Alice Example".to_owned()),
        groups: groups
            .iter()
            .map(|&group| group.to_owned())
            .collect::<BTreeSet<_>>(),
        tenant: "default".to_owned(),
        contractor: false,
    };
    let now = core.ledger.clock.now();
    let user: User = core.authenticator.people.add(person, now).await?.value;
    let proven = Proven {
        user: &user,
        methods: vec![Method::Password, Method::Totp],
        origin: SignInOrigin::default(),
    };
    let rules = plan.authn_rules();
    let begun = core
        .authenticator
        .sessions
        .begin(proven, host, (&rules.session, rules.per_user), now)
        .await?;
    let Begun { cookie, .. } = begun;
    let pair = format!(
        "theme=dark; {}={}",
        plan.message.cookies.session_name(),
        cookie.expose()
    );
    Ok(HeaderValue::try_from(pair)?)
}
