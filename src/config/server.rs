//! `[server]`: names, addresses, limits and the look of our own pages.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use http::HeaderName;
use ipnet::IpNet;

use super::listener::ProxyProtocol;
use super::source::Spanned;
use super::table::table;
use super::types::{Bytes, Protocols, Pseudonym, Rate, Timezone};
use crate::base::Authority;

table! {
    /// Where Portcullis listens and what it calls itself.
    Server ["server"] {
        /// Host of the sign-in page and the app launcher, with a port when it is not 443.
        portal: Spanned<Authority> = required, reload;
        /// Addresses for https. `[::]` takes IPv4 connections too, unless an IPv4 address with the same port is configured; then it takes IPv6 alone. An address that systemd has opened is taken over from it.
        listen: Vec<SocketAddr> = ["[::]:443"], reload;
        /// Addresses for plain http. They redirect GET and HEAD of known hosts to https and answer everything else 403.
        /// An empty list closes them.
        http_redirect: Vec<SocketAddr> = ["[::]:80"], reload;
        /// Load balancers in front that say in a PROXY header whose connection they pass on.
        proxy_protocol: ProxyProtocol = {}, reload;
        /// HTTP versions offered to clients: `"h1"` for HTTP/1.1, `"h2"` for HTTP/2.
        http: Protocols = ["h1", "h2"], restart;
        /// Networks of proxies in front, whose `X-Forwarded-For` and `Forwarded` are believed.
        trusted_proxies: Vec<IpNet> = [], reload;
        /// Open connections in all; further ones are closed at once.
        max_connections: usize = 20000, restart;
        /// Open connections from one address (IPv6: one /64).
        max_connections_per_address: usize = 1000, restart;
        /// Threads that serve connections; 0 means one per processor.
        workers: usize = 0, restart;
        /// How long running requests may take to end after a stop was asked for.
        shutdown_grace: Duration = "30s", reload;
        /// The clock that policies see in `context.time`, unless the route's tenant has its own. A name of the IANA time zone database.
        timezone: Timezone = "UTC", reload;
        /// Socket through which `portcullis reload` and its siblings reach the running server.
        admin_socket: PathBuf = "/run/portcullis/admin.sock", restart;
        /// Our name in `Via` and `Forwarded`. A request that carries it has been here before and is refused as a loop, so two Portcullis in a row need two names.
        via: Pseudonym = "portcullis", reload;
        /// Bounds on messages and waiting.
        limits: Limits = {}, reload;
        /// Names of the headers that Portcullis writes.
        headers: HeaderNames = {}, reload;
        /// The company's words and colour on our own pages.
        branding: Branding = {}, reload;
    }
}

table! {
    /// Bounds on messages and waiting. A message beyond one of them is refused with 413, 414, 431, 408 or 429.
    Limits ["server.limits"] {
        /// All header fields of a request together, names and values.
        header_bytes: Bytes = "32KiB", reload;
        /// Header fields of a request.
        header_count: usize = 100, reload;
        /// The request target: path and query.
        target_bytes: Bytes = "8KiB", reload;
        /// The body of a request to an app; a route may set its own.
        body_bytes: Bytes = "1GiB", reload;
        /// The body of a form sent to one of our own pages.
        form_bytes: Bytes = "64KiB", reload;
        /// From the first byte of a request, or the opening of the connection, to the end of its header.
        header_timeout: Duration = "10s", reload;
        /// Between two pieces of a request's body.
        body_timeout: Duration = "30s", reload;
        /// A kept connection without a request.
        idle_timeout: Duration = "120s", reload;
        /// The TLS handshake.
        handshake_timeout: Duration = "10s", reload;
        /// How long a client may refuse to take bytes of a response.
        send_timeout: Duration = "60s", reload;
        /// An upgraded connection, such as a WebSocket, without a byte in either direction.
        upgrade_idle_timeout: Duration = "1h", reload;
        /// Requests at once on one HTTP/2 connection.
        h2_max_streams: u32 = 128, restart;
        /// Streams that a client may reset within a second (never fewer than `h2_max_streams`), and that it may make the server reset while the connection lasts, before the connection is closed with ENHANCE_YOUR_CALM.
        h2_reset_budget: usize = 100, restart;
        /// PING frames of one HTTP/2 connection per second, before it is closed with ENHANCE_YOUR_CALM; 0 means no bound. Requests and answers under way earn further ones.
        h2_ping_budget: u32 = 100, reload;
        /// SETTINGS frames, likewise.
        h2_settings_budget: u32 = 50, reload;
        /// DATA frames without content that end nothing, likewise; a connection may send no more than 100 of them in its life.
        h2_empty_data_budget: u32 = 100, reload;
        /// WINDOW_UPDATE frames, likewise. Requests and answers under way earn further ones.
        h2_window_update_budget: u32 = 100, reload;
        /// Priorities and frames that Portcullis does not know, likewise. Requests and answers under way earn further ones.
        h2_other_budget: u32 = 100, reload;
        /// Time between the pings that find dead HTTP/2 connections.
        h2_ping_interval: Duration = "30s", restart;
        /// Time for the answer to such a ping.
        h2_ping_timeout: Duration = "20s", restart;
        /// Requests under way from one address (IPv6: one /64), upgraded connections among them.
        requests_per_address: usize = 2000, reload;
        /// Requests from one address (IPv6: one /64), before anything else is looked at.
        address_rate: Rate = "5000/10s", reload;
        /// Requests above `address_rate` that may come at once.
        address_burst: u32 = 5000, reload;
        /// Addresses, people and routes whose rates are remembered at once.
        rate_entries: usize = 200000, restart;
    }
}

table! {
    /// Names of the headers that Portcullis writes. Whatever a client sends under the first four is removed in every spelling.
    HeaderNames ["server.headers"] {
        /// Signed proof of who asks, for the upstream.
        assertion: HeaderName = "X-Portcullis-Assertion", reload;
        /// E-mail address of the person, when a route asks for plain headers.
        user: HeaderName = "X-Portcullis-User", reload;
        /// Groups of the person, separated by commas, when a route asks for plain headers.
        groups: HeaderName = "X-Portcullis-Groups", reload;
        /// The request id, to the upstream and to the client.
        request_id: HeaderName = "X-Request-Id", reload;
        /// Further request headers that must never reach an upstream.
        strip: Vec<HeaderName> = [], reload;
    }
}

table! {
    /// The company's words and colour on our own pages.
    Branding ["server.branding"] {
        /// Name of the company or team.
        name: String = "Portcullis", reload;
        /// Whom to ask, shown on pages that refuse something.
        support: Option<String> = none, reload;
        /// Address of the privacy notice.
        privacy: Option<String> = none, reload;
        /// One sentence under the sign-in form.
        notice: Option<String> = none, reload;
        /// Colour of buttons and links, as `#rrggbb`.
        accent: Option<super::types::Colour> = none, reload;
    }
}
