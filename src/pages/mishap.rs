//! What happened instead of an answer from the app: status, reason and sentences, the same for people and programs.
//!
//! A refusal by policy is not here but in [`super::denied`]. No sentence names an internal host or address.
#![deny(clippy::wildcard_enum_match_arm)]

use std::time::Duration;

use super::{Problem, words};
use crate::base::{Reason, RequestId};

/// Every way in which a request ends on a page of ours without a policy having spoken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mishap {
    Malformed,
    AmbiguousTarget,
    ConflictingCredentials,
    CrossSite,
    /// A page of an origin that the app does not admit.
    OriginRefused,
    /// The session or token is unknown, expired or revoked, and the caller cannot be redirected.
    CredentialRejected,
    /// Nobody has signed in, and the caller cannot be redirected.
    SignInRequired,
    UpgradeRefused,
    /// No route has this host and path.
    NoRoute,
    /// The portal has no such page.
    NoPage,
    Method,
    RequestTimeout,
    BodyTooLarge {
        limit: u64,
    },
    HeadTooLarge {
        limit: u64,
    },
    TargetTooLong {
        limit: u64,
    },
    /// A method, version, coding or expectation that nobody here knows: 417, 501, 502 for a loop, or 505.
    Unsupported {
        status: u16,
        reason: Reason,
    },
    Misdirected,
    RateLimited {
        wait: Duration,
    },
    Defect,
    Unreachable {
        app: String,
    },
    Untrusted {
        app: String,
    },
    BadAnswer {
        app: String,
    },
    NoAnswer {
        app: String,
        after: Duration,
    },
    AuditUnavailable,
    StoreUnavailable,
    SignerUnavailable,
    Overloaded,
}

/// Title, why, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) title: String,
    pub(crate) why: String,
    pub(crate) next: String,
}

impl Mishap {
    pub(crate) const fn reason(&self) -> Reason {
        match self {
            Self::Malformed => Reason::MalformedRequest,
            Self::AmbiguousTarget => Reason::AmbiguousTarget,
            Self::ConflictingCredentials => Reason::ConflictingCredentials,
            Self::CrossSite => Reason::CrossSiteRequest,
            Self::OriginRefused => Reason::OriginRefused,
            Self::CredentialRejected => Reason::CredentialRejected,
            Self::SignInRequired => Reason::SignInRequired,
            Self::UpgradeRefused => Reason::UpgradeRefused,
            Self::NoRoute | Self::NoPage => Reason::NoRoute,
            Self::Method => Reason::MethodNotAllowed,
            Self::RequestTimeout => Reason::RequestTimeout,
            Self::BodyTooLarge { .. } => Reason::BodyTooLarge,
            Self::HeadTooLarge { .. } | Self::TargetTooLong { .. } => Reason::HeadTooLarge,
            Self::Unsupported { reason, .. } => *reason,
            Self::Misdirected => Reason::MisdirectedRequest,
            Self::RateLimited { .. } => Reason::RateLimited,
            Self::Defect => Reason::Defect,
            Self::Unreachable { .. } => Reason::UpstreamUnreachable,
            Self::Untrusted { .. } => Reason::UpstreamUntrusted,
            Self::BadAnswer { .. } => Reason::UpstreamProtocol,
            Self::NoAnswer { .. } => Reason::UpstreamTimeout,
            Self::AuditUnavailable => Reason::AuditUnavailable,
            Self::StoreUnavailable => Reason::StoreUnavailable,
            Self::SignerUnavailable => Reason::SignerUnavailable,
            Self::Overloaded => Reason::Overloaded,
        }
    }

