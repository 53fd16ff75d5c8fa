//! Why an upstream gave no answer: a closed list, each with its reason and its text for `Proxy-Status` (RFC 9209).

use std::sync::Arc;

use crate::base::Reason;
use crate::dial::DialError;

/// A failure, and the target it happened at.
#[derive(Debug, thiserror::Error)]
#[error("{kind}")]
pub(crate) struct Error {
    #[source]
    pub(crate) kind: ErrorKind,
    /// The last target tried, for the audit entry; `None` when the upstream has none.
    pub(crate) target: Option<Arc<str>>,
}

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ErrorKind {
    #[error("the upstream has no targets")]
    NoTarget,
    #[error("no target of the upstream accepts connections")]
    Unreachable(#[source] DialError),
    #[error("the upstream's certificate does not verify")]
    Untrusted(#[source] DialError),
    #[error("the upstream did not accept a connection in time")]
    ConnectTimeout,
    #[error("the upstream did not answer in time")]
    AnswerTimeout,
    #[error("the connection to the upstream failed before it answered")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the upstream's answer breaks HTTP: {0}")]
    Answer(&'static str),
    #[error("the request ended early: {0}")]
    Interrupted(Reason),
}

impl From<DialError> for ErrorKind {
    fn from(error: DialError) -> Self {
        match error {
            DialError::Untrusted(_) => Self::Untrusted(error),
            DialError::Timeout => Self::ConnectTimeout,
            DialError::Resolve { .. }
            | DialError::Forbidden(_)
            | DialError::Refused(_)
            | DialError::Connect(_)
            | DialError::Tls(_) => Self::Unreachable(error),
        }
    }
}

impl Error {
    pub(crate) const fn reason(&self) -> Reason {
        match &self.kind {
            ErrorKind::NoTarget | ErrorKind::Unreachable(_) => Reason::UpstreamUnreachable,
            ErrorKind::Untrusted(_) => Reason::UpstreamUntrusted,
            ErrorKind::ConnectTimeout | ErrorKind::AnswerTimeout => Reason::UpstreamTimeout,
            ErrorKind::Broken(_) | ErrorKind::Answer(_) => Reason::UpstreamProtocol,
            ErrorKind::Interrupted(reason) => *reason,
        }
    }

    /// The error type of RFC 9209 section 2.3, for `Proxy-Status: portcullis; error=...`.
    pub(crate) const fn proxy_status(&self) -> &'static str {
        match &self.kind {
            ErrorKind::Unreachable(DialError::Resolve { .. }) => "dns_error",
            ErrorKind::Unreachable(DialError::Forbidden(_)) => "destination_ip_prohibited",
            ErrorKind::Unreachable(DialError::Refused(_)) => "connection_refused",
            ErrorKind::Unreachable(DialError::Tls(_)) => "tls_protocol_error",
            ErrorKind::NoTarget => "destination_not_found",
            ErrorKind::Unreachable(_) => "destination_ip_unroutable",
            ErrorKind::Untrusted(_) => "tls_certificate_error",
            ErrorKind::ConnectTimeout => "connection_timeout",
            ErrorKind::AnswerTimeout => "http_response_timeout",
            ErrorKind::Broken(_) => "connection_terminated",
            ErrorKind::Answer(_) => "http_protocol_error",
            ErrorKind::Interrupted(_) => "http_request_error",
        }
    }
}
