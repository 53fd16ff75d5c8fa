//! Signing in: a password, then a second factor, then a session; and confirming a second factor again later.
//!
//! After the password there is only a short-lived reference that opens nothing but the second step. Unknown name,
//! wrong password and disabled account give one answer after the same work. Attempts of both steps are counted
//! before they are judged, and no number of failures ends a running session.

mod answers;

use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::device::Devices;
use super::event::{Action, Event, Told};
use super::lockout::{Account, Attempt, Origin, Throttle, Try};
use super::rules::Rules;
use super::session::live::SignInOrigin;
use super::session::{Proven, Sessions};
use super::vault::{AuthnError, Judged, SecondFactor, Vault, canonical_name};
use super::waiting::Waiting;
use super::{Method, Principal};
use crate::base::{PrincipalId, Secret, SessionId, Timestamp};
use crate::keys;
use crate::store::{EndReason, StoreError, User, UserState, WhichSessions};

pub(crate) use answers::{Confirmed, FirstStep, SecondStep, SignedIn};

/// Who is at the other end of a sign-in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Visitor<'a> {
    pub(crate) address: IpAddr,
    pub(crate) user_agent: Option<&'a str>,
    /// The value of the device cookie, if one was sent.
    pub(crate) device: Option<&'a str>,
    pub(crate) now: Timestamp,
}

/// A password that was right.
#[derive(Debug, Clone)]
struct HalfWay {
    person: PrincipalId,
    email: String,
}

/// Takes people through both steps.
#[derive(Debug)]
pub(crate) struct SignIn {
    pub(super) vault: Arc<Vault>,
    pub(super) sessions: Arc<Sessions>,
    pub(super) rules: Arc<ArcSwap<Rules>>,
    pub(super) throttle: Throttle,
    devices: Devices,
    half_way: Waiting<HalfWay>,
}

impl SignIn {
    pub(super) fn new(
        vault: Arc<Vault>,
        sessions: Arc<Sessions>,
        rules: Arc<ArcSwap<Rules>>,
        devices: Devices,
    ) -> Self {
        Self {
            vault,
            sessions,
            rules,
            throttle: Throttle::default(),
            devices,
            half_way: Waiting::default(),
        }
    }

    /// Judges a name and a password.
    pub(crate) async fn first_step(
        &self,
        typed_name: &str,
        password: &Secret<String>,
        visitor: &Visitor<'_>,
    ) -> Result<Told<FirstStep>, AuthnError> {
        let user = self.vault.person(typed_name)?;
        let attempt = match self.begin_attempt(typed_name, user.as_ref(), visitor)? {
            Ok(attempt) => attempt,
            Err(until) => {
                let event = whose(
                    Event::new(Action::SignInThrottled),
                    user.as_ref(),
                    typed_name,
                );
                return Ok(Told::new(FirstStep::TryLater(until), [event]));
            }
        };
        let matches = match self.vault.password_matches(user.as_ref(), password).await {
            Ok(matches) => matches,
            Err(error) => {
                // Our own failure is not theirs.
                self.throttle.refund(&attempt);
                return Err(error);
            }
        };
        let Some(user) = user.as_ref().filter(|_user| matches) else {
            self.remember_failure(&attempt, user.as_ref(), visitor.now);
            let event = whose(Event::new(Action::SignInFailed), user.as_ref(), typed_name)
                .detail("portcullis.factor", Method::Password.code());
            return Ok(Told::new(FirstStep::NoMatch, [event]));
        };
        self.throttle.refund(&attempt);
        if self.vault.store.factors.totp(&user.id)?.is_none() {
            let event = Event::new(Action::SignInFailed)
                .about(user)
                .detail("portcullis.factor", "none");
            return Ok(Told::new(FirstStep::NoSecondFactor, [event]));
        }
        let half_way = HalfWay {
            person: user.id.clone(),
            email: user.email.clone(),
        };
        let expires = visitor.now.plus(self.rules.load().second_step_life);
        let cookie = self.half_way.put(half_way, visitor.now, expires);
        let event = Event::new(Action::SignInStarted).about(user);
        Ok(Told::new(FirstStep::Continue { cookie }, [event]))
    }

    /// The e-mail address of the person whose password the holder of this sign-in cookie has given.
    pub(crate) fn half_way(&self, cookie: &str, now: Timestamp) -> Option<String> {
        self.half_way
            .look(cookie, now, |half_way| half_way.email.clone())
    }

