//! Everything a client can get instead of the upstream's answer: a closed list.
//!
//! How a refusal looks stands in [`super::answer`]; which page a mishap is, in `pages`. Each stage of the request
//! path has its own small error, and only this file knows how they all become a refusal.
#![deny(clippy::wildcard_enum_match_arm)]

use std::sync::Arc;
use std::time::Duration;

use crate::audit::Unavailable;
use crate::authn::{BadCredential, Principal};
use crate::authz::Denial;
use crate::base::Reason;
use crate::limit::TooFast;
use crate::message::AdmitError;
use crate::message::upgrade::UpgradeRefused;
use crate::route::Route;
use crate::upstream;

/// Why a request gets no answer from an upstream.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("{0}")]
    Malformed(AdmitError),
    #[error("{0}")]
    UpgradeRefused(UpgradeRefused),
    /// Methods that the route carries, for `Allow`.
    #[error("the route does not carry the method")]
    MethodRefused(Vec<http::Method>),
    /// A preflight request of an origin that the route does not list.
    #[error("the route admits no page of this origin")]
    OriginRefused,
    #[error("no route has this host and path")]
    NoRoute,
    #[error("{0}")]
    RateLimited(TooFast),
    #[error("{0}")]
    BadCredential(BadCredential),
    #[error("{}", .0.denial.reason)]
    Denied(Box<Denied>),
    #[error("{0}")]
    AuditUnavailable(Unavailable),
    #[error("the assertion cannot be signed")]
    SignerUnavailable,
    #[error("{}", .0.error)]
    Upstream(Box<Failed>),
}

/// A denial, with what its page tells the person.
#[derive(Debug)]
pub(crate) struct Denied {
    pub(crate) denial: Denial,
    pub(crate) route: Arc<Route>,
    /// `None` for a visitor without session.
    pub(crate) principal: Option<Arc<Principal>>,
}

/// An upstream that gave no answer.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) error: upstream::Error,
    pub(crate) route: Arc<Route>,
    /// Time the upstream had for its first byte.
    pub(crate) patience: Duration,
}

impl Refusal {
    /// The one word that the audit entry, the metrics and the answer share.
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::Malformed(error) => error.reason(),
            Self::UpgradeRefused(_) => Reason::UpgradeRefused,
            Self::MethodRefused(_) => Reason::MethodNotAllowed,
            Self::OriginRefused => Reason::OriginRefused,
            Self::NoRoute => Reason::NoRoute,
            Self::RateLimited(_) => Reason::RateLimited,
            Self::BadCredential(BadCredential::Conflicting) => Reason::ConflictingCredentials,
            Self::BadCredential(
                BadCredential::Unknown
                | BadCredential::Expired
                | BadCredential::Idle
                | BadCredential::Malformed,
            ) => Reason::CredentialRejected,
            Self::Denied(denied) => denied.denial.reason,
            Self::AuditUnavailable(_) => Reason::AuditUnavailable,
            Self::SignerUnavailable => Reason::SignerUnavailable,
            Self::Upstream(failed) => failed.error.reason(),
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

impl From<Unavailable> for Refusal {
    fn from(error: Unavailable) -> Self {
        Self::AuditUnavailable(error)
    }
}
