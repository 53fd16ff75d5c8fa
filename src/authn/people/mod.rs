//! Administering people: for the command line and the admin pages alike.
//!
//! Every change takes effect on live sessions before the call returns. The last person who can administer Portcullis
//! cannot be removed, disabled or taken out of the group. Whether the caller may do this is decided before; nothing
//! here shows or sets a password that a person chose, except in an import.

mod import;

use std::collections::BTreeSet;
use std::sync::Arc;

use super::enrolment::{Enrolment, Invitation};
use super::event::{Action, Event, Told};
use super::session::live::Live;
use super::session::{Sessions, symbols};
use super::sign_in::SignIn;
use super::vault::{AuthnError, Vault, canonical_name};
use crate::base::{PrincipalId, SessionId, Timestamp};
use crate::keys::random;
use crate::store::{
    EndReason, EnrolmentPurpose, NewUser, StoreError, User, UserChange, UserState, WhichSessions,
};

pub(crate) use import::LineProblem;

/// Members of this group administer Portcullis.
pub(crate) const ADMINISTRATORS: &str = "admins";
const LONGEST_TEXT: usize = 200;

/// Why a change was not made. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PeopleError {
    #[error("nobody has the name `{0}`")]
    Nobody(String),
    #[error("the {0} is already in use")]
    Taken(&'static str),
    #[error("`{0}` cannot be a name: it must have no spaces and at most 254 bytes")]
    Name(String),
    #[error("`{0}` is not an e-mail address")]
    Email(String),
    #[error(
        "`{0}` cannot be a group: use lower-case letters, digits, hyphens, dots and underscores"
    )]
    Group(String),
    #[error("the text is empty, too long, or contains control characters")]
    Text,
    #[error("a reason is required")]
    ReasonMissing,
    #[error("{0} is the last person who can administer Portcullis")]
    LastAdministrator(String),
    #[error("{} of the lines cannot be imported", .0.len())]
    Lines(Vec<LineProblem>),
    #[error(transparent)]
    Authn(#[from] AuthnError),
}

impl From<StoreError> for PeopleError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Taken(what) => Self::Taken(what),
            other => Self::Authn(other.into()),
        }
    }
}

/// A person to add.
#[derive(Debug, Clone)]
pub(crate) struct NewPerson {
    /// The name for signing in; may be an e-mail address.
    pub(crate) login: String,
    /// Must be given unless the login is an e-mail address.
    pub(crate) email: Option<String>,
    /// As shown to people; the login when absent.
    pub(crate) name: Option<String>,
    pub(crate) groups: BTreeSet<String>,
    pub(crate) tenant: String,
    pub(crate) contractor: bool,
}

/// A person as lists and `user show` print them.
#[derive(Debug, Clone)]
pub(crate) struct Described {
    pub(crate) user: User,
    pub(crate) has_password: bool,
    pub(crate) has_second_factor: bool,
    pub(crate) recovery_codes_left: usize,
    /// When those were made; `None` when none is left.
    pub(crate) recovery_codes_made: Option<Timestamp>,
    pub(crate) sessions: usize,
}

/// The administration of people.
#[derive(Debug)]
pub(crate) struct People {
    vault: Arc<Vault>,
    sessions: Arc<Sessions>,
    sign_in: Arc<SignIn>,
    enrolment: Arc<Enrolment>,
    /// One change at a time, so that two of them cannot remove the last two administrators.
    gate: tokio::sync::Mutex<()>,
}

impl People {
    pub(super) fn new(sign_in: Arc<SignIn>, enrolment: Arc<Enrolment>) -> Self {
        Self {
            vault: Arc::clone(&sign_in.vault),
            sessions: Arc::clone(&sign_in.sessions),
            sign_in,
            enrolment,
            gate: tokio::sync::Mutex::new(()),
        }
    }