    /// Judges the second factor; when it is right a session begins on the portal's host. `previous` is the session
    /// that this browser presented, if any; it ends.
    pub(crate) async fn second_step(
        &self,
        sign_in_cookie: &str,
        factor: &SecondFactor,
        previous: Option<&SessionId>,
        visitor: &Visitor<'_>,
    ) -> Result<Told<SecondStep>, AuthnError> {
        let half_way = self
            .half_way
            .look(sign_in_cookie, visitor.now, |half_way| half_way.clone());
        let user = match &half_way {
            Some(half_way) => self.vault.store.users.find(&half_way.person)?,
            None => None,
        };
        let Some(user) = user.filter(|user| user.state == UserState::Active) else {
            return Ok(Told::new(SecondStep::StartAgain, []));
        };
        let (attempt, method) = match self.judge(&user, factor, visitor).await? {
            Checked::Right(attempt, method) => (attempt, method),
            Checked::Wrong(events) => return Ok(Told::new(SecondStep::Wrong, events)),
            Checked::Used(events) => return Ok(Told::new(SecondStep::Used, events)),
            Checked::TryLater(until, events) => {
                return Ok(Told::new(SecondStep::TryLater(until), events));
            }
        };
        // Two right factors at once for one first step: one of them is enough.
        if self.half_way.take(sign_in_cookie, visitor.now).is_none() {
            self.throttle.refund(&attempt);
            return Ok(Told::new(SecondStep::StartAgain, []));
        }
        self.succeed(&attempt, &user);
        if let Some(previous) = previous {
            let which = WhichSessions::One(previous.clone());
            self.sessions
                .end(which, EndReason::SignedOut, visitor.now)
                .await?;
        }
        self.enter(&user, vec![Method::Password, method], visitor)
            .await
    }

    /// Begins the session of a person who has proven both factors.
    pub(super) async fn enter(
        &self,
        user: &User,
        methods: Vec<Method>,
        visitor: &Visitor<'_>,
    ) -> Result<Told<SecondStep>, AuthnError> {
        let rules = self.rules.load_full();
        let used_recovery_code = methods.contains(&Method::RecoveryCode);
        let proven = Proven {
            user,
            methods,
            origin: SignInOrigin {
                address: Some(visitor.address),
                user_agent: visitor.user_agent.map(shortened),
            },
        };
        let limits = (&rules.session, rules.per_user);
        let begun = self
            .sessions
            .begin(proven, &rules.portal.host, limits, visitor.now)
            .await;
        let begun = match begun {
            Ok(begun) => begun,
            // Disabled or removed between the two steps.
            Err(AuthnError::Store(StoreError::Unknown(_user))) => {
                return Ok(Told::new(SecondStep::StartAgain, []));
            }
            Err(error) => return Err(error),
        };
        let write = self
            .vault
            .store
            .users
            .note_sign_in(user.id.clone(), visitor.now);
        write.await?;
        let session = &begun.principal.session;
        let methods: Vec<&str> = session.methods.iter().map(|method| method.code()).collect();
        let mut events = vec![
            Event::new(Action::SignInSucceeded)
                .about(user)
                .session(&session.id)
                .detail("portcullis.session.methods", methods.join(" ")),
            Event::new(Action::SessionCreated)
                .about(user)
                .session(&session.id),
        ];
        events.extend(begun.displaced.iter().map(|live| {
            Event::new(Action::SessionEnded)
                .about(user)
                .session(&live.id)
                .detail("portcullis.cause", EndReason::TooMany.word())
        }));
        let mut recovery_codes_left = None;
        if used_recovery_code {
            let left = self.vault.store.recovery_codes.count(&user.id)?;
            recovery_codes_left = Some(left);
            events.push(recovery_code_used(user, left));
        }
        let signed_in = SignedIn {
            cookie: begun.cookie,
            device: self.devices.vouch(visitor.device, &user.id, visitor.now),
            principal: begun.principal,
            recovery_codes_left,
        };
        Ok(Told::new(SecondStep::SignedIn(Box::new(signed_in)), events))
    }

    /// Judges a second factor of somebody who is signed in, and refreshes the session. Failures are counted as at
    /// sign-in and leave the session as it was.
    pub(crate) async fn confirm(
        &self,
        principal: &Principal,
        factor: &SecondFactor,
        visitor: &Visitor<'_>,
    ) -> Result<Told<Confirmed>, AuthnError> {
        let user = self.vault.store.users.find(&principal.id)?;
        let Some(user) = user.filter(|user| user.state == UserState::Active) else {
            return Ok(Told::new(Confirmed::SignInAgain, []));
        };
        let (attempt, method) = match self.judge(&user, factor, visitor).await? {
            Checked::Right(attempt, method) => (attempt, method),
            Checked::Wrong(events) => return Ok(Told::new(Confirmed::Wrong, events)),
            Checked::Used(events) => return Ok(Told::new(Confirmed::Used, events)),
            Checked::TryLater(until, events) => {
                return Ok(Told::new(Confirmed::TryLater(until), events));
            }
        };
        self.succeed(&attempt, &user);
        let host = self.rules.load().portal.host.clone();
        let renewed = self.sessions.renew(principal, method, &host, visitor.now);
        let Some(cookie) = renewed.await? else {
            return Ok(Told::new(Confirmed::SignInAgain, []));
        };
        let session = &principal.session.id;
        let mut events = vec![
            Event::new(Action::SecondFactorSucceeded)
                .about(&user)
                .session(session)
                .detail("portcullis.factor", method.code()),
            Event::new(Action::SessionRenewed)
                .about(&user)
                .session(session),
        ];
        if method == Method::RecoveryCode {
            let left = self.vault.store.recovery_codes.count(&user.id)?;
            events.push(recovery_code_used(&user, left));
        }
        Ok(Told::new(Confirmed::Yes { cookie }, events))
    }

