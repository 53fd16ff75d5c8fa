//! What the audit log will say of one request, written down while it happens.
//!
//! A [`Record`] holds the request's place in the log from before its first step. It leaves exactly once: when the
//! answer's last byte was taken over, when the body failed, or when it is dropped because the client went away.
//! Nothing here decides anything.

use std::sync::Arc;
use std::time::Duration;

use http::{Request, Version, header};

use crate::audit::{
    Action, Admission, AnsweredBy, Person, Probe, Receipt, RequestEntry, SecurityEvent, Slot, Told,
    Unavailable, Verdict, Who,
};
use crate::authn::{Authn, Principal};
use crate::authz::{Decision, Denial, Permit};
use crate::base::{Clock, Facts, PrincipalId, Reason, SessionId};
use crate::config::{AuditPath, AuditQuery};
use crate::limit::Guest;
use crate::message::CleanRequest;
use crate::message::watch::{Ended, Ending, OnEnd};
use crate::plan::Plan;
use crate::route::Route;
use crate::telemetry::Metrics;
use crate::telemetry::Outcome;
use crate::upstream::Meter;

/// Bytes of a path that the log keeps while no route answers for it: strangers write what they like there.
const UNROUTED_PATH: usize = 256;

/// What a record needs to leave.
#[derive(Debug, Clone)]
pub(crate) struct Ledger {
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) clock: Clock,
}

/// The entry of a request that is under way.
#[derive(Debug)]
pub(crate) struct Record {
    /// Both until the record leaves.
    entry: Option<Box<RequestEntry>>,
    slot: Option<Slot>,
    /// Counts the request among those of its network until the record is gone.
    guest: Option<Guest>,
    ledger: Ledger,
    meter: Option<Arc<Meter>>,
    seals_path: bool,
}

impl Record {
    /// Takes the slot and writes down what is known before anything is judged.
    pub(crate) fn open<B>(
        slot: Slot,
        request: &Request<B>,
        facts: &Facts,
        plan: &Plan,
        ledger: Ledger,
    ) -> Self {
        ledger.metrics.active_requests.inc();
        Self {
            entry: Some(Box::new(blank(request, facts, plan))),
            slot: Some(slot),
            guest: None,
            ledger,
            meter: None,
            seals_path: false,
        }
    }

    /// The request is one of so many of its network.
    pub(crate) fn hold(&mut self, guest: Guest) {
        self.guest = Some(guest);
    }

    /// What is known so far; nothing once the record has left.
    pub(super) fn entry(&self) -> Option<&RequestEntry> {
        self.entry.as_deref()
    }

    fn note(&mut self, write: impl FnOnce(&mut RequestEntry)) {
        if let Some(entry) = self.entry.as_deref_mut() {
            write(entry);
        }
    }

    /// The request has one reading now; its host and the beginning of its path are worth keeping.
    pub(crate) fn admitted_message(&mut self, request: &CleanRequest, path: &str) {
        let told = if path == request.path() {
            Told::path_of(request.target().path_and_query())
        } else {
            Told::as_if(path.to_owned())
        };
        self.note(|entry| {
            entry.host = Some(request.host().clone());
            entry.path = Some(told.beginning(UNROUTED_PATH));
            if request.is_extended_connect() {
                entry.method = Some(request.method().clone());
            }
        });
    }

    /// The route says how much of the target the log keeps.
    pub(crate) fn matched(&mut self, route: &Route, request: &CleanRequest) {
        let sealed = route.audit_path == AuditPath::Seal;
        self.seals_path = sealed;
        let target = request.target().path_and_query();
        self.note(|entry| {
            entry.route = Some(route.name.clone());
            if let Some(path) = &mut entry.path {
                path.whole(sealed);
            }
            entry.query = match (target.query(), route.audit_query) {
                (None, _) | (_, AuditQuery::Drop) => None,
                (Some(_), AuditQuery::Keep) => Some(Told::query_of(target)),
                (Some(_), AuditQuery::Seal) => Some(Told::query_of(target).sealed(true)),
            };
        });
    }

