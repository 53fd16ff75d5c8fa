//! Our own small certificate authority, for `demo` and for companies that distribute one root to their devices.
//!
//! The root's key stays in the data folder, mode 0600, and signs nothing but one leaf for the hosts in force. The leaf
//! and its key live in memory: a restart makes new ones. This is no general issuer and has no interface to be one.

use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType,
};
use rustls::pki_types::PrivateKeyDer;
use zeroize::Zeroizing;

use super::lint::{Finding, Loaded, Name, Origin, check};
use crate::base::Timestamp;
use crate::config::Profile;

const DAY: Duration = Duration::from_secs(24 * 3600);
const ROOT_LIFE: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
const LEAF_LIFE: Duration = Duration::from_secs(30 * 24 * 3600);
/// A third of the leaf's life is left when it is renewed.
const RENEW_AFTER: Duration = Duration::from_secs(20 * 24 * 3600);

/// Why the authority could not be opened or sign.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CaError {
    #[error("cannot use `{}`: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("the root certificate or its key is damaged")]
    Damaged(#[source] rcgen::Error),
    #[error("the root certificate is there without its key, or the key without the certificate")]
    Halved,
    #[error("signing failed")]
    Sign(#[source] rcgen::Error),
    #[error(transparent)]
    Leaf(Box<Finding>),
}

/// An opened authority.
#[derive(Clone)]
pub(crate) struct InternalCa {
    root_path: PathBuf,
    issuer: Arc<Issuer<'static, KeyPair>>,
}

/// A leaf and the time at which its successor should be made.
#[derive(Debug)]
pub(crate) struct Leaf {
    pub(crate) loaded: Loaded,
    pub(crate) renew_at: Timestamp,
}

impl InternalCa {
    /// Opens `folder/root.crt` and `folder/root.key`, making both on the first start.
    pub(crate) fn open_or_create(folder: &Path, now: Timestamp) -> Result<Self, CaError> {
        let (root_path, key_path) = (folder.join("root.crt"), folder.join("root.key"));
        match (root_path.exists(), key_path.exists()) {
            (true, true) => {}
            (false, false) => create(folder, &root_path, &key_path, now)?,
            (true, false) | (false, true) => return Err(CaError::Halved),
        }
        let read = |path: &Path| {
            std::fs::read_to_string(path).map_err(|source| CaError::File {
                path: path.to_path_buf(),
                source,
            })
        };
        let (root_pem, key_pem) = (read(&root_path)?, Zeroizing::new(read(&key_path)?));
        let key = KeyPair::from_pem(&key_pem).map_err(CaError::Damaged)?;
        let issuer = Issuer::from_ca_cert_pem(&root_pem, key).map_err(CaError::Damaged)?;
        Ok(Self {
            root_path,
            issuer: Arc::new(issuer),
        })
    }

    /// A new key and certificate for all `hosts`, valid for 30 days from `now` on.
    pub(super) fn leaf(&self, hosts: &[Name], now: Timestamp) -> Result<Leaf, CaError> {
        let key = new_key()?;
        let names: Result<Vec<_>, _> = hosts
            .iter()
            .map(|host| Ok(SanType::DnsName(host.to_string().try_into()?)))
            .collect();
        let mut params = CertificateParams::default();
        params.subject_alt_names = names.map_err(CaError::Sign)?;
        params.distinguished_name = distinguished("Portcullis");
        // A clock that is a little behind must not refuse a certificate made a moment ago.
        set_life(&mut params, now.minus(DAY), now.plus(LEAF_LIFE));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        // Without it strict verifiers call the certificate invalid (RFC 5280 section 4.2.1.1).
        params.use_authority_key_identifier_extension = true;
        let certificate = params
            .signed_by(&*key, &self.issuer)
            .map_err(CaError::Sign)?;
        let chain = vec![certificate.der().clone()];
        let key = Zeroizing::new(PrivateKeyDer::Pkcs8(key.serialize_der().into()));
        let mut loaded = check(&self.root_path, chain, &key, Profile::Modern)
            .map_err(|finding| CaError::Leaf(Box::new(finding)))?;
        loaded.origin = Origin::Internal;
        Ok(Leaf {
            loaded,
            renew_at: now.plus(RENEW_AFTER),
        })
    }
}

impl std::fmt::Debug for InternalCa {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InternalCa")
            .field("root", &self.root_path)
            .finish_non_exhaustive()
    }
}

