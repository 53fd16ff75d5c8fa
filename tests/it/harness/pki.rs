//! A certificate authority of the test's own, and the files it issues.

use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384,
    PKCS_RSA_SHA256, SerialNumber,
};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// What kind of key a leaf has.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    P256,
    P384,
    Rsa2048,
}

/// An authority that lives as long as the test.
pub(crate) struct Pki {
    issuer: Issuer<'static, KeyPair>,
    root: String,
}

/// A certificate and its key, both PEM.
pub(crate) struct Leaf {
    pub(crate) cert: String,
    pub(crate) key: String,
    pub(crate) der: Vec<u8>,
}

fn live(params: &mut CertificateParams) {
    let now = std::time::SystemTime::now();
    params.not_before = (now - DAY).into();
    params.not_after = (now + 88 * DAY).into();
}

impl Pki {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "Test root");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        live(&mut params);
        let root = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(params, key),
            root,
        }
    }

    /// The PEM of the root.
    pub(crate) fn root(&self) -> &[u8] {
        self.root.as_bytes()
    }

    /// The PEM of the root's key.
    pub(crate) fn root_key(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    pub(crate) fn leaf(&self, kind: Kind, names: &[&str]) -> Leaf {
        self.leaf_with(kind, names, |_params| {})
    }

    /// A leaf that names `responder`, with the serial number that the responder knows it by.
    pub(crate) fn leaf_asked_about(&self, responder: &str, serial: u64, names: &[&str]) -> Leaf {
        self.leaf_with(Kind::P256, names, |params| {
            params.serial_number = Some(SerialNumber::from(serial));
            params.custom_extensions.push(access(responder));
        })
    }

    /// One whom the authority lets answer for it.
    pub(crate) fn delegate(&self) -> Leaf {
        self.leaf_with(Kind::P256, &["responder.test"], |params| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::OcspSigning];
        })
    }

    fn leaf_with(
        &self,
        kind: Kind,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> Leaf {
        let key = KeyPair::generate_for(match kind {
            Kind::P256 => &PKCS_ECDSA_P256_SHA256,
            Kind::P384 => &PKCS_ECDSA_P384_SHA384,
            Kind::Rsa2048 => &PKCS_RSA_SHA256,
        })
        .unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params
            .distinguished_name
            .push(DnType::CommonName, "Test leaf");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        live(&mut params);
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Leaf {
            cert: certificate.pem(),
            key: key.serialize_pem(),
            der: certificate.der().to_vec(),
        }
    }
}

/// AuthorityInfoAccess (RFC 5280 section 4.2.2.1) with one responder.
fn access(uri: &str) -> CustomExtension {
    let length = |of: usize| u8::try_from(of).unwrap();
    let mut one = vec![6, 8, 0x2b, 6, 1, 5, 5, 7, 0x30, 1, 0x86, length(uri.len())];
    one.extend(uri.as_bytes());
    let mut content = vec![0x30, length(one.len() + 2), 0x30, length(one.len())];
    content.extend(one);
    CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 1], content)
}
