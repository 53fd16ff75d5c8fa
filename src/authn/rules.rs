//! What the configuration says about signing in, ready for use. Replaced whole by a reload.

use std::time::Duration;

use super::session::rules::SessionRules;
use crate::base::Authority;
use crate::keys::PasswordPolicy;
use crate::store::Backoff;

#[derive(Debug, Clone)]
pub(crate) struct Rules {
    /// The address of the portal, where people sign in.
    pub(crate) portal: Authority,
    /// The name that authenticator apps show.
    pub(crate) issuer: String,
    pub(crate) session: SessionRules,
    /// Sessions of one person at once.
    pub(crate) per_user: usize,
    pub(crate) backoff: Backoff,
    pub(crate) password: PasswordPolicy,
    /// Recovery codes that a person gets.
    pub(crate) recovery_codes: usize,
    /// How long an enrolment link works.
    pub(crate) enrolment_life: Duration,
    /// From the password to the second factor.
    pub(crate) second_step_life: Duration,
    /// From the portal to the app's host.
    pub(crate) handover_life: Duration,
}
