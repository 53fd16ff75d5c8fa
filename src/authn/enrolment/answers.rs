//! What the steps of enrolment answer; the portal turns each into a page.

use crate::authn::factor::recovery_code::RecoveryCode;
use crate::authn::sign_in::SignedIn;
use crate::base::{Secret, Timestamp};
use crate::keys::WeakPassword;
use crate::store::EnrolmentPurpose;

/// A link as handed to an administrator, once.
#[derive(Debug)]
pub(crate) struct Invitation {
    /// The last part of the link.
    pub(crate) token: Secret<String>,
    pub(crate) expires: Timestamp,
}

/// What the first page says: who this is for, and until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Invited {
    pub(crate) name: String,
    pub(crate) email: String,
    pub(crate) purpose: EnrolmentPurpose,
    /// Who issued the link; known to who holds it, not to who is under way.
    pub(crate) invited_by: Option<String>,
    pub(crate) expires: Timestamp,
}

/// The answer to "begin".
#[derive(Debug)]
pub(crate) enum Began {
    /// The value of the enrolment cookie; the same as before when this browser had begun already.
    Here(Secret<String>),
    /// Another browser has begun.
    Elsewhere,
    /// Used, expired, replaced or never issued.
    Gone,
}

/// What is asked for next.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// A new password.
    ChoosePassword,
    /// The password that is in force.
    GivePassword,
    /// A code from the authenticator that is in force, or a recovery code, and a new password.
    ChoosePasswordWithFactor,
    /// A code from the new authenticator.
    ConfirmFactor {
        readable: Secret<String>,
        otpauth: Secret<String>,
    },
}

/// The answer to a password.
#[derive(Debug)]
pub(crate) enum PasswordStep {
    Next,
    Weak(WeakPassword),
    /// The password (or factor) in force was asked for, and this is not it.
    NoMatch,
    TryLater(Timestamp),
    Gone,
    /// Only the password was to be renewed, and it is.
    SignedIn(Box<SignedIn>),
}

/// The answer to a code from the new authenticator.
#[derive(Debug)]
pub(crate) enum FactorStep {
    Done {
        /// Shown once.
        codes: Vec<RecoveryCode>,
        signed_in: Box<SignedIn>,
    },
    Wrong,
    Gone,
}
