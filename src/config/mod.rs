//! What the operator wrote: `portcullis.toml` read into plain types, every finding reported at once.
//!
//! Reads files and nothing else: no socket, no clock, no decision about a request. What the values mean is
//! compiled by the modules below; they add their findings to the same [`Problems`].

mod answers;
mod audit;
mod auth;
mod check;
mod codes;
mod collections;
mod include;
mod later;
mod listener;
mod load;
mod nearest;
mod problem;
mod process;
mod reader;
mod reference;
mod render;
mod route;
mod rules;
mod secret;
mod server;
mod source;
mod starter;
mod storage;
mod table;
mod tls;
mod tree;
mod types;
mod units;
mod upstream;
mod values;
mod words;

use std::collections::BTreeMap;
use std::path::PathBuf;

pub(crate) use answers::{CookieDomain, CookieSameSite, Cors, CorsOrigin, HeaderKey, RouteCookies};
pub(crate) use audit::{Audit, Durability, Format, Level, OnFailure, Telemetry};
pub(crate) use auth::{Auth, PasswordCost, Session};
pub(crate) use check::DEFAULT_TENANT;
pub(crate) use codes::find as find_code;
pub(crate) use listener::Listener;
pub(crate) use load::{Loaded, compile, load, locate};
pub(crate) use nearest::{Candidates, find as nearest};
pub(crate) use problem::{Problem, Problems, Severity};
pub(crate) use process::{Mechanism, Process};
pub(crate) use reference::{explain as explain_key, markdown as reference};
pub(crate) use route::{AuditPath, AuditQuery, Explain, PathClass, Route};
pub(crate) use rules::{By, Group, PolicyFiles, RateLimit, Tenant};
pub(crate) use secret::check_mode;
pub(crate) use server::{HeaderNames, Limits, Server};
pub(crate) use source::{At, Source, Spanned};
pub(crate) use starter::starter;
pub(crate) use storage::Storage;
pub(crate) use tls::{Acme, CertificateFile, Certificates, Challenge, DnsHook, Hsts, Tls};
#[cfg(test)]
pub(crate) use types::PathPrefix;
pub(crate) use types::{Colour, HostPattern, Profile, Protocols, Subject, Target, TargetUrl};
pub(crate) use units::{show_duration, size};
pub(crate) use upstream::{Balance, Upstream};

use crate::base::{MAIN_LISTENER, RouteName};
use table::{Table as _, table};

/// The whole configuration: defaults applied, references between tables checked.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// The first file.
    pub(crate) path: PathBuf,
    /// Every file that was read, the first one first; what the hash in the log is made of.
    pub(crate) sources: Vec<Source>,
    /// Every file and folder that a key names, with its place; not those that defaults do.
    pub(crate) named: Vec<Spanned<PathBuf>>,
    pub(crate) process: Process,
    pub(crate) server: Server,
    /// By name; `[server]` `listen` is not among them.
    pub(crate) listeners: BTreeMap<String, Listener>,
    pub(crate) tls: Tls,
    pub(crate) storage: Storage,
    pub(crate) auth: Auth,
    pub(crate) session: Session,
    /// By name. A route with `to` has an upstream of its own here, under the route's name.
    pub(crate) upstreams: BTreeMap<String, Upstream>,
    pub(crate) routes: BTreeMap<RouteName, Route>,
    pub(crate) rate_limits: BTreeMap<String, RateLimit>,
    pub(crate) groups: BTreeMap<String, Group>,
    /// By name; `default` is always there.
    pub(crate) tenants: BTreeMap<String, Tenant>,
    pub(crate) policy: PolicyFiles,
    pub(crate) audit: Audit,
    pub(crate) telemetry: Telemetry,
}

impl Config {
    /// The folder that holds the database and, unless configured otherwise, the audit log.
    pub(crate) fn data_folder(&self) -> &std::path::Path {
        self.storage.database.folder()
    }

    /// `true` when the upstream behind `route` takes `/Admin` and `/admin` for the same.
    pub(crate) fn ignores_case(&self, route: &Route) -> bool {
        let upstream = self.upstreams.get(&route.upstream.value);
        upstream.is_some_and(|upstream| upstream.case_insensitive)
    }

