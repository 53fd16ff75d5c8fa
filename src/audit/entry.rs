//! What a request leaves behind: the admission before it is forwarded, the entry when it has ended.
//!
//! Callers give facts; number, sealing and hash belong to the log. No body, cookie, code or credential has
//! a field here, so none can be recorded by mistake.
#![deny(clippy::wildcard_enum_match_arm)]

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use http::uri::PathAndQuery;
use http::{HeaderValue, Method};

use super::line::{Fields, Fragment, LONG, SHORT};
use super::render::Portrait;
use crate::base::{
    Host, PolicyId, PrincipalId, Reason, RequestId, RouteName, SessionId, Timestamp,
};

/// Who asked, as far as it was proven.
#[derive(Debug, Clone)]
pub(crate) struct Who {
    pub(crate) id: PrincipalId,
    /// Personal, sealed.
    pub(crate) email: Arc<str>,
    /// Personal, sealed.
    pub(crate) name: Arc<str>,
    pub(crate) groups: Arc<BTreeSet<String>>,
    pub(crate) tenant: Option<Arc<str>>,
    pub(crate) session: Option<SessionId>,
    /// How it was proven: `password`, `totp`, `recovery-code`.
    pub(crate) methods: Vec<&'static str>,
}

/// Who asked, shared with whoever proved it: told in full only when the writer has not told of them a moment ago.
pub(crate) trait Person: fmt::Debug + Send + Sync {
    fn id(&self) -> &PrincipalId;
    fn session(&self) -> Option<&SessionId>;
    fn who(&self) -> Who;
}

/// Which configuration and policies were in force, by their hashes; empty where there were none.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Revision {
    pub(crate) config: Box<str>,
    pub(crate) policies: Box<str>,
}

/// What the policies said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Allow,
    Deny,
    /// The request ended before anything was decided, or asked for one of our own pages.
    Undecided,
}

impl Verdict {
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Undecided => "none",
        }
    }
}

/// Who wrote the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AnsweredBy {
    Upstream,
    Portcullis,
}

impl AnsweredBy {
    const fn code(self) -> &'static str {
        match self {
            Self::Upstream => "upstream",
            Self::Portcullis => "portcullis",
        }
    }
}

/// A path or query as the route wants it recorded. It shares the bytes of the request.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    text: Text,
    /// As many bytes of it are kept, in whole characters.
    most: usize,
    /// `true`: personal on this route, goes into the sealed field.
    sealed: bool,
}

#[derive(Debug, Clone)]
enum Text {
    PathOf(PathAndQuery),
    QueryOf(PathAndQuery),
    Own(Cow<'static, str>),
}

impl Told {
    const fn new(text: Text) -> Self {
        Self {
            text,
            most: usize::MAX,
            sealed: false,
        }
    }

    /// The path of `target`, in clear.
    pub(crate) fn path_of(target: &PathAndQuery) -> Self {
        Self::new(Text::PathOf(target.clone()))
    }

    /// The query of `target`, in clear.
    pub(crate) fn query_of(target: &PathAndQuery) -> Self {
        Self::new(Text::QueryOf(target.clone()))
    }

    /// Other words, in clear.
    pub(crate) fn as_if(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Text::Own(text.into()))
    }

    /// No more than the first `most` bytes.
    #[must_use]
    pub(crate) const fn beginning(mut self, most: usize) -> Self {
        self.most = most;
        self
    }

    /// All of it, for everybody to read or not.
    pub(crate) const fn whole(&mut self, sealed: bool) {
        self.most = usize::MAX;
        self.sealed = sealed;
    }

    #[must_use]
    pub(crate) const fn sealed(mut self, sealed: bool) -> Self {
        self.sealed = sealed;
        self
    }

    pub(crate) fn text(&self) -> &str {
        let text = match &self.text {
            Text::PathOf(target) => target.path(),
            Text::QueryOf(target) => target.query().unwrap_or_default(),
            Text::Own(text) => text,
        };
        text.get(..text.floor_char_boundary(self.most))
            .unwrap_or_default()
    }
}

/// What would have helped a refused caller (D33).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Probe {
    pub(crate) step_up: bool,
    pub(crate) grant: bool,
    pub(crate) device: bool,
}

/// Everything about one ended request; one per request. What it names it shares: making it copies no text.
#[derive(Debug, Clone)]
pub(crate) struct RequestEntry {
    pub(crate) id: RequestId,
    pub(crate) received: Timestamp,
    pub(crate) decided: Option<Timestamp>,
    /// First byte of the response towards the client.
    pub(crate) first_byte: Option<Timestamp>,
    pub(crate) ended: Timestamp,
    /// The person's address; personal, sealed.
    pub(crate) client: IpAddr,
    /// The connection's address; personal, sealed.
    pub(crate) peer: IpAddr,
    pub(crate) tls: Option<(&'static str, &'static str)>,
    pub(crate) who: Option<Arc<dyn Person>>,
    pub(crate) host: Option<Host>,
    pub(crate) route: Option<RouteName>,
    /// `None` when no request could be read.
    pub(crate) method: Option<Method>,
    /// `"1.1"`, `"2"`.
    pub(crate) protocol: &'static str,
    pub(crate) path: Option<Told>,
    pub(crate) query: Option<Told>,
    /// Personal, sealed; left out when it is no visible ASCII.
    pub(crate) user_agent: Option<HeaderValue>,
    pub(crate) verdict: Verdict,
    pub(crate) policies: Arc<[PolicyId]>,
    pub(crate) reason: Reason,
    pub(crate) probe: Option<Probe>,
    pub(crate) answered_by: AnsweredBy,
    /// Name of the upstream and the target that was used.
    pub(crate) upstream: Option<(Arc<str>, Arc<str>)>,
    /// `0` when no response was begun.
    pub(crate) status: u16,
    pub(crate) request_bytes: u64,
    pub(crate) response_bytes: u64,
    pub(crate) revision: Arc<Revision>,
}

