//! Certificates that nobody has to think about: obtained by ACME (RFC 8555), renewed in time, kept when renewal fails.
//!
//! One task does all of it, one order at a time. What it obtains it keeps sealed in the store and hands to `tls`, which
//! serves it; requests never wait for it. It never removes a certificate that is served because a new one failed, never
//! asks an authority again before the pause after a failure is over, and never reads a request.

mod authority;
mod client;
mod hook;
mod keeper;
mod order;
pub(crate) mod schedule;
mod vault;
mod ward;

pub(crate) use keeper::{Keeper, KeeperError, Parts, RenewError};
pub(crate) use ward::Status;

use crate::fetch::{FetchError, told};
use crate::keys::KeyError;
use crate::store::StoreError;
use crate::tls::certificates::Finding;
use crate::tls::challenge::ChallengeError;
use crate::tls::client::TrustError;

/// Why there is no new certificate.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AcmeError {
    #[error("the directory's certificate cannot be verified")]
    Trust(#[from] TrustError),
    #[error("the authority cannot be asked")]
    Fetch(#[from] FetchError),
    #[error("the authority refused")]
    Authority(#[source] instant_acme::Error),
    #[error("the key of the external account cannot be read from its file")]
    ExternalAccount,
    #[error("the authority does not offer the challenge {challenge} for {name}")]
    NotOffered { challenge: String, name: String },
    #[error("the authority could not see that {name} leads here: {why}")]
    NotProved { name: String, why: String },
    #[error("the authority asks for the proof of something that was not ordered")]
    Foreign,
    #[error("the proof cannot be presented")]
    Challenge(#[from] ChallengeError),
    #[error("the program for DNS failed: {0}")]
    Hook(String),
    #[error("the authority did not come to an end in time")]
    Timeout,
    #[error("the certificate that was issued cannot be served")]
    Unusable(#[source] Box<Finding>),
    #[error("the key could not be made or sealed")]
    Key(#[from] KeyError),
    #[error("the store did not answer")]
    Store(#[from] StoreError),
}

impl AcmeError {
    /// The last part of the problem's type that the authority named (RFC 8555 section 6.7), such as `rateLimited`.
    fn kind(&self) -> Option<&str> {
        let Self::Authority(instant_acme::Error::Api(problem)) = self else {
            return None;
        };
        problem.r#type.as_deref()?.rsplit(':').next()
    }

    /// For operators.
    fn told(&self) -> String {
        told(self)
    }
}

impl From<instant_acme::Error> for AcmeError {
    fn from(error: instant_acme::Error) -> Self {
        match error {
            instant_acme::Error::Timeout(_) => Self::Timeout,
            instant_acme::Error::Other(other) => match other.downcast::<Self>() {
                Ok(own) => *own,
                Err(other) => Self::Authority(instant_acme::Error::Other(other)),
            },
            other => Self::Authority(other),
        }
    }
}