    /// The listeners that serve `route`: those it names, or the main one, and those with one of its labels.
    pub(crate) fn listeners_of(&self, route: &Route) -> Vec<String> {
        let named: Vec<_> = route
            .listeners
            .iter()
            .map(|name| name.value.clone())
            .collect();
        let main = named.is_empty().then(|| MAIN_LISTENER.to_owned());
        let by_label = self.listeners.values().filter(|one| {
            let mut shared = one.labels.iter();
            shared.any(|label| {
                route
                    .labels
                    .iter()
                    .any(|own| own.as_str() == label.as_str())
            })
        });
        let by_label = by_label.map(|one| one.name.clone());
        named.into_iter().chain(main).chain(by_label).collect()
    }

    /// The TCP ports that are connected to, each with the place that names it: of upstreams, and of the authority that
    /// certificates are obtained from.
    pub(crate) fn ports(&self) -> Vec<(u16, At)> {
        let targets = self
            .upstreams
            .values()
            .flat_map(|upstream| &upstream.targets);
        let ports = targets.filter_map(|target| match &target.url {
            TargetUrl::Https { port, .. } | TargetUrl::Http { port, .. } => {
                Some((*port, target.at().clone()))
            }
            TargetUrl::Unix(_) => None,
        });
        let authority = self.tls.obtained().map(|acme| {
            let written: Option<http::Uri> = acme.directory.parse().ok();
            let port = written.and_then(|uri| uri.port_u16()).unwrap_or(443);
            (port, acme.directory.at().clone())
        });
        ports.chain(authority).collect()
    }

    /// The keys that are other in `newer` and take effect only after a restart, as "`listen` in [server]".
    pub(crate) fn awaiting_restart(&self, newer: &Self) -> Vec<String> {
        let mut found = Vec::new();
        self.process.awaiting_restart(&newer.process, &mut found);
        self.server.awaiting_restart(&newer.server, &mut found);
        let (limits, newer_limits) = (&self.server.limits, &newer.server.limits);
        limits.awaiting_restart(newer_limits, &mut found);
        self.tls.awaiting_restart(&newer.tls, &mut found);
        self.storage.awaiting_restart(&newer.storage, &mut found);
        self.auth.awaiting_restart(&newer.auth, &mut found);
        let (password, newer_password) = (&self.auth.password, &newer.auth.password);
        password.awaiting_restart(newer_password, &mut found);
        self.session.awaiting_restart(&newer.session, &mut found);
        self.audit.awaiting_restart(&newer.audit, &mut found);
        self.telemetry
            .awaiting_restart(&newer.telemetry, &mut found);
        found
    }

    /// The text of every file that was read, for the hash that start-up prints.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &str> {
        self.sources.iter().map(Source::text)
    }

    /// The folder of the audit log.
    pub(crate) fn audit_folder(&self) -> PathBuf {
        self.audit.folder.as_ref().map_or_else(
            || self.data_folder().join("audit"),
            |folder| folder.value.clone(),
        )
    }

    /// The folder of the policy tests.
    pub(crate) fn policy_tests(&self) -> PathBuf {
        self.policy.tests.as_ref().map_or_else(
            || self.policy.dir.join("tests"),
            |folder| folder.value.clone(),
        )
    }
}

table! {
    /// The top of the file. Everything but `include` stands in tables.
    Document [""] {
        /// Further files, as paths or patterns such as `"conf.d/*.toml"`. They are merged; a key set in two files is an error.
        include: Vec<Spanned<String>> = [], reload;
        /// Where Portcullis listens and what it calls itself.
        server: Server = required, reload;
        /// What the process takes from itself.
        process: Process = {}, restart;
        /// Further addresses with rules of their own.
        listener: BTreeMap<String, Listener> = {}, reload;
        /// TLS towards clients.
        tls: Tls = {}, reload;
        /// State that outlives the process.
        storage: Storage = {}, restart;
        /// How people prove who they are.
        auth: Auth = {}, reload;
        /// Sessions of browsers.
        session: Session = {}, reload;
        /// Pools of servers.
        upstream: BTreeMap<String, Upstream> = {}, reload;
        /// Apps.
        route: BTreeMap<RouteName, Route> = {}, reload;
        /// Rates that routes refer to.
        rate_limit: BTreeMap<String, RateLimit> = {}, reload;
        /// Groups written here.
        group: BTreeMap<String, Group> = {}, reload;
        /// Companies or departments.
        tenant: BTreeMap<String, Tenant> = {}, reload;
        /// Where the rules are.
        policy: PolicyFiles = {}, reload;
        /// The tamper-evident record.
        audit: Audit = {}, restart;
        /// The operational log, metrics and health.
        telemetry: Telemetry = {}, restart;
    }
}

#[cfg(test)]
mod tests;
