//! What we answer while a certificate authority checks that a name leads to us: HTTP-01 and TLS-ALPN-01.
//!
//! An answer is there from the moment it is presented until its guard is dropped, for one host, and never for another
//! token or name. Who presents is `acme`; this module talks to nobody.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;
use rcgen::{
    CertificateParams, CustomExtension, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256,
};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};

use super::{Offering, provider};
use crate::base::Host;

/// The ALPN protocol of TLS-ALPN-01 (RFC 8737 section 6.2).
pub(crate) const ACME_TLS: &[u8] = b"acme-tls/1";

/// A challenge that could not be prepared.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChallengeError {
    #[error("the certificate for the challenge cannot be made")]
    Certificate(#[from] rcgen::Error),
    #[error("the TLS library refuses the certificate for the challenge")]
    Tls(#[from] rustls::Error),
}

/// The answers that are presented now; shared by all listeners.
#[derive(Debug, Default)]
pub(crate) struct Challenges(RwLock<HashMap<Host, Answer>>);

#[derive(Debug, Clone)]
enum Answer {
    /// Token and key authorization (RFC 8555 section 8.3).
    Http(Arc<(String, String)>),
    Tls(Arc<ServerConfig>),
}

/// Keeps an answer presented until it is dropped.
#[derive(Debug)]
#[must_use = "the answer is taken back when this value is dropped"]
pub(crate) struct Presented {
    challenges: Arc<Challenges>,
    host: Host,
    answer: Answer,
}

impl Drop for Presented {
    fn drop(&mut self) {
        let mut presented = self.challenges.0.write();
        // Another order may have presented an answer of its own for the name meanwhile.
        if presented
            .get(&self.host)
            .is_some_and(|answer| answer.is(&self.answer))
        {
            presented.remove(&self.host);
        }
    }
}

impl Answer {
    /// The very same, not one that is alike.
    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Http(one), Self::Http(other)) => Arc::ptr_eq(one, other),
            (Self::Tls(one), Self::Tls(other)) => Arc::ptr_eq(one, other),
            (Self::Http(_), Self::Tls(_)) | (Self::Tls(_), Self::Http(_)) => false,
        }
    }
}

impl Challenges {
    /// Answers `GET http://HOST/.well-known/acme-challenge/TOKEN` with `authorization`.
    pub(crate) fn present_http(
        self: &Arc<Self>,
        host: Host,
        token: String,
        authorization: String,
    ) -> Presented {
        self.present(host, Answer::Http(Arc::new((token, authorization))))
    }

    /// Answers TLS handshakes for `host` that offer `acme-tls/1` alone, with a certificate that carries `digest`, the
    /// SHA-256 of the key authorization.
    ///
    /// # Errors
    /// [`ChallengeError`]; nothing is presented then.
    pub(crate) fn present_tls(
        self: &Arc<Self>,
        host: Host,
        digest: &[u8],
    ) -> Result<Presented, ChallengeError> {
        let config = Arc::new(challenge_config(&host, digest)?);
        Ok(self.present(host, Answer::Tls(config)))
    }

    fn present(self: &Arc<Self>, host: Host, answer: Answer) -> Presented {
        self.0.write().insert(host.clone(), answer.clone());
        Presented {
            challenges: Arc::clone(self),
            host,
            answer,
        }
    }

    /// The key authorization for exactly this host and token.
    pub(crate) fn http(&self, host: &Host, token: &str) -> Option<String> {
        match self.0.read().get(host)? {
            Answer::Http(pair) if pair.0 == token => Some(pair.1.clone()),
            Answer::Http(_) | Answer::Tls(_) => None,
        }
    }

    /// How to answer a handshake for this host that offers `acme-tls/1`.
    pub(crate) fn tls(&self, host: &Host) -> Option<Arc<ServerConfig>> {
        match self.0.read().get(host)? {
            Answer::Tls(config) => Some(Arc::clone(config)),
            Answer::Http(_) => None,
        }
    }
}

/// Whether a client offers `acme-tls/1`, whatever else it offers.
pub(crate) fn asks(hello: &ClientHello<'_>) -> bool {
    hello
        .alpn()
        .is_some_and(|mut offered| offered.any(|protocol| protocol == ACME_TLS))
}

/// `true` when nothing but `acme-tls/1` is offered, as a validating authority does (RFC 8737 section 3).
pub(crate) fn asks_alone(hello: &ClientHello<'_>) -> bool {
    hello.alpn().is_some_and(|offered| offered.eq([ACME_TLS]))
}

/// Serves one certificate, whatever is asked for.
#[derive(Debug)]
struct Only(Arc<CertifiedKey>);

impl ResolvesServerCert for Only {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

/// RFC 8737 section 3: one dNSName, the critical acmeIdentifier, self-signed, TLS 1.2 or later.
fn challenge_config(host: &Host, digest: &[u8]) -> Result<ServerConfig, ChallengeError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut params = CertificateParams::new(vec![host.as_str().to_owned()])?;
    params.distinguished_name = DistinguishedName::new();
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let certificate = params.self_signed(&key)?;
    let signing = any_supported_type(&PrivateKeyDer::Pkcs8(key.serialize_der().into()))?;
    // Not from_der: it refuses certificates with a critical extension that it does not know.
    let certified = CertifiedKey::new(vec![certificate.der().clone()], signing);
    let mut config = ServerConfig::builder_with_provider(provider(Offering::Both))
        .with_protocol_versions(&[&TLS13, &TLS12])?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Only(Arc::new(certified))));
    config.alpn_protocols = vec![ACME_TLS.to_vec()];
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::Challenges;
    use crate::base::Host;

    fn host(text: &str) -> Host {
        Host::parse(text).unwrap()
    }

    #[test]
    fn an_answer_is_for_one_host_and_token_and_goes_with_its_guard() {
        let challenges = Arc::new(Challenges::default());
        let presented =
            challenges.present_http(host("a.test"), "token".to_owned(), "token.print".to_owned());
        assert_eq!(
            challenges.http(&host("a.test"), "token").as_deref(),
            Some("token.print")
        );
        for (name, token) in [("a.test", "toke"), ("a.test", ""), ("b.test", "token")] {
            assert_eq!(challenges.http(&host(name), token), None, "{name} {token}");
        }
        assert!(challenges.tls(&host("a.test")).is_none());
        drop(presented);
        assert_eq!(challenges.http(&host("a.test"), "token"), None);
    }

    #[test]
    fn an_order_that_ends_takes_back_its_own_answer_and_no_later_one() {
        let challenges = Arc::new(Challenges::default());
        let present = || {
            challenges.present_http(host("a.test"), "token".to_owned(), "token.print".to_owned())
        };
        let (first, second) = (present(), present());
        drop(first);
        assert!(challenges.http(&host("a.test"), "token").is_some());
        drop(second);
        assert!(challenges.http(&host("a.test"), "token").is_none());
    }

    #[test]
    fn the_challenge_certificate_carries_the_digest_in_a_critical_extension() {
        let challenges = Arc::new(Challenges::default());
        let presented = challenges.present_tls(host("a.test"), &[7; 32]).unwrap();
        let config = challenges.tls(&host("a.test")).unwrap();
        assert_eq!(config.alpn_protocols, [b"acme-tls/1".to_vec()]);
        assert!(challenges.tls(&host("b.test")).is_none());
        drop(presented);
        assert!(challenges.tls(&host("a.test")).is_none());
    }
}