impl RequestEntry {
    /// Writes the clear and the personal half. What they say of the person and of what was in force is spelt already.
    pub(super) fn write(
        &self,
        (portrait, in_force): (Option<&Portrait>, &Fragment),
        clear: &mut Fields<'_>,
        personal: &mut Fields<'_>,
    ) {
        clear.word("event.name", "http.request");
        clear.request("portcullis.request.id", self.id);
        if let Some(portrait) = portrait {
            clear.splice(&portrait.clear);
            personal.splice(&portrait.personal);
        }
        personal.address("client.address", self.client);
        personal.address("network.peer.address", self.peer);
        let user_agent = self.user_agent.as_ref();
        let user_agent = user_agent.and_then(|agent| agent.to_str().ok());
        personal.text_if("user_agent.original", user_agent, SHORT);
        if let Some((version, cipher)) = self.tls {
            clear.word("tls.protocol.version", version);
            clear.word("tls.cipher", cipher);
        }
        self.write_message(clear, personal);
        self.write_outcome(clear, in_force);
        self.write_times(clear);
    }

    fn write_message(&self, clear: &mut Fields<'_>, personal: &mut Fields<'_>) {
        clear.word("network.protocol.version", self.protocol);
        clear.text_if(
            "server.address",
            self.host.as_ref().map(Host::as_str),
            SHORT,
        );
        clear.text_if(
            "http.route",
            self.route.as_ref().map(RouteName::as_str),
            SHORT,
        );
        let method = self.method.as_ref().map_or("", Method::as_str);
        clear.text("http.request.method", method, SHORT);
        for (name, told) in [("url.path", &self.path), ("url.query", &self.query)] {
            if let Some(told) = told {
                if told.sealed {
                    personal.text(name, told.text(), LONG);
                } else {
                    clear.text(name, told.text(), LONG);
                }
            }
        }
    }

    fn write_outcome(&self, clear: &mut Fields<'_>, in_force: &Fragment) {
        if self.status != 0 {
            clear.number("http.response.status_code", u64::from(self.status));
        }
        clear.word("portcullis.decision", self.verdict.code());
        clear.word("portcullis.reason", self.reason.code());
        clear.word("portcullis.answered_by", self.answered_by.code());
        if !self.policies.is_empty() {
            clear.list(
                "security_rule.name",
                self.policies.iter().map(PolicyId::as_str),
                LONG,
            );
        }
        clear.splice(in_force);
        if let Some(probe) = self.probe {
            clear.flag("portcullis.probe.step_up", probe.step_up);
            clear.flag("portcullis.probe.grant", probe.grant);
            clear.flag("portcullis.probe.device", probe.device);
        }
        if let Some((name, target)) = &self.upstream {
            clear.text("portcullis.upstream", name, SHORT);
            clear.text("portcullis.upstream.target", target, SHORT);
        }
    }

    fn write_times(&self, clear: &mut Fields<'_>) {
        clear.time("portcullis.received", self.received);
        clear.millis("duration_ms", self.ended.since(self.received));
        if let Some(at) = self.decided {
            clear.millis("portcullis.decided_ms", at.since(self.received));
        }
        if let Some(at) = self.first_byte {
            clear.millis("portcullis.first_byte_ms", at.since(self.received));
        }
        clear.number("http.request.body.size", self.request_bytes);
        clear.number("http.response.body.size", self.response_bytes);
    }
}

impl Revision {
    pub(super) fn write(&self, clear: &mut Fields<'_>) {
        if !self.policies.is_empty() {
            let ruleset = format!("policies@{}", self.policies);
            clear.text("security_rule.ruleset.name", &ruleset, SHORT);
        }
        if !self.config.is_empty() {
            clear.text("portcullis.config.hash", &self.config, SHORT);
        }
    }
}

pub(super) fn write_who(who: Option<&Who>, clear: &mut Fields<'_>, personal: &mut Fields<'_>) {
    let Some(who) = who else { return };
    clear.text("user.id", who.id.as_str(), SHORT);
    if !who.email.is_empty() {
        personal.text("user.email", &who.email, SHORT);
    }
    if !who.name.is_empty() {
        personal.text("user.full_name", &who.name, SHORT);
    }
    if !who.groups.is_empty() {
        clear.list("user.roles", who.groups.iter().map(String::as_str), LONG);
    }
    clear.text_if("portcullis.tenant", who.tenant.as_deref(), SHORT);
    clear.text_if(
        "session.id",
        who.session.as_ref().map(SessionId::as_str),
        SHORT,
    );
    if !who.methods.is_empty() {
        clear.list(
            "portcullis.session.methods",
            who.methods.iter().copied(),
            LONG,
        );
    }
}

/// What is known when a request is let through: enough to say afterwards that it was, should the process die.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Admission<'a> {
    pub(crate) id: RequestId,
    pub(crate) received: Timestamp,
    pub(crate) client: IpAddr,
    pub(crate) principal: Option<&'a PrincipalId>,
    pub(crate) session: Option<&'a SessionId>,
    pub(crate) route: &'a RouteName,
    pub(crate) method: &'a str,
    pub(crate) host: &'a str,
    pub(crate) path: &'a str,
    /// As [`Told::sealed`].
    pub(crate) path_sealed: bool,
    pub(crate) policies: &'a [PolicyId],
}
