//! A request that may leave: the only thing that forwarding takes, and [`UpstreamRequest::build`] the only way to one.

use std::sync::Arc;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, uri};
use hyper::upgrade::OnUpgrade;
use tokio_util::sync::CancellationToken;

use super::group::Group;
use super::handshake::Handshake;
use crate::audit::Receipt;
use crate::authz::Permit;
use crate::message::Body;
use crate::message::extended::Keep;
use crate::message::onward::Onward;
use crate::message::upgrade::{UpgradeRequest, Way};

/// A request whose headers are rebuilt and whose upstream is chosen.
#[derive(Debug)]
pub(crate) struct UpstreamRequest {
    pub(super) group: Arc<Group>,
    pub(super) method: Method,
    pub(super) target: uri::PathAndQuery,
    /// What the upstream is told as its own name; `None` sends the chosen target's.
    pub(super) host: Option<HeaderValue>,
    /// Without `Host`, connection fields and framing, which depend on the connection that will be chosen.
    pub(super) headers: HeaderMap,
    pub(super) body: Body,
    pub(super) upgrade: Option<Upgrade>,
    pub(super) wants_trailers: bool,
    /// Cancelled when the session behind the request is ended.
    pub(super) ended: Option<CancellationToken>,
}

/// The client's wish to leave HTTP.
pub(super) struct Upgrade {
    pub(super) client: OnUpgrade,
    /// As sent to the upstream, in lower case, separated by commas.
    pub(super) protocols: HeaderValue,
    /// For a client whose own way has no handshake: ours, which the upstream must prove to have taken up.
    pub(super) handshake: Option<Handshake>,
    /// Of the client's connection, as long as the stream lasts.
    pub(super) keep: Option<Keep>,
}

impl Upgrade {
    /// The wish as the upstream will hear it: always an upgrade in HTTP/1.1.
    fn new(asked: UpgradeRequest, headers: &mut HeaderMap) -> Option<Self> {
        let protocols = HeaderValue::try_from(asked.protocols.join(", ")).ok()?;
        let (handshake, keep) = match asked.way {
            Way::Upgrade => (None, None),
            Way::ExtendedConnect(keep) => (Some(Handshake::begin(headers)?), keep),
        };
        Some(Self {
            client: asked.on_upgrade,
            protocols,
            handshake,
            keep,
        })
    }

    /// `true` for a protocol that was asked for (RFC 9110 section 7.8: the server chooses one of them).
    pub(super) fn offers(&self, chosen: &HeaderValue) -> bool {
        let (offered, chosen) = (self.protocols.as_bytes(), chosen.as_bytes());
        offered
            .split(|byte| *byte == b',')
            .any(|protocol| protocol.trim_ascii().eq_ignore_ascii_case(chosen))
    }
}

impl std::fmt::Debug for Upgrade {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Upgrade").field(&self.protocols).finish()
    }
}

/// Where a route sends its requests, and what the edge states about the caller.
#[derive(Debug)]
pub(crate) struct Destination<'a> {
    pub(crate) group: &'a Arc<Group>,
    /// The upstream sees the client's `Host`, not its own name.
    pub(crate) preserve_host: bool,
    /// Headers of ours: the identity assertion and, where the route asks for them, plain names.
    pub(crate) statements: Vec<(HeaderName, HeaderValue)>,
    /// Cancelled when the session behind the request is ended.
    pub(crate) ended: Option<CancellationToken>,
}

impl UpstreamRequest {
    /// Joins what is left of the client's request with what the edge states about it.
    ///
    /// Neither permit nor receipt is read: holding them is the proof that this request was allowed and is written down.
    pub(crate) fn build(
        onward: Onward,
        _permit: &Permit,
        _receipt: &Receipt,
        destination: Destination<'_>,
    ) -> Self {
        Self::join(onward, destination)
    }

    /// `onward` carries no identity field any more, so nothing that a client sent can stand beside a statement.
    pub(super) fn join(onward: Onward, destination: Destination<'_>) -> Self {
        let Onward {
            method,
            target,
            mut headers,
            body,
            upgrade,
            wants_trailers,
        } = onward;
        let host = headers.remove(header::HOST);
        for (name, value) in destination.statements {
            headers.insert(name, value);
        }
        let upgrade = upgrade.and_then(|asked| Upgrade::new(asked, &mut headers));
        Self {
            group: Arc::clone(destination.group),
            method,
            target,
            host: host.filter(|_| destination.preserve_host),
            headers,
            // Bytes before the upstream's 101 would be taken for the new protocol's.
            body: if upgrade.is_some() { Body::Empty } else { body },
            upgrade,
            wants_trailers,
            ended: destination.ended,
        }
    }
}
