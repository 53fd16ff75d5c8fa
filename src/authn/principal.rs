//! Who is asking, how strongly it was proven and when.
//!
//! A [`Principal`] is a snapshot: when the person's groups or state change, or a factor is confirmed anew, it is
//! replaced whole and the next request sees the new one. It never carries a secret and opens nothing by itself.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::base::{PrincipalId, SessionId, Timestamp};

/// A way to prove something, in the words of audit entries, policies (`context.session.methods`) and the assertion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Method {
    Password,
    Totp,
    RecoveryCode,
}

/// A word that names no [`Method`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a sign-in method")]
pub(crate) struct UnknownMethod;

impl Method {
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::Totp => "totp",
            Self::RecoveryCode => "recovery-code",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl FromStr for Method {
    type Err = UnknownMethod;

    fn from_str(code: &str) -> Result<Self, UnknownMethod> {
        [Self::Password, Self::Totp, Self::RecoveryCode]
            .into_iter()
            .find(|method| method.code() == code)
            .ok_or(UnknownMethod)
    }
}

/// What is true of one sign-in, on every host it is used from.
#[derive(Debug, Clone)]
pub(crate) struct SessionFacts {
    pub(crate) id: SessionId,
    /// When both factors had been proven.
    pub(crate) signed_in_at: Timestamp,
    /// When a second factor was last proven; a step-up moves it.
    pub(crate) verified_at: Timestamp,
    /// In the order in which they were proven.
    pub(crate) methods: Vec<Method>,
    /// `"local"`, or the name of the identity provider.
    pub(crate) idp: Arc<str>,
    /// Cancelled when the session ends, whatever ends it; open streams watch it.
    pub(crate) cancelled: CancellationToken,
}

impl SessionFacts {
    /// How long ago a second factor was proven.
    pub(crate) fn verified_age(&self, now: Timestamp) -> Duration {
        now.since(self.verified_at)
    }
}

/// A person who is signed in.
#[derive(Debug, Clone)]
pub(crate) struct Principal {
    pub(crate) id: PrincipalId,
    /// The name typed at sign-in, in its stored spelling.
    pub(crate) login: Arc<str>,
    pub(crate) email: Arc<str>,
    /// The name shown to people.
    pub(crate) name: Arc<str>,
    pub(crate) groups: Arc<BTreeSet<String>>,
    pub(crate) tenant: Arc<str>,
    pub(crate) contractor: bool,
    pub(crate) session: Arc<SessionFacts>,
}

/// The answer to "who is it?". A presented credential that is wrong is neither: it is [`super::BadCredential`].
#[derive(Debug, Clone)]
pub(crate) enum Authn {
    /// Nothing was presented.
    Anonymous,
    Known(Arc<Principal>),
}

impl Authn {
    pub(crate) fn principal(&self) -> Option<&Arc<Principal>> {
        match self {
            Self::Anonymous => None,
            Self::Known(principal) => Some(principal),
        }
    }

    pub(crate) fn principal_id(&self) -> Option<&PrincipalId> {
        self.principal().map(|principal| &principal.id)
    }
}

/// Why a presented credential does not count. None of them says whether an account exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadCredential {
    /// Never issued, revoked, or issued for another host.
    #[error("the session is unknown on this host or was ended")]
    Unknown,
    #[error("the session has reached its lifetime")]
    Expired,
    #[error("the session was idle for too long")]
    Idle,
    /// Two different values, or two kinds of credential, in one request.
    #[error("the request carries two different credentials")]
    Conflicting,
    #[error("the credential is not written as we write it")]
    Malformed,
}

#[cfg(test)]
mod tests {
    use super::Method;

    #[test]
    fn every_method_is_read_back_from_its_code() {
        for method in [Method::Password, Method::Totp, Method::RecoveryCode] {
            assert_eq!(method.code().parse::<Method>().unwrap(), method);
        }
        assert!("email".parse::<Method>().is_err());
    }
}
