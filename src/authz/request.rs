//! What is asked: who wants to do what, where, in which circumstances.
//!
//! These are facts only; nothing here is decided, and nothing is read from a header by this module.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use crate::authn::{Authn, Principal};
use crate::base::{RequestId, RouteName, Timestamp};

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Caller<'a> {
    Anonymous,
    Person(&'a Arc<Principal>),
    Service(&'a Arc<Service>),
}

impl<'a> From<&'a Authn> for Caller<'a> {
    fn from(authn: &'a Authn) -> Self {
        match authn {
            Authn::Anonymous => Self::Anonymous,
            Authn::Known(principal) => Self::Person(principal),
        }
    }
}

/// A program with a name of its own, as `[service.NAME]` describes it.
#[derive(Debug, Clone)]
pub(crate) struct Service {
    pub(crate) name: Arc<str>,
    pub(crate) tenant: Arc<str>,
    /// E-mail address of the person who answers for it.
    pub(crate) owner: Arc<str>,
    pub(crate) groups: BTreeSet<String>,
}

/// What the caller wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Action<'a> {
    /// An HTTP request with this method.
    Http(&'a str),
    /// Opening a TCP tunnel.
    Connect,
    /// Opening an SSH session.
    Shell,
    /// An act of administration, by its name in the schema, such as `audit.read`.
    Console(&'a str),
}

impl Action<'_> {
    /// The id of the Cedar action.
    pub(crate) fn id(&self) -> &str {
        match self {
            Self::Http(
                method @ ("GET" | "HEAD" | "OPTIONS" | "POST" | "PUT" | "PATCH" | "DELETE"),
            ) => method,
            Self::Http(_) => "OTHER",
            Self::Connect => "connect",
            Self::Shell => "shell",
            Self::Console(name) => name,
        }
    }

    /// The method as policies see it in `context.request.method`; empty for what is no HTTP request.
    pub(crate) fn method(&self) -> &str {
        match self {
            Self::Http(method) => method,
            Self::Connect | Self::Shell | Self::Console(_) => "",
        }
    }
}

/// On what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target<'a> {
    Route(&'a RouteName),
    Console,
}

/// A client certificate that was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Certificate {
    pub(crate) issuer: String,
    pub(crate) subject: String,
    pub(crate) san: BTreeSet<String>,
    pub(crate) serial: String,
}

/// A device that proved itself by its certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Device {
    pub(crate) id: String,
    pub(crate) issuer: String,
    pub(crate) managed: bool,
}

/// The token a service presented.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) id: String,
    pub(crate) scopes: BTreeSet<String>,
    pub(crate) expires_at: Timestamp,
}

/// A time-limited permission that covers this target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Grant {
    pub(crate) id: String,
    /// `"approved"` or `"break-glass"`.
    pub(crate) kind: String,
    /// E-mail address.
    pub(crate) approver: Option<String>,
    pub(crate) expires_at: Timestamp,
    pub(crate) reason: String,
}

/// What may be known beyond person and request; most requests have none of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Circumstances {
    /// ISO 3166-1 alpha-2.
    pub(crate) country: Option<String>,
    pub(crate) mtls: Option<Certificate>,
    pub(crate) device: Option<Device>,
    pub(crate) token: Option<Token>,
    pub(crate) grant: Option<Grant>,
}

impl Circumstances {
    /// None of it is known.
    pub(crate) const NONE: &'static Self = &Self {
        country: None,
        mtls: None,
        device: None,
        token: None,
        grant: None,
    };
}

/// One question to the policies.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AccessRequest<'a> {
    pub(crate) caller: Caller<'a>,
    pub(crate) action: Action<'a>,
    pub(crate) target: Target<'a>,
    /// The host asked for, as forwarded.
    pub(crate) host: &'a str,
    /// The canonical path, byte for byte as forwarded, without the query.
    pub(crate) path: &'a str,
    pub(crate) client: IpAddr,
    pub(crate) now: Timestamp,
    pub(crate) id: RequestId,
    pub(crate) circumstances: &'a Circumstances,
}
