//! Which certificate answers which server name, and how it is replaced while connections arrive.
//!
//! A name without a certificate gets none: there is no default. A listener's own certificates come before those of all. A set of files that cannot be loaded whole never
//! replaces the one in force. Within a name, the first certificate whose key the client can verify is served.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::pki_types::CertificateDer;
use rustls::server::ClientHello;
use rustls::sign::CertifiedKey;
use tokio_util::sync::CancellationToken;

use super::internal_ca::InternalCa;
pub(crate) use super::lint::{Finding, Loaded, Name, Origin};
use super::{Challenges, Shelf, lint};
use crate::base::{Clock, Host, Timestamp};
use crate::config::Profile;

/// The shortest time between two looks.
const NAP: Duration = Duration::from_secs(1);

/// Where certificates come from.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// Pairs of PEM files: chain and key.
    Files(Vec<(PathBuf, PathBuf)>),
    /// Our own certificate authority, with one leaf for all hosts.
    Internal(InternalCa),
    /// Files first, then what was obtained; names that neither has are served by the stand-in until they are.
    Acme {
        files: Vec<(PathBuf, PathBuf)>,
        stand_in: Option<InternalCa>,
    },
}

/// The certificates to serve, as the configuration asks for them.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) source: Source,
    /// What single listeners serve before that.
    pub(crate) own: Vec<Own>,
    /// Where obtained certificates are, for [`Source::Acme`].
    pub(crate) shelf: Arc<Shelf>,
    pub(crate) profile: Profile,
    /// Every host that a route or the portal uses; a wildcard route counts as [`Name::Wildcard`].
    pub(crate) hosts: Vec<Name>,
    /// Which of them each listener serves.
    pub(crate) served: Vec<(Name, Arc<str>)>,
    /// How often [`Certificates::watch`] looks at the files.
    pub(crate) recheck: Duration,
}

/// The certificates that one listener has of its own.
#[derive(Debug, Clone)]
pub(crate) struct Own {
    pub(crate) listener: Arc<str>,
    pub(crate) files: Vec<(PathBuf, PathBuf)>,
    /// The profile there.
    pub(crate) profile: Profile,
}

/// The table of certificates in force.
pub(crate) struct Certificates {
    table: ArcSwap<Table>,
    basis: Mutex<Basis>,
    /// What every listener answers while an authority checks a name.
    challenges: Arc<Challenges>,
}

/// What the table was made from. Its lock is held while the table is exchanged.
struct Basis {
    wanted: Wanted,
    /// The files' state when they were read.
    stamp: Stamp,
    /// What is sent with a leaf to show that it is not revoked.
    staples: Staples,
}

type Stamp = Vec<Option<(SystemTime, u64)>>;
type Staples = HashMap<CertificateDer<'static>, Vec<u8>>;

#[derive(Debug, Default)]
struct Table {
    all: Names,
    /// What single listeners have of their own.
    own: BTreeMap<Arc<str>, Names>,
    renew_at: Option<Timestamp>,
    list: Vec<Loaded>,
}

/// Certificates by the names that they answer for.
#[derive(Debug, Default)]
struct Names {
    exact: HashMap<Host, Vec<Arc<CertifiedKey>>>,
    /// Keyed by what follows the first label.
    wildcard: HashMap<Host, Vec<Arc<CertifiedKey>>>,
}

impl Names {
    fn insert(&mut self, loaded: &Loaded) {
        for name in &loaded.names {
            let (map, host) = match name {
                Name::Exact(host) => (&mut self.exact, host),
                Name::Wildcard(suffix) => (&mut self.wildcard, suffix),
            };
            map.entry(host.clone())
                .or_default()
                .push(Arc::clone(&loaded.key));
        }
    }

    fn find(&self, host: &Host) -> Option<&[Arc<CertifiedKey>]> {
        let below = || {
            let (_label, suffix) = host.as_str().split_once('.')?;
            self.wildcard.get(suffix)
        };
        self.exact.get(host).or_else(below).map(Vec::as_slice)
    }

    fn has(&self, name: &Name) -> bool {
        match name {
            Name::Exact(host) => self.find(host).is_some(),
            Name::Wildcard(suffix) => self.wildcard.contains_key(suffix),
        }
    }
}

/// The certificates cannot be served; holds at least one error.
#[derive(Debug, thiserror::Error)]
#[error("the certificates cannot be served")]
pub(crate) struct Rejected(pub(crate) Vec<Finding>);

impl Certificates {
    /// Loads everything; gives the warnings beside it.
    pub(crate) fn load(wanted: Wanted, now: Timestamp) -> Result<(Self, Vec<Finding>), Rejected> {
        let stamp = stamp(&wanted);
        let (table, warnings) = Table::load(&wanted, now)?;
        let basis = Basis {
            wanted,
            stamp,
            staples: Staples::new(),
        };
        let certificates = Self {
            table: ArcSwap::from_pointee(table),
            basis: Mutex::new(basis),
            challenges: Arc::default(),
        };
        Ok((certificates, warnings))
    }

