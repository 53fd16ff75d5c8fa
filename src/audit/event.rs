//! What happens besides requests and must be provable: sign-ins, factors, sessions, people, configuration.
//!
//! The list of actions is closed. An event never carries a password, code, token or key.
#![deny(clippy::wildcard_enum_match_arm)]

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use super::entry::{Who, write_who};
use super::line::{Fields, SHORT};
use crate::base::{PrincipalId, Reason, RequestId, RouteName, SessionId, Timestamp};

macro_rules! actions {
    ($($(#[$doc:meta])* $variant:ident = $code:literal;)+) => {
        /// One variant, one `event.name`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(crate) enum Action { $($(#[$doc])* $variant,)+ }

        impl Action {
            pub(crate) const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The `event.name`.
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
    /// Too many failures: further attempts wait.
    SignInThrottled = "sign_in.throttled";
    SecondFactorSucceeded = "second_factor.succeeded";
    SecondFactorFailed = "second_factor.failed";
    SecondFactorEnrolled = "second_factor.enrolled";
    SecondFactorRemoved = "second_factor.removed";
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
    UserChanged = "user.changed";
    UserImported = "user.imported";
    UserDisabled = "user.disabled";
    UserEnabled = "user.enabled";
    UserRemoved = "user.removed";
    UserErased = "user.erased";
    EnrolmentIssued = "user.enrolment_issued";
    EnrolmentUsed = "user.enrolment_used";
    GroupCreated = "group.created";
    GroupRemoved = "group.removed";
    GroupMemberAdded = "group.member_added";
    GroupMemberRemoved = "group.member_removed";
    ConfigLoaded = "config.loaded";
    ConfigRefused = "config.refused";
    PolicyLoaded = "policy.loaded";
    PolicyRefused = "policy.refused";
    StreamOpened = "stream.opened";
    StreamContinues = "stream.continues";
    /// Only where the stream's own request entry does not say it.
    StreamClosed = "stream.closed";
    /// A client sent more of some kind of frame than the server bears.
    ConnectionFlooded = "connection.flooded";
    /// A client was too slow, or has too many connections; what requests say themselves has no event.
    ConnectionCut = "connection.cut";
    CertificateIssued = "certificate.issued";
    CertificateLoaded = "certificate.loaded";
    CertificateRenewed = "certificate.renewed";
    CertificateFailed = "certificate.failed";
    /// Its authority says so; it is served until there is another.
    CertificateRevoked = "certificate.revoked";
    AdminActed = "admin.action";
    ServerStarted = "server.started";
    ServerStopped = "server.stopped";
    AuditSearched = "audit.searched";
    AuditExported = "audit.exported";
    AuditVerified = "audit.verified";
    /// The log was closed uncleanly and has been put in order.
    AuditRecovered = "audit.recovered";
    /// Requests were refused, or served unrecorded under `on_failure = "allow"`, for a while.
    AuditGap = "audit.gap";
    KeyCreated = "key.created";
    KeyRotated = "key.rotated";
    KeyDestroyed = "key.destroyed";
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// A word that names no event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an event name")]
pub(crate) struct UnknownAction;

impl FromStr for Action {
    type Err = UnknownAction;

    fn from_str(code: &str) -> Result<Self, UnknownAction> {
        Self::ALL
            .iter()
            .copied()
            .find(|action| action.code() == code)
            .ok_or(UnknownAction)
    }
}

/// Who caused an event that is about somebody or something else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Actor {
    /// Signed in to the portal or the admin pages.
    Person(PrincipalId),
    /// An operating-system account at the command line or the admin socket.
    Operator(String),
    /// Portcullis itself: start, reload, a timer.
    System,
}

/// One security event. Build with [`SecurityEvent::new`] and the methods below.
#[derive(Debug, Clone)]
pub(crate) struct SecurityEvent {
    at: Timestamp,
    action: Action,
    about: Option<Who>,
    by: Option<Actor>,
    /// What was typed as a name when nobody of that name is known; personal, sealed under the day's key.
    claimed: Option<String>,
    client: Option<IpAddr>,
    user_agent: Option<String>,
    request: Option<RequestId>,
    session: Option<SessionId>,
    route: Option<RouteName>,
    reason: Option<Reason>,
    details: Vec<(&'static str, String)>,
    personal: Vec<(&'static str, String)>,
}

impl SecurityEvent {
    pub(crate) fn new(at: Timestamp, action: Action) -> Self {
        Self {
            at,
            action,
            about: None,
            by: None,
            claimed: None,
            client: None,
            user_agent: None,
            request: None,
            session: None,
            route: None,
            reason: None,
            details: Vec::new(),
            personal: Vec::new(),
        }
    }

    /// The person it happened to; their key seals the personal fields.
    #[must_use]
    pub(crate) fn about(mut self, who: Who) -> Self {
        self.about = Some(who);
        self
    }

    #[must_use]
    pub(crate) fn by(mut self, actor: Actor) -> Self {
        self.by = Some(actor);
        self
    }

    #[must_use]
    pub(crate) fn claiming(mut self, name: impl Into<String>) -> Self {
        self.claimed = Some(name.into());
        self
    }

    #[must_use]
    pub(crate) fn from(mut self, client: IpAddr, user_agent: Option<&str>) -> Self {
        self.client = Some(client);
        self.user_agent = user_agent.map(str::to_owned);
        self
    }

    #[must_use]
    pub(crate) fn in_request(mut self, id: RequestId) -> Self {
        self.request = Some(id);
        self
    }

    #[must_use]
    pub(crate) fn session(mut self, id: SessionId) -> Self {
        self.session = Some(id);
        self
    }

    #[must_use]
    pub(crate) fn route(mut self, name: RouteName) -> Self {
        self.route = Some(name);
        self
    }

    #[cfg(test)]
    #[must_use]
    pub(crate) fn because(mut self, reason: Reason) -> Self {
        self.reason = Some(reason);
        self
    }

    /// A fact without personal data. `name` is written below `portcullis.`, e.g. `portcullis.factor`.
    #[must_use]
    pub(crate) fn detail(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.details.push((name, value.into()));
        self
    }

    #[cfg(test)]
    /// A fact that identifies a person; sealed.
    #[must_use]
    pub(crate) fn personal(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.personal.push((name, value.into()));
        self
    }

    pub(super) const fn at(&self) -> Timestamp {
        self.at
    }

    pub(super) fn subject(&self) -> Option<&PrincipalId> {
        match (&self.about, &self.by) {
            (Some(who), _) => Some(&who.id),
            (None, Some(Actor::Person(id))) => Some(id),
            (None, Some(Actor::Operator(_) | Actor::System) | None) => None,
        }
    }

    pub(super) fn write(&self, clear: &mut Fields<'_>, personal: &mut Fields<'_>) {
        clear.text("event.name", self.action.code(), SHORT);
        if let Some(id) = self.request {
            clear.request("portcullis.request.id", id);
        }
        write_who(self.about.as_ref(), clear, personal);
        match &self.by {
            Some(Actor::Person(id)) => clear.text("portcullis.actor", id.as_str(), SHORT),
            Some(Actor::Operator(name)) => {
                clear.text("portcullis.actor", &format!("os:{name}"), SHORT);
            }
            Some(Actor::System) => clear.text("portcullis.actor", "system", SHORT),
            None => {}
        }
        let own = self.about.as_ref().and_then(|who| who.session.as_ref());
        if own.is_none() {
            let session = self.session.as_ref().map(SessionId::as_str);
            clear.text_if("session.id", session, SHORT);
        }
        clear.text_if(
            "http.route",
            self.route.as_ref().map(RouteName::as_str),
            SHORT,
        );
        clear.text_if("portcullis.reason", self.reason.map(Reason::code), SHORT);
        personal.text_if("portcullis.claimed_name", self.claimed.as_deref(), SHORT);
        if let Some(address) = self.client {
            personal.address("client.address", address);
        }
        personal.text_if("user_agent.original", self.user_agent.as_deref(), SHORT);
        for (name, value) in self.details.iter().take(16) {
            clear.text(name, value, SHORT);
        }
        for (name, value) in self.personal.iter().take(16) {
            personal.text(name, value, SHORT);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Action;

    #[test]
    fn event_names_are_unique_and_readable_back() {
        let names: BTreeSet<_> = Action::ALL.iter().map(|action| action.code()).collect();
        assert_eq!(names.len(), Action::ALL.len());
        for action in Action::ALL {
            assert_eq!(action.code().parse::<Action>().unwrap(), *action);
        }
    }
}
