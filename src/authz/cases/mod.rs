//! Policy tests: questions with the answers that are wanted, asked of the compiled policies.
//!
//! They run on `check`, on `policy test` and before a reload; a failing one keeps the old plan in force. Time is
//! written in them, so that they do not rot.

mod file;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::IpAddr;

use crate::base::{PolicyId, RequestId, Timestamp};
use crate::config::{At, Problems, Source};

use super::described::{Asked, Description, Locate, NotUnderstood};
use super::permit::Decision;
use super::policies::Policies;
use super::request::{AccessRequest, Circumstances};

/// The answer a case wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expect {
    Allow,
    Deny,
    StepUp,
    SignIn,
}

impl Expect {
    const ALL: [Self; 4] = [Self::Allow, Self::Deny, Self::StepUp, Self::SignIn];

    /// The same words as [`Decision::word`].
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::StepUp => "step-up",
            Self::SignIn => "sign-in",
        }
    }

    fn read(word: &str) -> Result<Self, NotUnderstood> {
        Self::ALL
            .into_iter()
            .find(|expect| expect.word() == word)
            .ok_or_else(|| {
                NotUnderstood(format!(
                    "`{word}` is no answer: write allow, deny, step-up or sign-in"
                ))
            })
    }
}

/// One question and the answer that is wanted.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    at: At,
    name: String,
    who: Description,
    asked: Asked,
    now: Timestamp,
    client: IpAddr,
    circumstances: Circumstances,
    expect: Expect,
    because: BTreeSet<String>,
}

/// Reads the cases in `files`. What cannot be understood is an error and left out. `tenant` is that of people for
/// whom none is written.
pub(crate) fn read(
    files: &[Source],
    tenant: &str,
    locate: &Locate<'_>,
    problems: &mut Problems,
) -> Vec<Case> {
    files
        .iter()
        .flat_map(|file| file::read(file, tenant, locate, problems))
        .collect()
}

/// A case that did not get its answer.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    at: At,
    /// What was expected and what came instead.
    text: String,
}

/// What a run found.
#[derive(Debug, Clone, Default)]
pub(crate) struct Report {
    pub(crate) passed: usize,
    pub(crate) failures: Vec<Failure>,
    /// Every policy that decided a case.
    decided: BTreeSet<PolicyId>,
}

/// Asks `policies` every case whose name or file contains `filter`.
pub(crate) fn run(policies: &Policies, cases: &[Case], filter: &str) -> Report {
    let mut report = Report::default();
    for case in cases {
        let file = case.at.source().path().to_string_lossy();
        if !case.name.contains(filter) && !file.contains(filter) {
            continue;
        }
        let decision = case.ask(policies);
        report.decided.extend(decision.policies().iter().cloned());
        match case.difference(&decision) {
            None => report.passed += 1,
            Some(text) => report.failures.push(Failure {
                at: case.at.clone(),
                text,
            }),
        }
    }
    report
}

impl Case {
    fn ask(&self, policies: &Policies) -> Decision {
        // Reading the case has made sure that there is such a caller; nobody is a safe stand-in.
        let caller = self
            .who
            .caller(self.now)
            .unwrap_or(super::described::OwnedCaller::Anonymous);
        policies.decide_afresh(&AccessRequest {
            caller: caller.borrow(),
            action: self.asked.action(),
            target: self.asked.target(),
            host: &self.asked.host,
            path: &self.asked.path,
            client: self.client,
            now: self.now,
            id: RequestId::new(self.now, 0),
            circumstances: &self.circumstances,
        })
    }

    fn difference(&self, decision: &Decision) -> Option<String> {
        let deciding: BTreeSet<&str> = decision.policies().iter().map(PolicyId::as_str).collect();
        let wanted: BTreeSet<&str> = self.because.iter().map(String::as_str).collect();
        if decision.word() == self.expect.word() && wanted.is_subset(&deciding) {
            return None;
        }
        let mut text = format!("\"{}\": expected {}", self.name, self.expect.word());
        by(&mut text, &wanted);
        text.push_str(", got ");
        text.push_str(decision.word());
        if deciding.is_empty() {
            text.push_str(" (");
            text.push_str(decision.reason().code());
            text.push(')');
        } else {
            by(&mut text, &deciding);
        }
        Some(text)
    }
}

fn by(text: &mut String, policies: &BTreeSet<&str>) {
    let policies: Vec<&str> = policies.iter().copied().collect();
    if !policies.is_empty() {
        text.push_str(" by ");
        text.push_str(&policies.join(", "));
    }
}

impl Report {
    pub(crate) fn has_passed(&self) -> bool {
        self.failures.is_empty()
    }

    /// Every failure as an error PC2501.
    pub(crate) fn add_to(&self, problems: &mut Problems) {
        for failure in &self.failures {
            problems
                .error("PC2501")
                .message(failure.text.clone())
                .at(&failure.at);
        }
    }

    /// Failures, one per line, and the count.
    pub(crate) fn text(&self) -> String {
        let mut out = String::new();
        for failure in &self.failures {
            let path = failure.at.source().path().display();
            // Writing to a String cannot fail.
            writeln!(out, "{path}:{}: {}", failure.at.line(), failure.text).unwrap_or_default();
        }
        let tests = if self.passed == 1 { "test" } else { "tests" };
        let summary = if self.has_passed() {
            format!("{} {tests} passed", self.passed)
        } else {
            format!("{} passed, {} failed", self.passed, self.failures.len())
        };
        out.push_str(&summary);
        out.push('\n');
        out
    }

    /// The policies that decided no case, by id.
    pub(crate) fn untested<'a>(&self, policies: &'a Policies) -> Vec<&'a PolicyId> {
        policies
            .rules()
            .map(|rule| &rule.id)
            .filter(|id| !self.decided.contains(*id))
            .collect()
    }

    /// The text of `--coverage`.
    pub(crate) fn coverage(&self, policies: &Policies) -> String {
        let untested = self.untested(policies);
        let all = policies.rules().count();
        if untested.is_empty() {
            return format!("every policy ({all}) decides a test\n");
        }
        let mut out = format!("{} of {all} policies decide no test:\n", untested.len());
        for id in untested {
            out.push_str("  ");
            out.push_str(id.as_str());
            out.push('\n');
        }
        out
    }
}

#[cfg(test)]
mod tests;
