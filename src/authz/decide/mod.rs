//! The question itself: may this caller do this, here, now?
//!
//! An error of any policy that could apply denies. A remembered answer is given only under a key of every input the
//! policies can look at. A step-up is offered only when asking again with a second factor confirmed now says yes.

mod question;

use std::borrow::Cow;
use std::sync::Arc;

use cedar_policy::{Entities, PolicySet, Request};

use question::Question;

use crate::base::{PolicyId, PrincipalId, Reason, Timestamp};

use crate::authz::context::{self, Clock, Parts};
use crate::authz::entities::{self, Held, Known};
use crate::authz::memory::{self, Outcome, Remembered};
use crate::authz::permit::{Decision, Denial, Permit, Remedy, Terms};
use crate::authz::policies::Policies;
use crate::authz::reads::Reads;
use crate::authz::request::{AccessRequest, Caller, Target};
use crate::authz::slices::Slice;
use crate::message::target::folded;

impl Policies {
    /// Decides `request`. What a target unknown to the plan, or a policy that fails, means is: no.
    pub(crate) fn decide(&self, request: &AccessRequest<'_>) -> Decision {
        let path = self.judged_path(request);
        let request = &AccessRequest {
            path: &path,
            ..*request
        };
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
            self.remember(key, &outcome, question.validity(timing));
        }
        self.answer(outcome, slice, request, false)
    }

    /// Decides without looking at, or adding to, the memory.
    pub(crate) fn decide_afresh(&self, request: &AccessRequest<'_>) -> Decision {
        let path = self.judged_path(request);
        let request = &AccessRequest {
            path: &path,
            ..*request
        };
        match self.question(request) {
            Ok(question) => {
                let (outcome, _timing) = question.ask();
                self.answer(outcome, question.slice, request, false)
            }
            Err(denial) => Decision::Deny(denial),
        }
    }

    /// The question in Cedar's terms, with every input in the context, and the policies it is put to. `None` when no
    /// policy is asked.
    pub(super) fn as_cedar_sees<'a>(
        &'a self,
        request: &AccessRequest<'_>,
    ) -> Option<(Request, Arc<Entities>, &'a PolicySet)> {
        let path = self.judged_path(request);
        let request = &AccessRequest {
            path: &path,
            ..*request
        };
        let slice = self.slices.find(request.target)?;
        let question = self.question(request).ok()?;
        let parts = Parts {
            reads: &Reads::everything(),
            clock: Clock::Exact(&slice.zone),
            session: question.caller.session.clone(),
            address: None,
        };
        let context = context::build(request, parts).ok()?;
        Some((
            question.to_cedar(context)?,
            question.entities()?,
            &slice.policies,
        ))
    }

    /// The path as the server behind reads it: neither a policy nor the memory may tell apart what it does not.
    fn judged_path<'a>(&self, request: &AccessRequest<'a>) -> Cow<'a, str> {
        if self.slices.ignores_case(request.target) {
            folded(request.path)
        } else {
            Cow::Borrowed(request.path)
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

    fn remember(&self, key: Vec<u8>, outcome: &Outcome, validity: Option<(Timestamp, Timestamp)>) {
        if let Some((from, until)) = validity {
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
    }

    /// The caller's entities; made once per snapshot.
    fn known(&self, caller: Caller<'_>, slice: &Slice) -> Option<Arc<Known>> {
        let address = match caller {
            Caller::Anonymous => {
                let entity = entities::anonymous(&slice.tenant)?;
                return Some(Arc::new(Known {
                    version: 0,
                    uid: entity.uid(),
                    entity,
                    session: None,
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
        let (entity, session, held) = match caller {
            Caller::Anonymous => return None,
            Caller::Person(person) => {
                let groups = self.groups.of(&person.email, &person.groups);
                let entity =
                    entities::user(&person.email, &person.tenant, person.contractor, &groups)?;
                let session = context::session(&person.session, None).ok()?;
                let held = Held::Person(Arc::clone(person));
                (entity, Some(session), held)
            }
            Caller::Service(service) => {
                let groups = self.groups.closure(&service.groups);
                let entity = entities::service(service, &groups)?;
                (entity, None, Held::Service(Arc::clone(service)))
            }
        };
        Some(Known {
            version: self.next_version(),
            uid: entity.uid(),
            entity,
            session,
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
