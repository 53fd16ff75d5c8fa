//! Keys of the design that this version does not have, so that the message can say so.

/// Table, key and the subject of "... not in this version of Portcullis". `*` stands for every key.
const LATER: &[(&str, &str, &str)] = &[
    ("", "access_request", "requests for access are"),
    ("", "alert", "alerts are"),
    ("", "cluster", "clusters are"),
    ("", "geo", "the country of an address is"),
    ("", "identity", "identity providers are"),
    ("", "notify", "alerts are"),
    ("", "service", "service accounts are"),
    ("", "tunnel", "tunnels for TCP and SSH are"),
    ("server", "admin_from", "admin pages are"),
    ("server.branding", "logo", "an own logo is"),
    ("tls", "client_ca", "client certificates are"),
    ("storage", "password", "PostgreSQL is"),
    ("storage", "recordings", "recordings are"),
    ("auth", "local", "identity providers are"),
    ("auth", "methods", "a choice of second factors is"),
    (
        "auth",
        "remember_name",
        "remembering the name at sign-in is",
    ),
    ("auth", "second_factor", "a switch for the second factor is"),
    (
        "auth.password",
        "refuse_breached",
        "an own list of breached passwords is",
    ),
    ("session", "bind", "binding sessions to addresses is"),
    ("upstream.NAME", "eject", "ejecting targets is"),
    ("upstream.NAME", "health", "health checks are"),
    ("upstream.NAME", "retry", "repeating sent requests is"),
    ("upstream.NAME", "sticky", "sticky targets are"),
    ("upstream.NAME.tls", "client", "client certificates are"),
    ("route.NAME", "request", "requests for access are"),
    ("route.NAME.audit", "body", "recording bodies is"),
    ("route.NAME.audit", "headers", "recording headers is"),
    (
        "policy",
        "on_failed_test",
        "accepting failed policy tests is",
    ),
    ("audit", "privacy", "automatic erasure is"),
    ("audit", "retention", "automatic deletion of old entries is"),
    ("audit", "sink", "sending entries elsewhere is"),
    ("telemetry", "otlp", "OTLP is"),
];

/// What `key` of `table` would be, when a later version may have it.
pub(super) fn find(table: &str, key: &str) -> Option<&'static str> {
    LATER
        .iter()
        .find(|(home, name, _)| *home == table && *name == key)
        .map(|(_, _, subject)| *subject)
}

/// Words of the design that this version does not have, and the subject of "... not in this version".
const WORDS: &[(&str, &str)] = &[
    ("allow", "serving requests without recording them is"),
    ("client-hash", "choosing a target by client is"),
    ("random-two", "choosing between two random targets is"),
];

/// What `word` would be, when a later version may have it.
pub(super) fn word(word: &str) -> Option<&'static str> {
    WORDS
        .iter()
        .find(|(name, _)| *name == word)
        .map(|(_, subject)| *subject)
}
