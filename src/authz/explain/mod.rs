//! "Why?": one question, every policy that was looked at, and what each of them said.
//!
//! Explaining asks Cedar again, policy by policy; it decides nothing itself.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;

use cedar_policy::{
    Entities, EvalResult, Expression, PolicySet, Request, eval_expression,
    pst::{self, ActionConstraint, PrincipalConstraint},
};
use serde::Serialize;

use crate::base::{RequestId, Timestamp};
use crate::config::show_duration;

use crate::authz::described::{Asked, Description, Locate, NotUnderstood, OwnedCaller};
use crate::authz::permit::Decision;
use crate::authz::policies::Policies;
use crate::authz::reads;
use crate::authz::request::{AccessRequest, Caller, Circumstances};
use crate::authz::rule::Rule;

/// What `policy explain` is given.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) who: Description,
    /// As in [`Asked::read`].
    pub(crate) request: String,
    pub(crate) now: Timestamp,
    pub(crate) client: IpAddr,
    pub(crate) circumstances: Circumstances,
}

/// The answer, ready to be printed or written as JSON.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Explanation {
    /// `allow`, `deny`, `step-up` or `sign-in`.
    pub(crate) decision: &'static str,
    /// The code of the reason.
    pub(crate) reason: &'static str,
    who: String,
    verb: String,
    route: Option<String>,
    path: String,
    policies: Vec<Line>,
    with_second_factor_now: Option<&'static str>,
    person_sees: Option<String>,
}

/// What one policy said.
#[derive(Debug, Clone, Serialize)]
struct Line {
    policy: String,
    kind: &'static str,
    applies: Applies,
    decides: bool,
    why: String,
    /// `file:line`, or the route it was made from.
    from: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Applies {
    Yes,
    No,
    Error,
}

/// Asks `policies` and every policy in the slice on its own.
pub(crate) fn explain(
    policies: &Policies,
    question: &Question,
    locate: &Locate<'_>,
) -> Result<Explanation, NotUnderstood> {
    let caller = question.who.caller(question.now)?;
    let asked = Asked::read(&question.request, locate)?;
    let request = AccessRequest {
        caller: caller.borrow(),
        action: asked.action(),
        target: asked.target(),
        host: &asked.host,
        path: &asked.path,
        client: question.client,
        now: question.now,
        id: RequestId::new(question.now, 0),
        circumstances: &question.circumstances,
    };
    if policies.slices.find(request.target).is_none() {
        return Err(NotUnderstood(format!(
            "no route is called `{}`",
            question.request
        )));
    }
    let decision = policies.decide_afresh(&request);
    let lines = Witness::new(policies, &request)
        .map_or_else(Vec::new, |witness| witness.lines(policies, &decision));
    Ok(Explanation {
        decision: decision.word(),
        reason: decision.reason().code(),
        who: caller.name().to_owned(),
        verb: asked.verb().to_owned(),
        route: match asked.target() {
            crate::authz::Target::Route(name) => Some(name.to_string()),
            crate::authz::Target::Console => None,
        },
        path: asked.path.clone(),
        policies: lines,
        with_second_factor_now: probed(&decision),
        person_sees: words(&decision, &caller),
    })
}

const fn probed(decision: &Decision) -> Option<&'static str> {
    match decision {
        Decision::Allow(_) => None,
        Decision::Deny(denial) => match denial.probed_step_up {
            Some(true) => Some("allow"),
            Some(false) => Some("deny"),
            None => None,
        },
    }
}

fn words(decision: &Decision, caller: &OwnedCaller) -> Option<String> {
    match (decision, caller) {
        (Decision::Allow(_), _) | (_, OwnedCaller::Anonymous | OwnedCaller::Service(_)) => None,
        (Decision::Deny(denial), OwnedCaller::Person(_)) => {
            let parts: Vec<&str> = [&denial.reason_text, &denial.fix_text]
                .into_iter()
                .flatten()
                .map(AsRef::as_ref)
                .collect();
            (!parts.is_empty()).then(|| parts.join(" "))
        }
    }
}