    /// Loads a new set and puts it in force; on an error the old set stays.
    pub(crate) fn replace(&self, wanted: Wanted, now: Timestamp) -> Result<Vec<Finding>, Rejected> {
        let stamp = stamp(&wanted);
        let loaded = Table::load(&wanted, now);
        let mut basis = self.basis.lock();
        // Also after a failure: the same broken file is reported once, not every few seconds.
        basis.stamp = stamp;
        let (table, warnings) = loaded?;
        basis.wanted = wanted;
        let served =
            |leaf: &CertificateDer<'_>| table.list.iter().any(|one| one.leaf() == Some(leaf));
        basis.staples.retain(|leaf, _| served(leaf));
        self.table.store(Arc::new(table.stapled(&basis.staples)));
        Ok(warnings)
    }

    /// Sends `staple`, an OCSPResponse, with the certificate `leaf` from the next handshake on; or nothing any more.
    pub(crate) fn staple(&self, leaf: &CertificateDer<'static>, staple: Option<Vec<u8>>) {
        let mut basis = self.basis.lock();
        match staple {
            Some(staple) => basis.staples.insert(leaf.clone(), staple),
            None => basis.staples.remove(leaf),
        };
        let table = self.table.load().stapled(&basis.staples);
        self.table.store(Arc::new(table));
    }

    /// Looks at the files as often as the settings in force say and puts changed ones in force, until `stop`.
    pub(crate) async fn watch(self: Arc<Self>, clock: Clock, stop: CancellationToken) {
        while stop.run_until_cancelled(self.pause()).await.is_some() {
            self.look(clock.now());
        }
    }

    /// Sleeps until the next look is due; a shorter pause that a reload brings is noticed on the way.
    async fn pause(&self) {
        let begun = tokio::time::Instant::now();
        loop {
            tokio::time::sleep(NAP).await;
            if begun.elapsed() >= self.basis.lock().wanted.recheck {
                return;
            }
        }
    }

    /// One look of [`Self::watch`]; reads small files, which is quick enough for an event loop.
    pub(crate) fn look(&self, now: Timestamp) {
        let wanted = {
            let basis = self.basis.lock();
            let due = self.table.load().renew_at.is_some_and(|at| at <= now);
            if !due && stamp(&basis.wanted) == basis.stamp {
                return;
            }
            basis.wanted.clone()
        };
        match self.replace(wanted, now) {
            Ok(warnings) => {
                tracing::info!("new certificates are in force");
                for warning in warnings {
                    tracing::warn!(code = warning.code(), "{warning}");
                }
            }
            Err(Rejected(findings)) => {
                for finding in findings {
                    tracing::error!(
                        code = finding.code(),
                        "{finding}; the certificates in force stay"
                    );
                }
            }
        }
    }

    /// The certificates in force, for lists and metrics.
    pub(crate) fn list(&self) -> Vec<Loaded> {
        self.table.load().list.clone()
    }

    /// What is answered, by every listener, while an authority checks a name.
    pub(crate) const fn challenges(&self) -> &Arc<Challenges> {
        &self.challenges
    }

    /// Where obtained certificates are put for the table to serve.
    pub(crate) fn shelf(&self) -> Arc<Shelf> {
        Arc::clone(&self.basis.lock().wanted.shelf)
    }

    /// `true` when a certificate answers for this server name at `listener`.
    pub(crate) fn covers(&self, listener: Option<&str>, host: &Host) -> bool {
        self.table.load().find(listener, host).is_some()
    }

    /// The certificate that answers `hello` at `listener`.
    pub(super) fn resolve(
        &self,
        listener: Option<&str>,
        hello: &ClientHello<'_>,
    ) -> Option<Arc<CertifiedKey>> {
        let host = Host::parse(hello.server_name()?).ok()?;
        let table = self.table.load();
        let certificates = table.find(listener, &host)?;
        certificates
            .iter()
            .find(|certified| {
                certified
                    .key
                    .choose_scheme(hello.signature_schemes())
                    .is_some()
            })
            // One that the client cannot verify makes rustls answer `handshake_failure`; none at all would be
            // `access_denied`, which says something else (RFC 8446 section 6.2).
            .or_else(|| certificates.first())
            .cloned()
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").finish_non_exhaustive()
    }
}

impl Table {
    fn load(wanted: &Wanted, now: Timestamp) -> Result<(Self, Vec<Finding>), Rejected> {
        let mut findings = Vec::new();
        let mut table = Self::default();
        match &wanted.source {
            Source::Files(files) => table.take_files(files, wanted, now, &mut findings),
            Source::Internal(ca) => table.take_leaf(ca, &wanted.hosts, now, &mut findings),
            Source::Acme { files, stand_in } => {
                table.take_files(files, wanted, now, &mut findings);
                for mut loaded in wanted.shelf.list() {
                    loaded.origin = Origin::Acme;
                    table.insert(loaded);
                }
                let missing = table.missing(&wanted.hosts);
                if let (Some(ca), false) = (stand_in, missing.is_empty()) {
                    table.take_leaf(ca, &missing, now, &mut findings);
                }
            }
        }
        for own in &wanted.own {
            table.take_own(own, wanted, now, &mut findings);
        }
        if !matches!(wanted.source, Source::Acme { .. }) {
            table.note_uncovered(&wanted.served, &mut findings);
        }
        if findings.iter().any(Finding::is_error) {
            return Err(Rejected(findings));
        }
        Ok((table, findings))
    }

