//! A request that may leave: the only thing that [`super::forward`] takes.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method, uri};
use hyper::upgrade::OnUpgrade;
use tokio_util::sync::CancellationToken;

use super::group::Group;
use crate::message::Body;

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
