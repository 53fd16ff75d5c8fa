//! Carries out what operators ask, the same way whether a server runs or not.
//!
//! Every change is in the audit log, safe from a power cut, before success is told; while the log cannot be written
//! nothing is changed. Whether the caller may ask is decided before: by the socket, or by owning the data folder.

mod certificates;

use std::fmt;
use std::sync::Arc;

pub(crate) use certificates::Certificates;

use super::call::{
    Addition, AdminError, BadLine, Call, Change, Imported, Link, PeopleCall, Person, Reloaded,
    Reply, Session, SessionCall, Which,
};
use crate::audit::{Action, Actor, AuditLog, SecurityEvent, Unavailable};
use crate::authn::Authenticator;
use crate::authn::enrolment::Invitation;
use crate::authn::event::{Event, Told};
use crate::authn::people::{Described, LineProblem, NewPerson, PeopleError};
use crate::authn::session::live::Live;
use crate::base::{Clock, SessionId, Timestamp};
use crate::pages::paths::ENROL;
use crate::store::User;

/// Puts the configuration on disk in force, or gives the problems, rendered. Blocks.
pub(crate) type Reload = dyn Fn(Actor) -> Result<Reloaded, String> + Send + Sync;

/// Where operators' commands are carried out.
#[derive(Clone)]
pub(crate) struct Desk {
    pub(crate) authenticator: Arc<Authenticator>,
    pub(crate) audit: Arc<AuditLog>,
    pub(crate) clock: Clock,
    /// `None` when no server runs.
    pub(crate) reload: Option<Arc<Reload>>,
    /// `None` when no server runs.
    pub(crate) certificates: Option<Certificates>,
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk")
            .field("serving", &self.reload.is_some())
            .finish_non_exhaustive()
    }
}

/// A person as a change left them, with the link that it made, if it made one.
type Changed = (User, Option<Invitation>);

impl Desk {
    /// Carries out one call for `actor`.
    ///
    /// # Errors
    /// [`AdminError`]; nothing has changed then, unless the text says that it has and only the record is missing.
    pub(crate) async fn perform(&self, call: Call, actor: Actor) -> Result<Reply, AdminError> {
        match call {
            Call::Reload => self.reload(actor).await,
            Call::People(call) => self.people(call, &actor).await,
            Call::Sessions(SessionCall::List { user }) => self.list_sessions(user.as_deref()),
            Call::Sessions(SessionCall::Show { id }) => {
                let live = self
                    .authenticator
                    .sessions
                    .get(&SessionId::new(id.as_str()));
                live.map(|live| Reply::Session(self.session(&live)))
                    .ok_or_else(|| no_session(&id))
            }
            Call::Sessions(SessionCall::Revoke(which)) => self.revoke(which, &actor).await,
            Call::Certificates(call) => match &self.certificates {
                Some(certificates) => certificates.perform(call, actor, self).await,
                None => Err(AdminError::Unavailable(
                    "no server runs, so no certificate is served or renewed".to_owned(),
                )),
            },
        }
    }

    /// Compiling takes a moment and tests policies, so it runs beside the runtime.
    async fn reload(&self, actor: Actor) -> Result<Reply, AdminError> {
        let Some(reload) = self.reload.clone() else {
            return Err(AdminError::Unavailable("no server runs, so there is nothing to reload. The next start takes the configuration on disk".to_owned()));
        };
        let outcome = tokio::task::spawn_blocking(move || reload(actor)).await;
        let outcome = outcome.map_err(|error| {
            AdminError::Unavailable(format!("the reload did not come to its end: {error}"))
        })?;
        outcome
            .map(Reply::Reloaded)
            .map_err(AdminError::ReloadRefused)
    }

    async fn people(&self, call: PeopleCall, actor: &Actor) -> Result<Reply, AdminError> {
        let people = &self.authenticator.people;
        match call {
            PeopleCall::List => {
                let everybody = people.list().map_err(refused)?;
                Ok(Reply::People(everybody.into_iter().map(person).collect()))
            }
            PeopleCall::Show { name } => {
                let described = people.show(&name).map_err(refused)?;
                Ok(Reply::Person(person(described)))
            }
            PeopleCall::Import { lines } => {
                let now = self.ready()?;
                let told = people.import(lines.expose(), now).await.map_err(refused)?;
                let imported = self.recorded(told, actor, now).await?;
                let incomplete = imported.iter().filter(|one| !one.complete);
                let incomplete = incomplete.map(|one| one.user.login.clone()).collect();
                Ok(Reply::Imported(Imported {
                    people: imported.len(),
                    incomplete,
                }))
            }
            PeopleCall::Add(addition) => self.add(addition, actor).await,
            PeopleCall::Change { name, change } => {
                let now = self.ready()?;
                let erase = matches!(change, Change::Remove { erase: true });
                let told = self
                    .change(&name, change, in_words(actor), now)
                    .await
                    .map_err(refused)?;
                let (user, invitation) = self.recorded(told, actor, now).await?;
                if erase {
                    self.erase(&user, actor, now).await?;
                }
                Ok(self.changed(user, invitation))
            }
        }
    }