    pub(crate) fn identified(&mut self, authn: &Authn) {
        if let Some(principal) = authn.principal() {
            let person = Arc::clone(principal);
            self.note(|entry| entry.who = Some(person));
        }
    }

    pub(crate) fn decided(&mut self, decision: &Decision) {
        let now = self.ledger.clock.now();
        self.note(|entry| {
            entry.decided = Some(now);
            entry.verdict = match decision {
                Decision::Allow(_) => Verdict::Allow,
                Decision::Deny(_) => Verdict::Deny,
            };
            entry.reason = decision.reason();
            entry.policies = decision.shared_policies();
            if let Decision::Deny(denial) = decision {
                entry.probe = probe(denial);
            }
        });
    }

    /// Writes the admission to the journal. Only after this may the request leave for its upstream.
    ///
    /// # Errors
    /// [`Unavailable`] when it could not be written; the record is still there to tell of the refusal.
    pub(crate) async fn admit(&mut self, admission: Admission<'_>) -> Result<Receipt, Unavailable> {
        let (Some(entry), Some(slot)) = (&self.entry, &mut self.slot) else {
            return Err(Unavailable::Closed);
        };
        let admission = Admission {
            session: entry.who.as_ref().and_then(|who| who.session()),
            path_sealed: self.seals_path,
            ..admission
        };
        slot.admit(&admission).await
    }

    /// The upstream that was tried or that answered, and the counters of the bytes that pass.
    pub(crate) fn carried(
        &mut self,
        upstream: &Arc<str>,
        target: Option<&Arc<str>>,
        meter: Option<Arc<Meter>>,
    ) {
        let (upstream, target) = (Arc::clone(upstream), target.cloned().unwrap_or_default());
        self.note(|entry| entry.upstream = Some((upstream, target)));
        self.meter = meter;
    }

    /// A word on the stream that the request became, while it has no entry of its own yet.
    pub(crate) fn stream(&self, action: Action) -> SecurityEvent {
        let mut event = SecurityEvent::new(self.ledger.clock.now(), action);
        if let Some(entry) = self.entry.as_deref() {
            event = event.in_request(entry.id);
            if let Some(who) = &entry.who {
                event = event.about(who.who());
            }
            if let Some(route) = &entry.route {
                event = event.route(route.clone());
            }
        }
        if let Some(meter) = &self.meter {
            event = event
                .detail("portcullis.stream.bytes_up", meter.up().to_string())
                .detail("portcullis.stream.bytes_down", meter.down().to_string());
        }
        event
    }

    /// The head of the answer is ready.
    pub(crate) fn answered(&mut self, status: u16, by: AnsweredBy) {
        let now = self.ledger.clock.now();
        self.note(|entry| {
            entry.status = status;
            entry.answered_by = by;
            entry.first_byte = Some(now);
        });
    }

    /// Why the request is not served; later reasons replace earlier ones.
    pub(crate) fn refused(&mut self, reason: Reason) {
        self.note(|entry| entry.reason = reason);
    }

    /// The connection answered by itself because there was no request to be read.
    pub(crate) fn unparsed(mut self, reason: Reason, status: u16) {
        self.note(|entry| {
            entry.method = None;
            entry.status = status;
        });
        self.leave(Some(reason), 0);
    }

    /// Ends the record now, for answers whose end nobody has to wait for.
    pub(crate) fn close(mut self, response_bytes: u64) {
        self.leave(None, response_bytes);
    }

    fn leave(&mut self, reason: Option<Reason>, response_bytes: u64) {
        let Some(mut entry) = self.entry.take() else {
            return;
        };
        self.ledger.metrics.active_requests.dec();
        entry.ended = self.ledger.clock.now();
        entry.response_bytes = response_bytes;
        if let Some(meter) = &self.meter {
            entry.request_bytes = meter.up();
            entry.response_bytes = response_bytes.max(meter.down());
        }
        if let Some(reason) = reason {
            entry.reason = reason;
        }
        self.count(&entry);
        if let Some(slot) = self.slot.take() {
            slot.record(entry);
        }
    }