    /// Lets half-done sign-ins of a person lapse, since their credentials or state have changed.
    pub(super) fn forget(&self, person: &PrincipalId) {
        self.half_way
            .drop_where(|half_way| half_way.person == *person);
    }

    pub(super) fn sweep(&self, now: Timestamp) {
        self.throttle.sweep(now);
        self.half_way.sweep(now);
    }

    async fn judge(
        &self,
        user: &User,
        factor: &SecondFactor,
        visitor: &Visitor<'_>,
    ) -> Result<Checked, AuthnError> {
        let attempt = match self.begin_attempt(&user.login, Some(user), visitor)? {
            Ok(attempt) => attempt,
            Err(until) => {
                let event = Event::new(Action::SignInThrottled).about(user);
                return Ok(Checked::TryLater(until, vec![event]));
            }
        };
        let failed = |cause: &str| {
            Event::new(Action::SecondFactorFailed)
                .about(user)
                .detail("portcullis.cause", cause)
        };
        match self.vault.judge_second(&user.id, factor, visitor.now).await {
            Ok(Judged::Right(method)) => Ok(Checked::Right(attempt, method)),
            Ok(Judged::Wrong) => {
                self.remember_failure(&attempt, Some(user), visitor.now);
                Ok(Checked::Wrong(vec![failed("wrong")]))
            }
            Ok(Judged::Used) => {
                self.remember_failure(&attempt, Some(user), visitor.now);
                Ok(Checked::Used(vec![failed("used")]))
            }
            Err(error) => {
                self.throttle.refund(&attempt);
                Err(error)
            }
        }
    }

    /// Counts an attempt for the account that the name means, whichever of its spellings was typed.
    pub(super) fn begin_attempt(
        &self,
        typed_name: &str,
        user: Option<&User>,
        visitor: &Visitor<'_>,
    ) -> Result<Result<Attempt, Timestamp>, AuthnError> {
        let (account, remembered) = match user {
            Some(user) => {
                let lockout = self.vault.store.passwords.lockout(&user.id)?;
                (Account::Person(user.id.clone()), lockout)
            }
            None => {
                let name = canonical_name(typed_name).unwrap_or_default();
                let hash = keys::sha256(name.as_bytes());
                (Account::Nobody(hash), crate::store::Lockout::default())
            }
        };
        let origin = Origin {
            address: visitor.address,
            known_device: user
                .and_then(|user| self.devices.known(visitor.device, &user.id, visitor.now)),
        };
        let backoff = self.rules.load().backoff;
        let one = Try {
            account,
            origin,
            remembered,
        };
        let began = self.throttle.begin(one, &backoff, visitor.now);
        Ok(began.map_err(|later| later.until))
    }

    /// Tells the store of a failure, so that a restart does not forget it. Nobody waits for the write: its time would
    /// tell a known name from an unknown one.
    pub(super) fn remember_failure(&self, attempt: &Attempt, user: Option<&User>, now: Timestamp) {
        if let Some(user) = user.filter(|_user| attempt.counts_for_account()) {
            let backoff = self.rules.load().backoff;
            let write = self
                .vault
                .store
                .passwords
                .note_failure(user.id.clone(), now, backoff);
            drop(write);
        }
    }

    pub(super) fn succeed(&self, attempt: &Attempt, user: &User) {
        self.throttle.succeed(attempt);
        if attempt.counts_for_account() {
            drop(self.vault.store.passwords.clear_failures(user.id.clone()));
        }
    }
}

/// A second factor after counting and comparing.
enum Checked {
    Right(Attempt, Method),
    Wrong(Vec<Event>),
    Used(Vec<Event>),
    TryLater(Timestamp, Vec<Event>),
}

fn whose(event: Event, user: Option<&User>, typed: &str) -> Event {
    match user {
        Some(user) => event.about(user),
        None => event.claiming(typed),
    }
}

fn recovery_code_used(user: &User, left: usize) -> Event {
    Event::new(Action::RecoveryCodeUsed)
        .about(user)
        .detail("portcullis.recovery_codes.left", left.to_string())
}

/// User agents are shown in lists; nobody needs the end of a long one.
fn shortened(user_agent: &str) -> String {
    user_agent.chars().take(256).collect()
}

#[cfg(test)]
mod tests;
