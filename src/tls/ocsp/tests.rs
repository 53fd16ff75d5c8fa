//! Which answers prove a certificate good. The answers are made here; a real responder's are tried in `tests/it/ocsp.rs`.

use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, PKCS_ECDSA_P256_SHA256, SerialNumber, SigningKey as _,
};
use rustls::pki_types::CertificateDer;
use x509_cert::Certificate;
use x509_cert::der::asn1::{BitString, GeneralizedTime, Null, OctetString};
use x509_cert::der::{Decode as _, Encode as _};
use x509_cert::spki::AlgorithmIdentifierOwned;
use x509_ocsp::{
    BasicOcspResponse, CertStatus, OcspGeneralizedTime, OcspResponse, ResponderId, ResponseData,
    RevokedInfo, SingleResponse, Version,
};

use super::{OcspError, Question, sha1};
use crate::base::Timestamp;

/// In 2026; the certificates here are valid for the whole of that year.
const NOW: Timestamp = Timestamp::from_secs(1_795_000_000);
const HOUR: Duration = Duration::from_secs(3600);
const ECDSA_WITH_SHA256: &str = "1.2.840.10045.4.3.2";

type Authority = CertifiedIssuer<'static, KeyPair>;

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = rcgen::date_time_ymd(2026, 1, 1);
    params.not_after = rcgen::date_time_ymd(2027, 1, 1);
    params
}

fn key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()
}

fn authority(name: &str) -> Authority {
    let mut params = params(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, key()).unwrap()
}

/// AuthorityInfoAccess (RFC 5280 section 4.2.2.1) with one responder.
fn access(uri: &str) -> CustomExtension {
    let length = |of: usize| u8::try_from(of).unwrap();
    let method = [6, 8, 0x2b, 6, 1, 5, 5, 7, 0x30, 1];
    let mut one = method.to_vec();
    one.extend([0x86, length(uri.len())]);
    one.extend(uri.as_bytes());
    let mut content = vec![0x30, length(one.len() + 2), 0x30, length(one.len())];
    content.extend(one);
    CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 1], content)
}

fn leaf(issuer: &Authority, serial: u64, responder: Option<&str>) -> CertificateDer<'static> {
    let mut params = params("app.example.com");
    params.serial_number = Some(SerialNumber::from(serial));
    params.custom_extensions.extend(responder.map(access));
    params.signed_by(&key(), issuer).unwrap().der().clone()
}

fn chain(issuer: &Authority, serial: u64) -> [CertificateDer<'static>; 2] {
    let leaf = leaf(issuer, serial, Some("http://ocsp.example.com/"));
    [leaf, issuer.der().clone()]
}

