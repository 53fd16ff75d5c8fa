//! What follows from an order: what is remembered, and who is told.
//!
//! A failure takes nothing away; it is written down before the next attempt can be due.

use std::time::Duration;

use tokio::sync::oneshot;

use super::Keeper;
use crate::acme::vault::Failures;
use crate::acme::ward::shown;
use crate::acme::{AcmeError, authority};
use crate::audit::{Action, Actor, SecurityEvent};
use crate::config::Acme;
use crate::tls::certificates::Loaded;

/// After so long a failure of a name that is not wanted any more is forgotten; a wanted one is tried far more often.
const REMEMBERED: Duration = Duration::from_hours(30 * 24);

impl Keeper {
    pub(super) async fn succeeded(&self, id: &str, settings: &Acme, loaded: &Loaded) {
        let (names, renewed, asked) = {
            let mut board = self.board.lock();
            board.kept.insert(id.to_owned(), loaded.clone());
            board.failures.remove(id);
            let Some(ward) = board.wards.get_mut(id) else {
                return;
            };
            let renewed = ward.held.replace(loaded.clone()).is_some();
            (ward.ordering, ward.window, ward.ask_window_at) = (false, None, None);
            ward.failures = Failures::default();
            (shown(&ward.names), renewed, std::mem::take(&mut ward.asked))
        };
        let (action, outcome) = if renewed {
            (Action::CertificateRenewed, "renewed")
        } else {
            (Action::CertificateIssued, "issued")
        };
        tracing::info!(
            "event.name" = "portcullis.certificate.obtained",
            names,
            not_after = %loaded.not_after,
            "a certificate was {outcome}"
        );
        self.parts.metrics.certificate_order(outcome);
        let event = self.event(action, &names, settings);
        let until = loaded.not_after.to_string();
        self.parts
            .audit
            .record(event.detail("portcullis.certificate.not_after", until));
        self.keep_failures().await;
        answer(asked, &Ok(()));
    }

    pub(super) async fn failed(&self, id: &str, settings: &Acme, error: &AcmeError) {
        let problem = error.told();
        let (names, held, due, asked) = {
            let mut board = self.board.lock();
            let Some(ward) = board.wards.get_mut(id) else {
                return;
            };
            ward.ordering = false;
            ward.failures.count = ward.failures.count.saturating_add(1);
            ward.failures.last = self.parts.clock.now().micros();
            ward.failures.problem.clone_from(&problem);
            ward.failures.rate_limited = error.kind() == Some("rateLimited");
            let asked = std::mem::take(&mut ward.asked);
            let told = (
                shown(&ward.names),
                ward.held.as_ref().map(|held| held.not_after),
                ward.due(settings),
            );
            let failures = ward.failures.clone();
            board.failures.insert(id.to_owned(), failures);
            (told.0, told.1, told.2, asked)
        };
        let until = held.map_or_else(|| "none".to_owned(), |until| until.to_string());
        tracing::error!(
            "event.name" = "portcullis.certificate.failed",
            names,
            problem,
            in_force_until = until,
            next_attempt = %due,
            "a certificate could not be obtained; the one in force stays"
        );
        self.parts.metrics.certificate_order("failed");
        let event = self.event(Action::CertificateFailed, &names, settings);
        self.parts.audit.record(
            event
                .detail("portcullis.problem", &*problem)
                .detail("portcullis.certificate.not_after", until),
        );
        if error.kind() == Some("accountDoesNotExist")
            && let Err(error) = authority::forget(settings, &self.vault).await
        {
            tracing::error!(%error, "an account that the authority does not know stays in the store");
        }
        self.keep_failures().await;
        answer(asked, &Err(problem));
    }

    fn event(&self, action: Action, names: &str, settings: &Acme) -> SecurityEvent {
        SecurityEvent::new(self.parts.clock.now(), action)
            .by(Actor::System)
            .detail("portcullis.certificate.names", names)
            .detail(
                "portcullis.certificate.directory",
                &*settings.directory.value,
            )
    }

    async fn keep_failures(&self) {
        let now = self.parts.clock.now();
        let failures = {
            let mut board = self.board.lock();
            board
                .failures
                .retain(|_, failures| failures.last().plus(REMEMBERED) > now);
            board.failures.clone()
        };
        if let Err(error) = self.vault.keep_failures(&failures, now).await {
            tracing::error!(%error, "failed attempts cannot be remembered over a restart");
        }
    }
}

fn answer(asked: Vec<oneshot::Sender<Result<(), String>>>, outcome: &Result<(), String>) {
    for one in asked {
        // Who asked may have gone; the outcome is in the log as well.
        drop(one.send(outcome.clone()));
    }
}
