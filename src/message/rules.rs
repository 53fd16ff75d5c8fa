//! What the operator settled about messages, ready for the request path.

use std::time::Duration;

use http::HeaderValue;
use ipnet::IpNet;

use super::body::Bound;
use super::cookie::OwnCookies;

/// Limits and names that every request is measured with. The defaults are those of the configuration.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    /// Most header fields in one request.
    pub(crate) header_count: usize,
    /// Most bytes of names and values, with four for each field's separators (RFC 9113 section 6.5.2 counts likewise).
    pub(crate) header_bytes: usize,
    /// Longest request target in bytes.
    pub(crate) target_bytes: usize,
    /// For requests without a route of their own.
    pub(crate) body: Bound,
    /// Ports that a client may name in the authority, besides the one it connected to.
    pub(crate) ports: Vec<u16>,
    /// Networks whose word about the client's address is believed.
    pub(crate) trusted_proxies: Vec<IpNet>,
    pub(crate) cookies: OwnCookies,
    /// `Strict-Transport-Security`, without which no answer leaves the TLS listener.
    pub(crate) hsts: HeaderValue,
    /// Our name in `Via` and `Forwarded` (RFC 9110 section 7.6.3); finding it in a request means a loop.
    pub(crate) pseudonym: String,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            header_count: 100,
            header_bytes: 32 * 1024,
            target_bytes: 8 * 1024,
            body: Bound {
                bytes: 1024 * 1024 * 1024,
                idle: Duration::from_secs(30),
            },
            ports: vec![443],
            trusted_proxies: Vec::new(),
            cookies: OwnCookies::default(),
            hsts: HeaderValue::from_static("max-age=63072000; includeSubDomains"),
            pseudonym: String::from("portcullis"),
        }
    }
}
