//! The facts of one connection.

use std::net::{IpAddr, SocketAddr};
use std::sync::OnceLock;

use http::{HeaderName, HeaderValue, Version};

use super::{Authority, Host};

/// One accepted connection, as seen from our side of the socket.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    /// The other end of the TCP connection.
    pub(crate) address: SocketAddr,
    /// Our end of it.
    pub(crate) local: SocketAddr,
    /// `None` on the plain listener.
    pub(crate) tls: Option<TlsFacts>,
    /// What upstreams are told about the connection, from its first request on.
    pub(crate) statement: OnceLock<Statement>,
}

/// Header fields about where a request comes from, and what they were written from.
///
/// Most connections carry one client to one host, so the text is worth keeping.
#[derive(Debug, Clone)]
pub(crate) struct Statement {
    pub(crate) client: IpAddr,
    pub(crate) authority: Authority,
    pub(crate) version: Version,
    /// Our name in `Via`.
    pub(crate) pseudonym: String,
    pub(crate) fields: Vec<(HeaderName, HeaderValue)>,
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
    /// A connection about which nothing has been said yet.
    pub(crate) const fn new(address: SocketAddr, local: SocketAddr, tls: Option<TlsFacts>) -> Self {
        Self {
            address,
            local,
            tls,
            statement: OnceLock::new(),
        }
    }

    /// The connection's remote address with an IPv4-mapped IPv6 form folded to IPv4.
    pub(crate) fn ip(&self) -> IpAddr {
        self.address.ip().to_canonical()
    }
}