    /// Adds a person who cannot sign in before enrolment.
    pub(crate) async fn add(
        &self,
        person: NewPerson,
        now: Timestamp,
    ) -> Result<Told<User>, PeopleError> {
        let new = checked(person, now)?;
        let _one_at_a_time = self.gate.lock().await;
        let user = self.vault.store.users.create(new).await?;
        let event = Event::new(Action::UserCreated).about(&user);
        Ok(Told::new(user, [event]))
    }

    /// Everybody, by login.
    pub(crate) fn list(&self) -> Result<Vec<Described>, PeopleError> {
        let everybody = self.vault.store.users.list()?;
        everybody
            .into_iter()
            .map(|user| self.describe(user))
            .collect()
    }

    /// The person whose login or e-mail address this is, in any spelling.
    pub(crate) fn find(&self, name: &str) -> Result<User, PeopleError> {
        let found = self.vault.person(name)?;
        found.ok_or_else(|| PeopleError::Nobody(name.to_owned()))
    }

    pub(crate) fn show(&self, name: &str) -> Result<Described, PeopleError> {
        self.describe(self.find(name)?)
    }

    fn describe(&self, user: User) -> Result<Described, PeopleError> {
        let store = &self.vault.store;
        Ok(Described {
            has_password: store.passwords.password(&user.id)?.is_some(),
            has_second_factor: store.factors.totp(&user.id)?.is_some(),
            recovery_codes_left: store.recovery_codes.count(&user.id)?,
            recovery_codes_made: store.recovery_codes.made(&user.id)?,
            sessions: self.sessions.of(&user.id).len(),
            user,
        })
    }

    /// Keeps a person from signing in and ends their sessions.
    pub(crate) async fn disable(
        &self,
        name: &str,
        now: Timestamp,
    ) -> Result<Told<User>, PeopleError> {
        let _one_at_a_time = self.gate.lock().await;
        let user = self.find(name)?;
        self.refuse_last_administrator(&user)?;
        let change = UserChange {
            state: Some(UserState::Disabled),
            ..UserChange::default()
        };
        let user = self.vault.store.users.change(user.id, change).await?;
        let mut events = vec![Event::new(Action::UserDisabled).about(&user)];
        events.extend(self.end_all(&user, EndReason::UserDisabled, now).await?);
        Ok(Told::new(user, events))
    }

    /// Lets a person sign in again, with the credentials they had; failed attempts are forgotten.
    pub(crate) async fn enable(&self, name: &str) -> Result<Told<User>, PeopleError> {
        let _one_at_a_time = self.gate.lock().await;
        let user = self.find(name)?;
        let change = UserChange {
            state: Some(UserState::Active),
            ..UserChange::default()
        };
        let user = self.vault.store.users.change(user.id, change).await?;
        let write = self.vault.store.passwords.clear_failures(user.id.clone());
        write.await?;
        self.sign_in.throttle.pardon(&user.id);
        let event = Event::new(Action::UserEnabled).about(&user);
        Ok(Told::new(user, [event]))
    }

    /// Removes a person with everything that belongs to them.
    pub(crate) async fn remove(
        &self,
        name: &str,
        now: Timestamp,
    ) -> Result<Told<User>, PeopleError> {
        let _one_at_a_time = self.gate.lock().await;
        let user = self.find(name)?;
        self.refuse_last_administrator(&user)?;
        let mut events = vec![Event::new(Action::UserRemoved).about(&user)];
        events.extend(self.end_all(&user, EndReason::UserRemoved, now).await?);
        self.vault.store.users.remove(user.id.clone()).await?;
        // A session that began between the two writes is not in the store any more; now it is gone here too.
        self.sessions.refresh(&user.id, now).await?;
        Ok(Told::new(user, events))
    }

