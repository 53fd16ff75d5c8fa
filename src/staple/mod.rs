//! Proof that our certificates are not revoked (OCSP, RFC 6960), fetched ahead of time and sent with every handshake.
//!
//! One task does all of it. The last good answer is sent until its end, whatever the responder does meanwhile; an answer
//! that proves nothing is never sent. Neither a start nor a handshake waits for a responder. That a certificate in force
//! is revoked takes nothing away, because there may be no other, and is told to everybody who watches.

mod shelf;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use futures_util::future::join_all;
use http::header::CONTENT_TYPE;
use http::{Request, StatusCode};
use http_body_util::Full;
use rustls::pki_types::CertificateDer;

use self::shelf::Shelf;
use crate::acme::schedule::{pause, share, spread};
use crate::audit::{Action, Actor, AuditLog, SecurityEvent};
use crate::base::{Clock, Timestamp};
use crate::fetch::{FetchError, fetch, told};
use crate::plan::Plan;
use crate::tasks::Tasks;
use crate::telemetry::Metrics;
use crate::tls::Certificates;
use crate::tls::certificates::{Loaded, Origin};
use crate::tls::ocsp::{OcspError, Question, Staple};

/// How soon a new certificate is noticed.
const NAP: Duration = Duration::from_secs(1);
/// The pause after a first failure, and between any two questions; it doubles with every further failure.
const PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_hours(1);
/// An answer has about 2 KiB, with a delegate's certificate.
const LARGEST_ANSWER: usize = 64 * 1024;

