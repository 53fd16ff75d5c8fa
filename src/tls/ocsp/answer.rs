//! Whether an OCSPResponse proves that a certificate is good (RFC 6960 section 3.2).

use std::time::Duration;

use rustls::pki_types::CertificateDer;
use x509_cert::der::oid::AssociatedOid as _;
use x509_cert::der::{Decode as _, Encode as _};
use x509_ocsp::{
    BasicOcspResponse, CertStatus, OcspGeneralizedTime, OcspResponse, OcspResponseStatus,
    ResponderId, SingleResponse,
};
use x509_parser::asn1_rs::BitString;
use x509_parser::oid_registry::{OID_PKCS1_SHA1WITHRSA, OID_SHA1_WITH_RSA};
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::verify::verify_signature;
use x509_parser::x509::AlgorithmIdentifier;

use super::{OcspError, Question, SHA_1, Staple, sha1};
use crate::base::Timestamp;

/// How far a responder's clock may be ahead of ours.
const CLOCKS_DIFFER: Duration = Duration::from_secs(300);

impl Question {
    /// Takes an answer that proves this certificate good at `now`.
    ///
    /// # Errors
    /// [`OcspError`], for everything else.
    pub(crate) fn verify(&self, answer: &[u8], now: Timestamp) -> Result<Staple, OcspError> {
        let response = OcspResponse::from_der(answer)?;
        if response.response_status != OcspResponseStatus::Successful {
            return Err(OcspError::NoAnswer(response.response_status as u32));
        }
        let bytes = response.response_bytes.ok_or(OcspError::Kind)?;
        if bytes.response_type != BasicOcspResponse::OID {
            return Err(OcspError::Kind);
        }
        let basic = BasicOcspResponse::from_der(bytes.response.as_bytes())?;
        self.verify_signer(&basic, now)?;
        let mut answers = basic.tbs_response_data.responses.iter();
        let single = answers
            .find(|one| self.is_about(one))
            .ok_or(OcspError::OtherCertificate)?;
        let (this_update, next_update) = in_force(single, now)?;
        match single.cert_status {
            CertStatus::Good(_) => Ok(Staple {
                der: answer.to_vec(),
                this_update,
                next_update,
            }),
            CertStatus::Revoked(_) => Err(OcspError::Revoked),
            CertStatus::Unknown(_) => Err(OcspError::Unknown),
        }
    }

    fn is_about(&self, one: &SingleResponse) -> bool {
        let id = &one.cert_id;
        // The parameters of the hash's name are NULL with some responders and absent with others.
        id.hash_algorithm.oid == SHA_1
            && id.issuer_name_hash == self.id.issuer_name_hash
            && id.issuer_key_hash == self.id.issuer_key_hash
            && id.serial_number == self.id.serial_number
    }

    /// The issuer itself signs, or one whom it named for this alone (section 4.2.2.2).
    fn verify_signer(&self, basic: &BasicOcspResponse, now: Timestamp) -> Result<(), OcspError> {
        let who = &basic.tbs_response_data.responder_id;
        if is_meant(who, &self.issuer)? {
            return verify_with(&self.issuer, basic);
        }
        for delegate in basic.certs.iter().flatten() {
            let delegate = CertificateDer::from(delegate.to_der()?);
            if is_meant(who, &delegate)? && self.is_delegate(&delegate, now) {
                return verify_with(&delegate, basic);
            }
        }
        Err(OcspError::Signer)
    }

    /// Issued by the issuer itself, in force, and for signing answers.
    fn is_delegate(&self, delegate: &CertificateDer<'_>, now: Timestamp) -> bool {
        let (Ok((_, delegate)), Ok((_, issuer))) = (
            X509Certificate::from_der(delegate),
            X509Certificate::from_der(&self.issuer),
        ) else {
            return false;
        };
        let for_answers = match delegate.extended_key_usage() {
            Ok(Some(usage)) => usage.value.ocsp_signing,
            Ok(None) | Err(_) => false,
        };
        let validity = delegate.validity();
        let in_force = validity.not_before.timestamp() <= now.plus(CLOCKS_DIFFER).secs()
            && now.secs() < validity.not_after.timestamp();
        for_answers
            && in_force
            && delegate.issuer() == issuer.subject()
            && !is_sha1(&delegate.signature_algorithm)
            && delegate.verify_signature(Some(issuer.public_key())).is_ok()
    }
}

/// Whether the answer says that the owner of `certificate` gave it.
fn is_meant(who: &ResponderId, certificate: &CertificateDer<'_>) -> Result<bool, OcspError> {
    let certificate = x509_cert::Certificate::from_der(certificate)?.tbs_certificate;
    Ok(match who {
        ResponderId::ByName(name) => *name == certificate.subject,
        ResponderId::ByKey(hash) => {
            let key = certificate.subject_public_key_info.subject_public_key;
            hash.as_bytes() == sha1(key.raw_bytes())
        }
    })
}

fn verify_with(signer: &CertificateDer<'_>, basic: &BasicOcspResponse) -> Result<(), OcspError> {
    let (_rest, signer) =
        X509Certificate::from_der(signer).map_err(|_malformed| OcspError::Signer)?;
    let algorithm = basic.signature_algorithm.to_der()?;
    let (_rest, algorithm) =
        AlgorithmIdentifier::from_der(&algorithm).map_err(|_malformed| OcspError::Signature)?;
    if is_sha1(&algorithm) {
        return Err(OcspError::Signature);
    }
    let signature = basic.signature.as_bytes().ok_or(OcspError::Signature)?;
    let signature = BitString::new(0, signature);
    // DER has one form for a value, so that what is written anew is what was signed.
    let signed = basic.tbs_response_data.to_der()?;
    verify_signature(signer.public_key(), &algorithm, &signature, &signed)
        .map_err(|_wrong_or_unknown| OcspError::Signature)
}

fn is_sha1(algorithm: &AlgorithmIdentifier<'_>) -> bool {
    [OID_PKCS1_SHA1WITHRSA, OID_SHA1_WITH_RSA].contains(&algorithm.algorithm)
}

fn in_force(one: &SingleResponse, now: Timestamp) -> Result<(Timestamp, Timestamp), OcspError> {
    let this_update = at(&one.this_update);
    if this_update > now.plus(CLOCKS_DIFFER) {
        return Err(OcspError::Future);
    }
    // Without an end, something newer exists always (section 2.4): nothing that can be kept.
    match one.next_update.as_ref().map(at) {
        Some(next_update) if now < next_update && this_update < next_update => {
            Ok((this_update, next_update))
        }
        Some(_) | None => Err(OcspError::Stale),
    }
}

fn at(time: &OcspGeneralizedTime) -> Timestamp {
    let seconds = time.0.to_unix_duration().as_secs();
    Timestamp::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX))
}
