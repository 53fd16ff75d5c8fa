//! The rows of the database as the rest of the program sees them.
//!
//! Nothing here is secret in the clear: tokens and codes appear as hashes, factors and addresses sealed.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::base::{Host, PrincipalId, SessionId, Timestamp};

/// SHA-256 of a token or code with at least 128 random bits.
pub(crate) type Hash = [u8; 32];

/// A TOTP time step (RFC 6238 section 4.2): Unix seconds / 30.
pub(crate) type TotpStep = u64;

/// May this person sign in?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum UserState {
    Active,
    Disabled,
}

/// A person or service that can sign in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) id: PrincipalId,
    /// Lower case, unique among logins and e-mail addresses.
    pub(crate) login: String,
    /// As shown to people.
    pub(crate) name: String,
    /// Lower case, unique among logins and e-mail addresses.
    pub(crate) email: String,
    pub(crate) groups: BTreeSet<String>,
    pub(crate) tenant: String,
    pub(crate) contractor: bool,
    pub(crate) state: UserState,
    pub(crate) created: Timestamp,
    pub(crate) last_sign_in: Option<Timestamp>,
}

/// What is known of a person before they first sign in; the state is [`UserState::Active`].
#[derive(Debug, Clone)]
pub(crate) struct NewUser {
    pub(crate) id: PrincipalId,
    pub(crate) login: String,
    pub(crate) name: String,
    pub(crate) email: String,
    pub(crate) groups: BTreeSet<String>,
    pub(crate) tenant: String,
    pub(crate) contractor: bool,
    pub(crate) created: Timestamp,
}

/// Parts of a user to change; what is `None` or empty stays.
#[derive(Debug, Clone, Default)]
pub(crate) struct UserChange {
    pub(crate) login: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) email: Option<String>,
    pub(crate) tenant: Option<String>,
    pub(crate) contractor: Option<bool>,
    pub(crate) state: Option<UserState>,
    /// Removals come first: a group in both sets is there afterwards.
    pub(crate) remove_groups: BTreeSet<String>,
    pub(crate) add_groups: BTreeSet<String>,
}

/// A password as stored.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct PasswordRow {
    /// PHC string, Argon2id.
    pub(crate) phc: String,
    /// When the person last chose a password.
    pub(crate) changed: Timestamp,
}

impl std::fmt::Debug for PasswordRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PasswordRow")
            .field("changed", &self.changed)
            .finish_non_exhaustive()
    }
}

/// An authenticator app that has proved itself once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TotpRow {
    pub(crate) sealed_secret: Vec<u8>,
    pub(crate) last_step: TotpStep,
    pub(crate) confirmed_at: Timestamp,
}

/// Failed attempts since the last success.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Lockout {
    pub(crate) failures: u32,
    /// No attempt counts before this time.
    pub(crate) until: Option<Timestamp>,
}

impl Lockout {}

/// How waiting grows with failures (SP 800-63B-4 section 3.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Backoff {
    /// This many failures cost nothing.
    pub(crate) after: u32,
    /// The wait after the next one; it doubles with each further failure.
    pub(crate) delay: Duration,
    pub(crate) max_delay: Duration,
}

impl Backoff {
    /// The wait that `failures` consecutive failures earn.
    pub(crate) fn wait_after(&self, failures: u32) -> Option<Duration> {
        let beyond = failures.checked_sub(self.after)?.checked_sub(1)?;
        let factor = 1_u32.checked_shl(beyond.min(31)).unwrap_or(u32::MAX);
        Some(self.delay.saturating_mul(factor).min(self.max_delay))
    }
}

/// What an enrolment link lets its holder do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum EnrolmentPurpose {
    /// Choose the first password and set up the second factor.
    Join,
    /// Choose a new password; the second factor stays and is asked for.
    NewPassword,
    /// Set up a new second factor; the password stays and is asked for.
    NewFactor,
}

/// A link that was handed out. The token itself is known only to its holder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EnrolmentLink {
    pub(crate) token: Hash,
    pub(crate) user: PrincipalId,
    pub(crate) purpose: EnrolmentPurpose,
    /// Who issued it, in words for its holder.
    pub(crate) invited_by: Option<String>,
    pub(crate) created: Timestamp,
    pub(crate) expires: Timestamp,
}

/// One sign-in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SessionRow {
    pub(crate) id: SessionId,
    pub(crate) user: PrincipalId,
    pub(crate) created: Timestamp,
    /// The latest proof of a second factor.
    pub(crate) verified_at: Timestamp,
    /// How it was proved, such as `password`, `totp`.
    pub(crate) methods: Vec<String>,
    pub(crate) last_seen: Timestamp,
    /// The absolute end, whatever happens.
    pub(crate) expires: Timestamp,
    pub(crate) ended: Option<(Timestamp, EndReason)>,
    /// User agent and address at sign-in, sealed by the caller.
    pub(crate) sealed_origin: Vec<u8>,
}

/// A cookie that presents a session on one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SessionCookieRow {
    /// SHA-256 of the cookie's value.
    pub(crate) hash: Hash,
    pub(crate) session: SessionId,
    pub(crate) host: Host,
}

/// Why a session is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum EndReason {
    /// The person signed out.
    SignedOut,
    /// The person ended it from another session.
    EndedByUser,
    /// An administrator ended it.
    EndedByAdmin,
    /// Not used for too long.
    Idle,
    /// Its absolute life is over.
    Expired,
    /// More sessions than allowed; the oldest made room.
    TooMany,
    /// A password or factor changed.
    CredentialChanged,
    /// The user was disabled.
    UserDisabled,
    /// The user was removed.
    UserRemoved,
}

/// Which sessions to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum WhichSessions {
    One(SessionId),
    AllOf(PrincipalId),
    AllOfExcept(PrincipalId, SessionId),
    Everybody,
}

/// Words that stand for a closed list in the database. A word is never reused for another meaning.
macro_rules! stored_words {
    ($name:ident: $($variant:ident = $word:literal),+ $(,)?) => {
        impl $name {
            pub(crate) const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }

            pub(crate) fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

stored_words!(UserState: Active = "active", Disabled = "disabled");
stored_words!(EnrolmentPurpose: Join = "join", NewPassword = "new-password", NewFactor = "new-factor");
stored_words!(EndReason:
    SignedOut = "signed-out", EndedByUser = "ended-by-user", EndedByAdmin = "ended-by-admin", Idle = "idle",
    Expired = "expired", TooMany = "too-many", CredentialChanged = "credential-changed",
    UserDisabled = "user-disabled", UserRemoved = "user-removed");

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Backoff, EndReason};

    const BACKOFF: Backoff = Backoff {
        after: 5,
        delay: Duration::from_secs(1),
        max_delay: Duration::from_secs(300),
    };

    #[test]
    fn the_first_failures_cost_nothing_and_the_wait_then_doubles_up_to_the_limit() {
        assert_eq!(BACKOFF.wait_after(0), None);
        assert_eq!(BACKOFF.wait_after(5), None);
        assert_eq!(BACKOFF.wait_after(6), Some(Duration::from_secs(1)));
        assert_eq!(BACKOFF.wait_after(7), Some(Duration::from_secs(2)));
        assert_eq!(BACKOFF.wait_after(20), Some(Duration::from_secs(300)));
        assert_eq!(BACKOFF.wait_after(u32::MAX), Some(Duration::from_secs(300)));
    }

    #[test]
    fn stored_words_read_back() {
        assert_eq!(
            EndReason::from_word(EndReason::TooMany.word()),
            Some(EndReason::TooMany)
        );
        assert_eq!(EndReason::from_word("whatever"), None);
    }
}
