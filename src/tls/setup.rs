//! From `[tls]` to the certificates wanted, and from findings to problems in the operator's file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Shelf;
use super::certificates::{Own, Source, Wanted};
use super::internal_ca::InternalCa;
use super::lint::{Finding, Name};
use crate::base::{MAIN_LISTENER, Timestamp};
use crate::config::{self, CertificateFile, Config, HostPattern, Problems};

/// The folder of the internal authority below the data folder.
const CA_FOLDER: &str = "ca";

impl Wanted {
    /// What the configuration asks for; obtained certificates are taken from `shelf`. The internal authority is made on
    /// first use.
    pub(crate) fn of(config: &Config, shelf: Arc<Shelf>, now: Timestamp) -> Result<Self, Finding> {
        let open = || {
            InternalCa::open_or_create(&config.data_folder().join(CA_FOLDER), now)
                .map_err(|error| Finding::InternalCa(error.to_string()))
        };
        let source = match config.tls.certificates.value {
            _ if config.tls.obtained().is_some() => Source::Acme {
                files: files(config),
                stand_in: Some(open()?),
            },
            config::Certificates::Files | config::Certificates::Acme => {
                Source::Files(files(config))
            }
            config::Certificates::Internal => Source::Internal(open()?),
        };
        Ok(Self::new(source, shelf, config))
    }

    /// As [`Self::of`], for whoever only looks: nothing is made. `None` when an internal authority would have to be.
    pub(crate) fn looked_at(config: &Config, now: Timestamp) -> Option<Result<Self, Finding>> {
        if config.tls.obtained().is_some() {
            let source = Source::Acme {
                files: files(config),
                stand_in: None,
            };
            return Some(Ok(Self::new(source, Arc::default(), config)));
        }
        let internal = config.tls.certificates.value == config::Certificates::Internal;
        if internal && !config.data_folder().join(CA_FOLDER).exists() {
            return None;
        }
        Some(Self::of(config, Arc::default(), now))
    }

    fn new(source: Source, shelf: Arc<Shelf>, config: &Config) -> Self {
        Self {
            source,
            own: own(config),
            shelf,
            profile: config.tls.profile.value,
            hosts: hosts(config),
            served: served(config),
            recheck: config.tls.recheck,
        }
    }
}

/// What each listener has of its own, with the profile that it is served under.
fn own(config: &Config) -> Vec<Own> {
    let with_files = config
        .listeners
        .values()
        .filter(|one| !one.files.is_empty());
    with_files
        .map(|one| Own {
            listener: one.name.as_str().into(),
            files: pairs(&one.files),
            profile: one.profile.unwrap_or(config.tls.profile.value),
        })
        .collect()
}

fn files(config: &Config) -> Vec<(PathBuf, PathBuf)> {
    pairs(&config.tls.files)
}

fn pairs(files: &[CertificateFile]) -> Vec<(PathBuf, PathBuf)> {
    files
        .iter()
        .map(|file| (file.cert.value.clone(), file.key.value.to_path_buf()))
        .collect()
}

/// The portal's host and every route's, each once.
pub(crate) fn hosts(config: &Config) -> Vec<Name> {
    let portal = Name::Exact(config.server.portal.value.host.clone());
    let mut hosts = vec![portal];
    for route in config.routes.values() {
        let name = name_of(route);
        if !hosts.contains(&name) {
            hosts.push(name);
        }
    }
    hosts
}

/// The same, with each listener that serves it.
fn served(config: &Config) -> Vec<(Name, Arc<str>)> {
    let portal = Name::Exact(config.server.portal.value.host.clone());
    let with_portal = config.listeners.values().filter(|one| one.portal);
    let doors = std::iter::once(MAIN_LISTENER).chain(with_portal.map(|one| one.name.as_str()));
    let of_portal = doors.map(|door| (portal.clone(), door.into()));
    let of_routes = config.routes.values().flat_map(|route| {
        let doors = config.listeners_of(route).into_iter();
        doors.map(|door| (name_of(route), door.into()))
    });
    of_portal.chain(of_routes).collect()
}

fn name_of(route: &config::Route) -> Name {
    match &route.host.value {
        HostPattern::Exact(host) => Name::Exact(host.clone()),
        HostPattern::Wildcard(suffix) => Name::Wildcard(suffix.clone()),
    }
}