    fn insert(&mut self, loaded: Loaded) {
        let names = match &loaded.listener {
            Some(listener) => self.own.entry(Arc::clone(listener)).or_default(),
            None => &mut self.all,
        };
        names.insert(&loaded);
        self.list.push(loaded);
    }

    /// The same certificates, each with what is to be sent with it.
    fn stapled(&self, staples: &Staples) -> Self {
        let mut table = Self {
            renew_at: self.renew_at,
            ..Self::default()
        };
        for mut loaded in self.list.iter().cloned() {
            let staple = loaded.leaf().and_then(|leaf| staples.get(leaf));
            if loaded.key.ocsp.as_ref() != staple {
                let mut key = (*loaded.key).clone();
                key.ocsp = staple.cloned();
                loaded.key = Arc::new(key);
            }
            table.insert(loaded);
        }
        table
    }

    fn find(&self, listener: Option<&str>, host: &Host) -> Option<&[Arc<CertifiedKey>]> {
        let own = listener.and_then(|listener| self.own.get(listener)?.find(host));
        own.or_else(|| self.all.find(host))
    }

    fn take_files(
        &mut self,
        files: &[(PathBuf, PathBuf)],
        wanted: &Wanted,
        now: Timestamp,
        findings: &mut Vec<Finding>,
    ) {
        for (cert, key) in files {
            if let Some(loaded) = lint::load((cert, key), wanted.profile, now, findings) {
                note_unused(cert, &loaded, &wanted.hosts, findings);
                self.insert(loaded);
            }
        }
    }

    fn take_own(
        &mut self,
        own: &Own,
        wanted: &Wanted,
        now: Timestamp,
        findings: &mut Vec<Finding>,
    ) {
        for (cert, key) in &own.files {
            if let Some(mut loaded) = lint::load((cert, key), own.profile, now, findings) {
                note_unused(cert, &loaded, &wanted.hosts, findings);
                loaded.listener = Some(Arc::clone(&own.listener));
                self.insert(loaded);
            }
        }
    }

    fn take_leaf(
        &mut self,
        ca: &InternalCa,
        hosts: &[Name],
        now: Timestamp,
        findings: &mut Vec<Finding>,
    ) {
        match ca.leaf(hosts, now) {
            Ok(leaf) => {
                self.renew_at = Some(leaf.renew_at);
                self.insert(leaf.loaded);
            }
            Err(error) => findings.push(Finding::InternalCa(error.to_string())),
        }
    }

    /// The names of `hosts` that no certificate for all listeners carries.
    fn missing(&self, hosts: &[Name]) -> Vec<Name> {
        let missing = hosts.iter().filter(|name| !self.all.has(name));
        missing.cloned().collect()
    }

    /// A listener has nothing to show for a host that neither its own certificates nor those for all carry.
    fn note_uncovered(&self, served: &[(Name, Arc<str>)], findings: &mut Vec<Finding>) {
        let covered = |name: &Name, listener: &Arc<str>| {
            let own = self.own.get(listener);
            self.all.has(name) || own.is_some_and(|own| own.has(name))
        };
        let mut uncovered: Vec<&Name> = Vec::new();
        for (name, listener) in served {
            if !covered(name, listener) && !uncovered.contains(&name) {
                uncovered.push(name);
            }
        }
        findings.extend(uncovered.into_iter().map(|name| match name {
            Name::Exact(host) | Name::Wildcard(host) => Finding::HostUncovered(host.clone()),
        }));
    }
}

fn note_unused(
    path: &std::path::Path,
    loaded: &Loaded,
    hosts: &[Name],
    findings: &mut Vec<Finding>,
) {
    for name in &loaded.names {
        let used = hosts.iter().any(|host| match host {
            Name::Exact(host) => name.covers(host),
            Name::Wildcard(_) => {
                host == name || matches!(name, Name::Exact(own) if host.covers(own))
            }
        });
        if !used {
            findings.push(Finding::NameUnused {
                path: path.to_path_buf(),
                name: name.to_string(),
            });
        }
    }
}

/// Change time and length of every file, in order, `None` for a file that is not there; and the state of the shelf.
fn stamp(wanted: &Wanted) -> Stamp {
    let files = match &wanted.source {
        Source::Files(files) | Source::Acme { files, .. } => files.as_slice(),
        Source::Internal(_) => &[],
    };
    let obtained = Some((SystemTime::UNIX_EPOCH, wanted.shelf.changes()));
    let own = wanted.own.iter().flat_map(|own| &own.files);
    files
        .iter()
        .chain(own)
        .flat_map(|(cert, key)| [cert, key])
        .map(|path| {
            let metadata = std::fs::metadata(path).ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        })
        .chain([obtained])
        .collect()
}

#[cfg(test)]
mod tests;