    /// Destroys the key that the person's entries are sealed under. It comes after the removal is on disk, which is
    /// sealed under that key as well; what is written here names nobody but the id.
    async fn erase(&self, user: &User, actor: &Actor, now: Timestamp) -> Result<(), AdminError> {
        let (audit, id) = (Arc::clone(&self.audit), user.id.clone());
        let destroyed = tokio::task::spawn_blocking(move || audit.erase(&id)).await;
        if !matches!(destroyed, Ok(Ok(_))) {
            let text = format!(
                "{} was removed, but the key of their audit entries could not be destroyed",
                user.login
            );
            return Err(AdminError::Unavailable(text));
        }
        let event = SecurityEvent::new(now, Action::UserErased).by(actor.clone());
        let recorded = self
            .audit
            .record_durably(event.detail("portcullis.erased", user.id.as_str()))
            .await;
        recorded.map(drop).map_err(|error| {
            AdminError::Unavailable(format!(
                "the erasure is done and could not be recorded: {error}"
            ))
        })
    }

    async fn change(
        &self,
        name: &str,
        change: Change,
        by: Option<&str>,
        now: Timestamp,
    ) -> Result<Told<Changed>, PeopleError> {
        let people = &self.authenticator.people;
        let told = match change {
            Change::Disable => people.disable(name, now).await?,
            Change::Enable => people.enable(name).await?,
            Change::Remove { .. } => people.remove(name, now).await?,
            Change::GroupAdd { group } => people.add_to_group(name, &group, now).await?,
            Change::GroupRemove { group } => people.remove_from_group(name, &group, now).await?,
            Change::Enrol => return Ok(invited(people.enrol(name, by, now).await?)),
            Change::TwoFactorReset { reason } => {
                return Ok(invited(
                    people.two_factor_reset(name, &reason, by, now).await?,
                ));
            }
        };
        Ok(Told {
            value: (told.value, None),
            events: told.events,
        })
    }

    /// The person is recorded before the link is made, so that a link that fails leaves nobody unrecorded.
    async fn add(&self, addition: Addition, actor: &Actor) -> Result<Reply, AdminError> {
        let people = &self.authenticator.people;
        let person = NewPerson {
            login: addition.login,
            email: addition.email,
            name: addition.title,
            groups: addition.groups,
            tenant: addition.tenant,
            contractor: addition.contractor,
        };
        let now = self.ready()?;
        let told = people.add(person, now).await.map_err(refused)?;
        let user = self.recorded(told, actor, now).await?;
        if !addition.invite {
            return Ok(self.changed(user, None));
        }
        let told = people
            .enrol(&user.login, in_words(actor), now)
            .await
            .map_err(refused)?;
        let (user, invitation) = self.recorded(told, actor, now).await?;
        Ok(self.changed(user, Some(invitation)))
    }

    /// A changed person as the answer tells it. One who is gone has nothing left but what the change knew.
    fn changed(&self, user: User, invitation: Option<Invitation>) -> Reply {
        let described = self.authenticator.people.show(&user.login);
        let described = described.unwrap_or(Described {
            user,
            has_password: false,
            has_second_factor: false,
            recovery_codes_left: 0,
            recovery_codes_made: None,
            sessions: 0,
        });
        let person = person(described);
        match invitation {
            None => Reply::Person(person),
            Some(invitation) => Reply::Invited {
                person,
                link: self.link(&invitation),
            },
        }
    }

    fn link(&self, invitation: &Invitation) -> Link {
        let portal = self.authenticator.rules().portal.to_string();
        let url = format!("https://{portal}{ENROL}{}", invitation.token.expose());
        Link {
            url: url.into(),
            portal,
            expires: invitation.expires.into(),
        }
    }

    fn list_sessions(&self, user: Option<&str>) -> Result<Reply, AdminError> {
        let authenticator = &self.authenticator;
        let mut live = match user {
            Some(name) => {
                authenticator
                    .sessions
                    .of(&authenticator.people.find(name).map_err(refused)?.id)
            }
            None => authenticator.sessions.all(),
        };
        live.sort_by(|a, b| (a.signed_in_at, &a.id).cmp(&(b.signed_in_at, &b.id)));
        Ok(Reply::Sessions(
            live.iter().map(|live| self.session(live)).collect(),
        ))
    }

