//! The facts of one connection.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Version};

use super::{Authority, Host};

/// Name of the listeners at the addresses of `[server]` `listen` and `http_redirect`.
pub(crate) const MAIN_LISTENER: &str = "default";

/// One accepted connection, as seen from our side of the socket.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    /// The other end of the TCP connection, or what a listed load balancer says it is.
    pub(crate) address: SocketAddr,
    /// Our end of it, or the balancer's that the client connected to.
    pub(crate) local: SocketAddr,
    /// Name of the listener that took it; `None` is the main one.
    listener: Option<Arc<str>>,
    /// `None` on the plain listener.
    pub(crate) tls: Option<TlsFacts>,
    /// What upstreams are told about the connection, from its first request on.
    pub(crate) statement: OnceLock<Arc<Statement>>,
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
    /// What `Host` says, unless the upstream is told its own name.
    pub(crate) host: HeaderValue,
    pub(crate) fields: Vec<(HeaderName, HeaderValue)>,
    /// The same fields as HTTP/1.1 writes them.
    pub(crate) lines: Bytes,
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
            listener: None,
            tls,
            statement: OnceLock::new(),
        }
    }

    /// The same through a listener of its own.
    pub(crate) fn through(mut self, listener: Option<Arc<str>>) -> Self {
        self.listener = listener;
        self
    }

    /// Name of the listener that took it.
    pub(crate) fn listener(&self) -> &str {
        self.listener.as_deref().unwrap_or(MAIN_LISTENER)
    }

    /// The connection's remote address with an IPv4-mapped IPv6 form folded to IPv4.
    pub(crate) fn ip(&self) -> IpAddr {
        self.address.ip().to_canonical()
    }
}
