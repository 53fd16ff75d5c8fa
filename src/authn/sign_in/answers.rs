//! What the steps of sign-in answer; the portal turns each into a page.

use std::sync::Arc;

use crate::authn::Principal;
use crate::base::{Secret, Timestamp};

/// The answer to a name and a password.
#[derive(Debug)]
pub(crate) enum FirstStep {
    /// The value of the sign-in cookie.
    Continue {
        cookie: Secret<String>,
    },
    /// The password is right, but there is no second factor: an administrator has to issue a new enrolment link.
    NoSecondFactor,
    NoMatch,
    TryLater(Timestamp),
}

/// The answer to a second factor.
#[derive(Debug)]
pub(crate) enum SecondStep {
    SignedIn(Box<SignedIn>),
    Wrong,
    /// The code was right and has served already; the next one will do.
    Used,
    TryLater(Timestamp),
    /// The first step is too long ago, or the account has changed since.
    StartAgain,
}

#[derive(Debug)]
pub(crate) struct SignedIn {
    /// For the session cookie of the portal's host.
    pub(crate) cookie: Secret<String>,
    /// For the device cookie, to be kept for [`crate::authn::device::REMEMBERED`].
    pub(crate) device: String,
    pub(crate) principal: Arc<Principal>,
    /// Told when one was used up.
    pub(crate) recovery_codes_left: Option<usize>,
}

/// The answer to a second factor that was asked for again.
#[derive(Debug)]
pub(crate) enum Confirmed {
    /// The new value of this host's session cookie.
    Yes {
        cookie: Secret<String>,
    },
    Wrong,
    Used,
    TryLater(Timestamp),
    /// The session ended meanwhile.
    SignInAgain,
}
