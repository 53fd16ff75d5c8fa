//! The facts of one connection.

use std::net::{IpAddr, SocketAddr};

use super::Host;

/// One accepted connection, as seen from our side of the socket.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    /// The other end of the TCP connection.
    pub(crate) address: SocketAddr,
    /// Our end of it.
    pub(crate) local: SocketAddr,
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
