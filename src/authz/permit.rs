//! Answers: a permit, or a denial with what would help.
//!
//! A [`Permit`] can be made only in this module's parent, by a decision; whoever holds one was allowed.

use std::sync::Arc;
use std::time::Duration;

use crate::base::{PolicyId, PrincipalId, Reason, RouteName};

/// Proof that this request may go on. It is about one caller, one action and one route, and dies with the request.
#[must_use]
#[derive(Debug)]
pub(crate) struct Permit {
    principal: Option<PrincipalId>,
    route: Option<RouteName>,
    policies: Arc<[PolicyId]>,
    reason: Reason,
    remembered: bool,
}

/// What a permit is made of.
pub(super) struct Terms {
    pub(super) principal: Option<PrincipalId>,
    pub(super) route: Option<RouteName>,
    pub(super) policies: Arc<[PolicyId]>,
    pub(super) reason: Reason,
    pub(super) remembered: bool,
}

impl Permit {
    pub(super) fn new(terms: Terms) -> Self {
        Self {
            principal: terms.principal,
            route: terms.route,
            policies: terms.policies,
            reason: terms.reason,
            remembered: terms.remembered,
        }
    }

    /// `None` for a visitor who has not signed in.
    pub(crate) const fn principal(&self) -> Option<&PrincipalId> {
        self.principal.as_ref()
    }

    /// `None` for an act of administration.
    pub(crate) const fn route(&self) -> Option<&RouteName> {
        self.route.as_ref()
    }

    /// The permits that were satisfied, sorted.
    pub(crate) fn policies(&self) -> &[PolicyId] {
        &self.policies
    }

    /// `true` when the answer came from the decision memory.
    pub(crate) const fn is_remembered(&self) -> bool {
        self.remembered
    }
}

/// What would change the answer for this caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remedy {
    None,
    /// Signing in.
    SignIn,
    /// A second factor not older than this.
    StepUp(Duration),
}

/// Why not, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Denial {
    pub(crate) reason: Reason,
    /// The forbids that were satisfied, or the policies that failed, sorted.
    pub(crate) policies: Arc<[PolicyId]>,
    /// `@reason` of the first of them that has one.
    pub(crate) reason_text: Option<Arc<str>>,
    /// `@fix` of the same policy.
    pub(crate) fix_text: Option<Arc<str>>,
    pub(crate) remedy: Remedy,
    /// What the probe "second factor confirmed now" said; `None` when it was not asked.
    pub(crate) probed_step_up: Option<bool>,
    /// The answer has to look as if there were no such route.
    pub(crate) hide: bool,
}

/// Yes or no. Never an error: doubt is a no with [`Reason::PolicyError`].
#[must_use]
#[derive(Debug)]
pub(crate) enum Decision {
    Allow(Permit),
    Deny(Denial),
}

impl Decision {
    pub(crate) fn into_permit(self) -> Result<Permit, Denial> {
        match self {
            Self::Allow(permit) => Ok(permit),
            Self::Deny(denial) => Err(denial),
        }
    }

    pub(crate) const fn reason(&self) -> Reason {
        match self {
            Self::Allow(permit) => permit.reason,
            Self::Deny(denial) => denial.reason,
        }
    }

    pub(crate) fn policies(&self) -> &[PolicyId] {
        match self {
            Self::Allow(permit) => &permit.policies,
            Self::Deny(denial) => &denial.policies,
        }
    }

    /// As [`Decision::policies`], for who keeps them.
    pub(crate) fn shared_policies(&self) -> Arc<[PolicyId]> {
        match self {
            Self::Allow(permit) => Arc::clone(&permit.policies),
            Self::Deny(denial) => Arc::clone(&denial.policies),
        }
    }

    /// The word that logs and tests use: `allow`, `deny`, `step-up` or `sign-in`.
    pub(crate) const fn word(&self) -> &'static str {
        match self {
            Self::Allow(_) => "allow",
            Self::Deny(denial) => match denial.remedy {
                Remedy::None => "deny",
                Remedy::SignIn => "sign-in",
                Remedy::StepUp(_) => "step-up",
            },
        }
    }
}
