//! Setting up a password and a second factor, from a one-use link.
//!
//! Looking at a link changes nothing, so mail scanners do no harm. The first browser that begins owns it until it
//! expires; another cannot take it over. Nothing is in force before a code from the new authenticator was right, and
//! the link is used up in the same moment: of two attempts to finish exactly one does.

mod answers;

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::Method;
use super::event::{Action, Event, Told};
use super::factor::recovery_code::RecoveryCode;
use super::factor::totp::TotpSecret;
use super::rules::Rules;
use super::session::Sessions;
use super::sign_in::{SecondStep, SignIn, SignedIn, Visitor};
use super::vault::{AuthnError, Judged, SecondFactor, Vault};
use super::waiting::Waiting;
use crate::base::{PrincipalId, Secret, Timestamp};
use crate::keys::{self, WeakPassword, random};
use crate::store::{
    EndReason, EnrolmentLink, EnrolmentPurpose, Hash, User, UserState, WhichSessions,
};

pub(crate) use answers::{Began, FactorStep, Invitation, Invited, PasswordStep, Step};

#[derive(Debug, Clone)]
struct Enrolling {
    link: Hash,
    user: PrincipalId,
    purpose: EnrolmentPurpose,
    expires: Timestamp,
    factor: Option<NewFactor>,
}

/// The password has been dealt with; the authenticator is to be confirmed.
#[derive(Debug, Clone)]
struct NewFactor {
    /// To be set, or `None` when the one in force stays.
    phc: Option<String>,
    secret: TotpSecret,
}

/// Takes people through enrolment.
#[derive(Debug)]
pub(crate) struct Enrolment {
    vault: Arc<Vault>,
    sessions: Arc<Sessions>,
    sign_in: Arc<SignIn>,
    rules: Arc<ArcSwap<Rules>>,
    under_way: Waiting<Enrolling>,
    /// Links that a browser has begun to use, until they expire.
    begun: Mutex<HashMap<Hash, Timestamp>>,
}

impl Enrolment {
    pub(super) fn new(sign_in: Arc<SignIn>) -> Self {
        Self {
            vault: Arc::clone(&sign_in.vault),
            sessions: Arc::clone(&sign_in.sessions),
            rules: Arc::clone(&sign_in.rules),
            sign_in,
            under_way: Waiting::default(),
            begun: Mutex::default(),
        }
    }

    /// Makes a link; earlier links of the same person stop working. `by` is who issues it, in words for its holder.
    pub(crate) async fn invite(
        &self,
        user: &User,
        purpose: EnrolmentPurpose,
        by: Option<&str>,
        now: Timestamp,
    ) -> Result<Told<Invitation>, AuthnError> {
        let token = random::token();
        let expires = now.plus(self.rules.load().enrolment_life);
        let link = EnrolmentLink {
            token: keys::sha256(token.expose().as_bytes()),
            user: user.id.clone(),
            purpose,
            invited_by: by.map(str::to_owned),
            created: now,
            expires,
        };
        self.vault.store.enrolments.create(link).await?;
        self.under_way.drop_where(|other| other.user == user.id);
        let event = Event::new(Action::EnrolmentIssued)
            .about(user)
            .detail("portcullis.enrolment.purpose", purpose.word());
        Ok(Told::new(Invitation { token, expires }, [event]))
    }

    /// Whom a link is for; `None` when it does not work any more. Changes nothing.
    pub(crate) fn invited(
        &self,
        token: &str,
        now: Timestamp,
    ) -> Result<Option<Invited>, AuthnError> {
        let found = self.link(token, now)?;
        Ok(found.map(|(link, user)| Invited {
            invited_by: link.invited_by,
            ..invited(&user, link.purpose, link.expires)
        }))
    }

