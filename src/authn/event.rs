//! What happened to people, factors and sessions, in the words of the audit log.
//!
//! Operations give events to their caller, who knows the request and the actor and records them. An event never
//! carries a password, code, token or key.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Principal;
use crate::base::{PrincipalId, SessionId};
use crate::store::User;

macro_rules! actions {
    ($($variant:ident = $code:literal;)+) => {
        /// One variant, one `event.name` of the audit log.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Action { $($variant,)+ }

        impl Action {
            pub(crate) const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)+ }
            }
        }
    };
}

actions! {
    SignInStarted = "sign_in.started";
    SignInSucceeded = "sign_in.succeeded";
    SignInFailed = "sign_in.failed";
    SignInThrottled = "sign_in.throttled";
    SecondFactorSucceeded = "second_factor.succeeded";
    SecondFactorFailed = "second_factor.failed";
    SecondFactorEnrolled = "second_factor.enrolled";
    SecondFactorReset = "second_factor.reset";
    RecoveryCodeUsed = "recovery_code.used";
    RecoveryCodesCreated = "recovery_code.created";
    PasswordChanged = "password.changed";
    SignOut = "sign_out";
    SessionCreated = "session.created";
    SessionRenewed = "session.renewed";
    SessionEnded = "session.ended";
    SessionRevoked = "session.revoked";
    UserCreated = "user.created";
    UserImported = "user.imported";
    UserDisabled = "user.disabled";
    UserEnabled = "user.enabled";
    UserRemoved = "user.removed";
    EnrolmentIssued = "user.enrolment_issued";
    EnrolmentUsed = "user.enrolment_used";
    GroupMemberAdded = "group.member_added";
    GroupMemberRemoved = "group.member_removed";
}

/// The person an event is about, as they were at that moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Subject {
    pub(crate) id: PrincipalId,
    pub(crate) email: Arc<str>,
    pub(crate) name: Arc<str>,
    pub(crate) groups: Arc<BTreeSet<String>>,
    pub(crate) tenant: Arc<str>,
}

impl From<&User> for Subject {
    fn from(user: &User) -> Self {
        Self {
            id: user.id.clone(),
            email: user.email.as_str().into(),
            name: user.name.as_str().into(),
            groups: Arc::new(user.groups.clone()),
            tenant: user.tenant.as_str().into(),
        }
    }
}

impl From<&Principal> for Subject {
    fn from(principal: &Principal) -> Self {
        Self {
            id: principal.id.clone(),
            email: Arc::clone(&principal.email),
            name: Arc::clone(&principal.name),
            groups: Arc::clone(&principal.groups),
            tenant: Arc::clone(&principal.tenant),
        }
    }
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) action: Action,
    pub(crate) about: Option<Subject>,
    /// What was typed as a name when nobody has it; personal.
    pub(crate) claimed: Option<String>,
    pub(crate) session: Option<SessionId>,
    /// Facts without personal data; names are written below `portcullis.`.
    pub(crate) details: Vec<(&'static str, String)>,
}

impl Event {
    pub(crate) const fn new(action: Action) -> Self {
        Self {
            action,
            about: None,
            claimed: None,
            session: None,
            details: Vec::new(),
        }
    }

    #[must_use]
    pub(crate) fn about(mut self, subject: impl Into<Subject>) -> Self {
        self.about = Some(subject.into());
        self
    }

    #[must_use]
    pub(crate) fn claiming(mut self, name: &str) -> Self {
        self.claimed = Some(name.chars().take(128).collect());
        self
    }

    #[must_use]
    pub(crate) fn session(mut self, id: &SessionId) -> Self {
        self.session = Some(id.clone());
        self
    }

    #[must_use]
    pub(crate) fn detail(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.details.push((name, value.into()));
        self
    }
}

/// A result together with what has to be recorded about it.
#[derive(Debug)]
#[must_use = "the events have to be recorded"]
pub(crate) struct Told<T> {
    pub(crate) value: T,
    pub(crate) events: Vec<Event>,
}

impl<T> Told<T> {
    pub(crate) fn new(value: T, events: impl IntoIterator<Item = Event>) -> Self {
        Self {
            value,
            events: events.into_iter().collect(),
        }
    }
}
