//! The question itself: may this caller do this, here, now?
//!
//! An error of any policy that could apply denies. A remembered answer is given only under a key of every input the
//! policies can look at. A step-up is offered only when asking again with a second factor confirmed now says yes.

use std::sync::Arc;
use std::time::Duration;

use cedar_policy::{Context, Entities, Entity, PolicySet, Request, Response};

use crate::base::{PolicyId, PrincipalId, Reason, Timestamp};

use crate::authz::context;
use crate::authz::entities::{self, Held, Known};
use crate::authz::memory::{self, Outcome, Remembered, Timing};
use crate::authz::permit::{Decision, Denial, Permit, Remedy, Terms};
use crate::authz::policies::Policies;
use crate::authz::request::{AccessRequest, Caller, Target};
use crate::authz::schema;
use crate::authz::slices::Slice;

/// How long a running stream may rely on one decision.
const RECHECK: Duration = Duration::from_secs(60);

impl Policies {
    /// Decides `request`. What a target unknown to the plan, or a policy that fails, means is: no.
    pub(crate) fn decide(&self, request: &AccessRequest<'_>) -> Decision {
        let question = match self.question(request) {
            Ok(question) => question,
            Err(denial) => return Decision::Deny(denial),
        };
        let slice = question.slice;
        let key = memory::key(slice, request, question.caller.version);
        let found = key
            .as_deref()
            .and_then(|key| self.memory.find(key))
            .filter(|found| found.holds(request.now));
        if let Some(found) = found {
            return self.answer(found.outcome, slice, request, true);
        }
        let (outcome, timing) = question.ask();
        if let Some(key) = key {
            self.remember(key, &outcome, timing, slice, request.now);
        }
        self.answer(outcome, slice, request, false)
    }

    /// Decides without looking at, or adding to, the memory.
    pub(crate) fn decide_afresh(&self, request: &AccessRequest<'_>) -> Decision {
        match self.question(request) {
            Ok(question) => {
                let (outcome, _timing) = question.ask();
                self.answer(outcome, question.slice, request, false)
            }
            Err(denial) => Decision::Deny(denial),
        }
    }

    /// What has to be put to Cedar; an answer that needs no policy comes as a denial.
    fn question<'a>(&'a self, request: &'a AccessRequest<'a>) -> Result<Question<'a>, Denial> {
        let slice = self
            .slices
            .find(request.target)
            .ok_or_else(|| failed(Vec::new(), false))?;
        if matches!(request.caller, Caller::Anonymous) && !slice.public {
            return Err(sign_in());
        }
        let caller = self
            .known(request.caller, slice)
            .ok_or_else(|| failed(Vec::new(), slice.hidden))?;
        Ok(Question {
            policies: self,
            slice,
            request,
            caller,
        })
    }

    fn remember(
        &self,
        key: Vec<u8>,
        outcome: &Outcome,
        timing: Timing,
        slice: &Slice,
        now: Timestamp,
    ) {
        let (from, until) = match timing {
            Timing::Moment => return,
            Timing::Timeless => (
                Timestamp::from_micros(i64::MIN),
                Timestamp::from_micros(i64::MAX),
            ),
            Timing::Minute => {
                let ends = context::LocalTime::at(now, &slice.zone).ends;
                (ends.minus(Duration::from_secs(60)), ends)
            }
        };
        let outcome = outcome.clone();
        self.memory.insert(
            key,
            Remembered {
                outcome,
                from,
                until,
            },
        );
    }

    /// The caller's entities; made once per snapshot.
    fn known(&self, caller: Caller<'_>, slice: &Slice) -> Option<Arc<Known>> {
        let address = match caller {
            Caller::Anonymous => {
                let entity = entities::anonymous(&slice.tenant)?;
                return Some(Arc::new(Known {
                    version: 0,
                    id: None,
                    uid: entity.uid(),
                    entity,
                    held: Held::Nobody,
                }));
            }
            Caller::Person(person) => Arc::as_ptr(person).addr(),
            Caller::Service(service) => Arc::as_ptr(service).addr(),
        };
        if let Some(known) = self
            .callers
            .find(&address)
            .filter(|known| known.held.is(caller))
        {
            return Some(known);
        }
        let known = Arc::new(self.introduce(caller)?);
        self.callers.insert(address, Arc::clone(&known));
        Some(known)
    }

    fn introduce(&self, caller: Caller<'_>) -> Option<Known> {
        let (id, entity, held) = match caller {
            Caller::Anonymous => return None,
            Caller::Person(person) => {
                let groups = self.groups.of(&person.email, &person.groups);
                let entity =
                    entities::user(&person.email, &person.tenant, person.contractor, &groups)?;
                (person.id.clone(), entity, Held::Person(Arc::clone(person)))
            }
            Caller::Service(service) => {
                let groups = self.groups.closure(&service.groups);
                let entity = entities::service(service, &groups)?;
                let id = PrincipalId::new(format!("service:{}", service.name));
                (id, entity, Held::Service(Arc::clone(service)))
            }
        };
        Some(Known {
            version: self.next_version(),
            id: Some(id),
            uid: entity.uid(),
            entity,
            held,
        })
    }

    fn answer(
        &self,
        outcome: Outcome,
        slice: &Slice,
        request: &AccessRequest<'_>,
        remembered: bool,
    ) -> Decision {
        let policies = match outcome {
            Outcome::Deny(denial) => return Decision::Deny(Denial::clone(&denial)),
            Outcome::Allow(policies) => policies,
        };
        let principal = match request.caller {
            Caller::Anonymous => None,
            Caller::Person(person) => Some(person.id.clone()),
            Caller::Service(service) => Some(PrincipalId::new(format!("service:{}", service.name))),
        };
        Decision::Allow(Permit::new(Terms {
            principal,
            route: match request.target {
                Target::Route(name) => Some(name.clone()),
                Target::Console => None,
            },
            policies,
            reason: if slice.public {
                Reason::PublicRoute
            } else {
                Reason::Permitted
            },
            generation: self.generation,
            not_after: not_after(request),
            remembered,
        }))
    }

    /// Text and age of the first of `policies` that says something.
    fn words(&self, policies: &[PolicyId]) -> (Option<Arc<str>>, Option<Arc<str>>) {
        policies
            .iter()
            .filter_map(|id| self.rules.get(id))
            .find(|rule| rule.reason.is_some())
            .map_or((None, None), |rule| {
                (
                    rule.reason.as_deref().map(Arc::from),
                    rule.fix.as_deref().map(Arc::from),
                )
            })
    }
}

