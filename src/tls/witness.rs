//! A client that looks at what a server presents instead of relying on it; for graders.
//!
//! It goes on after a certificate that nobody should trust, so that the rest can be looked at, and says so. No request
//! that matters may go through it: it carries no credential and takes no answer for more than it is.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::version::{TLS12, TLS13};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::public_key::PublicKey;

use super::client::TrustError;
use super::lint::names;
use super::{Offering, provider};
use crate::base::{Host, Timestamp};

/// What a browser would think of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Trusted,
    Expired,
    NotYetValid,
    OtherName,
    /// Why, in the library's words.
    Untrusted(String),
}

/// What a server presented.
#[derive(Debug, Clone, Default)]
pub(crate) struct Presented {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) staple: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct Witness {
    verifier: Arc<WebPkiServerVerifier>,
    presented: Mutex<Presented>,
}

impl Witness {
    /// A client of HTTP/1.1, and whoever remembers what its servers present.
    ///
    /// # Errors
    /// [`TrustError`], when there are no roots.
    pub(crate) fn client(
        roots: Arc<RootCertStore>,
    ) -> Result<(ClientConfig, Arc<Self>), TrustError> {
        let provider = provider(Offering::Both);
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider))
            .build()
            .map_err(|_no_roots| TrustError::NoNativeRoots)?;
        let witness = Arc::new(Self {
            verifier,
            presented: Mutex::default(),
        });
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(TrustError::Setup)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&witness) as _)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.enable_early_data = false;
        Ok((config, witness))
    }

    /// What the latest server presented.
    pub(crate) fn presented(&self) -> Presented {
        self.presented.lock().clone()
    }

    /// What a browser would think of `chain` when it opens `name` at `now`.
    pub(crate) fn judge(
        &self,
        chain: &[CertificateDer<'static>],
        name: &ServerName<'_>,
        now: Timestamp,
    ) -> Verdict {
        let Some((leaf, rest)) = chain.split_first() else {
            return Verdict::Untrusted("there is no certificate".to_owned());
        };
        let seconds = Duration::from_secs(u64::try_from(now.secs()).unwrap_or(0));
        let now = UnixTime::since_unix_epoch(seconds);
        let judged = self.verifier.verify_server_cert(leaf, rest, name, &[], now);
        match judged {
            Ok(_verified) => Verdict::Trusted,
            Err(Error::InvalidCertificate(error)) => match error {
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                    Verdict::Expired
                }
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                    Verdict::NotYetValid
                }
                CertificateError::NotValidForName
                | CertificateError::NotValidForNameContext { .. } => Verdict::OtherName,
                other => Verdict::Untrusted(other.to_string()),
            },
            Err(other) => Verdict::Untrusted(other.to_string()),
        }
    }
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        staple: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain = std::iter::once(leaf).chain(rest);
        *self.presented.lock() = Presented {
            chain: chain.map(|one| one.clone().into_owned()).collect(),
            staple: staple.to_vec(),
        };
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier
            .verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier
            .verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

/// What a grader asks about a leaf, whoever vouches for it.
#[derive(Debug, Clone)]
pub(crate) struct Leaf {
    pub(crate) key: Key,
    pub(crate) is_for_host: bool,
    pub(crate) is_self_signed: bool,
    pub(crate) has_sha1_signature: bool,
    pub(crate) not_after: Timestamp,
}

/// A leaf's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    Rsa(usize),
    Ecdsa(usize),
    /// Ed25519 and others of which graders know no length.
    Other,
}

impl Leaf {
    /// `None` when it cannot be read.
    pub(crate) fn read(der: &[u8], host: &Host) -> Option<Self> {
        let (_rest, leaf) = X509Certificate::from_der(der).ok()?;
        let key = match leaf.public_key().parsed() {
            Ok(PublicKey::RSA(key)) => Key::Rsa(key.key_size()),
            Ok(PublicKey::EC(key)) => Key::Ecdsa(key.key_size()),
            Ok(_) | Err(_) => Key::Other,
        };
        Some(Self {
            key,
            is_for_host: names(&leaf).iter().any(|name| name.covers(host)),
            is_self_signed: leaf.issuer() == leaf.subject(),
            has_sha1_signature: super::lint::has_sha1_signature(&leaf),
            not_after: Timestamp::from_secs(leaf.validity().not_after.timestamp()),
        })
    }
}
