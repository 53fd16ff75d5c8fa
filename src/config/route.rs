//! `[route.NAME]`: one app, who may open it and how its messages are treated.

use std::collections::BTreeSet;
use std::time::Duration;

use http::Method;

use super::answers::{Cors, RouteCookies, RouteHeaders};
use super::source::{At, Spanned};
use super::table::table;
use super::types::{Bytes, HostPattern, PathPrefix, Subject, Target};
use super::words::words;
use crate::base::{Origin, RouteName};

table! {
    /// One app. The name is its id in policies, logs and metrics: `Route::"NAME"`.
    ///
    /// Order never matters: an exact host wins over a wildcard, then the longest wildcard, then the longest path.
    Route ["route.NAME"] {
        /// Host that people open: `"app.example.com"`, or `"*.example.com"` for every name one label below it: `a.example.com`, not `a.b.example.com` and not `example.com`.
        host: Spanned<HostPattern> = required, reload;
        /// Path prefix, in whole segments: `"/api"` matches `/api` and `/api/x`, not `/apix`.
        path: PathPrefix = "/", reload;
        /// Name on the launcher and on pages; the route's name when absent.
        title: Option<String> = none, reload;
        /// One line under the title.
        description: Option<String> = none, reload;
        /// File with the picture on the launcher (SVG or PNG), served from our own origin.
        icon: Option<Spanned<std::path::PathBuf>> = none, reload;
        /// Company that the app belongs to: `Tenant::"..."` in policies.
        tenant: Spanned<String> = "default", reload;
        /// Words that policies can name: `Label::"..."`.
        labels: Vec<Spanned<String>> = [], reload;
        /// Names of the `[listener.NAME]` that serve it, and `"default"` for the addresses of `[server]`. An empty list means `"default"` alone.
        listeners: Vec<Spanned<String>> = [], reload;
        /// Name of the `[upstream.NAME]` behind. Either this or `to`.
        upstream: Spanned<String> = none, reload;
        /// The server behind, when it needs no options: makes an upstream with the route's name.
        to: Option<Spanned<Target>> = none, reload;
        /// Who may open it: `"group:NAME"`, `"user:EMAIL"` or `"everyone"` (everyone who signed in). Becomes the policy `route.NAME.allow`.
        allow: Vec<Spanned<Subject>> = [], reload;
        /// Admits requests without sign-in. Policies that forbid still apply.
        public: bool = false, reload;
        /// Keeps the app off the launcher, and answers 404 instead of 403 when a policy refuses.
        hidden: bool = false, reload;
        /// Carries WebSocket connections, opened over HTTP/1.1 or HTTP/2.
        websocket: bool = true, reload;
        /// Further protocols that a request may upgrade to, as in its `Upgrade` header.
        upgrades: Vec<Spanned<String>> = [], reload;
        /// Origins that may open WebSockets besides the route's own.
        websocket_origins: Vec<Origin> = [], reload;
        /// What a refused person is told.
        explain_deny: Explain = "hint", reload;
        /// Methods that are carried; an empty list admits every registered one but CONNECT and TRACE.
        methods: Vec<Method> = [], reload;
        /// Kinds of paths that are refused elsewhere because readers differ on what they mean.
        path_allows: BTreeSet<PathClass> = [], reload;
        /// Name of a `[rate_limit.NAME]`.
        rate_limit: Option<Spanned<String>> = none, reload;
        /// Largest body of a request, instead of `[server.limits]` body_bytes.
        body_bytes: Option<Bytes> = none, reload;
        /// Sends the client's `Host` on; false sends the target's own name.
        preserve_host: bool = true, reload;
        /// What the upstream learns about the person.
        identity: Identity = {}, reload;
        /// Changes to the headers of responses.
        headers: RouteHeaders = {}, reload;
        /// Changes to the cookies of responses.
        cookies: RouteCookies = {}, reload;
        /// For an upstream that knows nothing of proxies: its own address in `Location`, `Content-Location`, `Refresh` and the `Domain` of cookies becomes the app's.
        rewrite: bool = false, reload;
        /// Further addresses under which the upstream knows itself, such as `"http://intranet:8080"`; with `rewrite`.
        rewrite_from: Vec<Spanned<Origin>> = [], reload;
        /// Pages of other origins that may read responses; without it, that is left to the upstream.
        cors: Option<Cors> = none, reload;
        /// Shorter sessions for this route.
        session: RouteSession = {}, reload;
        /// What the audit log keeps of a request's target.
        audit: RouteAudit = {}, reload;
    }
    derived {
        /// The name in the table's header.
        name: RouteName;
        /// Where that name stands.
        at: At;
    }
}

impl Route {
    /// The name that people read.
    pub(crate) fn title(&self) -> &str {
        self.title.as_deref().unwrap_or(self.name.as_str())
    }
}

words! {
    /// What a refused person is told.
    Explain {
        /// Reason, what to do, and the ids of the policies that decided.
        Full = "full",
        /// Reason and what to do.
        Hint = "hint",
        /// The request id alone.
        None = "none",
    }
}

words! {
    /// Paths that readers understand differently.
    PathClass {
        /// `%2F` in a segment; `%5C` is refused everywhere.
        EncodedSlash = "encoded-slash",
        /// `;` in a segment.
        Semicolon = "semicolon",
        /// Empty segments.
        DoubleSlash = "double-slash",
    }
}

table! {
    /// What the upstream learns about the person.
    Identity ["route.NAME.identity"] {
        /// Sends a signed assertion (ES256 JWT); its keys are at `/.well-known/portcullis/jwks.json`.
        assertion: bool = true, reload;
        /// The assertion's `aud`; the route's name when absent.
        audience: Option<String> = none, reload;
        /// Also sends the e-mail address and groups as plain headers. Only for upstreams that nobody else can reach.
        headers: bool = false, reload;
    }
}

table! {
    /// Shorter sessions for this route. A value longer than the one in `[session]` is an error.
    RouteSession ["route.NAME.session"] {
        /// Age of the sign-in at which this route asks for a new one.
        lifetime: Option<Spanned<Duration>> = none, reload;
        /// Time without a request after which this route asks for a new sign-in.
        idle: Option<Spanned<Duration>> = none, reload;
        /// How old the second factor may be where a policy asks for a fresh one without saying how fresh.
        step_up: Option<Spanned<Duration>> = none, reload;
    }
}

table! {
    /// What the audit log keeps of a request's target.
    RouteAudit ["route.NAME.audit"] {
        /// The path.
        path: AuditPath = "keep", reload;
        /// The query, which often carries personal data.
        query: AuditQuery = "drop", reload;
    }
}

words! {
    /// How the audit log keeps a path.
    AuditPath {
        /// In clear, so that it can be searched.
        Keep = "keep",
        /// Sealed under the person's key.
        Seal = "seal",
    }
}

words! {
    /// How the audit log keeps a query.
    AuditQuery {
        /// Not at all.
        Drop = "drop",
        /// In clear.
        Keep = "keep",
        /// Sealed under the person's key.
        Seal = "seal",
    }
}