/// One fresh decision.
struct Question<'a> {
    policies: &'a Policies,
    slice: &'a Slice,
    request: &'a AccessRequest<'a>,
    caller: Arc<Known>,
}

impl Question<'_> {
    fn ask(&self) -> (Outcome, Timing) {
        self.try_ask().unwrap_or_else(|| {
            let denial = failed(Vec::new(), self.slice.hidden);
            (Outcome::Deny(Arc::new(denial)), Timing::Moment)
        })
    }

    /// `None` when the question cannot be put to Cedar.
    fn try_ask(&self) -> Option<(Outcome, Timing)> {
        let entities = self.entities()?;
        let context = self.context(None)?;
        let response = self.evaluate(&self.slice.policies, &entities, context.clone())?;
        let errors = sorted(response.diagnostics().errors().map(failing));
        if !errors.is_empty() {
            let denial = failed(errors, self.slice.hidden);
            return Some((Outcome::Deny(Arc::new(denial)), Timing::Moment));
        }
        let policies = sorted(response.diagnostics().reason());
        let timing = self.timing(&entities, context)?;
        let outcome = match response.decision() {
            cedar_policy::Decision::Allow => Outcome::Allow(policies.into()),
            cedar_policy::Decision::Deny => {
                Outcome::Deny(Arc::new(self.denial(policies, timing, &entities)))
            }
        };
        Some((outcome, timing))
    }

    fn entities(&self) -> Option<Arc<Entities>> {
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

    fn context(&self, verified: Option<Timestamp>) -> Option<Context> {
        context::build(self.request, &self.slice.zone, &self.slice.reads, verified).ok()
    }

    fn evaluate(&self, set: &PolicySet, entities: &Entities, context: Context) -> Option<Response> {
        let action = schema::action(self.request.action.id())?.uid();
        let request = Request::new(
            self.caller.uid.clone(),
            action,
            self.slice.target.uid(),
            context,
            None,
        )
        .ok()?;
        Some(
            self.policies
                .authorizer
                .is_authorized(&request, set, entities),
        )
    }

    /// Whether any policy got as far as looking at the time.
    fn timing(&self, entities: &Entities, context: Context) -> Option<Timing> {
        if self.slice.guards.is_empty() {
            return Some(Timing::Timeless);
        }
        let response = self.evaluate(&self.slice.guards, entities, context)?;
        if response.diagnostics().errors().next().is_some() {
            return Some(Timing::Moment);
        }
        let open = sorted(response.diagnostics().reason());
        Some(if open.iter().any(|id| self.slice.instant.contains(id)) {
            Timing::Moment
        } else if open.is_empty() {
            Timing::Timeless
        } else {
            Timing::Minute
        })
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
        let context = self.context(Some(self.request.now))?;
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

fn sorted<'a>(ids: impl Iterator<Item = &'a cedar_policy::PolicyId>) -> Vec<PolicyId> {
    let mut all: Vec<PolicyId> = ids
        .map(|id| {
            let text: &str = id.as_ref();
            PolicyId::new(text)
        })
        .collect();
    all.sort();
    all
}

fn failing(error: &cedar_policy::AuthorizationError) -> &cedar_policy::PolicyId {
    match error {
        cedar_policy::AuthorizationError::PolicyEvaluationError(error) => error.policy_id(),
    }
}

fn not_after(request: &AccessRequest<'_>) -> Timestamp {
    let known = request.circumstances;
    let ends = [
        known.token.as_ref().map(|token| token.expires_at),
        known.grant.as_ref().map(|grant| grant.expires_at),
    ];
    let soon = request.now.plus(RECHECK);
    ends.into_iter().flatten().fold(soon, Timestamp::min)
}

fn failed(policies: Vec<PolicyId>, hide: bool) -> Denial {
    Denial {
        reason: Reason::PolicyError,
        policies: policies.into(),
        reason_text: None,
        fix_text: None,
        remedy: Remedy::None,
        probed_step_up: None,
        hide,
    }
}

fn sign_in() -> Denial {
    Denial {
        reason: Reason::SignInRequired,
        policies: Arc::from([]),
        reason_text: None,
        fix_text: None,
        remedy: Remedy::SignIn,
        probed_step_up: None,
        hide: false,
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod remembered;
