//! What a request leaves behind: the admission before it is forwarded, the entry when it has ended.
//!
//! Callers give facts; number, sealing and hash belong to the log. No body, cookie, code or credential has
//! a field here, so none can be recorded by mistake.
#![deny(clippy::wildcard_enum_match_arm)]

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use super::line::{Fields, LONG, SHORT};
use crate::base::{PolicyId, PrincipalId, Reason, RequestId, RouteName, SessionId, Timestamp};

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

/// A path or query as the route wants it recorded.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) text: String,
    /// `true`: personal on this route, goes into the sealed field.
    pub(crate) sealed: bool,
}

impl Told {
    pub(crate) fn clear(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            sealed: false,
        }
    }

    pub(crate) fn sealed(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            sealed: true,
        }
    }
}

/// What would have helped a refused caller (D33).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Probe {
    pub(crate) step_up: bool,
    pub(crate) grant: bool,
    pub(crate) device: bool,
}

/// Everything about one ended request; one per request.
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
    pub(crate) who: Option<Who>,
    pub(crate) host: Option<String>,
    pub(crate) route: Option<RouteName>,
    pub(crate) method: String,
    /// `"1.1"`, `"2"`.
    pub(crate) protocol: &'static str,
    pub(crate) path: Option<Told>,
    pub(crate) query: Option<Told>,
    /// Personal, sealed.
    pub(crate) user_agent: Option<String>,
    pub(crate) verdict: Verdict,
    pub(crate) policies: Vec<PolicyId>,
    pub(crate) reason: Reason,
    pub(crate) probe: Option<Probe>,
    pub(crate) answered_by: AnsweredBy,
    /// Name of the upstream and the target that was used.
    pub(crate) upstream: Option<(String, String)>,
    /// `0` when no response was begun.
    pub(crate) status: u16,
    pub(crate) request_bytes: u64,
    pub(crate) response_bytes: u64,
    pub(crate) config_hash: Arc<str>,
    pub(crate) policy_hash: Arc<str>,
}

impl RequestEntry {
    /// Writes the clear and the personal half.
    pub(super) fn write(&self, clear: &mut Fields, personal: &mut Fields) {
        clear.text("event.name", "http.request", SHORT);
        clear.text("portcullis.request.id", &self.id.to_string(), SHORT);
        write_who(self.who.as_ref(), clear, personal);
        personal.text("client.address", &self.client.to_string(), SHORT);
        personal.text("network.peer.address", &self.peer.to_string(), SHORT);
        personal.text_if("user_agent.original", self.user_agent.as_deref(), SHORT);
        if let Some((version, cipher)) = self.tls {
            clear.text("tls.protocol.version", version, SHORT);
            clear.text("tls.cipher", cipher, SHORT);
        }
        self.write_message(clear, personal);
        self.write_outcome(clear);
        self.write_times(clear);
    }

    fn write_message(&self, clear: &mut Fields, personal: &mut Fields) {
        clear.text("network.protocol.version", self.protocol, SHORT);
        clear.text_if("server.address", self.host.as_deref(), SHORT);
        clear.text_if(
            "http.route",
            self.route.as_ref().map(RouteName::as_str),
            SHORT,
        );
        clear.text("http.request.method", &self.method, SHORT);
        for (name, told) in [("url.path", &self.path), ("url.query", &self.query)] {
            if let Some(told) = told {
                let half = if told.sealed {
                    &mut *personal
                } else {
                    &mut *clear
                };
                half.text(name, &told.text, LONG);
            }
        }
    }

    fn write_outcome(&self, clear: &mut Fields) {
        if self.status != 0 {
            clear.number("http.response.status_code", u64::from(self.status));
        }
        clear.text("portcullis.decision", self.verdict.code(), SHORT);
        clear.text("portcullis.reason", self.reason.code(), SHORT);
        clear.text("portcullis.answered_by", self.answered_by.code(), SHORT);
        if !self.policies.is_empty() {
            clear.list(
                "security_rule.name",
                self.policies.iter().map(PolicyId::as_str),
                LONG,
            );
        }
        if !self.policy_hash.is_empty() {
            let ruleset = format!("policies@{}", self.policy_hash);
            clear.text("security_rule.ruleset.name", &ruleset, SHORT);
        }
        if !self.config_hash.is_empty() {
            clear.text("portcullis.config.hash", &self.config_hash, SHORT);
        }
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

    fn write_times(&self, clear: &mut Fields) {
        clear.text("portcullis.received", &self.received.to_string(), SHORT);
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

    /// Whose key seals the personal half; `None` for the anonymous.
    pub(super) fn subject(&self) -> Option<&PrincipalId> {
        self.who.as_ref().map(|who| &who.id)
    }
}

pub(super) fn write_who(who: Option<&Who>, clear: &mut Fields, personal: &mut Fields) {
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
