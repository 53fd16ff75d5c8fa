//! One route, compiled: what the stages after the look-up need, ready to be read.

use std::time::Duration;

use http::Method;

use crate::base::{Origin, RouteName};
use crate::config::{self, AuditPath, AuditQuery, Explain, HostPattern};
use crate::message::body::Bound;
use crate::message::response::ResponseRules;
use crate::message::target::folded;
use crate::message::{AdmitError, CleanRequest, Oddities};

/// A route's rules. Immutable; shared by every request that it serves.
#[derive(Debug)]
pub(crate) struct Route {
    /// Position in the table, below its length: an index for what other modules keep per route.
    pub(crate) index: usize,
    pub(crate) name: RouteName,
    pub(crate) title: String,
    pub(crate) description: Option<String>,
    pub(crate) host: HostPattern,
    /// `/`, or `/` and segments without a slash at the end.
    pub(crate) prefix: String,
    /// Name of the upstream behind.
    pub(crate) upstream: String,
    /// Names of the listeners that serve it.
    pub(crate) listeners: Vec<String>,
    /// The upstream does not tell `/Admin` from `/admin`; the prefix is in lower case then.
    pub(crate) ignores_case: bool,
    pub(crate) public: bool,
    pub(crate) hidden: bool,
    pub(crate) explain: Explain,
    /// Empty: every method that is admitted at all.
    pub(crate) methods: Vec<Method>,
    /// Lower case; `websocket` among them where WebSockets are carried.
    pub(crate) upgrades: Vec<String>,
    pub(crate) websocket_origins: Vec<Origin>,
    pub(crate) path_allows: Oddities,
    /// Name of a rate limit.
    pub(crate) rate_limit: Option<String>,
    pub(crate) body: Bound,
    pub(crate) preserve_host: bool,
    pub(crate) identity: Identity,
    pub(crate) responses: ResponseRules,
    pub(crate) session: Session,
    pub(crate) audit_path: AuditPath,
    pub(crate) audit_query: AuditQuery,
}

/// What the upstream learns about the person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) assertion: bool,
    /// `aud` of the assertion.
    pub(crate) audience: String,
    /// Plain headers with address and groups as well.
    pub(crate) headers: bool,
}

/// How long a sign-in holds on this route; none is longer than the general rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) lifetime: Duration,
    pub(crate) idle: Duration,
    pub(crate) step_up: Duration,
}

/// What routes leave to the rest of the configuration.
#[derive(Debug, Clone, Copy)]
pub(super) struct General {
    pub(super) body: Bound,
    pub(super) session: Session,
    pub(super) ignores_case: bool,
}

impl Route {
    pub(super) fn compile(index: usize, written: &config::Route, general: General) -> Self {
        Self {
            index,
            name: written.name.clone(),
            title: written.title().to_owned(),
            description: written.description.clone(),
            host: written.host.value.clone(),
            prefix: if general.ignores_case {
                folded(written.path.as_str()).into_owned()
            } else {
                written.path.as_str().to_owned()
            },
            upstream: written.upstream.value.clone(),
            listeners: Vec::new(),
            ignores_case: general.ignores_case,
            public: written.public,
            hidden: written.hidden,
            explain: written.explain_deny,
            methods: written.methods.clone(),
            upgrades: written
                .upgrades
                .iter()
                .map(|name| name.to_ascii_lowercase())
                .collect(),
            websocket_origins: written.websocket_origins.clone(),
            path_allows: written.path_allows.iter().collect(),
            rate_limit: written.rate_limit.as_ref().map(|name| name.value.clone()),
            body: Bound {
                bytes: written.body_bytes.unwrap_or(general.body.bytes),
                ..general.body
            },
            preserve_host: written.preserve_host,
            identity: identity(written),
            responses: ResponseRules::compile(written),
            session: session(written, general.session),
            audit_path: written.audit.path,
            audit_query: written.audit.query,
        }
    }

    /// Names the listeners that serve it.
    pub(super) fn on(mut self, listeners: Vec<String>) -> Self {
        self.listeners = listeners;
        self
    }

    /// `true` when connections of this listener reach it.
    pub(crate) fn is_on(&self, listener: &str) -> bool {
        self.listeners.iter().any(|own| own == listener)
    }

    /// Methods are compared exactly; an empty list admits all that are known.
    pub(crate) fn carries(&self, method: &Method) -> bool {
        self.methods.is_empty() || self.methods.contains(method)
    }

    /// Refuses a path of a kind that this route does not admit.
    ///
    /// # Errors
    /// [`AdmitError`] as the general admission would give it.
    pub(crate) const fn admit_path(&self, request: &CleanRequest) -> Result<(), AdmitError> {
        request.target().permitted_by(self.path_allows)
    }

    /// Applies what else only the route knows: its methods and its bound of the body.
    ///
    /// # Errors
    /// [`AdmitError`] as the general admission would give it; [`AdmitError::MethodRefused`] wants an `Allow` header.
    pub(crate) fn admit(&self, request: &mut CleanRequest) -> Result<(), AdmitError> {
        if !self.carries(request.method()) {
            return Err(AdmitError::MethodRefused);
        }
        request.bound_body(self.body)
    }
}

fn identity(written: &config::Route) -> Identity {
    let audience = written.identity.audience.as_deref();
    Identity {
        assertion: written.identity.assertion,
        audience: audience.unwrap_or(written.name.as_str()).to_owned(),
        headers: written.identity.headers,
    }
}

fn session(written: &config::Route, general: Session) -> Session {
    let shorter = |own: &Option<config::Spanned<Duration>>, general: Duration| {
        own.as_ref().map_or(general, |own| own.value.min(general))
    };
    Session {
        lifetime: shorter(&written.session.lifetime, general.lifetime),
        idle: shorter(&written.session.idle, general.idle),
        step_up: shorter(&written.session.step_up, general.step_up),
    }
}