fn question(chain: &[CertificateDer<'static>]) -> Question {
    Question::of(chain).unwrap().unwrap()
}

fn time(at: Timestamp) -> OcspGeneralizedTime {
    let seconds = Duration::from_secs(u64::try_from(at.secs()).unwrap());
    OcspGeneralizedTime(GeneralizedTime::from_unix_duration(seconds).unwrap())
}

/// An answer that says "good" for four hours around [`NOW`], before somebody signs it.
struct Draft {
    responder: ResponderId,
    single: SingleResponse,
    certs: Vec<CertificateDer<'static>>,
}

impl Draft {
    fn new(question: &Question, responder: &CertificateDer<'_>) -> Self {
        let responder = Certificate::from_der(responder).unwrap();
        Self {
            responder: ResponderId::ByName(responder.tbs_certificate.subject),
            single: SingleResponse {
                cert_id: question.id.clone(),
                cert_status: CertStatus::Good(Null),
                this_update: time(NOW.minus(HOUR)),
                next_update: Some(time(NOW.plus(3 * HOUR))),
                single_extensions: None,
            },
            certs: Vec::new(),
        }
    }

    fn signed(self, key: &KeyPair) -> Vec<u8> {
        let data = ResponseData {
            version: Version::V1,
            responder_id: self.responder,
            produced_at: self.single.this_update,
            responses: vec![self.single],
            response_extensions: None,
        };
        let signature = key.sign(&data.to_der().unwrap()).unwrap();
        let certs = self
            .certs
            .iter()
            .map(|der| Certificate::from_der(der).unwrap());
        let certs: Vec<_> = certs.collect();
        let basic = BasicOcspResponse {
            tbs_response_data: data,
            signature_algorithm: AlgorithmIdentifierOwned {
                oid: ECDSA_WITH_SHA256.parse().unwrap(),
                parameters: None,
            },
            signature: BitString::from_bytes(&signature).unwrap(),
            certs: (!certs.is_empty()).then_some(certs),
        };
        OcspResponse::successful(basic).unwrap().to_der().unwrap()
    }
}

#[test]
fn a_certificate_without_a_responder_or_one_that_needs_tls_is_not_asked_about() {
    let root = authority("Root");
    for responder in [None, Some("https://ocsp.example.com/"), Some("ldap://x/")] {
        let chain = [leaf(&root, 7, responder), root.der().clone()];
        assert!(Question::of(&chain).unwrap().is_none(), "{responder:?}");
    }
    let alone = [leaf(&root, 7, Some("http://ocsp.example.com/"))];
    assert!(matches!(Question::of(&alone), Err(OcspError::NoIssuer)));
    let foreign = [alone[0].clone(), authority("Other").der().clone()];
    assert!(matches!(Question::of(&foreign), Err(OcspError::NoIssuer)));
    assert!(Question::of(&[]).unwrap().is_none());
}

#[test]
fn the_issuers_own_answer_is_taken_by_name_and_by_key() {
    let root = authority("Root");
    let question = question(&chain(&root, 7));
    let answer = Draft::new(&question, root.der()).signed(root.key());
    let staple = question.verify(&answer, NOW).unwrap();
    assert_eq!(staple.der, answer);
    assert_eq!(staple.this_update, NOW.minus(HOUR));
    assert_eq!(staple.next_update, NOW.plus(3 * HOUR));
    let mut by_key = Draft::new(&question, root.der());
    let issuer = Certificate::from_der(root.der()).unwrap().tbs_certificate;
    let hash = sha1(
        issuer
            .subject_public_key_info
            .subject_public_key
            .raw_bytes(),
    );
    by_key.responder = ResponderId::ByKey(OctetString::new(hash).unwrap());
    assert!(question.verify(&by_key.signed(root.key()), NOW).is_ok());
}

#[test]
fn an_answer_that_anybody_else_signed_or_changed_is_refused() {
    let (root, namesake) = (authority("Root"), authority("Root"));
    let question = question(&chain(&root, 7));
    let forged = Draft::new(&question, root.der()).signed(namesake.key());
    let refused = question.verify(&forged, NOW);
    assert!(matches!(refused, Err(OcspError::Signature)), "{refused:?}");
    let stranger = authority("Stranger");
    let foreign = Draft::new(&question, stranger.der()).signed(stranger.key());
    let refused = question.verify(&foreign, NOW);
    assert!(matches!(refused, Err(OcspError::Signer)), "{refused:?}");
    // Whatever byte is changed, nothing is proved.
    let answer = Draft::new(&question, root.der()).signed(root.key());
    for place in 0..answer.len() {
        let mut changed = answer.clone();
        changed[place] ^= 1;
        assert!(question.verify(&changed, NOW).is_err(), "byte {place}");
    }
    for length in 0..answer.len() {
        assert!(question.verify(&answer[..length], NOW).is_err());
    }
}

#[test]
fn an_answer_about_another_certificate_is_refused() {
    let root = authority("Root");
    let (asked, other) = (question(&chain(&root, 7)), question(&chain(&root, 8)));
    let answer = Draft::new(&other, root.der()).signed(root.key());
    let refused = asked.verify(&answer, NOW);
    assert!(
        matches!(refused, Err(OcspError::OtherCertificate)),
        "{refused:?}"
    );
    // The same serial number of another authority.
    let sibling = question(&chain(&authority("Sibling"), 7));
    let mut draft = Draft::new(&sibling, root.der());
    draft.single.cert_id.serial_number = asked.id.serial_number.clone();
    assert!(asked.verify(&draft.signed(root.key()), NOW).is_err());
}

#[test]
fn an_answer_counts_from_its_begin_to_its_end_and_without_an_end_never() {
    let root = authority("Root");
    let question = question(&chain(&root, 7));
    let answer = Draft::new(&question, root.der()).signed(root.key());
    assert!(question.verify(&answer, NOW.plus(2 * HOUR)).is_ok());
    let stale = question.verify(&answer, NOW.plus(3 * HOUR));
    assert!(matches!(stale, Err(OcspError::Stale)), "{stale:?}");
    let future = question.verify(&answer, NOW.minus(2 * HOUR));
    assert!(matches!(future, Err(OcspError::Future)), "{future:?}");
    let mut endless = Draft::new(&question, root.der());
    endless.single.next_update = None;
    let refused = question.verify(&endless.signed(root.key()), NOW);
    assert!(matches!(refused, Err(OcspError::Stale)), "{refused:?}");
}

#[test]
fn only_good_is_good() {
    let root = authority("Root");
    let question = question(&chain(&root, 7));
    let mut draft = Draft::new(&question, root.der());
    draft.single.cert_status = CertStatus::Revoked(RevokedInfo {
        revocation_time: time(NOW.minus(HOUR)),
        revocation_reason: None,
    });
    let refused = question.verify(&draft.signed(root.key()), NOW);
    assert!(matches!(refused, Err(OcspError::Revoked)), "{refused:?}");
    let mut draft = Draft::new(&question, root.der());
    draft.single.cert_status = CertStatus::Unknown(Null);
    let refused = question.verify(&draft.signed(root.key()), NOW);
    assert!(matches!(refused, Err(OcspError::Unknown)), "{refused:?}");
    let later = OcspResponse::try_later().to_der().unwrap();
    let refused = question.verify(&later, NOW);
    assert!(
        matches!(refused, Err(OcspError::NoAnswer(3))),
        "{refused:?}"
    );
}

#[test]
fn a_delegate_counts_when_the_issuer_itself_named_it_for_answers_and_it_is_in_force() {
    let (root, namesake) = (authority("Root"), authority("Root"));
    let question = question(&chain(&root, 7));
    let judge = |issuer: &Authority, usage: Option<ExtendedKeyUsagePurpose>, until: i32| {
        let (key, mut params) = (key(), params("Delegate"));
        params.extended_key_usages.extend(usage);
        params.not_after = rcgen::date_time_ymd(until, 1, 1);
        let delegate = params.signed_by(&key, issuer).unwrap().der().clone();
        let mut draft = Draft::new(&question, &delegate);
        draft.certs = vec![root.der().clone(), delegate];
        question.verify(&draft.signed(&key), NOW)
    };
    let signing = Some(ExtendedKeyUsagePurpose::OcspSigning);
    assert!(judge(&root, signing.clone(), 2027).is_ok());
    for (issuer, usage, until) in [
        (&root, None, 2027),
        (&root, Some(ExtendedKeyUsagePurpose::ServerAuth), 2027),
        (&root, Some(ExtendedKeyUsagePurpose::Any), 2027),
        (&root, signing.clone(), 2026),
        (&namesake, signing, 2027),
    ] {
        let refused = judge(issuer, usage.clone(), until);
        assert!(
            matches!(refused, Err(OcspError::Signer)),
            "{usage:?} {until} {refused:?}"
        );
    }
}
