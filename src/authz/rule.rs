//! One policy with what its annotations say.
//!
//! A [`Rule`] exists only with a unique `@id`; what Cedar makes of it is in [`super::load`] and [`super::lint`].

use std::time::Duration;

use cedar_policy::{Effect, Policy};
use jiff::civil::Date;

use crate::base::{PolicyId, RouteName};
use crate::config::{At, Problems};

/// Where a policy comes from.
#[derive(Debug, Clone)]
pub(crate) enum Origin {
    /// Written in a file; the range covers annotations to semicolon.
    Written(At),
    /// Made from the `allow` or `public` of a route.
    Route(RouteName),
}

/// A policy and its annotations.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    pub(crate) id: PolicyId,
    pub(crate) policy: Policy,
    pub(crate) origin: Origin,
    /// Why, in words for the person it concerns.
    pub(crate) reason: Option<String>,
    /// What that person can do.
    pub(crate) fix: Option<String>,
    /// The greatest age of the second factor that satisfies this rule.
    pub(crate) step_up: Option<Duration>,
    /// The alert that every use of it raises.
    pub(crate) alert: Option<String>,
    pub(crate) owner: Option<String>,
    /// When somebody has to look at it again.
    pub(crate) review: Option<Date>,
}

const KNOWN: [&str; 7] = ["id", "reason", "fix", "step_up", "alert", "owner", "review"];

impl Rule {
    /// Reads the annotations of `policy`; `None` without a usable `@id`. Every finding goes to `problems`.
    pub(crate) fn read(policy: &Policy, at: &At, problems: &mut Problems) -> Option<Self> {
        let Some(id) = policy.annotation("id").filter(|id| is_name(id)) else {
            problems
                .error("PC2102")
                .message("a policy has no `@id`")
                .at(at)
                .help(
                    "write a line such as @id(\"billing.reports\") above it: letters, digits, `.`, `-` and `_`",
                )
                .note("the id names the rule in decisions, in the audit log and in tests");
            return None;
        };
        for (name, _) in policy.annotations() {
            if !KNOWN.contains(&name) {
                let problem = problems.error("PC2105");
                problem
                    .message(format!("unknown annotation `@{name}` on policy `{id}`"))
                    .at(at);
                match crate::config::nearest(name, KNOWN.into_iter()) {
                    Some(near) => problem.help(format!("a similar annotation exists: `@{near}`")),
                    None => problem.help(format!("the annotations are @{}", KNOWN.join(", @"))),
                };
            }
        }
        let text = |name| policy.annotation(name).map(str::to_owned);
        let step_up = policy
            .annotation("step_up")
            .and_then(|value| read_duration(value).or_else(|| bad(problems, at, id, BAD_STEP_UP)));
        let review = policy.annotation("review").and_then(|value| {
            value
                .parse()
                .ok()
                .or_else(|| bad(problems, at, id, BAD_REVIEW))
        });
        Some(Self {
            id: PolicyId::new(id),
            policy: policy.new_id(cedar_policy::PolicyId::new(id)),
            origin: Origin::Written(at.clone()),
            reason: text("reason"),
            fix: text("fix"),
            step_up,
            alert: text("alert"),
            owner: text("owner"),
            review,
        })
    }

    /// A rule that Portcullis makes itself for `route`.
    pub(crate) fn generated(id: &str, policy: &Policy, route: &RouteName) -> Self {
        Self {
            id: PolicyId::new(id),
            policy: policy.new_id(cedar_policy::PolicyId::new(id)),
            origin: Origin::Route(route.clone()),
            reason: None,
            fix: None,
            step_up: None,
            alert: None,
            owner: None,
            review: None,
        }
    }

    pub(crate) fn is_forbid(&self) -> bool {
        self.policy.effect() == Effect::Forbid
    }

    /// `"forbid"` or `"permit"`.
    pub(crate) fn effect(&self) -> &'static str {
        if self.is_forbid() { "forbid" } else { "permit" }
    }

    /// Where it was written, when it was.
    pub(crate) const fn at(&self) -> Option<&At> {
        match &self.origin {
            Origin::Written(at) => Some(at),
            Origin::Route(_) => None,
        }
    }

    /// `policies/40-paths.cedar:5`, or the route it was made from.
    pub(crate) fn from(&self) -> String {
        match &self.origin {
            Origin::Written(at) => format!("{}:{}", at.source().path().display(), at.line()),
            Origin::Route(route) => format!("[route.{route}]"),
        }
    }

    /// The policy as Cedar text.
    pub(crate) fn text(&self) -> String {
        match &self.origin {
            Origin::Written(at) => at
                .source()
                .text()
                .get(at.span())
                .unwrap_or_default()
                .to_owned(),
            Origin::Route(_) => format!(
                "@id(\"{}\")\n{}",
                self.id,
                self.policy.to_cedar().unwrap_or_default()
            ),
        }
    }
}

const BAD_STEP_UP: (&str, &str) = (
    "@step_up",
    "write a number and s, m or h, such as @step_up(\"5m\")",
);
const BAD_REVIEW: (&str, &str) = ("@review", "write a date such as @review(\"2027-06-30\")");

fn bad<T>(
    problems: &mut Problems,
    at: &At,
    id: &str,
    (annotation, help): (&str, &str),
) -> Option<T> {
    problems
        .error("PC2105")
        .message(format!("`{annotation}` of policy `{id}` cannot be read"))
        .at(at)
        .help(help);
    None
}

/// Ids appear in logs, metrics and commands, so they are made of few characters.
fn is_name(id: &str) -> bool {
    !id.is_empty()
        && id.len() <= 128
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
}

/// `"30s"`, `"5m"` or `"1h"`.
fn read_duration(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds: u64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        _ => return None,
    };
    let number: u64 = number.parse().ok()?;
    Some(Duration::from_secs(number.checked_mul(seconds)?)).filter(|length| !length.is_zero())
}
