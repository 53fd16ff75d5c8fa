//! Reads one certificate and its key, and says in an operator's words what is wrong with them.
//!
//! A finding that is an error keeps the certificate from being served; a warning does not. Nothing here swaps anything.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::error::X509Error;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::public_key::PublicKey;
use zeroize::Zeroizing;

use crate::base::{Host, Timestamp};
use crate::config::Profile;

/// A certificate that has less than this left is worth a warning.
const EXPIRES_SOON: Duration = Duration::from_secs(14 * 24 * 3600);

/// A name of a certificate: `app.example.com`, or everything one label below `example.com`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Name {
    Exact(Host),
    Wildcard(Host),
}

impl Name {
    /// `true` when a certificate with this name is valid for `host` (RFC 9525 section 6.3: one whole left-most label).
    pub(crate) fn covers(&self, host: &Host) -> bool {
        match self {
            Self::Exact(name) => name == host,
            Self::Wildcard(suffix) => host
                .as_str()
                .split_once('.')
                .is_some_and(|(_label, rest)| rest == suffix.as_str()),
        }
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exact(host) => write!(f, "{host}"),
            Self::Wildcard(suffix) => write!(f, "*.{suffix}"),
        }
    }
}

/// A certificate that may be served.
#[derive(Debug, Clone)]
pub(crate) struct Loaded {
    pub(crate) key: Arc<CertifiedKey>,
    pub(crate) names: Vec<Name>,
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
    pub(crate) origin: Origin,
    /// The one listener that serves it; `None` for all of them.
    pub(crate) listener: Option<Arc<str>>,
}

impl Loaded {
    pub(crate) fn leaf(&self) -> Option<&CertificateDer<'static>> {
        self.key.cert.first()
    }
}

/// Where a certificate came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A file that the configuration names.
    File,
    /// Our own authority.
    Internal,
    /// An authority, by ACME.
    Acme,
}

impl Origin {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::File => "files",
            Self::Internal => "internal",
            Self::Acme => "acme",
        }
    }
}

/// What is wrong with a certificate or its key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Finding {
    #[error("cannot read `{}`: {source}", path.display())]
    Unreadable {
        path: PathBuf,
        source: rustls::pki_types::pem::Error,
    },
    #[error("`{}` holds no certificate", .0.display())]
    Empty(PathBuf),
    #[error("`{}` is not a certificate that can be served", .0.display())]
    Unusable(PathBuf),
    #[error("the key `{}` is of a kind that cannot be used", .0.display())]
    KeyUnusable(PathBuf),
    #[error("the key does not belong to the certificate `{}`", .0.display())]
    KeyMismatch(PathBuf),
    #[error("the certificate `{}` expired at {since}", path.display())]
    Expired { path: PathBuf, since: Timestamp },
    #[error("the certificate `{}` is not valid before {until}", path.display())]
    NotYetValid { path: PathBuf, until: Timestamp },
    #[error("the certificate `{}` names no host in its subjectAltName", .0.display())]
    Nameless(PathBuf),
    #[error("the certificate `{}` has a weak key or signature", .0.display())]
    Weak(PathBuf),
    #[error("the certificate `{}` has an RSA key, which the profile `modern` does not serve", .0.display())]
    RsaInModern(PathBuf),
    #[error("the certificate `{}` has {key}, which costs `strict-256` points for key exchange", path.display())]
    BelowStrict { path: PathBuf, key: String },
    #[error("the certificate `{}` expires at {at}", path.display())]
    ExpiresSoon { path: PathBuf, at: Timestamp },
    #[error("the certificate `{}` is for {name}; no route uses that name", path.display())]
    NameUnused { path: PathBuf, name: String },
    #[error("in `{}`, certificate {position} of the chain did not sign the one before it", path.display())]
    ChainBroken { path: PathBuf, position: usize },
    #[error("no certificate is for {0}")]
    HostUncovered(Host),
    #[error("the internal certificate authority cannot be used: {0}")]
    InternalCa(String),
}

