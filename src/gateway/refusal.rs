//! Everything a client can get instead of the upstream's answer: a closed list.
//!
//! How a refusal looks stands in [`super::answer`]; which page a mishap is, in `pages`. Each stage of the request
//! path has its own small error, and only this file knows how they all become a refusal.
#![deny(clippy::wildcard_enum_match_arm)]

use std::time::Duration;

use crate::audit::Unavailable;
use crate::authn::BadCredential;
use crate::authz::Denial;
use crate::base::Reason;
use crate::limit::TooFast;
use crate::message::AdmitError;
use crate::message::upgrade::UpgradeRefused;
use crate::upstream;

/// Why a request gets no answer from an upstream.
#[derive(Debug)]
pub(crate) enum Refusal {
    Malformed(AdmitError),
    UpgradeRefused(UpgradeRefused),
    /// Methods that the route carries, for `Allow`.
    MethodRefused(Vec<http::Method>),
    NoRoute,
    RateLimited(TooFast),
    BadCredential(BadCredential),
    Denied(Denial),
    AuditUnavailable(Unavailable),
    SignerUnavailable,
    Upstream {
        error: upstream::Error,
        /// Time the upstream had for its first byte.
        patience: Duration,
        /// Largest body of a request, in bytes.
        limit: u64,
    },
    Draining,
}

impl Refusal {
    /// The one word that the audit entry, the metrics and the answer share.
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::Malformed(error) => error.reason(),
            Self::UpgradeRefused(_) => Reason::UpgradeRefused,
            Self::MethodRefused(_) => Reason::MethodNotAllowed,
            Self::NoRoute => Reason::NoRoute,
            Self::RateLimited(_) => Reason::RateLimited,
            Self::BadCredential(BadCredential::Conflicting) => Reason::ConflictingCredentials,
            Self::BadCredential(
                BadCredential::Unknown
                | BadCredential::Expired
                | BadCredential::Idle
                | BadCredential::Disabled
                | BadCredential::Malformed,
            ) => Reason::CredentialRejected,
            Self::Denied(denial) => denial.reason,
            Self::AuditUnavailable(_) => Reason::AuditUnavailable,
            Self::SignerUnavailable => Reason::SignerUnavailable,
            Self::Upstream { error, .. } => error.reason(),
            Self::Draining => Reason::Draining,
        }
    }
}

impl From<AdmitError> for Refusal {
    fn from(error: AdmitError) -> Self {
        Self::Malformed(error)
    }
}

impl From<UpgradeRefused> for Refusal {
    fn from(error: UpgradeRefused) -> Self {
        Self::UpgradeRefused(error)
    }
}

impl From<TooFast> for Refusal {
    fn from(limited: TooFast) -> Self {
        Self::RateLimited(limited)
    }
}

impl From<BadCredential> for Refusal {
    fn from(error: BadCredential) -> Self {
        Self::BadCredential(error)
    }
}

impl From<Denial> for Refusal {
    fn from(denial: Denial) -> Self {
        Self::Denied(denial)
    }
}

impl From<Unavailable> for Refusal {
    fn from(error: Unavailable) -> Self {
        Self::AuditUnavailable(error)
    }
}
