//! What the tests of this module share: an installation in memory with one person, Ana.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OnceCell;

use super::cookie::Presented;
use super::event::{Action, Event, Told};
use super::factor::totp::TotpSecret;
use super::people::NewPerson;
use super::rules::Rules;
use super::session::rules::SessionRules;
use super::sign_in::{Confirmed, FirstStep, SecondStep, SignedIn, Visitor};
use super::vault::SecondFactor;
use super::{Authenticator, Authn, BadCredential, Principal};
use crate::base::{Authority, Host, Secret, Timestamp};
use crate::config::PasswordCost;
use crate::keys::{MasterKey, PasswordHasher, PasswordPolicy};
use crate::store::{Backoff, SqliteStore, Store, User};

pub(crate) const START: Timestamp = Timestamp::from_secs(1_795_000_000);
pub(crate) const PASSWORD: &str = "tulip anvil 47 marmalade";
pub(crate) const COST: PasswordCost = PasswordCost {
    memory: 64 * 1024,
    passes: 3,
    lanes: 4,
};
pub(crate) const PORTAL: &str = "login.example.com";
pub(crate) const APP: &str = "app.example.com";

/// A master key of its own for each call.
pub(crate) fn master() -> Arc<MasterKey> {
    let folder = tempfile::tempdir().unwrap();
    Arc::new(MasterKey::open_or_create(&folder.path().join("master.key")).unwrap())
}

pub(crate) fn host(name: &str) -> Host {
    Host::parse(name).unwrap()
}

pub(crate) fn secret(text: &str) -> Secret<String> {
    Secret::new(text.to_owned())
}

pub(crate) fn after(seconds: u64) -> Timestamp {
    START.plus(Duration::from_secs(seconds))
}

pub(crate) fn actions(events: &[Event]) -> Vec<Action> {
    events.iter().map(|event| event.action).collect()
}

pub(crate) fn rules() -> Rules {
    Rules {
        portal: Authority {
            host: host(PORTAL),
            port: None,
        },
        issuer: "Example Ltd".to_owned(),
        session: SessionRules {
            lifetime: Duration::from_secs(12 * 3600),
            idle: Duration::from_secs(1800),
            step_up: Duration::from_secs(300),
        },
        per_user: 3,
        backoff: Backoff {
            after: 5,
            delay: Duration::from_secs(1),
            max_delay: Duration::from_secs(300),
        },
        password: PasswordPolicy {
            min_length: 12,
            max_length: 256,
        },
        recovery_codes: 10,
        enrolment_life: Duration::from_secs(3600),
        second_step_life: Duration::from_secs(300),
        handover_life: Duration::from_secs(60),
    }
}

/// An installation; `restarted` gives what the next process finds.
pub(crate) struct Site {
    pub(crate) auth: Authenticator,
    pub(crate) store: Store,
    master: Arc<MasterKey>,
    pub(crate) totp: TotpSecret,
}

impl Site {
    /// Nobody but Ana, who is in `staff` and has both factors.
    pub(crate) async fn with_ana() -> Self {
        let site = Self::empty();
        let ana = site.add("ana", &["staff"]).await;
        site.give_factors(&ana, &site.totp).await;
        site
    }

    pub(crate) fn empty() -> Self {
        let store = Store::of(Arc::new(SqliteStore::in_memory().unwrap()));
        Self::over(store, master(), TotpSecret::generate(), COST)
    }

    fn over(store: Store, master: Arc<MasterKey>, totp: TotpSecret, cost: PasswordCost) -> Self {
        let auth = Authenticator::open(
            store.clone(),
            Arc::clone(&master),
            PasswordHasher::new(2, cost),
            rules(),
            START,
        );
        Self {
            auth: auth.unwrap(),
            store,
            master,
            totp,
        }
    }

    pub(crate) fn restarted(&self) -> Self {
        self.restarted_at(COST)
    }