    /// Binds the link to this browser. `cookie` is the enrolment cookie that it sent, if any.
    pub(crate) fn begin(
        &self,
        token: &str,
        cookie: Option<&str>,
        now: Timestamp,
    ) -> Result<Began, AuthnError> {
        let Some((link, user)) = self.link(token, now)? else {
            return Ok(Began::Gone);
        };
        let mut begun = self.begun.lock();
        if let Some(cookie) = cookie {
            let ours = self
                .under_way
                .look(cookie, now, |one| one.link == link.token);
            if ours == Some(true) {
                return Ok(Began::Here(Secret::new(cookie.to_owned())));
            }
        }
        begun.retain(|_link, expires| now < *expires);
        if begun.contains_key(&link.token) {
            return Ok(Began::Elsewhere);
        }
        begun.insert(link.token, link.expires);
        let enrolling = Enrolling {
            link: link.token,
            user: user.id,
            purpose: link.purpose,
            expires: link.expires,
            factor: None,
        };
        Ok(Began::Here(self.under_way.put(
            enrolling,
            now,
            link.expires,
        )))
    }

    /// Where the holder of this enrolment cookie stands; `None` when the link is gone.
    pub(crate) fn standing(
        &self,
        cookie: &str,
        now: Timestamp,
    ) -> Result<Option<(Invited, Step)>, AuthnError> {
        let Some((enrolling, user)) = self.enrolling(cookie, now)? else {
            return Ok(None);
        };
        let step = match (&enrolling.factor, enrolling.purpose) {
            (Some(factor), _) => Step::ConfirmFactor {
                readable: factor.secret.readable(),
                otpauth: factor
                    .secret
                    .otpauth(&self.rules.load().issuer, &user.email),
            },
            (None, EnrolmentPurpose::Join) => Step::ChoosePassword,
            (None, EnrolmentPurpose::NewFactor) => Step::GivePassword,
            (None, EnrolmentPurpose::NewPassword) => Step::ChoosePasswordWithFactor,
        };
        let invited = invited(&user, enrolling.purpose, enrolling.expires);
        Ok(Some((invited, step)))
    }

    /// Takes the password of this step: a new one when joining, the one in force before a new authenticator.
    /// Nothing is stored yet.
    pub(crate) async fn password(
        &self,
        cookie: &str,
        password: &Secret<String>,
        visitor: &Visitor<'_>,
    ) -> Result<Told<PasswordStep>, AuthnError> {
        let Some((enrolling, user)) = self.enrolling(cookie, visitor.now)? else {
            return Ok(Told::new(PasswordStep::Gone, []));
        };
        let phc = match enrolling.purpose {
            EnrolmentPurpose::Join => {
                if let Err(weak) = self.check_policy(&user, password) {
                    return Ok(Told::new(PasswordStep::Weak(weak), []));
                }
                Some(self.vault.hasher.hash(password).await?)
            }
            EnrolmentPurpose::NewFactor => {
                if let Some(refused) = self.check_current(&user, password, visitor).await? {
                    return Ok(refused);
                }
                None
            }
            EnrolmentPurpose::NewPassword => return Ok(Told::new(PasswordStep::Gone, [])),
        };
        let factor = NewFactor {
            phc,
            secret: TotpSecret::generate(),
        };
        let kept = self
            .under_way
            .look(cookie, visitor.now, |one| one.factor = Some(factor));
        let step = kept.map_or(PasswordStep::Gone, |()| PasswordStep::Next);
        Ok(Told::new(step, []))
    }

