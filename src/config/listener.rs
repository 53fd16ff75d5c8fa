//! `[listener.NAME]`: further addresses with rules of their own, and who may speak for clients.

use std::net::SocketAddr;

use ipnet::IpNet;

use super::source::{At, Spanned};
use super::table::table;
use super::tls::CertificateFile;
use super::types::Profile;

table! {
    /// Further addresses for https. Only apps that name the listener, or have one of its labels, are served there; all others are as unknown there as a host that nobody configured.
    Listener ["listener.NAME"] {
        /// Addresses, as in `[server]` `listen`.
        listen: Vec<SocketAddr> = required, reload;
        /// Protocol versions and ciphers here, instead of `profile` in `[tls]`.
        profile: Option<Profile> = none, reload;
        /// Certificates that are served here alone, before those of `[tls]`; each for the names it carries.
        files: Vec<CertificateFile> = [], reload;
        /// Serves every app with one of these labels, besides those that name it in `listeners`.
        labels: Vec<Spanned<String>> = [], reload;
        /// Serves the pages for signing in and the launcher here, too.
        portal: bool = false, reload;
        /// Load balancers in front of these addresses that say in a PROXY header whose connection they pass on.
        proxy_protocol: ProxyProtocol = {}, reload;
    }
    derived {
        /// The name in the table's header.
        name: String;
        /// Where that name stands.
        at: At;
    }
}

table! {
    /// Load balancers that say in a PROXY header, version 1 or 2, whose connection they pass on. Such a table stands in `[server]`, for `listen` and `http_redirect`, and in each `[listener.NAME]`.
    ProxyProtocol ["server.proxy_protocol"] {
        /// Networks of these load balancers. A connection from there must begin with a header, and one from elsewhere must not; everything else is closed. An empty list expects headers from nobody.
        from: Vec<IpNet> = [], reload;
    }
}