/// Makes the root. The key is written first: a crash in between is reported as such and never as a working authority.
fn create(folder: &Path, root: &Path, key_path: &Path, now: Timestamp) -> Result<(), CaError> {
    let key = new_key()?;
    let mut params = CertificateParams::default();
    params.distinguished_name = distinguished("Portcullis internal root");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    set_life(&mut params, now.minus(DAY), now.plus(ROOT_LIFE));
    let certificate = params.self_signed(&*key).map_err(CaError::Sign)?;
    std::fs::create_dir_all(folder).map_err(|source| CaError::File {
        path: folder.to_path_buf(),
        source,
    })?;
    write_new(
        key_path,
        Zeroizing::new(key.serialize_pem()).as_bytes(),
        0o600,
    )?;
    write_new(root, certificate.pem().as_bytes(), 0o644)
}

fn new_key() -> Result<Zeroizing<KeyPair>, CaError> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
        .map(Zeroizing::new)
        .map_err(CaError::Sign)
}

fn write_new(path: &Path, content: &[u8], mode: u32) -> Result<(), CaError> {
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .and_then(|mut file| {
            file.write_all(content)?;
            file.sync_all()
        })
        .map_err(|source| CaError::File {
            path: path.to_path_buf(),
            source,
        })
}

fn distinguished(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

/// Sets the validity; rcgen's time type has no other name that we could use.
fn set_life(params: &mut CertificateParams, from: Timestamp, to: Timestamp) {
    let since_epoch = |at: Timestamp| at.since(Timestamp::EPOCH);
    params.not_before = rcgen::date_time_ymd(1970, 1, 1) + since_epoch(from);
    params.not_after = rcgen::date_time_ymd(1970, 1, 1) + since_epoch(to);
}

#[cfg(test)]
impl InternalCa {
    /// What a client that trusts this authority is given.
    pub(crate) fn root(&self) -> rustls::pki_types::CertificateDer<'static> {
        use rustls::pki_types::pem::PemObject as _;
        let pem = std::fs::read(&self.root_path).unwrap();
        rustls::pki_types::CertificateDer::from_pem_slice(&pem).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::{CaError, InternalCa};
    use crate::base::{Host, Timestamp};
    use crate::tls::certificates::Name;

    #[test]
    fn the_root_survives_a_restart_and_its_key_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let ca = folder.path().join("ca");
        let now = Timestamp::from_secs(1_795_000_000);
        let first = InternalCa::open_or_create(&ca, now).unwrap();
        let second = InternalCa::open_or_create(&ca, now).unwrap();
        assert_eq!(first.root(), second.root());
        let mode = |name| {
            std::fs::metadata(ca.join(name))
                .unwrap()
                .permissions()
                .mode()
                & 0o777
        };
        assert_eq!((mode("root.key"), mode("root.crt")), (0o600, 0o644));
    }

    #[test]
    fn half_an_authority_is_refused_rather_than_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let now = Timestamp::from_secs(1_795_000_000);
        InternalCa::open_or_create(folder.path(), now).unwrap();
        std::fs::remove_file(folder.path().join("root.key")).unwrap();
        let again = InternalCa::open_or_create(folder.path(), now);
        assert!(matches!(again, Err(CaError::Halved)));
    }

    #[test]
    fn a_leaf_lives_thirty_days_and_is_renewed_before() {
        let folder = tempfile::tempdir().unwrap();
        let now = Timestamp::from_secs(1_795_000_000);
        let ca = InternalCa::open_or_create(folder.path(), now).unwrap();
        let host = Name::Exact(Host::parse("app.localhost").unwrap());
        let leaf = ca.leaf(std::slice::from_ref(&host), now).unwrap();
        assert_eq!(leaf.loaded.names, [host]);
        assert_eq!(leaf.loaded.not_after, now.plus(super::LEAF_LIFE));
        assert!(leaf.renew_at < leaf.loaded.not_after);
    }
}
