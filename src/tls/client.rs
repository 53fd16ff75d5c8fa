//! What we demand of an upstream's TLS: TLS 1.2 or 1.3, a chain to a trusted root, and a matching DNS name or address.
//!
//! There is no way to skip verification, here or anywhere (D22). Trust comes from one CA file named for the upstream, or
//! else from the machine's own store; never from both.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore};

use super::server::alpn;
use super::{Offering, provider};
use crate::base::Host;
use crate::config::Protocols;

/// Trust that could not be put together.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TrustError {
    #[error("cannot read `{}`", path.display())]
    Unreadable {
        path: PathBuf,
        source: rustls::pki_types::pem::Error,
    },
    #[error("`{}` holds no certificate that can be a root", .0.display())]
    Empty(PathBuf),
    #[error("this machine has no trusted certificates; name a CA file for the upstream")]
    NoNativeRoots,
    #[error("`{0}` cannot be the name in a certificate")]
    Name(Host),
    #[error("the TLS library refuses the settings")]
    Setup(#[source] rustls::Error),
}

/// Which HTTP protocols one connection offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offer {
    /// All that the upstream's settings admit.
    All,
    /// HTTP/1.1 alone, because a protocol upgrade needs it.
    H1,
}

/// TLS towards one upstream; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct UpstreamTls {
    all: Arc<ClientConfig>,
    h1: Arc<ClientConfig>,
    /// The name to verify instead of the target's host, when the configuration names one.
    server_name: Option<ServerName<'static>>,
}

/// What vouches for a target's certificate.
#[derive(Debug)]
pub(crate) enum Trust<'a> {
    /// The certificates in a PEM file.
    File(&'a Path),
    Roots(Arc<RootCertStore>),
}

/// The machine's own trust store, read at most once per instance.
#[derive(Debug, Default)]
pub(crate) struct NativeRoots(Option<Arc<RootCertStore>>);

impl NativeRoots {
    pub(crate) fn load(&mut self) -> Result<Arc<RootCertStore>, TrustError> {
        if let Some(roots) = &self.0 {
            return Ok(Arc::clone(roots));
        }
        let roots = Arc::new(native_roots()?);
        self.0 = Some(Arc::clone(&roots));
        Ok(roots)
    }
}

impl UpstreamTls {
    /// Offers `protocols`, verifies against `trust`, under `server_name` where one is given.
    pub(crate) fn new(
        trust: Trust<'_>,
        server_name: Option<&Host>,
        protocols: Protocols,
    ) -> Result<Self, TrustError> {
        let roots = match trust {
            Trust::File(path) => Arc::new(roots_of(path)?),
            Trust::Roots(roots) => roots,
        };
        let mut config = ClientConfig::builder_with_provider(provider(Offering::Both))
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(TrustError::Setup)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn(protocols);
        config.enable_early_data = false;
        config.resumption = Resumption::in_memory_sessions(64);
        let mut h1 = config.clone();
        h1.alpn_protocols = alpn(Protocols {
            h1: true,
            h2: false,
        });
        Ok(Self {
            all: Arc::new(config),
            h1: Arc::new(h1),
            server_name: server_name.map(name_of).transpose()?,
        })
    }

    pub(crate) fn config(&self, offer: Offer) -> Arc<ClientConfig> {
        match offer {
            Offer::All => Arc::clone(&self.all),
            Offer::H1 => Arc::clone(&self.h1),
        }
    }

    /// The name that the certificate of a target on `host` must carry.
    pub(crate) fn name_for(&self, host: &Host) -> Result<ServerName<'static>, TrustError> {
        match &self.server_name {
            Some(name) => Ok(name.clone()),
            None => name_of(host),
        }
    }
}

fn name_of(host: &Host) -> Result<ServerName<'static>, TrustError> {
    ServerName::try_from(host.as_str().to_owned())
        .map_err(|_invalid| TrustError::Name(host.clone()))
}

/// The certificates in the file at `path`, else the machine's own.
pub(crate) fn roots(path: Option<&Path>) -> Result<Arc<RootCertStore>, TrustError> {
    match path {
        Some(path) => Ok(Arc::new(roots_of(path)?)),
        None => NativeRoots::default().load(),
    }
}

fn roots_of(path: &Path) -> Result<RootCertStore, TrustError> {
    let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|source| TrustError::Unreadable {
            path: path.to_path_buf(),
            source,
        })?;
    let mut roots = RootCertStore::empty();
    let (added, _ignored) = roots.add_parsable_certificates(certificates);
    if added == 0 {
        return Err(TrustError::Empty(path.to_path_buf()));
    }
    Ok(roots)
}

fn native_roots() -> Result<RootCertStore, TrustError> {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "a certificate of this machine's trust store cannot be read");
    }
    let mut roots = RootCertStore::empty();
    let (added, _ignored) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        return Err(TrustError::NoNativeRoots);
    }
    Ok(roots)
}