    async fn revoke(&self, which: Which, actor: &Actor) -> Result<Reply, AdminError> {
        let people = &self.authenticator.people;
        let now = self.ready()?;
        let sessions = match which {
            Which::Id(id) => {
                let told = people
                    .revoke_session(&SessionId::new(id.as_str()), now)
                    .await
                    .map_err(refused)?;
                let ended = self.recorded(told, actor, now).await?;
                ended.map(|_live| 1).ok_or_else(|| no_session(&id))?
            }
            Which::User(name) => {
                let told = people.revoke_all(Some(&name), now).await.map_err(refused)?;
                self.recorded(told, actor, now).await?.len()
            }
            Which::All => {
                let told = people.revoke_all(None, now).await.map_err(refused)?;
                self.recorded(told, actor, now).await?.len()
            }
        };
        Ok(Reply::Revoked { sessions })
    }

    fn session(&self, live: &Arc<Live>) -> Session {
        let principal = live.principal();
        let facts = &principal.session;
        let hosts = self.authenticator.sessions.hosts(&live.id);
        Session {
            id: live.id.to_string(),
            login: principal.login.to_string(),
            email: principal.email.to_string(),
            signed_in: live.signed_in_at.into(),
            verified: facts.verified_at.into(),
            last_seen: live.last_seen().into(),
            methods: facts.methods.iter().map(ToString::to_string).collect(),
            address: live.origin.address,
            user_agent: live.origin.user_agent.clone(),
            hosts: hosts.iter().map(ToString::to_string).collect(),
        }
    }

    /// The time of a change that may begin: the log can be written.
    fn ready(&self) -> Result<Timestamp, AdminError> {
        match self.audit.check() {
            Ok(()) => Ok(self.clock.now()),
            Err(why) => Err(AdminError::Unavailable(format!(
                "nothing was changed, because it could not be recorded: {why}"
            ))),
        }
    }

    /// Gives the result once what happened is in the log. Entries keep their order, so waiting for the last one is
    /// waiting for all.
    async fn recorded<T>(
        &self,
        told: Told<T>,
        actor: &Actor,
        now: Timestamp,
    ) -> Result<T, AdminError> {
        let Told { value, mut events } = told;
        let record = |event: Event| event.record(now).by(actor.clone());
        if let Some(last) = events.pop() {
            events
                .into_iter()
                .for_each(|event| self.audit.record(record(event)));
            self.audit
                .record_durably(record(last))
                .await
                .map_err(unrecorded)?;
        }
        Ok(value)
    }
}

/// Whose name the holder of an enrolment link reads. Nobody signed in to the portal issues any.
fn in_words(actor: &Actor) -> Option<&str> {
    match actor {
        Actor::Operator(account) => Some(account),
        Actor::Person(_) | Actor::System => None,
    }
}

fn invited(told: Told<(User, Invitation)>) -> Told<Changed> {
    let (user, invitation) = told.value;
    Told {
        value: (user, Some(invitation)),
        events: told.events,
    }
}

fn no_session(id: &str) -> AdminError {
    AdminError::NotFound(format!("no session in force has the id `{id}`"))
}

fn unrecorded(why: Unavailable) -> AdminError {
    AdminError::Unavailable(format!(
        "the change was made, but it may be missing in the audit log: {why}"
    ))
}

fn refused(error: PeopleError) -> AdminError {
    let text = error.to_string();
    match error {
        PeopleError::Nobody(_) => AdminError::NotFound(text),
        PeopleError::LastAdministrator(name) => AdminError::LastAdministrator(name),
        PeopleError::Lines(lines) => AdminError::Lines(lines.into_iter().map(bad_line).collect()),
        PeopleError::Authn(_) => AdminError::Unavailable(text),
        PeopleError::Taken(_)
        | PeopleError::Name(_)
        | PeopleError::Email(_)
        | PeopleError::Group(_)
        | PeopleError::Text
        | PeopleError::ReasonMissing => AdminError::Unusable(text),
    }
}

fn bad_line(LineProblem { line, problem }: LineProblem) -> BadLine {
    BadLine { line, problem }
}

fn person(described: Described) -> Person {
    let Described {
        user,
        has_password,
        has_second_factor,
        recovery_codes_left,
        recovery_codes_made: _,
        sessions,
    } = described;
    Person {
        id: user.id.to_string(),
        login: user.login,
        name: user.name,
        email: user.email,
        groups: user.groups,
        tenant: user.tenant,
        contractor: user.contractor,
        state: user.state.word().to_owned(),
        password: has_password,
        second_factor: has_second_factor,
        recovery_codes: recovery_codes_left,
        sessions,
        created: user.created.into(),
        last_sign_in: user.last_sign_in.map(Into::into),
    }
}

#[cfg(test)]
pub(super) mod tests;