    /// A link with which the person sets a password and a second factor, replacing those in force when used. `by` is
    /// who issues it, in words for the person.
    pub(crate) async fn enrol(
        &self,
        name: &str,
        by: Option<&str>,
        now: Timestamp,
    ) -> Result<Told<(User, Invitation)>, PeopleError> {
        let user = self.find(name)?;
        let invited = self
            .enrolment
            .invite(&user, EnrolmentPurpose::Join, by, now)
            .await?;
        Ok(Told::new((user, invited.value), invited.events))
    }

    /// Takes the second factor away, ends all sessions, and gives a link for setting up a new one; the password stays
    /// and is asked for. Somebody without a password gets a link for both.
    pub(crate) async fn two_factor_reset(
        &self,
        name: &str,
        reason: &str,
        by: Option<&str>,
        now: Timestamp,
    ) -> Result<Told<(User, Invitation)>, PeopleError> {
        if reason.trim().is_empty() {
            return Err(PeopleError::ReasonMissing);
        }
        let reason = plain_text(reason)?;
        let _one_at_a_time = self.gate.lock().await;
        let user = self.find(name)?;
        let store = &self.vault.store;
        store.factors.remove_factors(user.id.clone()).await?;
        let reset = Event::new(Action::SecondFactorReset)
            .about(&user)
            .detail("portcullis.why", reason);
        let mut events = vec![reset];
        events.extend(
            self.end_all(&user, EndReason::CredentialChanged, now)
                .await?,
        );
        let purpose = match store.passwords.password(&user.id)? {
            Some(_stays) => EnrolmentPurpose::NewFactor,
            None => EnrolmentPurpose::Join,
        };
        let invited = self.enrolment.invite(&user, purpose, by, now).await?;
        events.extend(invited.events);
        Ok(Told::new((user, invited.value), events))
    }

    pub(crate) async fn add_to_group(
        &self,
        name: &str,
        group: &str,
        now: Timestamp,
    ) -> Result<Told<User>, PeopleError> {
        let group = group_name(group)?;
        let _one_at_a_time = self.gate.lock().await;
        let user = self.find(name)?;
        let change = UserChange {
            add_groups: BTreeSet::from([group.clone()]),
            ..UserChange::default()
        };
        self.change_groups(user, change, (Action::GroupMemberAdded, group), now)
            .await
    }

    pub(crate) async fn remove_from_group(
        &self,
        name: &str,
        group: &str,
        now: Timestamp,
    ) -> Result<Told<User>, PeopleError> {
        let group = group_name(group)?;
        let _one_at_a_time = self.gate.lock().await;
        let user = self.find(name)?;
        if group == ADMINISTRATORS {
            self.refuse_last_administrator(&user)?;
        }
        let change = UserChange {
            remove_groups: BTreeSet::from([group.clone()]),
            ..UserChange::default()
        };
        self.change_groups(user, change, (Action::GroupMemberRemoved, group), now)
            .await
    }

    async fn change_groups(
        &self,
        user: User,
        change: UserChange,
        (action, group): (Action, String),
        now: Timestamp,
    ) -> Result<Told<User>, PeopleError> {
        let changed = self.vault.store.users.change(user.id, change).await?;
        self.sessions.refresh(&changed.id, now).await?;
        if changed.groups == user.groups {
            return Ok(Told::new(changed, []));
        }
        let event = Event::new(action)
            .about(&changed)
            .detail("portcullis.group", group);
        Ok(Told::new(changed, [event]))
    }

    /// Ends one session, whoever's it is. `None` when it is not live.
    pub(crate) async fn revoke_session(
        &self,
        session: &SessionId,
        now: Timestamp,
    ) -> Result<Told<Option<Arc<Live>>>, PeopleError> {
        let which = WhichSessions::One(session.clone());
        let ended = self
            .sessions
            .end(which, EndReason::EndedByAdmin, now)
            .await?;
        let events: Vec<Event> = ended.iter().map(revoked).collect();
        Ok(Told::new(ended.into_iter().next(), events))
    }

