//! One order, from its names to the chain: prove every name, send the request, take the certificate.
//!
//! Proofs are presented only for names that were ordered, and only while the order runs.

use std::sync::Arc;
use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, ChallengeHandle, ChallengeType, Identifier, NewOrder, Order,
    OrderStatus, RetryPolicy,
};
use rustls::pki_types::CertificateDer;

use super::AcmeError;
use super::hook::{self, Record};
use crate::base::Host;
use crate::config::{Acme, Challenge};
use crate::keys::{CertificateKey, KeptCertificate};
use crate::tls::Challenges;
use crate::tls::certificates::Name;
use crate::tls::challenge::Presented;

/// How often and how long the authority is asked whether it has come to an end.
const ASKING: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(500))
    .timeout(Duration::from_secs(180));

/// What an order is carried out with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Means<'a> {
    /// What the certificate is kept as.
    pub(super) id: &'a str,
    pub(super) settings: &'a Acme,
    pub(super) challenges: &'a Arc<Challenges>,
    /// The certificate that the new one replaces, where the authority wants to know (RFC 9773 section 5).
    pub(super) replaces: Option<&'a CertificateDer<'static>>,
}

/// Obtains one certificate for all of `names`. DNS records that were made stand in `records`, whatever the outcome; the
/// caller takes them back.
///
/// # Errors
/// [`AcmeError`], with the authority's own words where it said why.
pub(super) async fn obtain(
    account: &Account,
    names: &[Name],
    means: Means<'_>,
    records: &mut Vec<Record>,
) -> Result<KeptCertificate, AcmeError> {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let identifiers: Vec<_> = names.iter().cloned().map(Identifier::Dns).collect();
    let mut new = NewOrder::new(&identifiers);
    if let Some(id) = means.replaces.and_then(|old| old.try_into().ok()) {
        new = new.replaces(id);
    }
    let mut order = account.new_order(&new).await?;
    let presented = present(&mut order, &names, means, records).await?;
    if let (Some(hook), false) = (&means.settings.dns, records.is_empty()) {
        tokio::time::sleep(hook.wait).await;
    }
    tell_ready(&mut order, means).await?;
    let ready = order.poll_ready(&ASKING).await;
    if !matches!(ready, Ok(OrderStatus::Ready | OrderStatus::Valid)) {
        let unproved = why_unproved(&mut order).await;
        return Err(unproved.unwrap_or_else(|| ready.err().map_or(AcmeError::Timeout, Into::into)));
    }
    drop(presented);
    let key = CertificateKey::generate()?;
    order.finalize_csr(&key.request(&names)?).await?;
    let chain = order.poll_certificate(&ASKING).await?;
    Ok(KeptCertificate {
        id: means.id.to_owned(),
        chain,
        key,
    })
}

fn kind(challenge: Challenge) -> ChallengeType {
    match challenge {
        Challenge::TlsAlpn01 => ChallengeType::TlsAlpn01,
        Challenge::Http01 => ChallengeType::Http01,
        Challenge::Dns01 => ChallengeType::Dns01,
    }
}

/// Presents the proof of every name that is not proved yet.
async fn present(
    order: &mut Order,
    names: &[String],
    means: Means<'_>,
    records: &mut Vec<Record>,
) -> Result<Vec<Presented>, AcmeError> {
    let mut presented = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        let name = authorization.identifier().to_string();
        if !names.contains(&name) {
            return Err(AcmeError::Foreign);
        }
        match authorization.status {
            AuthorizationStatus::Valid => continue,
            AuthorizationStatus::Pending => {}
            _ => return Err(not_proved(name, "its authorization ended before the proof")),
        }
        let wanted = means.settings.challenge.value;
        let challenge =
            authorization
                .challenge(kind(wanted))
                .ok_or_else(|| AcmeError::NotOffered {
                    challenge: wanted.to_string(),
                    name: name.clone(),
                })?;
        let host = Host::parse(name.strip_prefix("*.").unwrap_or(&name))
            .map_err(|_not_a_host| AcmeError::Foreign)?;
        match prepare(&challenge, host, means)? {
            Proof::Ours(guard) => presented.push(guard),
            Proof::Dns(record) => {
                // Noted first: a program that failed may have done half of it.
                records.push(record.clone());
                if let Some(hook) = &means.settings.dns {
                    hook::run(hook, "present", &record).await?;
                }
            }
        }
    }
    Ok(presented)
}

/// How one name is proved.
enum Proof {
    Ours(Presented),
    Dns(Record),
}

fn prepare(
    challenge: &ChallengeHandle<'_>,
    host: Host,
    means: Means<'_>,
) -> Result<Proof, AcmeError> {
    let authorization = challenge.key_authorization();
    Ok(match means.settings.challenge.value {
        Challenge::TlsAlpn01 => {
            let digest = authorization.digest();
            Proof::Ours(means.challenges.present_tls(host, digest.as_ref())?)
        }
        Challenge::Http01 => Proof::Ours(means.challenges.present_http(
            host,
            challenge.token.clone(),
            authorization.as_str().to_owned(),
        )),
        Challenge::Dns01 => Proof::Dns(Record::new(&host, authorization.dns_value())),
    })
}

/// Asks the authority to look at every proof that it has not seen.
async fn tell_ready(order: &mut Order, means: Means<'_>) -> Result<(), AcmeError> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        if authorization.status != AuthorizationStatus::Pending {
            continue;
        }
        let wanted = means.settings.challenge.value;
        if let Some(mut challenge) = authorization.challenge(kind(wanted)) {
            challenge.set_ready().await?;
        }
    }
    Ok(())
}

/// The name that was not proved, in the authority's words.
async fn why_unproved(order: &mut Order) -> Option<AcmeError> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.ok()?;
        let name = authorization.identifier().to_string();
        let state = authorization.refresh().await.ok()?;
        let error = state
            .challenges
            .iter()
            .find_map(|challenge| challenge.error.as_ref());
        if let Some(problem) = error {
            return Some(not_proved(
                name,
                problem.detail.as_deref().unwrap_or("it gave no reason"),
            ));
        }
    }
    None
}

fn not_proved(name: String, why: &str) -> AcmeError {
    AcmeError::NotProved {
        name,
        why: why.to_owned(),
    }
}
