//! A request that may leave: the only thing that forwarding takes, and [`UpstreamRequest::build`] the only way to one.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use hyper::upgrade::OnUpgrade;
use tokio_util::sync::CancellationToken;

use super::group::Group;
use super::handshake::Handshake;
use crate::audit::Receipt;
use crate::authz::Permit;
use crate::message::Body;
use crate::message::extended::Keep;
use crate::message::onward::{Head, Onward};
use crate::message::upgrade::{UpgradeRequest, Way};

/// A request whose headers are rebuilt and whose upstream is chosen.
#[derive(Debug)]
pub(crate) struct UpstreamRequest {
    pub(super) group: Arc<Group>,
    /// Without connection fields and framing, which depend on the connection that will be chosen.
    pub(super) head: Head,
    /// The upstream is told the host that the client asked for, else the chosen target's.
    pub(super) preserve_host: bool,
    pub(super) body: Body,
    pub(super) upgrade: Option<Upgrade>,
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
    fn new(asked: UpgradeRequest, head: &mut Head) -> Option<Self> {
        let protocols = HeaderValue::try_from(asked.protocols.join(", ")).ok()?;
        let (handshake, keep) = match asked.way {
            Way::Upgrade => (None, None),
            Way::ExtendedConnect(keep) => {
                let (handshake, key) = Handshake::begin()?;
                head.state(vec![key]);
                (Some(handshake), keep)
            }
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

    /// What a client sent under the name of a statement is left out when the head is written.
    pub(super) fn join(onward: Onward, destination: Destination<'_>) -> Self {
        let Onward {
            mut head,
            body,
            upgrade,
        } = onward;
        head.state(destination.statements);
        let upgrade = upgrade.and_then(|asked| Upgrade::new(asked, &mut head));
        Self {
            group: Arc::clone(destination.group),
            head,
            preserve_host: destination.preserve_host,
            // Bytes before the upstream's 101 would be taken for the new protocol's.
            body: if upgrade.is_some() { Body::Empty } else { body },
            upgrade,
            ended: destination.ended,
        }
    }
}
