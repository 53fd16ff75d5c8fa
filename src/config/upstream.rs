//! `[upstream.NAME]`: the servers behind a route and how to talk to them.

use std::path::PathBuf;
use std::time::Duration;

use super::source::{At, Spanned};
use super::table::table;
use super::types::{Protocols, Target};
use super::words::words;
use crate::base::Host;

table! {
    /// A pool of servers that answer alike.
    Upstream ["upstream.NAME"] {
        /// The servers: `"https://HOST[:PORT]"`, `"http://HOST[:PORT]"`, `"unix:/PATH"`, or `{ url = "...", weight = 2 }`.
        targets: Vec<Spanned<Target>> = required, reload;
        /// Admits http to other machines. Whoever stands between reads and changes everything.
        cleartext: bool = false, reload;
        /// How a target is chosen.
        balance: Balance = "least-requests", reload;
        /// HTTP versions offered to targets.
        http: Protocols = ["h1", "h2"], reload;
        /// Idle connections that each worker keeps per target.
        keep: usize = 512, reload;
        /// Targets tried when none of the request's bytes has been sent yet.
        connect_attempts: u32 = 2, reload;
        /// The servers treat paths alike whatever their case, as IIS does. Routes and policies then see the path in lower case, escapes such as `%c3%a4` included, and are written so; the request itself is carried as it came.
        case_insensitive: bool = false, reload;
        /// Verification of https targets. It cannot be turned off.
        tls: UpstreamTls = {}, reload;
        /// How long to wait for a target.
        timeout: UpstreamTimeout = {}, reload;
    }
    derived {
        /// The name in the table's header.
        name: String;
        /// Where that name stands.
        at: At;
    }
}

words! {
    /// How a target is chosen.
    Balance {
        /// The target with the fewest running requests for its weight.
        LeastRequests = "least-requests",
        /// One after the other, by weight.
        RoundRobin = "round-robin",
    }
}

table! {
    /// Verification of https targets.
    UpstreamTls ["upstream.NAME.tls"] {
        /// PEM file with the authorities to believe, instead of the system's.
        ca: Option<Spanned<PathBuf>> = none, reload;
        /// The name that the certificate must carry, when it is not the target's host.
        server_name: Option<Host> = none, reload;
    }
}

table! {
    /// How long to wait for a target.
    UpstreamTimeout ["upstream.NAME.timeout"] {
        /// For a connection, its TLS handshake included.
        connect: Duration = "3s", reload;
        /// From the end of the request to the header of the response.
        first_byte: Duration = "30s", reload;
        /// Between two pieces of the response's body, and how long an idle connection is kept.
        idle: Duration = "120s", reload;
        /// For the whole exchange; without it, an exchange may last.
        total: Option<Duration> = none, reload;
    }
}