/// Why there is no new answer.
#[derive(Debug, thiserror::Error)]
enum StapleError {
    #[error("the responder cannot be asked")]
    Fetch(#[from] FetchError),
    #[error("the responder answered with status {0}")]
    Status(StatusCode),
    #[error(transparent)]
    Answer(#[from] OcspError),
}

/// One certificate that names a responder.
#[derive(Debug)]
struct Ward {
    question: Question,
    /// For people.
    names: String,
    origin: Origin,
    staple: Option<Staple>,
    /// The authority said so last.
    revoked: bool,
    failures: u32,
    due: Timestamp,
}

/// By leaf; `None` for a certificate about which nobody can be asked.
type Wards = HashMap<CertificateDer<'static>, Option<Ward>>;

/// Looks after the answers for all certificates in force; [`Stapler::run`] is its task.
#[derive(Debug)]
pub(crate) struct Stapler {
    plan: Arc<ArcSwap<Plan>>,
    certificates: Arc<Certificates>,
    audit: Arc<AuditLog>,
    metrics: Arc<Metrics>,
    shelf: Shelf,
    clock: Clock,
}

impl Stapler {
    /// Answers are kept in a folder below the data folder.
    pub(crate) fn new(
        plan: Arc<ArcSwap<Plan>>,
        certificates: Arc<Certificates>,
        audit: Arc<AuditLog>,
        metrics: Arc<Metrics>,
        clock: Clock,
    ) -> Self {
        let shelf = Shelf::below(plan.load().config.data_folder());
        Self {
            plan,
            certificates,
            audit,
            metrics,
            shelf,
            clock,
        }
    }

    /// Works until the process drains.
    pub(crate) async fn run(self, tasks: Tasks) {
        let mut wards = Wards::new();
        while !tasks.draining().is_cancelled() {
            self.follow(&mut wards);
            self.end_old(&mut wards);
            let now = self.clock.now();
            let due = wards
                .iter_mut()
                .filter_map(|(leaf, ward)| Some((leaf, ward.as_mut()?)))
                .filter(|(_, ward)| ward.due <= now);
            let asking = join_all(due.map(|(leaf, ward)| self.renew(leaf, ward, &tasks)));
            tasks.draining().run_until_cancelled(asking).await;
            let revoked = wards.values().flatten().filter(|ward| ward.revoked).count();
            self.metrics
                .certificates_revoked
                .set(i64::try_from(revoked).unwrap_or(i64::MAX));
            tasks
                .draining()
                .run_until_cancelled(tokio::time::sleep(NAP))
                .await;
        }
    }

    /// Brings the wards in line with the certificates in force.
    fn follow(&self, wards: &mut Wards) {
        let mut listed = self.certificates.list();
        if !self.plan.load().config.tls.staple {
            listed.clear();
        }
        wards.retain(|leaf, _| {
            let stays = listed.iter().any(|loaded| loaded.leaf() == Some(leaf));
            if !stays {
                self.certificates.staple(leaf, None);
                self.shelf.forget(leaf);
            }
            stays
        });
        for loaded in &listed {
            if let Some(leaf) = loaded.leaf()
                && !wards.contains_key(leaf)
            {
                let ward = self.ward(leaf, loaded);
                wards.insert(leaf.clone(), ward);
            }
        }
    }

    /// A new ward, with the answer that was kept for it where it still proves something.
    fn ward(&self, leaf: &CertificateDer<'static>, loaded: &Loaded) -> Option<Ward> {
        let question = match Question::of(&loaded.key.cert) {
            Ok(question) => question?,
            Err(error) => {
                tracing::warn!(%error, "nothing is stapled to a certificate that names a responder");
                return None;
            }
        };
        let now = self.clock.now();
        let kept = self.shelf.find(leaf);
        let staple = kept.and_then(|kept| question.verify(&kept, now).ok());
        if let Some(staple) = &staple {
            self.certificates.staple(leaf, Some(staple.der.clone()));
        }
        Some(Ward {
            due: staple
                .as_ref()
                .map_or(now, |staple| renew_at(staple, spread(leaf))),
            question,
            names: names(loaded),
            origin: loaded.origin,
            staple,
            revoked: false,
            failures: 0,
        })
    }

    /// An answer past its end is worse than none: clients take it for an attack.
    fn end_old(&self, wards: &mut Wards) {
        let now = self.clock.now();
        for (leaf, ward) in wards {
            let Some(ward) = ward else { continue };
            if ward
                .staple
                .take_if(|staple| staple.next_update <= now)
                .is_some()
            {
                self.certificates.staple(leaf, None);
                tracing::warn!(
                    responder = ward.question.responder(),
                    "an OCSP answer has ended and there is no newer one; nothing is stapled"
                );
            }
        }
    }

    async fn renew(&self, leaf: &CertificateDer<'static>, ward: &mut Ward, tasks: &Tasks) {
        let asked = self.ask(&ward.question, tasks).await;
        let (now, spread) = (self.clock.now(), spread(leaf));
        match asked {
            Ok(staple) => {
                tracing::info!(
                    responder = ward.question.responder(),
                    until = %staple.next_update,
                    "a new OCSP answer is stapled"
                );
                self.shelf.keep(leaf, &staple.der);
                self.certificates.staple(leaf, Some(staple.der.clone()));
                // Some responders give the same answer for days, also past its half.
                let soon = now.plus((staple.next_update.since(now) / 4).max(PAUSE));
                ward.due = renew_at(&staple, spread).max(soon);
                ward.failures = 0;
                ward.revoked = false;
                ward.staple = Some(staple);
            }
            Err(error) => {
                ward.failures = ward.failures.saturating_add(1);
                ward.due = now.plus(pause(ward.failures, PAUSE, LONGEST_PAUSE, spread));
                self.tell(leaf, ward, &error);
            }
        }
    }

    fn tell(&self, leaf: &CertificateDer<'static>, ward: &mut Ward, error: &StapleError) {
        if matches!(error, StapleError::Answer(OcspError::Revoked)) {
            self.tell_revoked(leaf, ward);
            return;
        }
        let until = ward.staple.as_ref().map(|staple| staple.next_update);
        let until = until.map_or_else(|| "nothing".to_owned(), |until| until.to_string());
        tracing::warn!(
            responder = ward.question.responder(),
            problem = told(error),
            stapled_until = until,
            next_attempt = %ward.due,
            "no new OCSP answer"
        );
    }

    /// In the log whenever the authority says so, in the audit log once for each certificate.
    fn tell_revoked(&self, leaf: &CertificateDer<'static>, ward: &mut Ward) {
        // What was good is not any more.
        ward.staple = None;
        self.certificates.staple(leaf, None);
        self.shelf.forget(leaf);
        tracing::error!(
            "event.name" = "portcullis.certificate.revoked",
            names = ward.names,
            responder = ward.question.responder(),
            "a certificate in force is revoked, and browsers will refuse it; {}",
            remedy(ward.origin)
        );
        if std::mem::replace(&mut ward.revoked, true) {
            return;
        }
        let event = SecurityEvent::new(self.clock.now(), Action::CertificateRevoked)
            .by(Actor::System)
            .detail("portcullis.certificate.names", &*ward.names)
            .detail(
                "portcullis.certificate.responder",
                ward.question.responder(),
            );
        self.audit.record(event);
    }

    async fn ask(&self, question: &Question, tasks: &Tasks) -> Result<Staple, StapleError> {
        let request = Request::post(question.responder())
            .header(CONTENT_TYPE, "application/ocsp-request")
            .body(Full::new(Bytes::from(question.request()?)))
            .map_err(|_invalid| FetchError::Address)?;
        let answer = fetch(request, None, LARGEST_ANSWER, tasks).await?;
        if answer.status() != StatusCode::OK {
            return Err(StapleError::Status(answer.status()));
        }
        Ok(question.verify(answer.body(), self.clock.now())?)
    }
}

fn names(loaded: &Loaded) -> String {
    let names: Vec<_> = loaded.names.iter().map(ToString::to_string).collect();
    names.join(" ")
}

/// What an operator has to do about a certificate that is worth nothing any more.
const fn remedy(origin: Origin) -> &'static str {
    match origin {
        Origin::File => {
            "put another one, with a new key, into its files: they are looked at every `recheck`"
        }
        Origin::Acme => "obtain another one now: `portcullis cert renew NAME`",
        Origin::Internal => "remove the authority's folder and restart, which makes another one",
    }
}

/// Half of an answer's life is over, or up to a tenth more.
fn renew_at(staple: &Staple, spread: u16) -> Timestamp {
    let life = staple.next_update.since(staple.this_update);
    staple
        .this_update
        .plus(life / 2)
        .plus(share(life / 10, spread))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::renew_at;
    use crate::base::Timestamp;
    use crate::tls::ocsp::Staple;

    #[test]
    fn an_answer_is_renewed_between_half_and_three_fifths_of_its_life() {
        let begin = Timestamp::from_secs(1_795_000_000);
        for life in [60, 4 * 86_400, 7 * 86_400].map(Duration::from_secs) {
            let staple = Staple {
                der: Vec::new(),
                this_update: begin,
                next_update: begin.plus(life),
            };
            for spread in [0, 1, 40_000, u16::MAX] {
                let at = renew_at(&staple, spread);
                assert!(begin.plus(life / 2) <= at, "{life:?} {spread}");
                assert!(at <= begin.plus(life * 3 / 5), "{life:?} {spread}");
            }
        }
    }
}