/// One question as Cedar sees it.
struct Witness<'a> {
    request: Request,
    entities: Arc<Entities>,
    set: &'a PolicySet,
    now: Timestamp,
    caller: Caller<'a>,
    verb: &'a str,
}

impl<'a> Witness<'a> {
    /// `None` when no policy is asked at all.
    fn new(policies: &'a Policies, request: &'a AccessRequest<'a>) -> Option<Self> {
        let (request_to_cedar, entities, set) = policies.as_cedar_sees(request)?;
        Some(Self {
            request: request_to_cedar,
            entities,
            set,
            now: request.now,
            caller: request.caller,
            verb: request.action.id(),
        })
    }

    fn lines(&self, policies: &Policies, decision: &Decision) -> Vec<Line> {
        let mut lines: Vec<Line> = self
            .set
            .policies()
            .filter_map(|policy| {
                let id: &str = policy.id().as_ref();
                let rule = policies.rule(id)?;
                let applies = self.ask(policies, rule);
                Some(Line {
                    policy: id.to_owned(),
                    kind: rule.effect(),
                    applies,
                    decides: decision
                        .policies()
                        .iter()
                        .any(|deciding| deciding.as_str() == id),
                    why: self.why(rule, applies).unwrap_or_default(),
                    from: rule.from(),
                })
            })
            .collect();
        let rank = |line: &Line| (line.applies == Applies::No, line.kind != "forbid");
        lines.sort_by(|a, b| (rank(a), &a.policy).cmp(&(rank(b), &b.policy)));
        lines
    }

    fn ask(&self, policies: &Policies, rule: &Rule) -> Applies {
        let Ok(alone) = PolicySet::from_policies([rule.policy.clone()]) else {
            return Applies::Error;
        };
        let response = policies
            .authorizer
            .is_authorized(&self.request, &alone, &self.entities);
        if response.diagnostics().errors().next().is_some() {
            Applies::Error
        } else if response.diagnostics().reason().next().is_some() {
            Applies::Yes
        } else {
            Applies::No
        }
    }

    /// The first part that does not hold; or, of a policy that applies, what it looks at.
    fn why(&self, rule: &Rule, applies: Applies) -> Option<String> {
        let policy = rule.policy.to_pst().ok()?;
        let body = policy.body();
        if applies == Applies::Yes {
            return Some(self.because(rule, body));
        }
        let scope = principal_text(&body.principal)
            .filter(|text| self.holds(text) == Some(false))
            .or_else(|| action_text(&body.action).filter(|text| self.holds(text) == Some(false)));
        if let Some(scope) = scope {
            return Some(format!("not {scope}"));
        }
        for condition in reads::conditions(body) {
            let inner = reads::negation(&condition);
            let negated = inner.is_some();
            let text = inner.unwrap_or(&condition).to_string();
            match self.holds(&text) {
                None => return Some(format!("cannot be evaluated: {text}")),
                Some(held) if held == negated => {
                    return Some(if held { text } else { format!("not {text}") });
                }
                Some(_) => {}
            }
        }
        None
    }

    fn because(&self, rule: &Rule, body: &pst::Template) -> String {
        if let (Some(limit), Caller::Person(person)) = (rule.step_up, self.caller) {
            let age = person.session.verified_age(self.now);
            return format!(
                "verified {} ago, limit {}",
                show_duration(age),
                show_duration(limit)
            );
        }
        let conditions = reads::conditions(body);
        let last = conditions.last().map(ToString::to_string);
        match principal_text(&body.principal) {
            Some(text) if !matches!(body.principal, PrincipalConstraint::Is(_)) => text,
            scope => last
                .or(scope)
                .unwrap_or_else(|| format!("{} here", self.verb)),
        }
    }

    fn holds(&self, text: &str) -> Option<bool> {
        let expression: Expression = text.parse().ok()?;
        match eval_expression(&self.request, &self.entities, &expression) {
            Ok(EvalResult::Bool(answer)) => Some(answer),
            Ok(_) | Err(_) => None,
        }
    }
}

