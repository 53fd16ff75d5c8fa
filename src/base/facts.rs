//! What is known of a request before its first byte is read.

use std::net::IpAddr;
use std::sync::Arc;

use super::{Peer, RequestId, Timestamp};

/// Fixed for the life of one request; every stage may take it.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub(crate) id: RequestId,
    /// Read once, when the request arrives; every rule about time compares with this value.
    pub(crate) now: Timestamp,
    pub(crate) peer: Arc<Peer>,
    /// The person's address: the peer's, or the one a trusted proxy vouches for.
    pub(crate) client: IpAddr,
}