    /// Takes a code from the new authenticator. When it is right everything comes into force, older sessions end and
    /// the person is signed in: password and code have both been given to this browser just now.
    pub(crate) async fn confirm(
        &self,
        cookie: &str,
        code: &Secret<String>,
        visitor: &Visitor<'_>,
    ) -> Result<Told<FactorStep>, AuthnError> {
        let now = visitor.now;
        let Some((enrolling, user)) = self.enrolling(cookie, now)? else {
            return Ok(Told::new(FactorStep::Gone, []));
        };
        let Some(factor) = enrolling.factor else {
            return Ok(Told::new(FactorStep::Gone, []));
        };
        let Some(step) = factor.secret.matching_step(code.expose(), now) else {
            return Ok(Told::new(FactorStep::Wrong, []));
        };
        if !self.use_up(cookie, &enrolling.link, now).await? {
            return Ok(Told::new(FactorStep::Gone, []));
        }
        let mut events = vec![Event::new(Action::EnrolmentUsed).about(&user)];
        let (owner, store) = (&user.id, &self.vault.store);
        // The link is used up. Dying between the writes leaves a person who cannot sign in and needs a new link,
        // never one who can sign in with less than both factors.
        if let Some(phc) = factor.phc {
            store
                .passwords
                .set_password(owner.clone(), phc, now)
                .await?;
            events.push(Event::new(Action::PasswordChanged).about(&user));
        }
        let sealed = self.vault.seal_totp(owner, &factor.secret)?;
        store
            .factors
            .propose_totp(owner.clone(), sealed.clone(), now)
            .await?;
        let write = store.factors.confirm_totp(owner.clone(), sealed, step, now);
        if !write.await? {
            return Ok(Told::new(FactorStep::Gone, events));
        }
        let codes = RecoveryCode::generate_set(self.rules.load().recovery_codes);
        let hashes = codes.iter().map(|code| code.hash(owner)).collect();
        store
            .recovery_codes
            .replace(owner.clone(), hashes, now)
            .await?;
        events.push(
            Event::new(Action::SecondFactorEnrolled)
                .about(&user)
                .detail("portcullis.factor", Method::Totp.code()),
        );
        events.push(Event::new(Action::RecoveryCodesCreated).about(&user));
        let entered = self.enter_anew(&user, Method::Totp, visitor).await?;
        events.extend(entered.events);
        let step = match entered.value {
            Some(signed_in) => FactorStep::Done { codes, signed_in },
            None => FactorStep::Gone,
        };
        Ok(Told::new(step, events))
    }

    /// Takes a new password together with the second factor that is in force.
    pub(crate) async fn renew_password(
        &self,
        cookie: &str,
        factor: &SecondFactor,
        password: &Secret<String>,
        visitor: &Visitor<'_>,
    ) -> Result<Told<PasswordStep>, AuthnError> {
        let now = visitor.now;
        let found = self.enrolling(cookie, now)?;
        let renewing = found.filter(|(one, _user)| one.purpose == EnrolmentPurpose::NewPassword);
        let Some((enrolling, user)) = renewing else {
            return Ok(Told::new(PasswordStep::Gone, []));
        };
        if let Err(weak) = self.check_policy(&user, password) {
            return Ok(Told::new(PasswordStep::Weak(weak), []));
        }
        let attempt = match self
            .sign_in
            .begin_attempt(&user.login, Some(&user), visitor)?
        {
            Ok(attempt) => attempt,
            Err(until) => return Ok(throttled(&user, until)),
        };
        let method = match self.vault.judge_second(&user.id, factor, now).await? {
            Judged::Right(method) => method,
            Judged::Wrong | Judged::Used => {
                self.sign_in.remember_failure(&attempt, Some(&user), now);
                let event = Event::new(Action::SecondFactorFailed).about(&user);
                return Ok(Told::new(PasswordStep::NoMatch, [event]));
            }
        };
        self.sign_in.succeed(&attempt, &user);
        let phc = self.vault.hasher.hash(password).await?;
        if !self.use_up(cookie, &enrolling.link, now).await? {
            return Ok(Told::new(PasswordStep::Gone, []));
        }
        let write = self
            .vault
            .store
            .passwords
            .set_password(user.id.clone(), phc, now);
        write.await?;
        let mut events = vec![
            Event::new(Action::EnrolmentUsed).about(&user),
            Event::new(Action::PasswordChanged).about(&user),
        ];
        let entered = self.enter_anew(&user, method, visitor).await?;
        events.extend(entered.events);
        let step = entered
            .value
            .map_or(PasswordStep::Gone, PasswordStep::SignedIn);
        Ok(Told::new(step, events))
    }

    /// Lets enrolments of a person lapse.
    pub(super) fn forget(&self, person: &PrincipalId) {
        self.under_way.drop_where(|one| one.user == *person);
    }

    pub(super) fn sweep(&self, now: Timestamp) {
        self.under_way.sweep(now);
        self.begun.lock().retain(|_link, expires| now < *expires);
    }

    fn link(
        &self,
        token: &str,
        now: Timestamp,
    ) -> Result<Option<(EnrolmentLink, User)>, AuthnError> {
        let hash = keys::sha256(token.as_bytes());
        let Some(link) = self.vault.store.enrolments.find(&hash, now)? else {
            return Ok(None);
        };
        let user = self.vault.store.users.find(&link.user)?;
        Ok(user
            .filter(|user| user.state == UserState::Active)
            .map(|user| (link, user)))
    }

