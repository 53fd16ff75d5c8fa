//! Values that contradict each other or would refuse everything.

use std::collections::BTreeSet;

use super::place;
use crate::config::auth::Password;
use crate::config::problem::Problems;
use crate::config::source::At;
use crate::config::tree::{Node, Raw};
use crate::config::{Config, HeaderNames, show_duration, size};

/// Adds the findings about times, names and numbers.
pub(super) fn check(config: &Config, root: &Node, problems: &mut Problems) {
    times(config, root, problems);
    headers(&config.server.headers, root, problems);
    if let Some(link) = &config.server.branding.privacy
        && !["https://", "http://", "/"]
            .iter()
            .any(|start| link.starts_with(start))
    {
        problems
            .error("PC1111")
            .message("`privacy` in [server.branding] is no address of a page")
            .at(&place(root, &["server", "branding", "privacy"]))
            .help("it takes an address such as \"https://example.com/privacy\"");
    }
    for path in POSITIVE {
        zero_below(root, path, &mut Vec::new(), problems);
    }
}

/// Names that carry a meaning of their own on the way to an upstream.
const TAKEN: &[&str] = &[
    "authorization",
    "connection",
    "content-length",
    "content-type",
    "cookie",
    "forwarded",
    "host",
    "te",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
];

fn headers(names: &HeaderNames, root: &Node, problems: &mut Problems) {
    let mut seen = BTreeSet::new();
    let all = [
        ("assertion", &names.assertion),
        ("user", &names.user),
        ("groups", &names.groups),
        ("request_id", &names.request_id),
    ];
    for (key, name) in all {
        let why = if TAKEN.contains(&name.as_str()) {
            "which has a meaning of its own"
        } else if !seen.insert(name.as_str()) {
            "which another key has too"
        } else {
            continue;
        };
        problems
            .error("PC1113")
            .message(format!("`{key}` in [server.headers] is {name}, {why}"))
            .at(&place(root, &["server", "headers", key]));
    }
}

fn times(config: &Config, root: &Node, problems: &mut Problems) {
    let session = &config.session;
    let pairs = [
        (
            "session",
            "idle",
            session.idle,
            "lifetime",
            session.lifetime,
        ),
        (
            "auth.lockout",
            "delay",
            config.auth.lockout.delay,
            "max_delay",
            config.auth.lockout.max_delay,
        ),
        (
            "audit",
            "flush",
            config.audit.flush,
            "checkpoint",
            config.audit.checkpoint,
        ),
    ];
    for (table, short, less, long, more) in pairs {
        if less <= more {
            continue;
        }
        let mut path: Vec<_> = table.split('.').collect();
        path.push(short);
        problems
            .error("PC1407")
            .message(format!(
                "`{short}` in [{table}] is {}, longer than `{long}`, {}",
                show_duration(less),
                show_duration(more)
            ))
            .at(&place(root, &path));
    }
    password(&config.auth.password, root, problems);
}

/// Longest passwords that SP 800-63B-4 section 3.1.1.2 wants admitted at least, and that we hash at most.
const LONGEST: std::ops::RangeInclusive<usize> = 64..=1024;

fn password(password: &Password, root: &Node, problems: &mut Problems) {
    if password.min_length > password.max_length {
        problems
            .error("PC1407")
            .message("`min_length` in [auth.password] is more than `max_length`")
            .at(&place(root, &["auth", "password", "min_length"]));
    }
    if !LONGEST.contains(&password.max_length) {
        problems
            .error("PC1113")
            .message(format!(
                "`max_length` in [auth.password] must be from {} to {}",
                LONGEST.start(),
                LONGEST.end()
            ))
            .at(&place(root, &["auth", "password", "max_length"]));
    }
    let (cost, zero) = (password.cost(), password.passes == 0 || password.lanes == 0);
    let at = ["memory", "passes", "lanes"]
        .map(|key| place(root, &["auth", "password", key]))
        .into_iter()
        .find(At::is_written)
        .unwrap_or_else(|| place(root, &["auth", "password"]));
    if !cost.is_bearable() {
        problems
            .error("PC1113")
            .message("a check of a password takes at most 256MiB, 16 passes and 16 lanes")
            .at(&at);
    } else if !zero && !cost.is_enough() {
        problems
            .error("PC4101")
            .message(format!(
                "`memory` {}KiB with `passes` {} in [auth.password] makes stolen hashes cheap to guess",
                cost.memory, cost.passes
            ))
            .at(&at)
            .help("leave both out for the default, 64MiB and 3 passes")
            .help("the least that is accepted: 19456KiB with 2 passes, or 47104KiB with 1");
    }
}

/// Numbers that must not be zero. Zero would refuse everything, silently.
const POSITIVE: &[&[&str]] = &[
    &["server", "max_connections"],
    &["server", "max_connections_per_address"],
    &["server", "limits", "header_count"],
    &["server", "limits", "header_bytes"],
    &["server", "limits", "target_bytes"],
    &["server", "limits", "h2_max_streams"],
    &["server", "limits", "requests_per_address"],
    &["server", "limits", "rate_entries"],
    &["server", "limits", "address_burst"],
    &["auth", "recovery_codes"],
    &["auth", "password", "min_length"],
    &["auth", "password", "passes"],
    &["auth", "password", "lanes"],
    &["auth", "lockout", "after"],
    &["session", "per_user"],
    &["upstream", "*", "connect_attempts"],
    &["rate_limit", "*", "burst"],
    &["audit", "queue"],
    &["audit", "segment_bytes"],
];

fn zero_below<'n>(
    node: &'n Node,
    path: &[&str],
    walked: &mut Vec<&'n str>,
    problems: &mut Problems,
) {
    let Some((name, rest)) = path.split_first() else {
        let zero = match &node.raw {
            Raw::Integer(number) => *number == Some(0),
            Raw::Text(text) => size(text) == Ok(0),
            _ => false,
        };
        if let (true, Some((key, table))) = (zero, walked.split_last()) {
            problems
                .error("PC1113")
                .message(format!(
                    "`{key}` in [{}] must be more than zero",
                    table.join(".")
                ))
                .at(&node.at);
        }
        return;
    };
    for field in node
        .fields()
        .iter()
        .filter(|field| *name == "*" || field.name == *name)
    {
        walked.push(&field.name);
        zero_below(&field.node, rest, walked, problems);
        walked.pop();
    }
}
