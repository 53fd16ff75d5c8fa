//! Durable state: people, their credentials, their sessions, and sealed keys.
//!
//! The traits below are the whole boundary to the database. Every race that matters to security is one method,
//! never a read followed by a write. Nothing here decides policy, hashes a password, or sees an unsealed secret:
//! what arrives sealed is stored sealed.
//!
//! Reads run inline in the caller's thread (a few microseconds). A write is handed over when the method is called
//! and happens even if the returned [`Pending`] is dropped; awaiting it tells the outcome.

#[cfg(test)]
mod conformance;
mod error;
mod folder;
mod model;
mod pending;
mod sqlite;

use std::sync::Arc;

use crate::base::{PrincipalId, SessionId, Timestamp};

pub(crate) use error::StoreError;
pub(crate) use folder::{DataFolder, FolderError, Lock};
pub(crate) use model::{
    Backoff, EndReason, EnrolmentLink, EnrolmentPurpose, Hash, Lockout, NewUser, PasswordRow,
    SessionCookieRow, SessionRow, TotpRow, TotpStep, User, UserChange, UserState, WhichSessions,
};
pub(crate) use pending::Pending;
pub(crate) use sqlite::SqliteStore;

/// All traits of one database, as the rest of the program holds them.
#[derive(Clone)]
pub(crate) struct Store {
    pub(crate) users: Arc<dyn Users>,
    pub(crate) passwords: Arc<dyn Passwords>,
    pub(crate) factors: Arc<dyn Factors>,
    pub(crate) recovery_codes: Arc<dyn RecoveryCodes>,
    pub(crate) enrolments: Arc<dyn Enrolments>,
    pub(crate) sessions: Arc<dyn Sessions>,
    pub(crate) keys: Arc<dyn Keys>,
    pub(crate) upkeep: Arc<dyn Upkeep>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Store(..)")
    }
}

impl Store {
    /// One database behind every trait.
    pub(crate) fn of<S>(store: Arc<S>) -> Self
    where
        S: Users
            + Passwords
            + Factors
            + RecoveryCodes
            + Enrolments
            + Sessions
            + Keys
            + Upkeep
            + 'static,
    {
        Self {
            users: Arc::clone(&store) as Arc<dyn Users>,
            passwords: Arc::clone(&store) as Arc<dyn Passwords>,
            factors: Arc::clone(&store) as Arc<dyn Factors>,
            recovery_codes: Arc::clone(&store) as Arc<dyn RecoveryCodes>,
            enrolments: Arc::clone(&store) as Arc<dyn Enrolments>,
            sessions: Arc::clone(&store) as Arc<dyn Sessions>,
            keys: Arc::clone(&store) as Arc<dyn Keys>,
            upkeep: store,
        }
    }
}

/// People and services that may sign in.
pub(crate) trait Users: Send + Sync {
    fn find(&self, id: &PrincipalId) -> Result<Option<User>, StoreError>;

    /// Finds by login, else by e-mail address. `name` must be canonical: lower case, trimmed.
    fn find_by_name(&self, name: &str) -> Result<Option<User>, StoreError>;

    /// Everybody, by login.
    fn list(&self) -> Result<Vec<User>, StoreError>;

    /// Adds a user. [`StoreError::Taken`] when the id is in use, or when the login or the e-mail address is
    /// anybody's login or e-mail address.
    fn create(&self, user: NewUser) -> Pending<User>;

    /// Applies every part of `change` or none, and gives the user as changed. Two changes to the groups of one
    /// person at the same time both count. [`StoreError::Unknown`] for nobody, [`StoreError::Taken`] as in `create`.
    /// Changing the state to disabled does not end sessions; [`Sessions::end`] does.
    fn change(&self, id: PrincipalId, change: UserChange) -> Pending<User>;

    /// Removes the user and everything that belongs to them: groups, credentials, links, counters, sessions.
    /// `false` when there was nobody.
    fn remove(&self, id: PrincipalId) -> Pending<bool>;

    /// Remembers when this person last signed in; an earlier time than the stored one changes nothing.
    fn note_sign_in(&self, id: PrincipalId, at: Timestamp) -> Pending<()>;
}

/// Password hashes and the counters that slow down guessing.
pub(crate) trait Passwords: Send + Sync {
    fn password(&self, owner: &PrincipalId) -> Result<Option<PasswordRow>, StoreError>;

    /// Sets or replaces the hash, a PHC string. [`StoreError::Unknown`] for an unknown owner.
    fn set_password(&self, owner: PrincipalId, phc: String, at: Timestamp) -> Pending<()>;

    /// Replaces `old` by `new`, the same password under newer parameters; `changed` stays.
    /// `false`, and nothing happens, when the hash is no longer `old`.
    fn rehash_password(&self, owner: PrincipalId, old: String, new: String) -> Pending<bool>;

    /// The counter of failed attempts; all zero when there were none.
    fn lockout(&self, owner: &PrincipalId) -> Result<Lockout, StoreError>;

    /// Counts one more failure and moves `until` forward by `backoff`. Concurrent failures all count.
    fn note_failure(&self, owner: PrincipalId, at: Timestamp, backoff: Backoff)
    -> Pending<Lockout>;

    /// Forgets all failures.
    fn clear_failures(&self, owner: PrincipalId) -> Pending<()>;
}

/// Second factors: one authenticator app and a set of recovery codes per person.
pub(crate) trait Factors: Send + Sync {
    /// The confirmed authenticator, if any.
    fn totp(&self, owner: &PrincipalId) -> Result<Option<TotpRow>, StoreError>;

    #[cfg(test)]
    /// The secret that was shown last and not confirmed yet, sealed.
    fn proposed_totp(&self, owner: &PrincipalId) -> Result<Option<Vec<u8>>, StoreError>;