    pub(crate) const fn status(&self) -> u16 {
        match self {
            Self::Malformed | Self::AmbiguousTarget | Self::ConflictingCredentials => 400,
            Self::CredentialRejected | Self::SignInRequired => 401,
            Self::CrossSite | Self::OriginRefused | Self::UpgradeRefused => 403,
            Self::NoRoute | Self::NoPage => 404,
            Self::Method => 405,
            Self::RequestTimeout => 408,
            Self::BodyTooLarge { .. } => 413,
            Self::Misdirected => 421,
            Self::RateLimited { .. } => 429,
            Self::HeadTooLarge { .. } => 431,
            Self::TargetTooLong { .. } => 414,
            Self::Unsupported { status, .. } => *status,
            Self::Defect => 500,
            Self::Unreachable { .. } | Self::Untrusted { .. } | Self::BadAnswer { .. } => 502,
            Self::AuditUnavailable
            | Self::StoreUnavailable
            | Self::SignerUnavailable
            | Self::Overloaded => 503,
            Self::NoAnswer { .. } => 504,
        }
    }

    /// The app that failed and how, for the row of three on the page.
    pub(super) fn broken_link(&self) -> Option<(&str, String)> {
        let what = |app, text: &str| Some((app, text.to_owned()));
        match self {
            Self::Unreachable { app } => what(app.as_str(), "cannot be reached"),
            Self::Untrusted { app } => {
                what(app.as_str(), "could not prove that it is the right service")
            }
            Self::BadAnswer { app } => what(app.as_str(), "answered in a way that cannot be read"),
            Self::NoAnswer { app, after } => Some((
                app,
                format!("did not answer within {}", words::span(*after)),
            )),
            Self::Malformed
            | Self::AmbiguousTarget
            | Self::ConflictingCredentials
            | Self::CrossSite
            | Self::OriginRefused
            | Self::CredentialRejected
            | Self::SignInRequired
            | Self::UpgradeRefused
            | Self::NoRoute
            | Self::NoPage
            | Self::Method
            | Self::RequestTimeout
            | Self::BodyTooLarge { .. }
            | Self::HeadTooLarge { .. }
            | Self::TargetTooLong { .. }
            | Self::Unsupported { .. }
            | Self::Misdirected
            | Self::RateLimited { .. }
            | Self::Defect
            | Self::AuditUnavailable
            | Self::StoreUnavailable
            | Self::SignerUnavailable
            | Self::Overloaded => None,
        }
    }

    pub(crate) fn told(&self) -> Told {
        let (title, why, next) = self.sentences();
        Told {
            title: title.to_owned(),
            why: self.why_with_numbers().unwrap_or_else(|| why.to_owned()),
            next: next.to_owned(),
        }
    }

    /// The same for a program.
    pub(crate) fn problem(&self, request_id: RequestId) -> Problem {
        let Told { title, why, next } = self.told();
        Problem {
            status: self.status(),
            reason: self.reason(),
            title,
            detail: why,
            fix: Some(next),
            request_id,
        }
    }

    /// Sentences that carry a name or a number.
    fn why_with_numbers(&self) -> Option<String> {
        if let Some((app, what)) = self.broken_link() {
            return Some(format!(
                "{app} {what}. Portcullis is working; the app behind it is not."
            ));
        }
        if let Self::BodyTooLarge { limit } = self {
            let limit = words::size(*limit);
            return Some(format!(
                "What was sent is larger than the {limit} allowed here."
            ));
        }
        if let Self::TargetTooLong { limit } = self {
            let limit = words::size(*limit);
            return Some(format!(
                "The address asked for is longer than the {limit} allowed here."
            ));
        }
        if let Self::HeadTooLarge { limit } = self {
            let limit = words::size(*limit);
            return Some(format!(
                "The address and headers of the request are larger than the {limit} allowed here."
            ));
        }
        if let Self::RateLimited { wait } = self {
            let wait = words::span(*wait);
            return Some(format!(
                "More requests came from you than are allowed in this time. The next one is let through in {wait}."
            ));
        }
        None
    }