impl Finding {
    /// The stable code of `product.md`'s PC3 family.
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } | Self::Empty(_) => "PC3101",
            Self::Unusable(_) | Self::KeyUnusable(_) => "PC3102",
            Self::KeyMismatch(_) => "PC3103",
            Self::Expired { .. } => "PC3104",
            Self::NotYetValid { .. } => "PC3105",
            Self::Nameless(_) => "PC3106",
            Self::NameUnused { .. } => "PC3107",
            Self::HostUncovered(_) => "PC3108",
            Self::ExpiresSoon { .. } => "PC3109",
            Self::Weak(_) | Self::RsaInModern(_) => "PC3110",
            Self::InternalCa(_) => "PC3111",
            Self::ChainBroken { .. } => "PC3112",
            Self::BelowStrict { .. } => "PC3113",
        }
    }

    /// `true` when the certificate must not be served.
    pub(crate) const fn is_error(&self) -> bool {
        !matches!(
            self,
            Self::ExpiresSoon { .. }
                | Self::NameUnused { .. }
                | Self::NotYetValid { .. }
                | Self::ChainBroken { .. }
                | Self::BelowStrict { .. }
        )
    }

    /// The file that it concerns.
    pub(super) fn path(&self) -> Option<&Path> {
        match self {
            Self::Unreadable { path, .. }
            | Self::Expired { path, .. }
            | Self::NotYetValid { path, .. }
            | Self::ExpiresSoon { path, .. }
            | Self::NameUnused { path, .. }
            | Self::ChainBroken { path, .. }
            | Self::BelowStrict { path, .. }
            | Self::Empty(path)
            | Self::Unusable(path)
            | Self::KeyUnusable(path)
            | Self::KeyMismatch(path)
            | Self::Nameless(path)
            | Self::Weak(path)
            | Self::RsaInModern(path) => Some(path),
            Self::HostUncovered(_) | Self::InternalCa(_) => None,
        }
    }

    /// What to do about it.
    pub(crate) const fn help(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } | Self::Empty(_) => {
                "name a PEM file that this process may read: the certificate first, then its intermediates"
            }
            Self::Unusable(_) => "serve an X.509 certificate made for a TLS server",
            Self::KeyUnusable(_) => "use an ECDSA P-256 or P-384 key, or RSA of 2048 bits or more",
            Self::KeyMismatch(_) => "name the key that the certificate was requested with",
            Self::Expired { .. } | Self::ExpiresSoon { .. } => {
                "renew it; the new file is picked up without a restart"
            }
            Self::NotYetValid { .. } => "check this machine's clock",
            Self::Nameless(_) => "request a certificate with subjectAltName entries",
            Self::Weak(_) => {
                "request a certificate with an ECDSA P-256 key and a SHA-256 signature"
            }
            Self::RsaInModern(_) => "use an ECDSA certificate, or the profile `intermediate`",
            Self::BelowStrict { .. } => {
                "request a certificate with an ECDSA P-384 key, or RSA of 4096 bits"
            }
            Self::NameUnused { .. } => "correct the host of the route, or drop the certificate",
            Self::HostUncovered(_) => {
                "add a certificate that names this host, to [tls] or to every listener that serves it"
            }
            Self::ChainBroken { .. } => {
                "put the leaf first, then each certificate that signed the one before"
            }
            Self::InternalCa(_) => "check the folder `ca` below the data folder",
        }
    }
}

/// Reads `cert` (leaf first) and `key`, both PEM, and checks that they can be served at `now`.
pub(super) fn load(
    (cert, key): (&Path, &Path),
    profile: Profile,
    now: Timestamp,
    findings: &mut Vec<Finding>,
) -> Option<Loaded> {
    match read(cert, key).and_then(|(chain, key)| check(cert, chain, &key, profile)) {
        Ok(loaded) => {
            let path = || cert.to_path_buf();
            if let Some(position) = broken_at(&loaded.key.cert) {
                findings.push(Finding::ChainBroken {
                    path: path(),
                    position,
                });
            }
            if let (Profile::Strict256, Some(key)) = (profile, below_strict(&loaded)) {
                findings.push(Finding::BelowStrict { path: path(), key });
            }
            if loaded.not_after <= now {
                findings.push(Finding::Expired {
                    path: path(),
                    since: loaded.not_after,
                });
                return None;
            }
            if loaded.not_before > now {
                findings.push(Finding::NotYetValid {
                    path: path(),
                    until: loaded.not_before,
                });
            } else if loaded.not_after < now.plus(EXPIRES_SOON) {
                findings.push(Finding::ExpiresSoon {
                    path: path(),
                    at: loaded.not_after,
                });
            }
            Some(loaded)
        }
        Err(finding) => {
            findings.push(finding);
            None
        }
    }
}

