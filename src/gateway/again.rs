//! Whether a permission that was given still holds, for what lasts longer than a request.
//!
//! The question is the one that was asked at the beginning, put to the plan and the session of this moment. Asking is
//! no use of the session: a stream or a download must never keep anybody signed in.

use std::net::IpAddr;
use std::sync::Arc;

use http::Method;

use super::record::Record;
use super::{Shared, session_rules};
use crate::audit::RequestEntry;
use crate::authn::Authn;
use crate::authz::{AccessRequest, Action, Caller, Circumstances, Decision, Target};
use crate::base::{Host, Peer, Reason, RequestId, RouteName, SessionId, Timestamp};
use crate::message::watch::{Ended, OnEnd};

/// A request that was permitted, as far as the policies see it.
pub(super) struct Question<'a> {
    pub(super) id: RequestId,
    pub(super) client: IpAddr,
    pub(super) session: Option<&'a SessionId>,
    pub(super) route: &'a RouteName,
    pub(super) method: &'a str,
    pub(super) host: &'a Host,
    pub(super) path: &'a str,
    pub(super) listener: &'a str,
}

impl Question<'_> {
    /// Asks again, under what holds now; the reason when the answer is no.
    pub(super) fn ask(&self, shared: &Shared, now: Timestamp) -> Result<(), Reason> {
        let plan = shared.plan.load();
        let route = plan
            .routes
            .find_on(self.host, self.path, self.listener)
            .filter(|route| route.name == *self.route)
            .ok_or(Reason::NoRoute)?;
        let authn = match self.session {
            None => Authn::Anonymous,
            Some(id) => {
                let sessions = &shared.authenticator.sessions;
                let principal = sessions
                    .get(id)
                    .and_then(|live| live.look(&session_rules(route), now).ok());
                Authn::Known(principal.ok_or(Reason::SessionEnded)?)
            }
        };
        let decision = plan.policies.decide(&AccessRequest {
            caller: Caller::from(&authn),
            action: Action::Http(self.method),
            target: Target::Route(&route.name),
            host: self.host.as_str(),
            path: self.path,
            client: self.client,
            now,
            id: self.id,
            circumstances: Circumstances::NONE,
        });
        match decision {
            Decision::Allow(_) => Ok(()),
            Decision::Deny(denial) => Err(denial.reason),
        }
    }
}

/// Watches the body of an answer: writes its end down, and ends it when its permission is gone.
#[derive(Debug)]
pub(super) struct Overseer {
    pub(super) record: Record,
    /// `None` for answers of our own, which are nobody's to lose.
    pub(super) shared: Option<Arc<Shared>>,
    /// The connection that it goes through.
    pub(super) peer: Arc<Peer>,
}

impl OnEnd for Overseer {
    fn may_go_on(&mut self) -> bool {
        let (Some(shared), Some(entry)) = (&self.shared, self.record.entry()) else {
            return true;
        };
        match ask_of(entry, self.peer.listener(), shared) {
            Ok(()) => true,
            Err(reason) => {
                self.record.refused(reason);
                false
            }
        }
    }

    fn ended(self, ended: Ended) {
        self.record.ended(ended);
    }
}

/// Asks again about a request that is still waiting for its answer; the reason when the answer is no.
pub(super) fn judge(record: &Record, peer: &Peer, shared: &Shared) -> Result<(), Reason> {
    let entry = record.entry().ok_or(Reason::NoRoute)?;
    ask_of(entry, peer.listener(), shared)
}

/// An entry that lacks what the question needs was never permitted.
fn ask_of(entry: &RequestEntry, listener: &str, shared: &Shared) -> Result<(), Reason> {
    let (Some(host), Some(route), Some(path)) = (&entry.host, &entry.route, &entry.path) else {
        return Err(Reason::NoRoute);
    };
    let question = Question {
        id: entry.id,
        client: entry.client,
        session: entry.who.as_ref().and_then(|who| who.session()),
        route,
        method: entry.method.as_ref().map_or("", Method::as_str),
        host,
        path: path.text(),
        listener,
    };
    question.ask(shared, shared.ledger.clock.now())
}
