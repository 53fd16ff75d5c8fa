//! A request that may leave: the only thing that [`super::forward`] takes.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method, header, uri};
use hyper::upgrade::OnUpgrade;
use tokio_util::sync::CancellationToken;

use super::group::Group;
use crate::audit::Receipt;
use crate::authz::Permit;
use crate::message::Body;
use crate::message::onward::Onward;

/// A request whose headers are rebuilt and whose upstream is chosen.
#[derive(Debug)]
pub(crate) struct UpstreamRequest {
    pub(super) group: Arc<Group>,
    pub(super) method: Method,
    pub(super) target: uri::PathAndQuery,
    /// What the upstream is told as its own name; `None` sends the chosen target's authority.
    pub(super) host: Option<HeaderValue>,
    pub(super) headers: HeaderMap,
    pub(super) body: Body,
    /// The client's connection and the protocol asked for.
    pub(super) upgrade: Option<(OnUpgrade, HeaderValue)>,
    /// Cancelled when the session behind the request is ended.
    pub(super) ended: Option<CancellationToken>,
}

/// Where a request goes, and what the edge adds to it.
#[derive(Debug)]
pub(crate) struct Towards {
    pub(crate) group: Arc<Group>,
    /// Keeps the client's `Host`; otherwise the target's own name is sent.
    pub(crate) preserve_host: bool,
    /// What the edge states about the caller. Whatever a client sent under these names is gone already.
    pub(crate) statements: Vec<(HeaderName, HeaderValue)>,
    /// Cancelled when the session behind the request is ended.
    pub(crate) ended: Option<CancellationToken>,
}

impl UpstreamRequest {
    /// Puts together what leaves. The permit and the receipt are not read: holding them is the proof that this request
    /// was allowed and is written down, and there is no other way to make an [`UpstreamRequest`].
    pub(crate) fn build(onward: Onward, _permit: &Permit, _receipt: &Receipt, towards: Towards) -> Self {
        let Onward { method, target, mut headers, body, upgrade, wants_trailers, .. } = onward;
        let host = headers.remove(header::HOST).filter(|_| towards.preserve_host);
        for (name, value) in towards.statements {
            headers.insert(name, value);
        }
        let upgrade = upgrade.and_then(|asked| {
            let protocol = HeaderValue::try_from(asked.protocols.join(", ")).ok()?;
            Some((asked.on_upgrade, protocol))
        });
        if let Some((_, protocol)) = &upgrade {
            headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            headers.insert(header::UPGRADE, protocol.clone());
        } else if wants_trailers {
            headers.insert(header::TE, HeaderValue::from_static("trailers"));
        }
        Self { group: towards.group, method, target, host, headers, body, upgrade, ended: towards.ended }
    }
}