    /// Remembers a sealed secret that is not in force yet, instead of an earlier proposal. The confirmed one stays in force.
    fn propose_totp(&self, owner: PrincipalId, sealed: Vec<u8>, at: Timestamp) -> Pending<()>;

    /// Puts the proposal `sealed` in force with `step` as its last used step, and drops the authenticator before it.
    /// `false`, and nothing happens, when the proposal is gone or is a different one.
    fn confirm_totp(
        &self,
        owner: PrincipalId,
        sealed: Vec<u8>,
        step: TotpStep,
        at: Timestamp,
    ) -> Pending<bool>;

    /// Marks `step` as used. Gives `false` if it, or a later one, was used before, or if there is no authenticator;
    /// never `true` for two callers.
    fn consume_totp_step(&self, owner: PrincipalId, step: TotpStep) -> Pending<bool>;

    /// Removes the authenticator, any proposal, and all recovery codes.
    fn remove_factors(&self, owner: PrincipalId) -> Pending<()>;
}

/// Codes for the day the authenticator is lost; only their hashes are known here.
pub(crate) trait RecoveryCodes: Send + Sync {
    /// How many are left.
    fn count(&self, owner: &PrincipalId) -> Result<usize, StoreError>;

    /// When those that are left were made; `None` when none is left.
    fn made(&self, owner: &PrincipalId) -> Result<Option<Timestamp>, StoreError>;

    /// Puts this set in force; earlier codes stop working.
    fn replace(&self, owner: PrincipalId, codes: Vec<Hash>, at: Timestamp) -> Pending<()>;

    /// Uses up a code. `false` if it is unknown, another person's, or was used before; never `true` for two callers.
    fn consume(&self, owner: PrincipalId, code: Hash) -> Pending<bool>;
}

/// Links by which a person sets up a password and a second factor.
pub(crate) trait Enrolments: Send + Sync {
    /// Stores the link and cancels every earlier one of the same person.
    fn create(&self, link: EnrolmentLink) -> Pending<()>;

    /// The link if it is unused and not expired.
    fn find(&self, token: &Hash, now: Timestamp) -> Result<Option<EnrolmentLink>, StoreError>;

    /// Uses up the link: `Some` for exactly one caller, and only before it expires.
    fn consume(&self, token: Hash, now: Timestamp) -> Pending<Option<EnrolmentLink>>;

    #[cfg(test)]
    /// Cancels the person's unused link; `false` when there was none.
    fn cancel(&self, owner: PrincipalId) -> Pending<bool>;
}

/// Sign-ins that last. The live set is loaded at start and kept in memory by its user; this is what survives.
pub(crate) trait Sessions: Send + Sync {
    /// Stores a new session with its first cookie. [`StoreError::Unknown`] when the user is gone or disabled.
    fn insert(&self, session: SessionRow, cookie: SessionCookieRow) -> Pending<()>;

    /// Gives a session one more cookie, for another host; a cookie it had on that host stops working.
    /// `false`, and nothing happens, when the session has ended.
    fn add_cookie(&self, cookie: SessionCookieRow) -> Pending<bool>;

    /// Records a fresh second factor: `verified_at`, `methods`, and a new cookie instead of the one on its host.
    /// `false`, and nothing happens, when the session has ended.
    fn renew(
        &self,
        verified_at: Timestamp,
        methods: Vec<String>,
        cookie: SessionCookieRow,
    ) -> Pending<bool>;

    /// Notes that the session was in use. Written with the next batch, without a flush of its own: the last seconds
    /// may be forgotten in a power cut. Earlier times than the stored one change nothing.
    fn touch(&self, session: SessionId, at: Timestamp);

    /// Ends sessions and gives the ids of those that were live until now, each to exactly one caller.
    /// Their cookies are forgotten.
    fn end(&self, which: WhichSessions, at: Timestamp, why: EndReason) -> Pending<Vec<SessionId>>;

    #[cfg(test)]
    /// A person's sessions, newest first, ended ones included until upkeep removes them.
    fn list(&self, user: &PrincipalId) -> Result<Vec<SessionRow>, StoreError>;

    /// Every session that has neither ended nor expired at `now`, with its cookies. For start-up.
    fn load_live(
        &self,
        now: Timestamp,
    ) -> Result<Vec<(SessionRow, Vec<SessionCookieRow>)>, StoreError>;
}

/// Named sealed blobs: signing keys, and the keys that make audit entries of one person readable.
pub(crate) trait Keys: Send + Sync {
    fn find(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Stores `blob` unless the name is taken, and gives the blob that is in force. All concurrent callers get the same.
    fn create_if_absent(&self, name: String, blob: Vec<u8>, at: Timestamp) -> Pending<Vec<u8>>;

    /// Replaces `old` by `new`; `false`, and nothing happens, when the blob is no longer `old`.
    fn replace(&self, name: String, old: Vec<u8>, new: Vec<u8>, at: Timestamp) -> Pending<bool>;

    /// Destroys the blob beyond recovery from the database's files. `false` when there was none.
    fn destroy(&self, name: String) -> Pending<bool>;

    /// The names that begin with `prefix`, sorted.
    fn names(&self, prefix: &str) -> Result<Vec<String>, StoreError>;
}

/// What keeps the database small and copies it.
pub(crate) trait Upkeep: Send + Sync {
    /// Removes sessions that ended or expired, and links that expired or were used, before `before`. Gives the number of rows.
    fn purge(&self, before: Timestamp) -> Pending<usize>;

    /// Everything handed over before this call is on disk when it completes.
    fn flush(&self) -> Pending<()>;
}
