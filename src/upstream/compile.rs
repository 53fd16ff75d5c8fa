//! From `[upstream.NAME]` to a [`Group`]: what is written becomes what is used, or a problem.
//!
//! A group that is written as before keeps its counters and its connections over a reload. Nothing is connected to here.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::HeaderValue;

use super::group::{Group, Target, Timeouts};
use crate::base::{Authority, Host};
use crate::config::{self, Problems, TargetUrl};
use crate::dial::Endpoint;
use crate::tls::client::{NativeRoots, Trust, TrustError, UpstreamTls};

/// All upstreams by name.
#[derive(Debug, Default)]
pub(crate) struct Groups(BTreeMap<String, Arc<Group>>);

/// Everything that a group is made from; equal recipes give interchangeable groups.
#[derive(Debug, PartialEq)]
pub(super) struct Recipe {
    targets: Vec<config::Target>,
    balance: config::Balance,
    protocols: config::Protocols,
    timeouts: Timeouts,
    keep: usize,
    attempts: u32,
    server_name: Option<Host>,
    /// The content of the CA file, so that a changed file counts as a change.
    authorities: Option<Vec<u8>>,
}

impl Groups {
    /// Compiles every upstream; what cannot be used is left out and reported.
    pub(crate) fn compile(
        written: &BTreeMap<String, config::Upstream>,
        previous: Option<&Self>,
        problems: &mut Problems,
    ) -> Self {
        let mut native = NativeRoots::default();
        let groups = written.iter().filter_map(|(name, upstream)| {
            let recipe = Recipe::of(upstream);
            let unchanged = previous
                .and_then(|previous| previous.find(name))
                .filter(|group| group.recipe.as_ref() == Some(&recipe));
            if let Some(group) = unchanged {
                return Some((name.clone(), Arc::clone(group)));
            }
            match recipe.group(name, upstream, &mut native) {
                Ok(group) => Some((name.clone(), Arc::new(group))),
                Err(error) => {
                    let ca = upstream.tls.ca.as_ref();
                    problems
                        .error("PC5104")
                        .message(format!("[upstream.{name}] cannot verify its targets: {error}"))
                        .at(ca.map_or(&upstream.at, config::Spanned::at))
                        .help("name a PEM file with the authority's certificate: tls = { ca = \"FILE\" }");
                    None
                }
            }
        });
        Self(groups.collect())
    }

    pub(crate) fn find(&self, name: &str) -> Option<&Arc<Group>> {
        self.0.get(name)
    }

    /// For status pages and metrics.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Group>> {
        self.0.values()
    }
}

impl Recipe {
    fn of(upstream: &config::Upstream) -> Self {
        let timeout = &upstream.timeout;
        Self {
            targets: upstream
                .targets
                .iter()
                .map(|target| target.value.clone())
                .collect(),
            balance: upstream.balance,
            protocols: upstream.http,
            timeouts: Timeouts {
                connect: timeout.connect,
                first_byte: timeout.first_byte,
                idle: timeout.idle,
                total: timeout.total,
            },
            keep: upstream.keep,
            attempts: upstream.connect_attempts,
            server_name: upstream.tls.server_name.clone(),
            // An unreadable file is reported when the trust is put together.
            authorities: upstream
                .tls
                .ca
                .as_ref()
                .and_then(|path| std::fs::read(&path.value).ok()),
        }
    }

    fn group(
        self,
        name: &str,
        upstream: &config::Upstream,
        native: &mut NativeRoots,
    ) -> Result<Group, TrustError> {
        let secure = |target: &config::Target| matches!(target.url, TargetUrl::Https { .. });
        let tls = if self.targets.iter().any(secure) {
            let trust = match &upstream.tls.ca {
                Some(path) => Trust::File(&path.value),
                None => Trust::Roots(native.load()?),
            };
            let server_name = self.server_name.as_ref();
            Some(UpstreamTls::new(trust, server_name, self.protocols)?)
        } else {
            None
        };
        let targets: Result<Vec<_>, _> = self
            .targets
            .iter()
            .map(|written| target(written, tls.as_ref()))
            .collect();
        let mut group = Group::new(name, targets?, self.balance);
        group.timeouts = self.timeouts;
        group.protocols = self.protocols;
        group.keep = self.keep;
        group.attempts = usize::try_from(self.attempts).unwrap_or(usize::MAX);
        group.recipe = Some(self);
        Ok(group)
    }
}