    #[expect(
        clippy::too_many_lines,
        reason = "a table: one row of words per mishap reads best unbroken"
    )]
    const fn sentences(&self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Malformed => (
                "The request could not be read",
                "It breaks the rules of the web's protocol, so it was not passed on.",
                "Open the app from its start page. If a program sent this, its maker has to mend it.",
            ),
            Self::AmbiguousTarget => (
                "This address can be read in two ways",
                "Different programs would take it for different pages, so it was not passed on.",
                "Check the address, or open the app from its start page and follow its links.",
            ),
            Self::ConflictingCredentials => (
                "Two sign-ins in one request",
                "Your browser sent two different proofs of who you are, so none was used.",
                "Delete the cookies of this site, then sign in again.",
            ),
            Self::CrossSite => (
                "The form did not come from here",
                "Another site, or a page that was open for too long, sent it. Nothing was changed.",
                "Open the page again and repeat what you did.",
            ),
            Self::OriginRefused => (
                "Pages of this origin are not admitted",
                "A script of a page on another origin asked to use the app, and the app does not list that origin.",
                "Ask whoever runs the app to list the page's origin.",
            ),
            Self::CredentialRejected => (
                "Your sign-in has ended",
                "The session or token that was sent is not valid, or not any more.",
                "Sign in again.",
            ),
            Self::SignInRequired => (
                "Sign-in needed",
                "Nobody is signed in on this browser or program.",
                "Sign in, then repeat the request.",
            ),
            Self::UpgradeRefused => (
                "This connection is not allowed here",
                "The app does not take this kind of connection, or another site asked for it.",
                "Open the app from its start page.",
            ),
            Self::NoRoute => (
                "No app has this address",
                "The address is not one that Portcullis knows.",
                "Check it for typing mistakes, or choose the app from your list of apps.",
            ),
            Self::NoPage => (
                "This page does not exist",
                "The address is not one of ours.",
                "Check it for typing mistakes, or start from your list of apps.",
            ),
            Self::Method => (
                "This page cannot be used that way",
                "The request's method is not served at this address.",
                "Open the page with a link instead of sending a form to it.",
            ),
            Self::RequestTimeout => (
                "The request took too long to arrive",
                "The connection was too slow or stopped, so the rest was not waited for.",
                "Check your network, then try again.",
            ),
            Self::BodyTooLarge { .. } => (
                "That is too large",
                "",
                "Send less at once, or ask for a higher limit on this app.",
            ),
            Self::TargetTooLong { .. } => (
                "The address is too long",
                "",
                "Open the app from its start page and go on from there.",
            ),
            Self::Unsupported { .. } => (
                "The request asks for something unknown here",
                "Its method, version, coding or expectation is not supported.",
                "Check the program that sent it.",
            ),
            Self::HeadTooLarge { .. } => (
                "The request's head is too large",
                "",
                "Delete the cookies of this site, then try again. Long addresses can cause this as well.",
            ),
            Self::Misdirected => (
                "This connection belongs to another host",
                "The request named a host that this connection was not opened for.",
                "Reload the page. If a program sent this, it has to open a connection for each host.",
            ),
            Self::RateLimited { .. } => ("Too many requests", "", "Wait, then reload the page."),
            Self::Defect => (
                "Portcullis made a mistake",
                "A defect in Portcullis stopped this request. It is recorded.",
                "Try again. If it happens again, tell the help desk the request id below.",
            ),
            Self::Unreachable { .. } | Self::Untrusted { .. } | Self::BadAnswer { .. } => (
                "The app is not answering",
                "",
                "Try again in a minute. If it lasts, tell the help desk the request id below.",
            ),
            Self::NoAnswer { .. } => (
                "The app took too long",
                "",
                "Try again in a minute. If it lasts, tell the help desk the request id below.",
            ),
            Self::AuditUnavailable => (
                "Paused",
                "Paused because requests cannot be recorded. Operators have been told.",
                "Try again in a few minutes. Nothing was sent to the app.",
            ),
            Self::StoreUnavailable | Self::SignerUnavailable => (
                "Briefly unavailable",
                "Portcullis cannot check sign-ins at the moment. Operators have been told.",
                "Try again in a minute. Nothing was sent to the app.",
            ),
            Self::Overloaded => (
                "Very busy",
                "More people are connected than Portcullis can serve at once.",
                "Try again in a minute.",
            ),
        }
    }
}