fn principal_text(constraint: &PrincipalConstraint) -> Option<String> {
    use pst::EntityOrSlot::Entity;
    match constraint {
        PrincipalConstraint::Eq(Entity(uid)) => Some(format!("principal == {uid}")),
        PrincipalConstraint::In(Entity(uid)) => Some(format!("principal in {uid}")),
        PrincipalConstraint::Is(kind) => Some(format!("principal is {kind}")),
        PrincipalConstraint::IsIn(kind, Entity(uid)) => {
            Some(format!("principal is {kind} in {uid}"))
        }
        PrincipalConstraint::Any
        | PrincipalConstraint::Eq(_)
        | PrincipalConstraint::In(_)
        | PrincipalConstraint::IsIn(_, _) => None,
    }
}

fn action_text(constraint: &ActionConstraint) -> Option<String> {
    match constraint {
        ActionConstraint::Any => None,
        ActionConstraint::Eq(uid) => Some(format!("action == {uid}")),
        ActionConstraint::In(all) => {
            let all: Vec<String> = all.iter().map(ToString::to_string).collect();
            match all.as_slice() {
                [one] => Some(format!("action in {one}")),
                many => Some(format!("action in [{}]", many.join(", "))),
            }
        }
    }
}

impl Explanation {
    /// `true` for the exit code 0.
    pub(crate) fn is_allowed(&self) -> bool {
        self.decision == "allow"
    }

    /// The text of `policy explain`; `all` also lists the policies that do not apply.
    pub(crate) fn text(&self, all: bool) -> String {
        let mut out = String::new();
        let place = match &self.route {
            Some(route) => format!("{route} {}", self.path),
            None => "console".to_owned(),
        };
        let decision = self.decision.to_uppercase();
        // Writing to a String cannot fail.
        writeln!(
            out,
            "{decision:<9} {}  {}  {}\n",
            self.who,
            self.verb,
            place.trim_end()
        )
        .unwrap_or_default();
        self.table(&mut out, all);
        if self.reason == "sign-in-required" && self.policies.is_empty() {
            out.push_str("  No policy is asked before somebody has signed in.\n");
        }
        if self.reason == "no-permit" {
            out.push_str("  No policy permits it.\n");
        }
        if let Some(answer) = self.with_second_factor_now {
            let answer = answer.to_uppercase();
            writeln!(out, "  With the second factor confirmed now: {answer}").unwrap_or_default();
        }
        if let Some(words) = &self.person_sees {
            writeln!(out, "  The person sees: \"{words}\"").unwrap_or_default();
        }
        out
    }

    fn table(&self, out: &mut String, all: bool) {
        let telling =
            |line: &&Line| all || line.applies != Applies::No || line.why.contains("Group::");
        let shown: Vec<&Line> = self.policies.iter().filter(telling).collect();
        let width = |of: fn(&Line) -> usize| shown.iter().map(|line| of(line)).max().unwrap_or(0);
        let (name, why) = (
            width(|line| line.policy.len()).max("policy".len()),
            width(|line| line.why.chars().count()).max("why".len()),
        );
        if !shown.is_empty() {
            writeln!(out, "  {:<name$}  kind    applies  why", "policy").unwrap_or_default();
        }
        for line in &shown {
            let applies = match (line.applies, line.decides) {
                (Applies::Yes, true) => "YES",
                (Applies::Yes, false) => "yes",
                (Applies::No, _) => "no",
                (Applies::Error, _) => "ERROR",
            };
            writeln!(
                out,
                "  {:<name$}  {:<6}  {applies:<7}  {:<why$}  {}",
                line.policy, line.kind, line.why, line.from
            )
            .unwrap_or_default();
        }
        match self.policies.len() - shown.len() {
            0 => {}
            1 => out.push_str("  1 more does not apply (-v lists it)\n"),
            more => writeln!(out, "  {more} more do not apply (-v lists them)").unwrap_or_default(),
        }
        if !self.policies.is_empty() {
            out.push('\n');
        }
    }
}

#[cfg(test)]
mod tests;