    fn enrolling(
        &self,
        cookie: &str,
        now: Timestamp,
    ) -> Result<Option<(Enrolling, User)>, AuthnError> {
        let Some(enrolling) = self.under_way.look(cookie, now, |one| one.clone()) else {
            return Ok(None);
        };
        let user = self.vault.store.users.find(&enrolling.user)?;
        Ok(user
            .filter(|user| user.state == UserState::Active)
            .map(|user| (enrolling, user)))
    }

    /// Uses up the enrolment and its link; `true` for one caller.
    async fn use_up(&self, cookie: &str, link: &Hash, now: Timestamp) -> Result<bool, AuthnError> {
        if self.under_way.take(cookie, now).is_none() {
            return Ok(false);
        }
        let used = self.vault.store.enrolments.consume(*link, now).await?;
        Ok(used.is_some())
    }

    fn check_policy(&self, user: &User, password: &Secret<String>) -> Result<(), WeakPassword> {
        let rules = self.rules.load();
        let names = [
            user.login.as_str(),
            user.email.as_str(),
            user.name.as_str(),
            rules.issuer.as_str(),
            rules.portal.host.as_str(),
        ];
        rules.password.check(password, &names)
    }

    /// `None` when the password is the one in force; failures count as at sign-in.
    async fn check_current(
        &self,
        user: &User,
        password: &Secret<String>,
        visitor: &Visitor<'_>,
    ) -> Result<Option<Told<PasswordStep>>, AuthnError> {
        let attempt = match self
            .sign_in
            .begin_attempt(&user.login, Some(user), visitor)?
        {
            Ok(attempt) => attempt,
            Err(until) => return Ok(Some(throttled(user, until))),
        };
        if self.vault.password_matches(Some(user), password).await? {
            self.sign_in.throttle.refund(&attempt);
            return Ok(None);
        }
        self.sign_in
            .remember_failure(&attempt, Some(user), visitor.now);
        let event = Event::new(Action::SignInFailed)
            .about(user)
            .detail("portcullis.factor", Method::Password.code());
        Ok(Some(Told::new(PasswordStep::NoMatch, [event])))
    }

    /// Ends what was begun under the old credentials and signs the person in under the new ones.
    async fn enter_anew(
        &self,
        user: &User,
        method: Method,
        visitor: &Visitor<'_>,
    ) -> Result<Told<Option<Box<SignedIn>>>, AuthnError> {
        self.sign_in.forget(&user.id);
        self.sign_in.throttle.pardon(&user.id);
        let write = self.vault.store.passwords.clear_failures(user.id.clone());
        write.await?;
        let which = WhichSessions::AllOf(user.id.clone());
        let ended = self
            .sessions
            .end(which, EndReason::CredentialChanged, visitor.now)
            .await?;
        let mut events: Vec<Event> = ended
            .iter()
            .map(|live| {
                Event::new(Action::SessionEnded)
                    .about(user)
                    .session(&live.id)
                    .detail("portcullis.cause", EndReason::CredentialChanged.word())
            })
            .collect();
        let methods = vec![Method::Password, method];
        let entered = self.sign_in.enter(user, methods, visitor).await?;
        events.extend(entered.events);
        let signed_in = match entered.value {
            SecondStep::SignedIn(signed_in) => Some(signed_in),
            SecondStep::Wrong
            | SecondStep::Used
            | SecondStep::TryLater(_)
            | SecondStep::StartAgain => None,
        };
        Ok(Told::new(signed_in, events))
    }
}

fn invited(user: &User, purpose: EnrolmentPurpose, expires: Timestamp) -> Invited {
    Invited {
        name: user.name.clone(),
        email: user.email.clone(),
        purpose,
        invited_by: None,
        expires,
    }
}

fn throttled(user: &User, until: Timestamp) -> Told<PasswordStep> {
    let event = Event::new(Action::SignInThrottled).about(user);
    Told::new(PasswordStep::TryLater(until), [event])
}

#[cfg(test)]
mod tests;
