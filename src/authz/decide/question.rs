//! One fresh decision: Cedar asked once, a second time about the clock, and a third time about a second factor.
//!
//! Nothing is remembered here; what is said about timing is what the memory relies on.

use std::sync::Arc;
use std::time::Duration;

use cedar_policy::{Context, Entities, Entity, PolicySet, Request, Response, RestrictedExpression};

use crate::authz::context::{self, Clock, Parts};
use crate::authz::entities::Known;
use crate::authz::memory::{Outcome, Timing};
use crate::authz::permit::{Denial, Remedy};
use crate::authz::policies::Policies;
use crate::authz::request::{AccessRequest, Caller};
use crate::authz::schema;
use crate::authz::slices::Slice;
use crate::base::{PolicyId, Reason, Timestamp};

use super::failed;

/// One fresh decision.
pub(super) struct Question<'a> {
    pub(super) policies: &'a Policies,
    pub(super) slice: &'a Slice,
    pub(super) request: &'a AccessRequest<'a>,
    pub(super) caller: Arc<Known>,
}

impl Question<'_> {
    pub(super) fn ask(&self) -> (Outcome, Timing) {
        self.try_ask().unwrap_or_else(|| {
            let denial = failed(Vec::new(), self.slice.hidden);
            (Outcome::Deny(Arc::new(denial)), Timing::Moment)
        })
    }

    /// `None` when the question cannot be put to Cedar.
    fn try_ask(&self) -> Option<(Outcome, Timing)> {
        let entities = self.entities()?;
        let timeless = self.context(Clock::Unseen, None)?;
        let timing = self.timing(&entities, &timeless)?;
        let zone = &self.slice.zone;
        let context = match timing {
            Timing::Timeless => timeless,
            Timing::Minute => self.context(Clock::Calendar(zone), None)?,
            Timing::Moment => self.context(Clock::Exact(zone), None)?,
        };
        let response = self.evaluate(&self.slice.policies, &entities, context)?;
        let errors = sorted(response.diagnostics().errors().map(failing));
        if !errors.is_empty() {
            let denial = failed(errors, self.slice.hidden);
            return Some((Outcome::Deny(Arc::new(denial)), Timing::Moment));
        }
        let policies = sorted(response.diagnostics().reason().map(named));
        let outcome = match response.decision() {
            cedar_policy::Decision::Allow => Outcome::Allow(policies.into()),
            cedar_policy::Decision::Deny => {
                Outcome::Deny(Arc::new(self.denial(policies, timing, &entities)))
            }
        };
        Some((outcome, timing))
    }

    pub(super) fn entities(&self) -> Option<Arc<Entities>> {
        let action = schema::action(self.request.action.id())?;
        let key = (self.caller.version, self.slice.number, action.uid());
        if let Some(entities) = self.policies.entities.find(&key) {
            return Some(entities);
        }
        let entities = Arc::new(self.make_entities(action.clone())?);
        self.policies.entities.insert(key, Arc::clone(&entities));
        Some(entities)
    }

    fn make_entities(&self, action: Entity) -> Option<Entities> {
        let all = [
            self.caller.entity.clone(),
            self.slice.target.clone(),
            action,
        ];
        Entities::from_entities(all, None).ok()
    }

    /// Before a probe, `verified` is the time of the second factor that did not happen.
    fn context(&self, clock: Clock<'_>, verified: Option<Timestamp>) -> Option<Context> {
        let reads = &self.slice.reads;
        let session = match (self.request.caller, verified) {
            (Caller::Person(person), Some(_)) => {
                Some(context::session(&person.session, verified).ok()?)
            }
            _ => self.caller.session.clone(),
        };
        let parts = Parts {
            reads,
            clock,
            session,
            address: reads.asks_client().then(|| self.address()),
        };
        context::build(self.request, parts).ok()
    }

    fn address(&self) -> RestrictedExpression {
        let client = self.request.client;
        self.policies.addresses.find(&client).unwrap_or_else(|| {
            let address = context::address(client);
            self.policies.addresses.insert(client, address.clone());
            address
        })
    }

    pub(super) fn to_cedar(&self, context: Context) -> Option<Request> {
        let action = schema::action(self.request.action.id())?.uid();
        let (principal, resource) = (self.caller.uid.clone(), self.slice.target.uid());
        Request::new(principal, action, resource, context, None).ok()
    }

    fn evaluate(&self, set: &PolicySet, entities: &Entities, context: Context) -> Option<Response> {
        let request = self.to_cedar(context)?;
        Some(
            self.policies
                .authorizer
                .is_authorized(&request, set, entities),
        )
    }

    /// Whether any policy got as far as looking at the time.
    fn timing(&self, entities: &Entities, context: &Context) -> Option<Timing> {
        if self.slice.guards.is_empty() {
            return Some(Timing::Timeless);
        }
        let response = self.evaluate(&self.slice.guards, entities, context.clone())?;
        if response.diagnostics().errors().next().is_some() {
            return Some(Timing::Moment);
        }
        let open = sorted(response.diagnostics().reason().map(named));
        Some(if open.iter().any(|id| self.slice.instant.contains(id)) {
            Timing::Moment
        } else if open.is_empty() {
            Timing::Timeless
        } else {
            Timing::Minute
        })
    }

    /// From when until when an answer with this timing stands; `None` when only now.
    pub(super) fn validity(&self, timing: Timing) -> Option<(Timestamp, Timestamp)> {
        match timing {
            Timing::Moment => None,
            Timing::Timeless => Some((
                Timestamp::from_micros(i64::MIN),
                Timestamp::from_micros(i64::MAX),
            )),
            Timing::Minute => {
                let ends = context::LocalTime::at(self.request.now, &self.slice.zone).ends;
                Some((ends.minus(Duration::from_secs(60)), ends))
            }
        }
    }

    fn denial(&self, policies: Vec<PolicyId>, timing: Timing, entities: &Entities) -> Denial {
        let (reason_text, fix_text) = self.policies.words(&policies);
        let probed_step_up = self.probe_step_up(timing, entities);
        let remedy = if probed_step_up == Some(true) {
            Remedy::StepUp(self.greatest_age(&policies))
        } else if matches!(self.request.caller, Caller::Anonymous) && self.slice.reads.caller {
            // Who asks would matter, and nobody has said who asks.
            Remedy::SignIn
        } else {
            Remedy::None
        };
        Denial {
            reason: match remedy {
                Remedy::StepUp(_) => Reason::StepUpRequired,
                Remedy::SignIn => Reason::SignInRequired,
                Remedy::None if policies.is_empty() => Reason::NoPermit,
                Remedy::None => Reason::Forbidden,
            },
            policies: policies.into(),
            reason_text,
            fix_text,
            remedy,
            probed_step_up,
            hide: self.slice.hidden && remedy == Remedy::None,
        }
    }

    /// Would a second factor confirmed now change the answer? Where no policy looked at its age it cannot.
    fn probe_step_up(&self, timing: Timing, entities: &Entities) -> Option<bool> {
        if !matches!(self.request.caller, Caller::Person(_)) {
            return None;
        }
        if timing != Timing::Moment || !self.slice.reads.session {
            return Some(false);
        }
        let clock = Clock::Exact(&self.slice.zone);
        let context = self.context(clock, Some(self.request.now))?;
        let response = self.evaluate(&self.slice.policies, entities, context)?;
        let certain = response.diagnostics().errors().next().is_none();
        Some(certain && response.decision() == cedar_policy::Decision::Allow)
    }

    /// The least age that the denying policies ask for.
    fn greatest_age(&self, policies: &[PolicyId]) -> Duration {
        let rules = &self.policies.rules;
        let asked = policies.iter().filter_map(|id| rules.get(id)?.step_up);
        asked.min().unwrap_or(self.slice.step_up)
    }
}

fn sorted(ids: impl Iterator<Item = PolicyId>) -> Vec<PolicyId> {
    let mut all: Vec<PolicyId> = ids.collect();
    all.sort();
    all
}

fn named(id: &cedar_policy::PolicyId) -> PolicyId {
    let text: &str = id.as_ref();
    PolicyId::new(text)
}

fn failing(error: &cedar_policy::AuthorizationError) -> PolicyId {
    match error {
        cedar_policy::AuthorizationError::PolicyEvaluationError(error) => named(error.policy_id()),
    }
}