    fn count(&self, entry: &RequestEntry) {
        let route = entry
            .route
            .as_ref()
            .map_or("_other", |route| route.as_str());
        let own = entry.reason == Reason::OwnPage;
        let outcome = Outcome {
            status: entry.status,
            decision: entry.verdict.code(),
            reason: entry.reason.code(),
            answered_by: match entry.answered_by {
                AnsweredBy::Upstream => "upstream",
                AnsweredBy::Portcullis => "portcullis",
            },
        };
        // Slow heads are no request and counted with their connection.
        if entry.reason == Reason::RequestTimeout && entry.method.is_some() {
            self.ledger.metrics.cut("slow-body");
        }
        let took: Duration = entry.ended.since(entry.received);
        let route = if own { "_own" } else { route };
        self.ledger.metrics.answered(route, outcome, took);
    }
}

/// The end of the answer's body is the end of the request.
impl OnEnd for Record {
    fn ended(mut self, ended: Ended) {
        let reason = match ended.how {
            // Why was said when it was cut off.
            Ending::Complete | Ending::CutOff => None,
            Ending::Dropped => Some(self.why_dropped()),
            Ending::Failed => Some(self.why_failed()),
        };
        self.leave(reason, ended.bytes);
    }
}

impl Record {
    fn session_ended(&self) -> bool {
        self.meter
            .as_ref()
            .is_some_and(|meter| meter.fault() == Some(Reason::SessionEnded))
    }

    fn why_dropped(&self) -> Reason {
        if std::thread::panicking() {
            Reason::Defect
        } else if self.session_ended() {
            Reason::SessionEnded
        } else {
            Reason::ClientClosed
        }
    }

    fn why_failed(&self) -> Reason {
        self.meter
            .as_ref()
            .and_then(|meter| meter.fault())
            .unwrap_or(Reason::UpstreamProtocol)
    }
}

/// A request that nobody answers any more: the connection went away while it was being served, or we panicked.
impl Drop for Record {
    fn drop(&mut self) {
        self.leave(Some(self.why_dropped()), 0);
    }
}

/// What the journal needs to know of a request that is about to leave.
pub(crate) fn admission<'a>(
    permit: &'a Permit,
    route: &'a Route,
    request: &'a CleanRequest,
    facts: &Facts,
) -> Admission<'a> {
    Admission {
        id: facts.id,
        received: facts.now,
        client: facts.client,
        principal: permit.principal(),
        session: None,
        route: &route.name,
        method: request.method().as_str(),
        host: request.host().as_str(),
        path: request.path(),
        path_sealed: true,
        policies: permit.policies(),
    }
}

/// Who asked, in the log's terms.
impl Person for Principal {
    fn id(&self) -> &PrincipalId {
        &self.id
    }

    fn session(&self) -> Option<&SessionId> {
        Some(&self.session.id)
    }

    fn who(&self) -> Who {
        let methods = self.session.methods.iter();
        Who {
            id: self.id.clone(),
            email: Arc::clone(&self.email),
            name: Arc::clone(&self.name),
            groups: Arc::clone(&self.groups),
            tenant: Some(Arc::clone(&self.tenant)),
            session: Some(self.session.id.clone()),
            methods: methods.map(|method| method.code()).collect(),
        }
    }
}

fn probe(denial: &Denial) -> Option<Probe> {
    denial.probed_step_up.map(|step_up| Probe {
        step_up,
        grant: false,
        device: false,
    })
}

fn blank<B>(request: &Request<B>, facts: &Facts, plan: &Plan) -> RequestEntry {
    RequestEntry {
        id: facts.id,
        received: facts.now,
        decided: None,
        first_byte: None,
        ended: facts.now,
        client: facts.client,
        peer: facts.peer.ip(),
        tls: facts.peer.tls.as_ref().map(|tls| (tls.version, tls.cipher)),
        who: None,
        host: None,
        route: None,
        method: Some(request.method().clone()),
        protocol: protocol(request.version()),
        path: None,
        query: None,
        user_agent: request.headers().get(header::USER_AGENT).cloned(),
        verdict: Verdict::Undecided,
        policies: Arc::default(),
        reason: Reason::Defect,
        probe: None,
        answered_by: AnsweredBy::Portcullis,
        upstream: None,
        status: 0,
        request_bytes: 0,
        response_bytes: 0,
        revision: Arc::clone(&plan.revision),
    }
}

const fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        _ => "1.1",
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
    use std::path::Path;
    use std::pin::pin;
    use std::sync::Arc;
    use std::task::{Context, Poll, Waker};

    use http::Request;

    use super::{Ledger, Record};
    use crate::audit::seal::tests::MemoryKeyring;
    use crate::audit::{Admission, AuditLog, Durability, Options};
    use crate::base::{Clock, Facts, Peer, RequestId, RouteName, Timestamp};
    use crate::keys::NoteSigner;
    use crate::plan::Plan;
    use crate::telemetry::Metrics;

    const NOW: Timestamp = Timestamp::from_secs(1_790_000_000);

    fn log(folder: &Path, durability: Durability) -> Arc<AuditLog> {
        let options = Options {
            min_free: 0,
            durability,
            ..Options::new(folder.join("audit"))
        };
        let signer = Arc::new(NoteSigner::generate("login.example/audit").unwrap());
        let keyring = Arc::new(MemoryKeyring::default());
        AuditLog::open(options, keyring, signer, Clock::System).unwrap()
    }

    fn open(folder: &Path, log: &Arc<AuditLog>) -> (Record, Arc<Metrics>) {
        let file = folder.join("portcullis.toml");
        let text = "[server]\nportal = \"login.example\"\n[tls]\ncertificates = \"internal\"\n";
        std::fs::write(&file, text).unwrap();
        let plan = Plan::load(&file, None).unwrap().plan;
        let address = "192.0.2.1:443".parse().unwrap();
        let facts = Facts {
            id: RequestId::new(NOW, 1),
            now: NOW,
            peer: Arc::new(Peer::new(address, address, None)),
            client: address.ip(),
        };
        let ledger = Ledger {
            metrics: Arc::new(Metrics::new()),
            clock: Clock::System,
        };
        let metrics = Arc::clone(&ledger.metrics);
        let slot = log.reserve().unwrap();
        let record = Record::open(slot, &Request::new(()), &facts, &plan, ledger);
        assert_eq!(metrics.active_requests.get(), 1);
        (record, metrics)
    }

    fn written(folder: &Path) -> Vec<u8> {
        let segments = std::fs::read_dir(folder.join("audit/segments")).unwrap();
        segments
            .flat_map(|segment| std::fs::read(segment.unwrap().path()).unwrap())
            .collect()
    }

    #[test]
    fn a_panic_is_recorded_as_our_defect_and_a_client_that_left_is_not() {
        for (panics, reason) in [(true, "defect"), (false, "client-closed")] {
            let folder = tempfile::tempdir().unwrap();
            let log = log(folder.path(), Durability::Process);
            let (record, metrics) = open(folder.path(), &log);
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                let _record = record;
                if panics {
                    resume_unwind(Box::new(()));
                }
            }));
            assert_eq!(outcome.is_err(), panics);
            assert_eq!(metrics.active_requests.get(), 0);
            log.close();
            let written = written(folder.path());
            let expected = format!("\"portcullis.reason\":\"{reason}\"");
            let found = written
                .windows(expected.len())
                .any(|part| part == expected.as_bytes());
            assert!(found, "{reason}");
        }
    }

    #[test]
    fn a_request_dropped_while_its_admission_is_synced_is_no_longer_under_way() {
        let folder = tempfile::tempdir().unwrap();
        let log = log(folder.path(), Durability::Power);
        let (mut record, metrics) = open(folder.path(), &log);
        let route = RouteName::new("app");
        let admission = Admission {
            id: RequestId::new(NOW, 1),
            received: NOW,
            client: "192.0.2.1".parse().unwrap(),
            principal: None,
            session: None,
            route: &route,
            method: "GET",
            host: "app.example",
            path: "/",
            path_sealed: false,
            policies: &[],
        };
        {
            let mut admitting = pin!(record.admit(admission));
            let polled = admitting
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()));
            assert!(!matches!(polled, Poll::Ready(Err(_))));
        }
        drop(record);
        assert_eq!(metrics.active_requests.get(), 0);
        log.close();
        assert_eq!(log.stats().entries, 1, "the admission is closed");
    }
}
