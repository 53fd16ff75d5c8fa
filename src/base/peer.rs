//! The facts of one connection.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::Host;

/// Name of the listeners at the addresses of `[server]` `listen` and `http_redirect`.
pub(crate) const MAIN_LISTENER: &str = "default";

/// One accepted connection, as seen from our side of the socket.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    /// The other end of the TCP connection, or what a listed load balancer says it is.
    pub(crate) address: SocketAddr,
    /// Our end of it, or the balancer's that the client connected to.
    pub(crate) local: SocketAddr,
    /// Name of the listener that took it.
    pub(crate) listener: Arc<str>,
    /// `None` on the plain listener.
    pub(crate) tls: Option<TlsFacts>,
}

/// What the TLS handshake settled.
#[derive(Debug, Clone)]
pub(crate) struct TlsFacts {
    /// The name the client asked for; a handshake without one is refused before it gets here.
    pub(crate) server_name: Host,
    /// `"1.2"` or `"1.3"`.
    pub(crate) version: &'static str,
    /// IANA name of the cipher suite.
    pub(crate) cipher: &'static str,
}

impl Peer {
    /// The connection's remote address with an IPv4-mapped IPv6 form folded to IPv4.
    pub(crate) fn ip(&self) -> IpAddr {
        self.address.ip().to_canonical()
    }
}