    /// The next process, with another cost of passwords.
    pub(crate) fn restarted_at(&self, cost: PasswordCost) -> Self {
        Self::over(
            self.store.clone(),
            Arc::clone(&self.master),
            self.totp.clone(),
            cost,
        )
    }

    pub(crate) async fn add(&self, login: &str, groups: &[&str]) -> User {
        let person = NewPerson {
            login: login.to_owned(),
            email: Some(format!("{login}@example.com")),
            name: None,
            groups: groups.iter().map(|&group| group.to_owned()).collect(),
            tenant: "default".to_owned(),
            contractor: false,
        };
        self.auth.people.add(person, START).await.unwrap().value
    }

    /// Sets [`PASSWORD`] and the authenticator without the ceremony.
    pub(crate) async fn give_factors(&self, user: &User, totp: &TotpSecret) {
        static PHC: OnceCell<String> = OnceCell::const_new();
        let phc = PHC.get_or_init(|| async {
            PasswordHasher::new(2, COST)
                .hash(&secret(PASSWORD))
                .await
                .unwrap()
        });
        let phc = phc.await.clone();
        let id = || user.id.clone();
        self.store
            .passwords
            .set_password(id(), phc, START)
            .await
            .unwrap();
        let sealed = self.auth.sign_in.vault.seal_totp(&user.id, totp).unwrap();
        let factors = &self.store.factors;
        factors
            .propose_totp(id(), sealed.clone(), START)
            .await
            .unwrap();
        assert!(factors.confirm_totp(id(), sealed, 0, START).await.unwrap());
    }

    pub(crate) fn code(&self, now: Timestamp) -> SecondFactor {
        SecondFactor::Code(secret(&self.totp.code_at(now)))
    }

    pub(crate) async fn first(
        &self,
        name: &str,
        password: &str,
        visitor: &Visitor<'_>,
    ) -> FirstStep {
        let password = secret(password);
        let step = self.auth.sign_in.first_step(name, &password, visitor);
        step.await.unwrap().value
    }

    pub(crate) async fn second(
        &self,
        cookie: &Secret<String>,
        factor: &SecondFactor,
        visitor: &Visitor<'_>,
    ) -> SecondStep {
        let step = self
            .auth
            .sign_in
            .second_step(cookie.expose(), factor, None, visitor);
        step.await.unwrap().value
    }

    pub(crate) async fn confirm(
        &self,
        principal: &Principal,
        factor: &SecondFactor,
        visitor: &Visitor<'_>,
    ) -> Told<Confirmed> {
        let confirm = self.auth.sign_in.confirm(principal, factor, visitor);
        confirm.await.unwrap()
    }

    /// Ana signs in with password and code.
    pub(crate) async fn signed_in(&self, visitor: &Visitor<'_>) -> SignedIn {
        let FirstStep::Continue { cookie, .. } = self.first("ana", PASSWORD, visitor).await else {
            panic!("the password is right");
        };
        match self.second(&cookie, &self.code(visitor.now), visitor).await {
            SecondStep::SignedIn(signed_in) => *signed_in,
            other => panic!("the code is right: {other:?}"),
        }
    }

    pub(crate) fn who(
        &self,
        cookie: &Secret<String>,
        at: &str,
        now: Timestamp,
    ) -> Result<Arc<Principal>, BadCredential> {
        let presented = Presented::One(cookie.expose());
        let rules = self.auth.rules().session;
        match self
            .auth
            .sessions
            .authenticate(presented, &host(at), &rules, now)?
        {
            Authn::Known(principal) => Ok(principal),
            Authn::Anonymous => panic!("a cookie was presented"),
        }
    }
}

/// A visitor without a device cookie, at the given time after the start.
pub(crate) fn visitor(seconds: u64) -> Visitor<'static> {
    visitor_from(7, seconds)
}

pub(crate) fn visitor_from(last: u8, seconds: u64) -> Visitor<'static> {
    Visitor {
        address: IpAddr::from([203, 0, 113, last]),
        user_agent: Some("Mozilla/5.0"),
        device: None,
        now: after(seconds),
    }
}
