//! "Who is it?": credentials, sessions, sign-in and the people who may sign in.
//!
//! A browser's request carries a cookie that [`session::Sessions`] turns into a [`Principal`]; that is all the hot path
//! needs. [`sign_in`] makes sessions, [`handover`] carries them to the hosts of apps, [`enrolment`] sets up
//! credentials, [`people`] administers. What happened is given to the caller as [`event::Event`]s to record. This
//! module never decides what a person may do; that is `authz`.

pub(crate) mod cookie;
pub(crate) mod csrf;
pub(crate) mod device;
pub(crate) mod enrolment;
pub(crate) mod event;
pub(crate) mod factor;
#[cfg(test)]
pub(crate) mod fixture;
pub(crate) mod handover;
pub(crate) mod lockout;
mod own;
pub(crate) mod people;
pub(crate) mod principal;
pub(crate) mod return_to;
pub(crate) mod rules;
pub(crate) mod session;
pub(crate) mod sign_in;
pub(crate) mod vault;
pub(crate) mod waiting;

use std::sync::Arc;

use arc_swap::ArcSwap;

use self::csrf::Csrf;
use self::device::Devices;
use self::enrolment::Enrolment;
use self::event::{Action, Event};
use self::handover::Handover;
use self::people::People;
use self::rules::Rules;
use self::session::Sessions;
use self::sign_in::SignIn;
use self::vault::{AuthnError, Vault};
use crate::base::Timestamp;
use crate::keys::{MasterKey, PasswordHasher};
use crate::store::Store;

pub(crate) use principal::{Authn, BadCredential, Method, Principal, SessionFacts};

/// Everything that knows people, assembled. One per process; a reload only replaces its rules.
#[derive(Debug)]
pub(crate) struct Authenticator {
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) sign_in: Arc<SignIn>,
    pub(crate) enrolment: Arc<Enrolment>,
    pub(crate) handover: Handover,
    pub(crate) people: People,
    pub(crate) csrf: Csrf,
    rules: Arc<ArcSwap<Rules>>,
}

impl Authenticator {
    /// Loads the live sessions and puts the parts together.
    pub(crate) fn open(
        store: Store,
        master: Arc<MasterKey>,
        hasher: PasswordHasher,
        rules: Rules,
        now: Timestamp,
    ) -> Result<Self, AuthnError> {
        let devices = Devices::new(&master)?;
        let csrf = Csrf::new(&master)?;
        let rules = Arc::new(ArcSwap::from_pointee(rules));
        let vault = Arc::new(Vault::new(store, master, hasher));
        let sessions = Arc::new(Sessions::load(Arc::clone(&vault), now)?);
        let sign_in = SignIn::new(vault, Arc::clone(&sessions), Arc::clone(&rules), devices);
        let sign_in = Arc::new(sign_in);
        let enrolment = Arc::new(Enrolment::new(Arc::clone(&sign_in)));
        Ok(Self {
            people: People::new(Arc::clone(&sign_in), Arc::clone(&enrolment)),
            handover: Handover::new(Arc::clone(&sessions), Arc::clone(&rules)),
            sessions,
            sign_in,
            enrolment,
            csrf,
            rules,
        })
    }

    /// The rules in force.
    pub(crate) fn rules(&self) -> Arc<Rules> {
        self.rules.load_full()
    }

    /// Puts other rules in force, from the next step of anything on.
    pub(crate) fn adopt(&self, rules: Rules) {
        self.rules.store(Arc::new(rules));
    }

    /// Ends sessions past their limits, tells the store which were used, and forgets what has expired. Run every
    /// [`session::MAINTENANCE`] and once before the process ends.
    pub(crate) async fn maintain(&self, now: Timestamp) -> Result<Vec<Event>, AuthnError> {
        self.sign_in.sweep(now);
        self.enrolment.sweep(now);
        self.handover.sweep(now);
        let ended = self.sessions.maintain(&self.rules().session, now).await?;
        let events = ended.iter().map(|(live, why)| {
            Event::new(Action::SessionEnded)
                .about(live.principal().as_ref())
                .session(&live.id)
                .detail("portcullis.cause", why.word())
        });
        Ok(events.collect())
    }
}
