//! What listeners say about each other, and what routes say about them.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use ipnet::IpNet;

use super::{is_empty_list, place, unknown_reference};
use crate::base::MAIN_LISTENER;
use crate::config::Config;
use crate::config::problem::Problems;
use crate::config::source::At;
use crate::config::tree::{Field, Node};

/// Adds the findings about addresses, their names and who is believed there.
pub(super) fn check(config: &Config, root: &Node, problems: &mut Problems) {
    empty(config, root, problems);
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
    twice(config, root, problems);
    names(config, root, problems);
    useless(config, problems);
    everybody(config, root, problems);
}

fn empty(config: &Config, root: &Node, problems: &mut Problems) {
    let main = (
        &config.server.listen,
        "server".to_owned(),
        vec!["server", "listen"],
    );
    let further = config.listeners.iter().map(|(name, one)| {
        let path = vec!["listener", name.as_str(), "listen"];
        (&one.listen, format!("listener.{name}"), path)
    });
    for (addresses, table, path) in std::iter::once(main).chain(further) {
        if addresses.is_empty() && is_empty_list(root, &path) {
            problems
                .error("PC1410")
                .message(format!("`listen` in [{table}] is empty"))
                .at(&place(root, &path))
                .help("the usual value: listen = [\"[::]:443\"]");
        }
    }
}

/// An address and port serve one purpose.
fn twice(config: &Config, root: &Node, problems: &mut Problems) {
    let server = &config.server;
    let mut lists: Vec<(Vec<&str>, &[SocketAddr])> = vec![
        (vec!["server", "listen"], &server.listen),
        (vec!["server", "http_redirect"], &server.http_redirect),
    ];
    for (name, one) in &config.listeners {
        lists.push((vec!["listener", name, "listen"], &one.listen));
    }
    let operations = std::slice::from_ref(&config.telemetry.operations.value);
    lists.push((vec!["telemetry", "operations"], operations));
    let mut seen = BTreeSet::new();
    for (path, addresses) in lists {
        let Some((key, table)) = path.split_last() else {
            continue;
        };
        for address in addresses.iter().filter(|address| address.port() != 0) {
            if !seen.insert(*address) {
                problems
                    .error("PC1409")
                    .message(format!(
                        "`{key}` in [{}] has {address}, which is in use above",
                        table.join(".")
                    ))
                    .at(&place(root, &path));
            }
        }
    }
}

fn names(config: &Config, root: &Node, problems: &mut Problems) {
    if let Some(taken) = config.listeners.get(MAIN_LISTENER) {
        problems
            .error("PC1420")
            .message(format!(
                "[listener.{MAIN_LISTENER}] has the name of the addresses in [server]"
            ))
            .at(&taken.at)
            .help("give it another name");
    }
    let written = root.get("listener").map(Node::fields).unwrap_or_default();
    for route in config.routes.values() {
        for wanted in &route.listeners {
            let known = |field: &Field| field.name == wanted.value;
            if wanted.value != MAIN_LISTENER && !written.iter().any(known) {
                unknown_reference(problems, "listener", wanted, wanted.at(), written);
            }
        }
    }
}

fn useless(config: &Config, problems: &mut Problems) {
    for (name, one) in &config.listeners {
        let serves = config.routes.values().any(|route| {
            let named = route.listeners.iter().any(|wanted| wanted.value == *name);
            let labelled = |label: &String| one.labels.iter().any(|own| own.value == *label);
            named || route.labels.iter().any(|label| labelled(&label.value))
        });
        if !serves && !one.portal {
            problems
                .warning("PC1421")
                .message(format!("no app is served on [listener.{name}]"))
                .at(&one.at)
                .help(format!(
                    "in the app's table: listeners = [\"{MAIN_LISTENER}\", \"{name}\"]"
                ));
        }
    }
}

/// Lists of machines whose word is believed must not cover everybody.
fn everybody(config: &Config, root: &Node, problems: &mut Problems) {
    let server = &config.server;
    let mut lists: Vec<(&[IpNet], String, &str, At)> = vec![
        (
            &server.trusted_proxies,
            "server".to_owned(),
            "trusted_proxies",
            place(root, &["server", "trusted_proxies"]),
        ),
        (
            &server.proxy_protocol.from,
            "server.proxy_protocol".to_owned(),
            "from",
            place(root, &["server", "proxy_protocol", "from"]),
        ),
    ];
    for (name, one) in &config.listeners {
        lists.push((
            &one.proxy_protocol.from,
            format!("listener.{name}.proxy_protocol"),
            "from",
            place(root, &["listener", name, "proxy_protocol", "from"]),
        ));
    }
    for (networks, table, key, at) in lists {
        for network in networks.iter().filter(|network| network.prefix_len() == 0) {
            problems
                .warning("PC1414")
                .message(format!(
                    "`{key}` in [{table}] has {network}: everybody can claim any address"
                ))
                .at(&at)
                .help("list the addresses of the proxies in front");
        }
    }
}