/// Adds each finding to `problems`, at the place in the file that it concerns.
pub(crate) fn report(findings: &[Finding], config: &Config, problems: &mut Problems) {
    for finding in findings {
        let problem = if finding.is_error() {
            problems.error(finding.code())
        } else {
            problems.warning(finding.code())
        };
        problem
            .message(finding.to_string())
            .at(place(finding, config))
            .help(finding.help());
        if let Finding::NameUnused { name, .. } = finding {
            let known: Vec<_> = hosts(config).iter().map(ToString::to_string).collect();
            let nearest = config::nearest(name, known.iter().map(String::as_str));
            if let Some(nearest) = nearest {
                problem.help(format!("the nearest host in use is {nearest}"));
            }
        }
    }
}

fn place<'a>(finding: &Finding, config: &'a Config) -> &'a config::At {
    let written = |path: &Path| {
        let own = config.listeners.values().flat_map(|one| &one.files);
        config.tls.files.iter().chain(own).find_map(|file| {
            if file.cert.value == path {
                Some(file.cert.at())
            } else if &*file.key.value == path {
                Some(file.key.at())
            } else {
                None
            }
        })
    };
    let host = match finding {
        Finding::HostUncovered(host) => config.routes.values().find(|route| {
            matches!(
                &route.host.value,
                HostPattern::Exact(name) | HostPattern::Wildcard(name) if name == host
            )
        }),
        _ => None,
    };
    finding
        .path()
        .and_then(written)
        .or_else(|| host.map(|route| route.host.at()))
        .unwrap_or_else(|| match finding {
            Finding::HostUncovered(_) => config.server.portal.at(),
            _ => config.tls.certificates.at(),
        })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Wanted, report};
    use crate::base::Clock;
    use crate::config::{self, Config, Problems};
    use crate::tls::Certificates;
    use crate::tls::certificates::Rejected;

    fn load(folder: &std::path::Path, tls: &str) -> Config {
        let path = folder.join("portcullis.toml");
        let database = folder.join("data/portcullis.db");
        let text = format!(
            "[server]\nportal = \"login.localhost\"\n[storage]\ndatabase = \"sqlite:{}\"\n\
             [tls]\n{tls}\n[route.app]\nhost = \"*.apps.localhost\"\nto = \"http://127.0.0.1:1\"\n\
             allow = [\"everyone\"]\n",
            database.display()
        );
        std::fs::write(&path, text).unwrap();
        config::load(&path).unwrap().config
    }

    #[test]
    fn the_internal_authority_covers_the_portal_and_every_route() {
        let folder = tempfile::tempdir().unwrap();
        let config = load(folder.path(), "certificates = \"internal\"");
        let now = Clock::System.now();
        let wanted = Wanted::of(&config, Arc::default(), now).unwrap();
        let (certificates, warnings) = Certificates::load(wanted, now).unwrap();
        assert!(warnings.is_empty(), "{warnings:?}");
        for host in ["login.localhost", "any.apps.localhost"] {
            assert!(certificates.covers(None, &host.parse().unwrap()), "{host}");
        }
        assert!(folder.path().join("data/ca/root.key").exists());
    }

    #[test]
    fn findings_stand_where_the_operator_wrote_the_cause() {
        let folder = tempfile::tempdir().unwrap();
        for file in ["a.crt", "a.key"] {
            let path = folder.path().join(file);
            std::fs::write(&path, "nothing").unwrap();
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            std::fs::set_permissions(&path, mode).unwrap();
        }
        let files = "files = [{ cert = \"a.crt\", key = { file = \"a.key\" } }]";
        let config = load(folder.path(), files);
        let now = Clock::System.now();
        let wanted = Wanted::of(&config, Arc::default(), now).unwrap();
        let Err(Rejected(findings)) = Certificates::load(wanted, now) else {
            panic!("served without a certificate");
        };
        let mut problems = Problems::new();
        report(&findings, &config, &mut problems);
        let seen: Vec<_> = problems
            .iter()
            .map(|problem| (problem.code, problem.at.as_ref().unwrap().line()))
            .collect();
        assert_eq!(seen, [("PC3101", 6), ("PC3108", 2), ("PC3108", 8)]);
    }
}