fn target(written: &config::Target, tls: Option<&UpstreamTls>) -> Result<Target, TrustError> {
    let label = written.url.to_string();
    let (endpoint, host, usual) = match &written.url {
        TargetUrl::Https { host, port } => (tcp(host, *port), host.as_str(), 443),
        TargetUrl::Http { host, port } => (tcp(host, *port), host.as_str(), 80),
        TargetUrl::Unix(path) => (Endpoint::Unix(path.clone()), "localhost", 80),
    };
    let tls = match (&written.url, tls) {
        (TargetUrl::Https { host, .. }, Some(tls)) => Some((tls.clone(), tls.name_for(host)?)),
        _ => None,
    };
    let authority = match &endpoint {
        Endpoint::Tcp { host, port } => Authority {
            host: host.clone(),
            port: (*port != usual).then_some(*port),
        }
        .to_string(),
        Endpoint::Unix(_) => host.to_owned(),
    };
    // A checked host is always a valid header value.
    let host = HeaderValue::try_from(authority)
        .unwrap_or_else(|_invalid| HeaderValue::from_static("localhost"));
    Ok(Target::new(&label, endpoint, host, tls, written.weight))
}

fn tcp(host: &Host, port: u16) -> Endpoint {
    Endpoint::Tcp {
        host: host.clone(),
        port,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;
    use std::sync::Arc;

    use super::Groups;
    use crate::config::{self, Problems};
    use crate::tls::testing::TestPki;

    /// The upstreams of a configuration with these lines.
    fn upstreams(lines: &str) -> BTreeMap<String, config::Upstream> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("portcullis.toml");
        let text = format!(
            "[server]\nportal = \"login.localhost\"\n[tls]\ncertificates = \"internal\"\n\
             [upstream.app]\n{lines}\n[route.app]\nhost = \"app.localhost\"\nupstream = \"app\"\n\
             allow = [\"everyone\"]\n"
        );
        std::fs::write(&path, text).unwrap();
        config::load(&path).unwrap().config.upstreams
    }

    fn codes(problems: &Problems) -> Vec<&str> {
        problems.iter().map(|problem| problem.code).collect()
    }

    #[test]
    fn an_unchanged_upstream_keeps_its_group_and_a_changed_one_does_not() {
        let mut problems = Problems::new();
        let first = upstreams("targets = [\"http://127.0.0.1:1\"]");
        let other = upstreams("targets = [\"http://127.0.0.1:2\"]");
        let before = Groups::compile(&first, None, &mut problems);
        let same = Groups::compile(&first, Some(&before), &mut problems);
        let changed = Groups::compile(&other, Some(&before), &mut problems);
        let group = |groups: &Groups| Arc::clone(groups.find("app").unwrap());
        assert!(Arc::ptr_eq(&group(&before), &group(&same)));
        assert!(!Arc::ptr_eq(&group(&before), &group(&changed)));
        assert!(problems.is_empty());
    }

    #[test]
    fn a_host_header_leaves_the_usual_port_out() {
        let pki = TestPki::new();
        let lines = format!(
            "targets = [\"https://app.localhost\", \"https://app.localhost:8443\"]\n\
             tls = {{ ca = \"{}\" }}",
            pki.root_file().display()
        );
        let mut problems = Problems::new();
        let groups = Groups::compile(&upstreams(&lines), None, &mut problems);
        let hosts: Vec<_> = groups
            .find("app")
            .unwrap()
            .targets
            .iter()
            .map(|one| &one.host)
            .collect();
        assert_eq!(hosts, ["app.localhost", "app.localhost:8443"]);
    }

    #[test]
    fn an_authority_file_that_is_not_there_is_a_problem() {
        let mut problems = Problems::new();
        let mut written = upstreams("targets = [\"https://app.localhost\"]");
        let app = written.get_mut("app").unwrap();
        let at = app.at.clone();
        app.tls.ca = Some(config::Spanned::new(Path::new("/none.pem").into(), at));
        let groups = Groups::compile(&written, None, &mut problems);
        assert!(groups.find("app").is_none());
        assert_eq!(codes(&problems), ["PC5104"]);
    }
}
