//! What happened to people, factors and sessions, in the words of the audit log.
//!
//! Operations give events to their caller, who knows the request and the actor and records them. An event never
//! carries a password, code, token or key.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Principal;
use crate::audit::{SecurityEvent, Who};
use crate::base::{PrincipalId, SessionId, Timestamp};
use crate::store::User;

pub(crate) use crate::audit::Action;

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

    /// The form that the audit log takes. The caller adds what it knows: the request, the address, who did it.
    pub(crate) fn record(self, at: Timestamp) -> SecurityEvent {
        let mut event = SecurityEvent::new(at, self.action);
        if let Some(subject) = self.about {
            event = event.about(Who {
                id: subject.id,
                email: subject.email,
                name: subject.name,
                groups: subject.groups,
                tenant: Some(subject.tenant),
                session: None,
                methods: Vec::new(),
            });
        }
        if let Some(name) = self.claimed {
            event = event.claiming(name);
        }
        if let Some(id) = self.session {
            event = event.session(id);
        }
        let details = self.details.into_iter();
        details.fold(event, |event, (name, value)| event.detail(name, value))
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
