//! What one table says about another: references, collisions, contradictions.
//!
//! Runs after every table was read. A table that could not be read still counts as written, so that nothing
//! is reported which only follows from an earlier finding.

use std::collections::{BTreeMap, BTreeSet};

use super::check_routes;
use super::problem::Problems;
use super::rules::{Group, Tenant};
use super::source::At;
use super::tree::{Node, Raw};
use super::types::Subject;
use super::{Config, nearest};

/// The tenant of everything that names none.
pub(crate) const DEFAULT_TENANT: &str = "default";

/// Adds what follows from other tables to `config`, and every finding to `problems`.
pub(super) fn complete(config: &mut Config, root: &Node, problems: &mut Problems) {
    check_routes::complete(config, root, problems);
    upstreams(config, root, problems);
    listeners(config, root, problems);
    times(config, root, problems);
    groups(&config.groups, problems);
    zeros(root, problems);
    if !config.storage.master_key.at().is_written() {
        super::check_mode(&config.storage.master_key, &At::nowhere(), problems);
    }
    if config.server.portal.host.as_ip().is_some() {
        problems
            .error("PC1411")
            .message("`portal` in [server] is an address, which TLS cannot name")
            .at(config.server.portal.at())
            .help("use a name; for trials on this machine: localhost");
    }
    config
        .tenants
        .entry(DEFAULT_TENANT.to_owned())
        .or_insert_with(|| Tenant {
            title: None,
            timezone: None,
            at: At::nowhere(),
        });
}

/// Says that `name` is not among the entries of the table `kind`, which were written as `known`.
pub(super) fn unknown_reference<'p>(
    problems: &'p mut Problems,
    kind: &str,
    name: &str,
    at: &At,
    known: &[super::tree::Field],
) -> &'p mut super::Problem {
    let similar = nearest::find(name, known.iter().map(|field| field.name.as_str()));
    let problem = problems
        .error("PC1404")
        .message(format!("there is no [{kind}.{name}]"))
        .at(at)
        .label("named here");
    match (similar, known) {
        (Some(similar), _) => problem.help(format!("a similar name exists: `{similar}`")),
        (None, []) => problem.help(format!("add the table [{kind}.{name}]")),
        (None, known) => {
            let names: Vec<_> = known
                .iter()
                .take(12)
                .map(|field| field.name.as_str())
                .collect();
            problem.help(format!("there are: {}", names.join(", ")))
        }
    }
}

fn upstreams(config: &Config, root: &Node, problems: &mut Problems) {
    for (name, upstream) in &config.upstreams {
        if upstream.targets.is_empty() && is_empty_list(root, &["upstream", name, "targets"]) {
            problems
                .error("PC5102")
                .message(format!("[upstream.{name}] has no target"))
                .at(&upstream.at);
        }
        if upstream.cleartext {
            continue;
        }
        for target in upstream
            .targets
            .iter()
            .filter(|target| target.url.is_exposed())
        {
            problems
                .error("PC5101")
                .message(format!(
                    "{} would carry requests in clear over a network",
                    target.url
                ))
                .at(target.at())
                .label("http beyond this machine")
                .help("use https; for a server with an own authority: tls = { ca = \"FILE\" }")
                .help(format!(
                    "or accept it: `cleartext = true` in [upstream.{name}]"
                ));
        }
    }
    for field in root.get("upstream").map(Node::fields).unwrap_or_default() {
        let mut used = root
            .get("route")
            .map(Node::fields)
            .unwrap_or_default()
            .iter();
        let names_it = |route: &super::tree::Field| matches!(route.node.get("upstream").map(|node| &node.raw), Some(Raw::Text(name)) if *name == field.name);
        if !used.any(names_it) {
            problems
                .warning("PC5103")
                .message(format!("no route uses [upstream.{}]", field.name))
                .at(&field.at);
        }
    }
}

fn is_empty_list(root: &Node, path: &[&str]) -> bool {
    matches!(root.find(path).map(|node| &node.raw), Some(Raw::List(items)) if items.is_empty())
}

fn listeners(config: &Config, root: &Node, problems: &mut Problems) {
    let server = &config.server;
    if server.listen.is_empty() && is_empty_list(root, &["server", "listen"]) {
        problems
            .error("PC1410")
            .message("`listen` in [server] is empty")
            .at(&place(root, &["server", "listen"]))
            .help("the usual value: listen = [\"[::]:443\"]");
    }
    let operations = &config.telemetry.operations;
    if !operations.ip().to_canonical().is_loopback() {
        problems
            .error("PC1408")
            .message(format!(
                "`operations` in [telemetry] is {operations}, which other machines can reach"
            ))
            .at(operations.at())
            .help("use a loopback address: operations = \"127.0.0.1:9464\"");
    }
    let mut seen = BTreeSet::new();
    let lists = [
        ("listen", server.listen.as_slice()),
        ("http_redirect", server.http_redirect.as_slice()),
        ("operations", std::slice::from_ref(&operations.value)),
    ];
    for (key, addresses) in lists {
        let table = if key == "operations" {
            "telemetry"
        } else {
            "server"
        };
        for address in addresses.iter().filter(|address| address.port() != 0) {
            if !seen.insert(*address) {
                problems
                    .error("PC1409")
                    .message(format!(
                        "`{key}` in [{table}] has {address}, which is in use above"
                    ))
                    .at(&place(root, &[table, key]));
            }
        }
    }
}

/// Where the value below several keys was written.
fn place(root: &Node, path: &[&str]) -> At {
    root.find(path)
        .map_or_else(At::nowhere, |node| node.at.clone())
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
                super::show_duration(less),
                super::show_duration(more)
            ))
            .at(&place(root, &path));
    }
    let password = &config.auth.password;
    if password.min_length > password.max_length {
        problems
            .error("PC1407")
            .message("`min_length` in [auth.password] is more than `max_length`")
            .at(&place(root, &["auth", "password", "min_length"]));
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

fn zeros(root: &Node, problems: &mut Problems) {
    for path in POSITIVE {
        zero_below(root, path, &mut Vec::new(), problems);
    }
}

fn zero_below<'n>(
    node: &'n Node,
    path: &[&str],
    walked: &mut Vec<&'n str>,
    problems: &mut Problems,
) {
    let Some((name, rest)) = path.split_first() else {
        let zero = match &node.raw {
            Raw::Integer(number) => *number == Some(0),
            Raw::Text(text) => super::size(text) == Ok(0),
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

fn groups(groups: &BTreeMap<String, Group>, problems: &mut Problems) {
    for (name, group) in groups {
        for member in &group.members {
            let Subject::Everyone = member.value else {
                continue;
            };
            problems
                .error("PC1114")
                .message(format!("`everyone` cannot be a member of [group.{name}]"))
                .at(member.at())
                .help("write `everyone` in the route's `allow`");
        }
        if contains(groups, name, name, &mut Vec::new()) {
            problems
                .error("PC1412")
                .message(format!("[group.{name}] contains itself"))
                .at(&group.at);
        }
    }
}

/// `true` when `wanted` is a member of `group`, directly or through others.
fn contains<'g>(
    groups: &'g BTreeMap<String, Group>,
    group: &'g str,
    wanted: &str,
    seen: &mut Vec<&'g str>,
) -> bool {
    if seen.contains(&group) {
        return false;
    }
    seen.push(group);
    let members = groups
        .get(group)
        .map(|group| group.members.as_slice())
        .unwrap_or_default();
    members.iter().any(|member| match &member.value {
        Subject::Group(name) => name == wanted || contains(groups, name, wanted, seen),
        Subject::User(_) | Subject::Everyone => false,
    })
}
