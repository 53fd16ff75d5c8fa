//! Replacing the plan while serving: everything is compiled and tested first, then swapped at once, or not at all.
//!
//! Running requests keep the plan they began with, and connections their listener until it is given up. A refused reload changes nothing and is recorded like one that
//! succeeded.

use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;

use super::core::Core;
use super::listeners::Listeners;
use crate::audit::{Action, Actor, SecurityEvent};
use crate::base::Timestamp;
use crate::config::{self, Problems};
use crate::confine::Confined;
use crate::plan::{Compiled, Plan};
use crate::tls;
use crate::tls::certificates::{Rejected, Wanted};

/// What a reload did.
#[derive(Debug)]
pub(crate) struct Reloaded {
    pub(crate) plan: Arc<Plan>,
    pub(crate) warnings: Problems,
    /// Keys whose new values wait for a restart.
    pub(crate) waiting: Vec<String>,
}

/// Reloads one process; one reload at a time.
#[derive(Debug)]
pub(crate) struct Reloader {
    path: PathBuf,
    core: Arc<Core>,
    tls: Arc<tls::Server>,
    listeners: Arc<Listeners>,
    confined: Arc<Confined>,
    one_at_a_time: Mutex<()>,
}

impl Reloader {
    pub(crate) fn new(
        path: PathBuf,
        core: Arc<Core>,
        tls: Arc<tls::Server>,
        listeners: Arc<Listeners>,
        confined: Arc<Confined>,
    ) -> Self {
        Self {
            path,
            core,
            tls,
            listeners,
            confined,
            one_at_a_time: Mutex::new(()),
        }
    }

    /// Reads everything anew and puts it in force. Blocks; not for a runtime's thread.
    ///
    /// # Errors
    /// Every problem found; the plan before stays in force.
    pub(crate) fn reload(&self, actor: Actor) -> Result<Reloaded, Problems> {
        let _guard = self.one_at_a_time.lock();
        let now = self.core.ledger.clock.now();
        let outcome = self.attempt(now);
        let metrics = &self.core.ledger.metrics;
        metrics.reload_succeeded.set(i64::from(outcome.is_ok()));
        match &outcome {
            Ok(reloaded) => {
                metrics.reload_last_success.set(now.secs());
                self.tell_loaded(reloaded, actor, now);
            }
            Err(problems) => self.tell_refused(problems, actor, now),
        }
        outcome
    }

    fn attempt(&self, now: Timestamp) -> Result<Reloaded, Problems> {
        let current = self.core.plan.load_full();
        let Compiled { plan, mut warnings } =
            Plan::load(&self.path, Some(&current)).map_err(|problems| self.beyond(problems))?;
        self.confined.admits(&plan.config)?;
        let refused = |findings: &[tls::lint::Finding], problems: &mut Problems| {
            tls::setup::report(findings, &plan.config, problems);
            problems.settle();
        };
        let shelf = self.tls.certificates().shelf();
        let wanted = Wanted::of(&plan.config, shelf, now).map_err(|finding| {
            let mut problems = Problems::new();
            refused(&[finding], &mut problems);
            problems
        })?;
        // From here to the swap only what cannot fail, or a change that is dropped with its sockets.
        let change = self.listeners.prepare(&plan.config).map_err(|error| {
            let mut problems = Problems::new();
            problems.error("PC1422").message(error.to_string());
            problems
        })?;
        match self.tls.certificates().replace(wanted, now) {
            Ok(findings) => refused(&findings, &mut warnings),
            Err(Rejected(findings)) => {
                refused(&findings, &mut warnings);
                return Err(warnings);
            }
        }
        let (profile, protocols) = (plan.config.tls.profile.value, plan.config.server.http);
        if let Err(error) = self.tls.replace(profile, protocols) {
            tracing::error!(%error, "the TLS settings in force stay");
        }
        let waiting = current.config.awaiting_restart(&plan.config);
        self.core.authenticator.adopt(plan.authn_rules());
        let plan = Arc::new(plan);
        self.core.plan.store(Arc::clone(&plan));
        self.listeners.apply(change, &plan.config);
        Ok(Reloaded {
            plan,
            warnings,
            waiting,
        })
    }

    /// What was given up at the start is the better reason for what cannot be read.
    fn beyond(&self, mut problems: Problems) -> Problems {
        let Ok(loaded) = config::load(&self.path) else {
            self.confined.explain(&mut problems);
            return problems;
        };
        self.confined
            .admits(&loaded.config)
            .err()
            .unwrap_or(problems)
    }

    fn tell_loaded(&self, reloaded: &Reloaded, actor: Actor, now: Timestamp) {
        let hash = reloaded.plan.revision.config.to_string();
        tracing::info!(
            "event.name" = "portcullis.config.reloaded",
            config = hash,
            "the configuration on disk is in force"
        );
        for key in &reloaded.waiting {
            tracing::warn!(key, "a changed key waits for a restart");
        }
        let event = SecurityEvent::new(now, Action::ConfigLoaded).by(actor);
        let event = event
            .detail("portcullis.config.hash", hash)
            .detail("portcullis.policy.hash", &*reloaded.plan.revision.policies);
        self.core.audit.record(event);
    }

    fn tell_refused(&self, problems: &Problems, actor: Actor, now: Timestamp) {
        tracing::error!(
            "event.name" = "portcullis.config.refused",
            problems = problems.render(false),
            "the configuration on disk cannot be used; the one in force stays"
        );
        let event = SecurityEvent::new(now, Action::ConfigRefused).by(actor);
        self.core
            .audit
            .record(event.detail("portcullis.problems", problems.summary()));
    }
}
