//! The page of a refusal: why, what to do, and what the help desk needs.
//!
//! How much is told was decided by the route (`explain_deny`); this module shows what it is given and nothing else.

use askama::Template;

use super::Problem;
use super::frame::{Frame, Moment};
use crate::base::{Reason, RequestId};

/// Which refusal it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// A policy forbids it; also outside of hours, networks and the like.
    Rule,
    /// Others have access, this person has not.
    NoPermit,
    /// A policy wants a fresh second factor.
    StepUp,
    /// A policy could not be evaluated.
    PolicyError,
}

impl Cause {
    const fn reason(self) -> Reason {
        match self {
            Self::Rule => Reason::Forbidden,
            Self::NoPermit => Reason::NoPermit,
            Self::StepUp => Reason::StepUpRequired,
            Self::PolicyError => Reason::PolicyError,
        }
    }
}

/// What would help, proven by the engine before it is offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// A fresh second factor; `url` is the confirmation page.
    Confirm { url: String },
    /// The policy's own advice.
    Advice(String),
}

/// Policies by name, for routes that explain in full.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Details {
    /// Id of the policy and its effect in words, such as `limits`.
    pub(crate) policies: Vec<(String, String)>,
    /// Method and path.
    pub(crate) request: String,
}

/// A refusal by policy, or for want of one.
#[derive(Debug, Clone, Template)]
#[template(path = "denied.html")]
pub(crate) struct Denied {
    pub(crate) frame: Frame,
    /// 403; or 404 where the route hides itself.
    pub(crate) status: u16,
    pub(crate) cause: Cause,
    pub(crate) app: String,
    /// The policies' `@reason`, empty when there is none or it may not be told.
    pub(crate) because: Vec<String>,
    pub(crate) remedies: Vec<Remedy>,
    pub(crate) details: Option<Details>,
    pub(crate) request_id: RequestId,
    pub(crate) at: Moment,
    /// Who was refused; `None` for a visitor without session.
    pub(crate) login: Option<String>,
    /// Address that ends this session and starts another sign-in.
    pub(crate) switch: Option<String>,
}

impl Denied {
    fn title(&self) -> String {
        match self.cause {
            Cause::StepUp => format!("Confirm to open {}", self.app),
            Cause::Rule | Cause::NoPermit | Cause::PolicyError => {
                format!("You cannot open {}", self.app)
            }
        }
    }

    /// What is said when no policy brings its own words.
    const fn stock_reason(&self) -> &'static str {
        match self.cause {
            Cause::Rule => "A rule of your company does not allow this.",
            Cause::NoPermit => "You have not been given access to this.",
            Cause::StepUp => "This needs a second-factor check made a short while ago.",
            Cause::PolicyError => {
                "The rules for this app could not be read to the end, so it stays closed. Operators have been told."
            }
        }
    }

    /// What is advised when no policy brings an advice of its own.
    const fn stock_advice(&self) -> Option<&'static str> {
        match self.cause {
            Cause::Rule | Cause::NoPermit => {
                Some("Ask whoever looks after this app for access, and tell them the request id.")
            }
            Cause::StepUp | Cause::PolicyError => None,
        }
    }

    fn confirm_url(&self) -> Option<&str> {
        self.remedies.iter().find_map(|remedy| match remedy {
            Remedy::Confirm { url } => Some(url.as_str()),
            Remedy::Advice(_) => None,
        })
    }

    fn has_advice(&self) -> bool {
        self.remedies
            .iter()
            .any(|remedy| !matches!(remedy, Remedy::Confirm { .. }))
    }

    /// The same refusal for a program.
    pub(crate) fn problem(&self) -> Problem {
        let detail = if self.because.is_empty() {
            self.stock_reason().to_owned()
        } else {
            self.because.join(" ")
        };
        let fix = match self.remedies.first() {
            Some(Remedy::Advice(text)) => Some(text.as_str()),
            Some(Remedy::Confirm { .. }) => {
                Some("Open the address in a browser and confirm with your code.")
            }
            None => self.stock_advice(),
        };
        Problem {
            status: self.status,
            reason: self.cause.reason(),
            title: self.title(),
            detail,
            fix: fix.map(str::to_owned),
            request_id: self.request_id,
        }
    }
}
