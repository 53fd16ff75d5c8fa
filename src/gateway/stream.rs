//! An upgraded stream while it runs, and whether it still may.
//!
//! A request is judged once, and a stream that it became can last for days. So the same question is asked again every
//! second; a no ends the stream. Nothing here looks at what passes.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval_at};

use super::again::Question;
use super::record::Record;
use super::{Granted, Shared};
use crate::audit;
use crate::base::{Facts, Host, Reason, RequestId, RouteName, SessionId};
use crate::message::CleanRequest;
use crate::upstream::{Tunnel, TunnelEnd};

/// How long a stream can outlive its permission.
const AGAIN: Duration = Duration::from_secs(1);

/// A request that asked for an upgrade, as far as the policies see it.
pub(super) struct Opened {
    id: RequestId,
    client: IpAddr,
    session: Option<SessionId>,
    route: RouteName,
    method: String,
    host: Host,
    path: String,
    listener: String,
}

/// A stream that both sides agreed to.
pub(super) struct Stream {
    pub(super) tunnel: Tunnel,
    pub(super) idle: Duration,
    pub(super) opened: Opened,
}

impl Opened {
    /// What has to be kept of a request; `None` when it asks for no upgrade.
    pub(super) fn of(request: &CleanRequest, granted: Granted<'_>, facts: &Facts) -> Option<Self> {
        request.upgrade()?;
        let principal = granted.authn.principal();
        Some(Self {
            id: facts.id,
            client: facts.client,
            session: principal.map(|principal| principal.session.id.clone()),
            route: granted.route.name.clone(),
            method: request.method().as_str().to_owned(),
            host: request.host().clone(),
            path: request.path().to_owned(),
            listener: facts.peer.listener().to_owned(),
        })
    }

    fn question(&self) -> Question<'_> {
        Question {
            id: self.id,
            client: self.client,
            session: self.session.as_ref(),
            route: &self.route,
            method: &self.method,
            host: &self.host,
            path: &self.path,
            listener: &self.listener,
        }
    }
}

impl Stream {
    /// Carries the stream until it ends by itself or may not go on; the request's entry is written then. That it was
    /// opened and that it goes on, said every `interval`, is recorded meanwhile (D40).
    pub(super) async fn run(self, shared: Arc<Shared>, interval: Duration, mut record: Record) {
        shared
            .audit
            .record(record.stream(audit::Action::StreamOpened));
        if let Some(reason) = self.carry(&shared, interval, &record).await {
            record.refused(reason);
        }
        record.close(0);
    }

    /// The reason, when it did not end by itself.
    async fn carry(self, shared: &Shared, interval: Duration, record: &Record) -> Option<Reason> {
        let Self {
            tunnel,
            idle,
            opened,
        } = self;
        let start = tokio::time::Instant::now();
        let mut again = interval_at(start + AGAIN, AGAIN);
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut word = interval_at(start + interval, interval);
        let mut run = std::pin::pin!(tunnel.run(idle));
        loop {
            tokio::select! {
                end = run.as_mut() => {
                    return (end == TunnelEnd::SessionEnded).then_some(Reason::SessionEnded);
                }
                _ = again.tick() => {
                    if let Err(reason) = opened.question().ask(shared, shared.ledger.clock.now()) {
                        return Some(reason);
                    }
                }
                _ = word.tick() => {
                    shared.audit.record(record.stream(audit::Action::StreamContinues));
                }
            }
        }
    }
}
