//! Certificates and clients for the tests of this module and of those below it. Nothing here is compiled into the program.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;

use super::certificates::{Name, Source, Wanted};
use super::internal_ca::InternalCa;
use super::{Certificates, Offering, Server, provider};
use crate::base::{Clock, Host};
use crate::config::{Profile, Protocols};

const TICKET_LIFE: Duration = Duration::from_secs(3600);

/// An authority in a temporary folder.
pub(crate) struct TestPki {
    folder: TempDir,
    pub(crate) ca: InternalCa,
}

pub(crate) const BOTH: Protocols = Protocols { h1: true, h2: true };
pub(crate) const H1: Protocols = Protocols {
    h1: true,
    h2: false,
};
pub(crate) const H2: Protocols = Protocols {
    h1: false,
    h2: true,
};

impl TestPki {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ca = InternalCa::open_or_create(folder.path(), Clock::System.now()).unwrap();
        Self { folder, ca }
    }

    pub(crate) fn root_file(&self) -> PathBuf {
        self.folder.path().join("root.crt")
    }

    pub(crate) fn wanted(&self, profile: Profile, hosts: &[&str]) -> Wanted {
        Wanted {
            source: Source::Internal(self.ca.clone()),
            own: Vec::new(),
            shelf: Arc::default(),
            profile,
            hosts: hosts.iter().map(|host| name(host)).collect(),
            served: Vec::new(),
            recheck: Duration::from_secs(1),
        }
    }

    pub(crate) fn server(&self, profile: Profile, versions: Protocols, hosts: &[&str]) -> Server {
        let wanted = self.wanted(profile, hosts);
        let (certificates, _warnings) = Certificates::load(wanted, Clock::System.now()).unwrap();
        Server::new(profile, versions, Arc::new(certificates), TICKET_LIFE).unwrap()
    }

    /// A client that trusts this authority and offers `alpn`.
    pub(crate) fn client(&self, alpn: &[&str]) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.ca.root()).unwrap();
        let mut config = ClientConfig::builder_with_provider(provider(Offering::Both))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        config
    }
}

/// `*.example.com` is a wildcard, all else a host.
pub(crate) fn name(text: &str) -> Name {
    match text.strip_prefix("*.") {
        Some(suffix) => Name::Wildcard(Host::parse(suffix).unwrap()),
        None => Name::Exact(Host::parse(text).unwrap()),
    }
}
