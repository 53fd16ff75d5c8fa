//! What people do to their own sessions and factors, once signed in.
//!
//! Nobody reaches another person's session from here.

use super::event::{Action, Event, Told};
use super::factor::recovery_code::RecoveryCode;
use super::session::live::Live;
use super::vault::AuthnError;
use super::{Authenticator, Principal};
use crate::base::{SessionId, Timestamp};
use crate::store::{EndReason, WhichSessions};

impl Authenticator {
    /// Ends this session on every host.
    pub(crate) async fn sign_out(
        &self,
        principal: &Principal,
        now: Timestamp,
    ) -> Result<Told<()>, AuthnError> {
        let session = &principal.session.id;
        let which = WhichSessions::One(session.clone());
        let ended = self.sessions.end(which, EndReason::SignedOut, now).await?;
        let event = Event::new(Action::SignOut)
            .about(principal)
            .session(session);
        let events = ended.first().map(|_live| event);
        Ok(Told::new((), events))
    }

    /// Ends all sessions of this person, this one too unless it is to be kept. Gives how many.
    pub(crate) async fn sign_out_everywhere(
        &self,
        principal: &Principal,
        keep_this: bool,
        now: Timestamp,
    ) -> Result<Told<usize>, AuthnError> {
        let owner = principal.id.clone();
        let which = if keep_this {
            WhichSessions::AllOfExcept(owner, principal.session.id.clone())
        } else {
            WhichSessions::AllOf(owner)
        };
        let ended = self
            .sessions
            .end(which, EndReason::EndedByUser, now)
            .await?;
        let events: Vec<Event> = ended.iter().map(|live| ended_by_owner(live)).collect();
        Ok(Told::new(ended.len(), events))
    }

    /// Ends one of this person's sessions; `false` when it is not live or somebody else's.
    pub(crate) async fn end_own(
        &self,
        principal: &Principal,
        session: &SessionId,
        now: Timestamp,
    ) -> Result<Told<bool>, AuthnError> {
        let own = self
            .sessions
            .get(session)
            .is_some_and(|live| live.owner == principal.id);
        if !own {
            return Ok(Told::new(false, []));
        }
        let which = WhichSessions::One(session.clone());
        let ended = self
            .sessions
            .end(which, EndReason::EndedByUser, now)
            .await?;
        let events: Vec<Event> = ended.iter().map(|live| ended_by_owner(live)).collect();
        Ok(Told::new(!events.is_empty(), events))
    }

    /// Puts a fresh set of recovery codes in force, shown once; `None` when the second factor has to be confirmed
    /// first.
    pub(crate) async fn new_recovery_codes(
        &self,
        principal: &Principal,
        now: Timestamp,
    ) -> Result<Told<Option<Vec<RecoveryCode>>>, AuthnError> {
        let rules = self.rules();
        if !rules.session.is_fresh(principal.session.verified_at, now) {
            return Ok(Told::new(None, []));
        }
        let codes = RecoveryCode::generate_set(rules.recovery_codes);
        let hashes = codes.iter().map(|code| code.hash(&principal.id)).collect();
        let store = &self.sign_in.vault.store.recovery_codes;
        store.replace(principal.id.clone(), hashes, now).await?;
        let event = Event::new(Action::RecoveryCodesCreated).about(principal);
        Ok(Told::new(Some(codes), [event]))
    }
}

fn ended_by_owner(live: &Live) -> Event {
    Event::new(Action::SessionEnded)
        .about(live.principal().as_ref())
        .session(&live.id)
        .detail("portcullis.cause", EndReason::EndedByUser.word())
}

#[cfg(test)]
mod tests {
    use crate::authn::event::Action;
    use crate::authn::factor::totp::TotpSecret;
    use crate::authn::fixture::{PASSWORD, PORTAL, Site, actions, after, secret, visitor};
    use crate::authn::sign_in::{FirstStep, SecondStep};
    use crate::authn::vault::SecondFactor;

    #[tokio::test]
    async fn signing_out_ends_this_session_and_no_other() {
        let site = Site::with_ana().await;
        let one = site.signed_in(&visitor(0)).await;
        let two = site.signed_in(&visitor(60)).await;
        let told = site.auth.sign_out(&one.principal, after(61)).await.unwrap();
        assert_eq!(actions(&told.events), [Action::SignOut]);
        assert!(site.who(&one.cookie, PORTAL, after(62)).is_err());
        assert!(site.who(&two.cookie, PORTAL, after(62)).is_ok());
        let again = site.auth.sign_out(&one.principal, after(63)).await.unwrap();
        assert!(again.events.is_empty());
    }

    #[tokio::test]
    async fn signing_out_everywhere_may_keep_this_session() {
        let site = Site::with_ana().await;
        let one = site.signed_in(&visitor(0)).await;
        let two = site.signed_in(&visitor(60)).await;
        let kept = site
            .auth
            .sign_out_everywhere(&two.principal, true, after(61))
            .await;
        assert_eq!(kept.unwrap().value, 1);
        assert!(site.who(&one.cookie, PORTAL, after(62)).is_err());
        assert!(site.who(&two.cookie, PORTAL, after(62)).is_ok());
        let all = site
            .auth
            .sign_out_everywhere(&two.principal, false, after(63))
            .await
            .unwrap();
        assert_eq!(actions(&all.events), [Action::SessionEnded]);
        assert_eq!(site.auth.sessions.count(), 0);
    }

    #[tokio::test]
    async fn nobody_ends_another_persons_session() {
        let site = Site::with_ana().await;
        let ana = site.signed_in(&visitor(0)).await;
        let kim = site.add("kim", &[]).await;
        let totp = TotpSecret::generate();
        site.give_factors(&kim, &totp).await;
        let FirstStep::Continue { cookie, .. } = site.first("kim", PASSWORD, &visitor(0)).await
        else {
            panic!("the password is right");
        };
        let code = SecondFactor::Code(secret(&totp.code_at(after(0))));
        let SecondStep::SignedIn(kim) = site.second(&cookie, &code, &visitor(0)).await else {
            panic!("the code is right");
        };
        let anas = &ana.principal.session.id;
        let told = site
            .auth
            .end_own(&kim.principal, anas, after(1))
            .await
            .unwrap();
        assert!(!told.value && told.events.is_empty());
        assert!(site.who(&ana.cookie, PORTAL, after(2)).is_ok());
        let told = site
            .auth
            .end_own(&ana.principal, anas, after(3))
            .await
            .unwrap();
        assert!(told.value);
        assert!(site.who(&ana.cookie, PORTAL, after(4)).is_err());
    }

    #[tokio::test]
    async fn new_recovery_codes_need_a_fresh_second_factor() {
        let site = Site::with_ana().await;
        let ana = site.signed_in(&visitor(0)).await;
        let told = site
            .auth
            .new_recovery_codes(&ana.principal, after(299))
            .await
            .unwrap();
        assert_eq!(told.value.unwrap().len(), 10);
        assert_eq!(actions(&told.events), [Action::RecoveryCodesCreated]);
        let late = site
            .auth
            .new_recovery_codes(&ana.principal, after(300))
            .await
            .unwrap();
        assert!(late.value.is_none() && late.events.is_empty());
    }
}