    /// Ends all sessions of a person, or of everybody.
    pub(crate) async fn revoke_all(
        &self,
        name: Option<&str>,
        now: Timestamp,
    ) -> Result<Told<Vec<Arc<Live>>>, PeopleError> {
        let which = match name {
            Some(name) => WhichSessions::AllOf(self.find(name)?.id),
            None => WhichSessions::Everybody,
        };
        let ended = self
            .sessions
            .end(which, EndReason::EndedByAdmin, now)
            .await?;
        let events: Vec<Event> = ended.iter().map(revoked).collect();
        Ok(Told::new(ended, events))
    }

    /// Ends what a person has under way: sessions, half-done sign-ins and enrolments.
    async fn end_all(
        &self,
        user: &User,
        why: EndReason,
        now: Timestamp,
    ) -> Result<Vec<Event>, PeopleError> {
        self.sign_in.forget(&user.id);
        self.enrolment.forget(&user.id);
        let which = WhichSessions::AllOf(user.id.clone());
        let ended = self.sessions.end(which, why, now).await?;
        let ended = ended.iter().map(|live| {
            Event::new(Action::SessionEnded)
                .about(user)
                .session(&live.id)
                .detail("portcullis.cause", why.word())
        });
        Ok(ended.collect())
    }

    fn refuse_last_administrator(&self, user: &User) -> Result<(), PeopleError> {
        let can_administer =
            |user: &User| user.state == UserState::Active && user.groups.contains(ADMINISTRATORS);
        if !can_administer(user) {
            return Ok(());
        }
        let everybody = self.vault.store.users.list()?;
        let another = everybody
            .iter()
            .any(|other| other.id != user.id && can_administer(other));
        if another {
            Ok(())
        } else {
            Err(PeopleError::LastAdministrator(user.email.clone()))
        }
    }
}

fn revoked(live: &Arc<Live>) -> Event {
    Event::new(Action::SessionRevoked)
        .about(live.principal().as_ref())
        .session(&live.id)
}

/// Brings a new person into the form that the store keeps, or says what is wrong.
fn checked(person: NewPerson, now: Timestamp) -> Result<NewUser, PeopleError> {
    let login =
        canonical_name(&person.login).ok_or_else(|| PeopleError::Name(person.login.clone()))?;
    let email = person.email.unwrap_or_else(|| login.clone());
    let email = canonical_email(&email).ok_or(PeopleError::Email(email))?;
    let name = match person.name {
        Some(name) => plain_text(&name)?,
        None => login.clone(),
    };
    let groups = person
        .groups
        .iter()
        .map(|group| group_name(group))
        .collect::<Result<_, _>>()?;
    Ok(NewUser {
        id: PrincipalId::new(format!("u-{}", symbols(&random::bytes::<10>()))),
        login,
        name,
        email,
        groups,
        tenant: plain_text(&person.tenant)?,
        contractor: person.contractor,
        created: now,
    })
}

/// Lower case, one `@`, something on both sides and a dot in the domain. Whether mail arrives is not our business.
fn canonical_email(text: &str) -> Option<String> {
    let email = canonical_name(text)?;
    let (local, domain) = email.split_once('@')?;
    let good =
        !local.is_empty() && !domain.contains('@') && crate::base::Host::parse(domain).is_ok();
    good.then_some(email)
}

fn group_name(text: &str) -> Result<String, PeopleError> {
    let name = text.trim();
    let good = !name.is_empty()
        && name.len() <= LONGEST_TEXT
        && name.bytes().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_' | b'.')
        });
    if good {
        Ok(name.to_owned())
    } else {
        Err(PeopleError::Group(text.to_owned()))
    }
}

fn plain_text(text: &str) -> Result<String, PeopleError> {
    let text = text.trim();
    let good =
        !text.is_empty() && text.len() <= LONGEST_TEXT && !text.chars().any(char::is_control);
    good.then(|| text.to_owned()).ok_or(PeopleError::Text)
}

#[cfg(test)]
mod tests;
