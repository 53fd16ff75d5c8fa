//! What the operator settled about messages, ready for the request path.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use ipnet::IpNet;

use super::body::Bound;
use super::cookie::OwnCookies;
use super::identity::Reserved;
use crate::config::{Config, Hsts};

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
    /// Names that only the edge may set.
    pub(crate) reserved: Arc<Reserved>,
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
            reserved: Arc::default(),
            hsts: HeaderValue::from_static("max-age=63072000; includeSubDomains"),
            pseudonym: String::from("portcullis"),
        }
    }
}

impl Rules {
    /// What the configuration says about messages. It has been checked, so nothing can be wrong here.
    pub(crate) fn compile(config: &Config) -> Self {
        let server = &config.server;
        let limits = &server.limits;
        let names = &server.headers;
        let mut reserved = vec![
            &names.assertion,
            &names.user,
            &names.groups,
            &names.request_id,
        ];
        reserved.extend(&names.strip);
        Self {
            header_count: limits.header_count,
            header_bytes: usize::try_from(limits.header_bytes).unwrap_or(usize::MAX),
            target_bytes: usize::try_from(limits.target_bytes).unwrap_or(usize::MAX),
            body: Bound {
                bytes: limits.body_bytes,
                idle: limits.body_timeout,
            },
            ports: ports(config),
            trusted_proxies: server.trusted_proxies.clone(),
            cookies: OwnCookies::new(config.session.cookie.as_str()),
            reserved: Arc::new(Reserved::new(&reserved)),
            hsts: transport_security(&config.tls.hsts),
            pseudonym: server.via.as_str().to_owned(),
        }
    }
}

/// What people may write after the host: the portal's port, ours, and the usual one where a proxy is in front.
fn ports(config: &Config) -> Vec<u16> {
    let server = &config.server;
    let further = config.listeners.values().flat_map(|one| &one.listen);
    let portal = server.portal.port.unwrap_or(443);
    let mut ports: Vec<u16> = std::iter::once(portal)
        .chain(
            server
                .listen
                .iter()
                .chain(further)
                .map(std::net::SocketAddr::port),
        )
        .filter(|port| *port != 0)
        .collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// RFC 6797 section 6.1.
fn transport_security(hsts: &Hsts) -> HeaderValue {
    let mut text = format!("max-age={}", hsts.max_age.as_secs());
    if hsts.include_subdomains {
        text.push_str("; includeSubDomains");
    }
    if hsts.preload {
        text.push_str("; preload");
    }
    HeaderValue::try_from(text).unwrap_or_else(|_cannot_be| Rules::default().hsts)
}
