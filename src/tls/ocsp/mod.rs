//! Whether a certificate is revoked, as its authority says (OCSP, RFC 6960): the question, and whether an answer proves it.
//!
//! Only an answer that its authority signed, about this very certificate, in force now, and good becomes a [`Staple`].
//! Nothing here asks anybody.

mod answer;

use rustls::pki_types::CertificateDer;
use x509_cert::Certificate;
use x509_cert::der::asn1::{Null, ObjectIdentifier, OctetString};
use x509_cert::der::{Any, Decode as _, Encode as _};
use x509_cert::spki::AlgorithmIdentifierOwned;
use x509_ocsp::{CertId, OcspRequest, Request, TbsRequest, Version};
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::oid_registry::OID_PKIX_ACCESS_DESCRIPTOR_OCSP;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::base::Timestamp;

/// SHA-1, which names an issuer here and proves nothing (RFC 5019 section 2.1.1 wants it).
const SHA_1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.14.3.2.26");

/// Why there is nothing to staple.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OcspError {
    #[error("the chain does not hold the certificate's issuer, so no answer could be verified")]
    NoIssuer,
    #[error("the answer or the certificate is malformed: {0}")]
    Malformed(#[from] x509_cert::der::Error),
    #[error("the responder gave no answer (status {0})")]
    NoAnswer(u32),
    #[error("the answer is of a kind that is not known")]
    Kind,
    #[error("the answer is about another certificate")]
    OtherCertificate,
    #[error("whoever signed the answer may not")]
    Signer,
    #[error("the answer's signature is wrong")]
    Signature,
    #[error("the answer is of the future")]
    Future,
    #[error("the answer is out of date, or does not say until when it holds")]
    Stale,
    #[error("the authority says that the certificate is revoked")]
    Revoked,
    #[error("the authority does not know the certificate")]
    Unknown,
}

/// What to ask about one certificate, and whom.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    responder: String,
    id: CertId,
    issuer: CertificateDer<'static>,
}

/// An answer that was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Staple {
    /// The whole OCSPResponse, as it is sent to clients.
    pub(crate) der: Vec<u8>,
    pub(crate) this_update: Timestamp,
    pub(crate) next_update: Timestamp,
}

impl Question {
    /// The question about the first certificate of `chain`; `None` when it names no responder that speaks http.
    ///
    /// # Errors
    /// [`OcspError::NoIssuer`] or [`OcspError::Malformed`].
    pub(crate) fn of(chain: &[CertificateDer<'static>]) -> Result<Option<Self>, OcspError> {
        let Some((leaf, responder)) = chain
            .first()
            .and_then(|leaf| Some((leaf, responder_of(leaf)?)))
        else {
            return Ok(None);
        };
        let issuer = chain.get(1).ok_or(OcspError::NoIssuer)?;
        let asked = Certificate::from_der(leaf)?.tbs_certificate;
        let signer = Certificate::from_der(issuer)?.tbs_certificate;
        if asked.issuer != signer.subject {
            return Err(OcspError::NoIssuer);
        }
        let key = signer.subject_public_key_info.subject_public_key;
        let id = CertId {
            hash_algorithm: AlgorithmIdentifierOwned {
                oid: SHA_1,
                parameters: Some(Any::from(Null)),
            },
            issuer_name_hash: OctetString::new(sha1(&signer.subject.to_der()?))?,
            issuer_key_hash: OctetString::new(sha1(key.raw_bytes()))?,
            serial_number: asked.serial_number,
        };
        Ok(Some(Self {
            responder,
            id,
            issuer: issuer.clone(),
        }))
    }

    /// The responder's address, `http://…`.
    pub(crate) fn responder(&self) -> &str {
        &self.responder
    }

    /// An OCSPRequest. Without a nonce: the answer is for everybody (RFC 5019 section 2.1.1).
    ///
    /// # Errors
    /// [`OcspError::Malformed`], for a serial number beyond any bounds.
    pub(crate) fn request(&self) -> Result<Vec<u8>, OcspError> {
        let asked = Request {
            req_cert: self.id.clone(),
            single_request_extensions: None,
        };
        let request = OcspRequest {
            tbs_request: TbsRequest {
                version: Version::V1,
                requestor_name: None,
                request_list: vec![asked],
                request_extensions: None,
            },
            optional_signature: None,
        };
        Ok(request.to_der()?)
    }
}

/// The first responder that the certificate names and that speaks plain http, as responders do.
fn responder_of(leaf: &CertificateDer<'_>) -> Option<String> {
    let (_rest, leaf) = X509Certificate::from_der(leaf).ok()?;
    let access =
        leaf.extensions()
            .iter()
            .find_map(|extension| match extension.parsed_extension() {
                ParsedExtension::AuthorityInfoAccess(access) => Some(access),
                _ => None,
            })?;
    access
        .iter()
        .filter(|one| one.access_method == OID_PKIX_ACCESS_DESCRIPTOR_OCSP)
        .find_map(|one| match &one.access_location {
            GeneralName::URI(uri) if uri.starts_with("http://") => Some((*uri).to_owned()),
            _ => None,
        })
}

fn sha1(bytes: &[u8]) -> Vec<u8> {
    use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
    digest(&SHA1_FOR_LEGACY_USE_ONLY, bytes).as_ref().to_vec()
}

#[cfg(test)]
mod tests;
