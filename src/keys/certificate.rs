//! The key of a certificate that is obtained from elsewhere, and both together as they are kept.
//!
//! The key is made here and leaves sealed under the master key, or as what the TLS library signs with; the authority
//! sees a request that the key signed and nothing else.

use data_encoding::BASE64;
use rcgen::{
    CertificateParams, CertificateSigningRequest, DistinguishedName, KeyPair,
    PKCS_ECDSA_P256_SHA256, SanType,
};
use rustls::pki_types::PrivateKeyDer;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize as _, Zeroizing};

use super::{KeyError, MasterKey};

/// An ECDSA P-256 key that has or will have a certificate.
pub(crate) struct CertificateKey(Zeroizing<KeyPair>);

/// A chain with its key.
#[derive(Debug)]
pub(crate) struct KeptCertificate {
    /// What it was obtained for, in the words of who keeps it.
    pub(crate) id: String,
    /// PEM, leaf first.
    pub(crate) chain: String,
    pub(crate) key: CertificateKey,
}

/// What is sealed.
#[derive(Serialize, Deserialize)]
struct Stored {
    id: String,
    chain: String,
    /// PKCS #8, base64.
    key: String,
}

impl Drop for Stored {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

impl CertificateKey {
    pub(crate) fn generate() -> Result<Self, KeyError> {
        KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
            .map(|key| Self(Zeroizing::new(key)))
            .map_err(|_refused| KeyError::Refused("make a key for a certificate"))
    }

    /// A certificate signing request for `names`, DER (RFC 2986). The subject stays empty; names stand in the
    /// subjectAltName.
    pub(crate) fn request(&self, names: &[String]) -> Result<Vec<u8>, KeyError> {
        let refused = |_error| KeyError::Refused("request a certificate");
        let mut params = CertificateParams::default();
        params.subject_alt_names = names
            .iter()
            .map(|name| Ok(SanType::DnsName(name.as_str().try_into()?)))
            .collect::<Result<_, rcgen::Error>>()
            .map_err(refused)?;
        params.distinguished_name = DistinguishedName::new();
        let request: CertificateSigningRequest =
            params.serialize_request(&*self.0).map_err(refused)?;
        Ok(request.der().to_vec())
    }

    /// For the TLS library.
    pub(crate) fn private(&self) -> Zeroizing<PrivateKeyDer<'static>> {
        Zeroizing::new(PrivateKeyDer::Pkcs8(self.0.serialize_der().into()))
    }
}

impl std::fmt::Debug for CertificateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CertificateKey(..)")
    }
}

impl KeptCertificate {
    /// For the store, under `name`.
    pub(crate) fn sealed(&self, master: &MasterKey, name: &str) -> Result<Vec<u8>, KeyError> {
        let der = Zeroizing::new(self.key.0.serialize_der());
        let stored = Stored {
            id: self.id.clone(),
            chain: self.chain.clone(),
            key: BASE64.encode(&der),
        };
        let text = serde_json::to_vec(&stored)
            .map(Zeroizing::new)
            .map_err(|_impossible| KeyError::Refused("write down a certificate"))?;
        master.seal(&context(name), &text)
    }

    /// Reads what [`Self::sealed`] gave, under the same name.
    pub(crate) fn open(master: &MasterKey, name: &str, sealed: &[u8]) -> Result<Self, KeyError> {
        let unreadable = || KeyError::Unreadable("certificate");
        let text = master.open(&context(name), sealed)?;
        let stored: Stored = serde_json::from_slice(&text).map_err(|_not_shown| unreadable())?;
        let der = BASE64
            .decode(stored.key.as_bytes())
            .map(Zeroizing::new)
            .map_err(|_not_base64| unreadable())?;
        let key = KeyPair::try_from(der.as_slice()).map_err(|_not_a_key| unreadable())?;
        Ok(Self {
            id: stored.id.clone(),
            chain: stored.chain.clone(),
            key: CertificateKey(Zeroizing::new(key)),
        })
    }
}

fn context(name: &str) -> Vec<u8> {
    [b"certificate\0".as_slice(), name.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::{CertificateKey, KeptCertificate};
    use crate::keys::MasterKey;

    #[test]
    fn a_kept_certificate_opens_under_its_name_and_master_key_only() {
        let folder = tempfile::tempdir().unwrap();
        let master = MasterKey::open_or_create(&folder.path().join("one.key")).unwrap();
        let other = MasterKey::open_or_create(&folder.path().join("two.key")).unwrap();
        let kept = KeptCertificate {
            id: "what".to_owned(),
            chain: "chain".to_owned(),
            key: CertificateKey::generate().unwrap(),
        };
        let sealed = kept.sealed(&master, "a.test").unwrap();
        let again = KeptCertificate::open(&master, "a.test", &sealed).unwrap();
        assert_eq!((again.id.as_str(), again.chain.as_str()), ("what", "chain"));
        assert_eq!(again.key.private(), kept.key.private());
        assert!(KeptCertificate::open(&master, "b.test", &sealed).is_err());
        assert!(KeptCertificate::open(&other, "a.test", &sealed).is_err());
    }

    #[test]
    fn a_request_names_hosts_and_wildcards_and_no_subject() {
        let names = ["a.test".to_owned(), "*.b.test".to_owned()];
        let request = CertificateKey::generate().unwrap().request(&names).unwrap();
        let text = format!("{:?}", String::from_utf8(request.escape_ascii().collect()));
        assert!(
            text.contains("a.test") && text.contains("*.b.test"),
            "{text}"
        );
        assert!(!text.contains("rcgen"), "{text}");
    }
}
