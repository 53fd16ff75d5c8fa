//! What one table says about another: references, collisions, contradictions.
//!
//! Runs after every table was read. A table that could not be read still counts as written, so that nothing
//! is reported which only follows from an earlier finding.

mod acme;
mod answers;
mod groups;
mod listeners;
mod process;
mod routes;
mod values;

use super::problem::{Problem, Problems};
use super::rules::Tenant;
use super::source::At;
use super::tree::{Field, Node, Raw};
use super::{Config, nearest};

/// The tenant of everything that names none.
pub(crate) const DEFAULT_TENANT: &str = "default";

/// Adds what follows from other tables to `config`, and every finding to `problems`.
pub(super) fn complete(config: &mut Config, root: &Node, problems: &mut Problems) {
    routes::complete(config, root, problems);
    upstreams(config, root, problems);
    listeners::check(config, root, problems);
    values::check(config, root, problems);
    acme::check(config, root, problems);
    process::check(config, problems);
    answers::check(config, root, problems);
    groups::check(&config.groups, problems);
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
        });
}

/// Says that `name` is not among the entries of the table `kind`, which were written as `known`.
pub(super) fn unknown_reference<'p>(
    problems: &'p mut Problems,
    kind: &str,
    name: &str,
    at: &At,
    known: &[Field],
) -> &'p mut Problem {
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
        let names_it = |route: &Field| matches!(route.node.get("upstream").map(|node| &node.raw), Some(Raw::Text(name)) if *name == field.name);
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

/// Where the value below several keys was written.
fn place(root: &Node, path: &[&str]) -> At {
    root.find(path)
        .map_or_else(At::nowhere, |node| node.at.clone())
}