/// The place, counted from one, of the first certificate of a chain that did not sign the one before it.
fn broken_at(chain: &[CertificateDer<'_>]) -> Option<usize> {
    let mut signed: Option<X509Certificate<'_>> = None;
    for (index, der) in chain.iter().enumerate() {
        let place = index.saturating_add(1);
        let Ok((_rest, signer)) = X509Certificate::from_der(der) else {
            return Some(place);
        };
        if let Some(signed) = signed {
            let verified = signed.verify_signature(Some(signer.public_key()));
            // An algorithm that is unknown here may be known to browsers; the names must fit all the same.
            let forged = matches!(verified, Err(X509Error::SignatureVerificationError));
            if forged || signed.issuer() != signer.subject() {
                return Some(place);
            }
        }
        signed = Some(signer);
    }
    None
}

type Pair = (
    Vec<CertificateDer<'static>>,
    Zeroizing<PrivateKeyDer<'static>>,
);

fn read(cert: &Path, key: &Path) -> Result<Pair, Finding> {
    let unreadable = |path: &Path| {
        let path = path.to_path_buf();
        move |source| Finding::Unreadable { path, source }
    };
    let chain: Vec<_> = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect)
        .map_err(unreadable(cert))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(unreadable(key))?;
    Ok((chain, Zeroizing::new(key)))
}

/// Checks all that does not depend on the time.
pub(super) fn check(
    path: &Path,
    chain: Vec<CertificateDer<'static>>,
    key: &PrivateKeyDer<'_>,
    profile: Profile,
) -> Result<Loaded, Finding> {
    let leaf = chain
        .first()
        .ok_or_else(|| Finding::Empty(path.to_path_buf()))?
        .clone();
    let (_rest, parsed) = X509Certificate::from_der(&leaf)
        .map_err(|_not_x509| Finding::Unusable(path.to_path_buf()))?;
    check_strength(path, &parsed, profile)?;
    let names = names(&parsed);
    if names.is_empty() {
        return Err(Finding::Nameless(path.to_path_buf()));
    }
    let signing =
        any_supported_type(key).map_err(|_refused| Finding::KeyUnusable(path.to_path_buf()))?;
    let certified = CertifiedKey::new(chain, signing);
    certified
        .keys_match()
        .map_err(|_differ| Finding::KeyMismatch(path.to_path_buf()))?;
    let validity = parsed.validity();
    Ok(Loaded {
        key: Arc::new(certified),
        names,
        not_before: Timestamp::from_secs(validity.not_before.timestamp()),
        not_after: Timestamp::from_secs(validity.not_after.timestamp()),
        origin: Origin::File,
        listener: None,
    })
}

/// RSA below 2048 bits and SHA-1 signatures are refused; `modern` takes no RSA at all.
fn check_strength(
    path: &Path,
    certificate: &X509Certificate<'_>,
    profile: Profile,
) -> Result<(), Finding> {
    let weak = || Finding::Weak(path.to_path_buf());
    if has_sha1_signature(certificate) {
        return Err(weak());
    }
    match certificate.public_key().parsed() {
        Ok(PublicKey::RSA(_)) if profile == Profile::Modern => {
            Err(Finding::RsaInModern(path.to_path_buf()))
        }
        Ok(PublicKey::RSA(key)) if key.key_size() < 2048 => Err(weak()),
        Ok(_) => Ok(()),
        Err(_unknown) => Err(weak()),
    }
}

/// A signature with SHA-1, or with MD5.
pub(super) fn has_sha1_signature(certificate: &X509Certificate<'_>) -> bool {
    const WITH_SHA1_OR_MD5: [&str; 3] = [
        "1.2.840.113549.1.1.5",
        "1.2.840.10045.4.1",
        "1.2.840.113549.1.1.4",
    ];
    let algorithm = certificate.signature_algorithm.algorithm.to_id_string();
    WITH_SHA1_OR_MD5.contains(&algorithm.as_str())
}

/// The key of a leaf that graders give less than 100 points: RSA below 4096 bits, and of curves those below P-384.
fn below_strict(loaded: &Loaded) -> Option<String> {
    let (_rest, leaf) = X509Certificate::from_der(loaded.leaf()?).ok()?;
    match leaf.public_key().parsed() {
        Ok(PublicKey::RSA(key)) if key.key_size() < 4096 => {
            Some(format!("an RSA key of {} bits", key.key_size()))
        }
        Ok(PublicKey::EC(key)) if key.key_size() < 384 => {
            Some(format!("an ECDSA key of {} bits", key.key_size()))
        }
        Ok(_) | Err(_) => None,
    }
}

/// The DNS names of the subjectAltName; the common name has meant nothing since RFC 9525.
pub(super) fn names(certificate: &X509Certificate<'_>) -> Vec<Name> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    extension
        .value
        .general_names
        .iter()
        .filter_map(|name| match name {
            GeneralName::DNSName(text) => match text.strip_prefix("*.") {
                Some(suffix) => Host::parse(suffix).ok().map(Name::Wildcard),
                None => Host::parse(text).ok().map(Name::Exact),
            },
            _ => None,
        })
        .collect()
}
