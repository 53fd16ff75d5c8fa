//! Why a request ended as it did: the closed list that audit entries, metrics, pages and `docs/reasons.md` share.
#![deny(clippy::wildcard_enum_match_arm)]

use std::fmt;
use std::str::FromStr;

/// Who has to act so that it does not happen again; drives the log level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nobody: the request was served.
    Nobody,
    /// The caller, or the caller's rights.
    Client,
    /// The service behind.
    Upstream,
    /// Portcullis or what it depends on.
    Ours,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $fault:ident;)+) => {
        /// One variant, one code, one paragraph in `docs/reasons.md`, one metric label value.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(crate) enum Reason { $($(#[$doc])* $variant,)+ }

        impl Reason {
            /// Every reason, in the order of the documentation.
            pub(crate) const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The kebab-case code that logs, metrics and documents use.
            pub(crate) const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)+ }
            }

            pub(crate) const fn fault(self) -> Fault {
                match self { $(Self::$variant => Fault::$fault,)+ }
            }
        }
    };
}

reasons! {
    /// A policy permits it.
    Permitted = "permitted", Nobody;
    /// The route is public and no policy forbids it.
    PublicRoute = "public-route", Nobody;
    /// One of Portcullis' own pages answered.
    OwnPage = "own-page", Nobody;
    /// The message breaks HTTP's grammar or framing.
    MalformedRequest = "malformed-request", Client;
    /// The path means different things to different readers.
    AmbiguousTarget = "ambiguous-target", Client;
    /// TLS server name and authority differ.
    MisdirectedRequest = "misdirected-request", Client;
    /// The request's head exceeds a limit.
    HeadTooLarge = "head-too-large", Client;
    /// The request's body exceeds a limit.
    BodyTooLarge = "body-too-large", Client;
    /// The request took longer to arrive than allowed.
    RequestTimeout = "request-timeout", Client;
    /// No route has this host and path.
    NoRoute = "no-route", Client;
    /// The method is not served here.
    MethodNotAllowed = "method-not-allowed", Client;
    /// The route does not carry this protocol upgrade, or its origin is foreign.
    UpgradeRefused = "upgrade-refused", Client;
    /// A rate limit was exceeded.
    RateLimited = "rate-limited", Client;
    /// Nobody has signed in on this browser.
    SignInRequired = "sign-in-required", Client;
    /// The presented session or token is unknown, expired or revoked.
    CredentialRejected = "credential-rejected", Client;
    /// Two different credentials stand in one request.
    ConflictingCredentials = "conflicting-credentials", Client;
    /// A browser asked whether a page of another origin may send a request, and was told.
    Preflight = "cors-preflight", Nobody;
    /// A page of an origin that the route does not list asked to send a request.
    OriginRefused = "origin-refused", Client;
    /// A form came without a valid token or from another origin.
    CrossSiteRequest = "cross-site-request", Client;
    /// A policy wants a fresh second factor first.
    StepUpRequired = "step-up-required", Client;
    /// A policy forbids it.
    Forbidden = "forbidden", Client;
    /// No policy permits it.
    NoPermit = "no-permit", Client;
    /// A policy could not be evaluated, which denies.
    PolicyError = "policy-error", Ours;
    /// The audit log cannot take the entry.
    AuditUnavailable = "audit-unavailable", Ours;
    /// The state store does not answer.
    StoreUnavailable = "store-unavailable", Ours;
    /// The identity assertion could not be signed.
    SignerUnavailable = "signer-unavailable", Ours;
    /// The server is shutting down.
    Draining = "draining", Ours;
    /// A limit of the whole server, such as its connections, is reached.
    Overloaded = "overloaded", Ours;
    /// No target of the upstream accepts connections.
    UpstreamUnreachable = "upstream-unreachable", Upstream;
    /// The upstream's certificate does not verify.
    UpstreamUntrusted = "upstream-untrusted", Upstream;
    /// The upstream did not answer in time.
    UpstreamTimeout = "upstream-timeout", Upstream;
    /// The upstream's answer breaks HTTP or ended early.
    UpstreamProtocol = "upstream-protocol", Upstream;
    /// The client went away before the end.
    ClientClosed = "client-closed", Client;
    /// The session behind a running exchange was ended.
    SessionEnded = "session-ended", Client;
    /// The process died before the request ended.
    Interrupted = "interrupted", Ours;
    /// A defect in Portcullis stopped this request.
    Defect = "defect", Ours;
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// A word that is no reason's code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a reason code")]
pub(crate) struct UnknownReason;

impl FromStr for Reason {
    type Err = UnknownReason;

    fn from_str(code: &str) -> Result<Self, UnknownReason> {
        Self::ALL
            .iter()
            .copied()
            .find(|reason| reason.code() == code)
            .ok_or(UnknownReason)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Reason;

    #[test]
    fn codes_are_unique_kebab_case_and_readable() {
        let codes: BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.code()).collect();
        assert_eq!(codes.len(), Reason::ALL.len());
        for reason in Reason::ALL {
            assert!(
                reason
                    .code()
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte == b'-'),
                "{reason}"
            );
            assert_eq!(reason.code().parse::<Reason>().unwrap(), *reason);
        }
    }
}
