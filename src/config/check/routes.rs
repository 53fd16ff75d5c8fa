//! What routes say about upstreams, the portal, sessions and each other.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{DEFAULT_TENANT, unknown_reference};
use crate::config::Config;
use crate::config::problem::Problems;
use crate::config::route::Route;
use crate::config::source::{At, Spanned};
use crate::config::table::default_from;
use crate::config::tree::{Field, Node};
use crate::config::types::HostPattern;
use crate::config::upstream::Upstream;

/// Paths of the portal's host that belong to Portcullis.
const PORTAL_PATHS: &[&str] = &[
    "/sign-in",
    "/sign-out",
    "/signed-out",
    "/confirm",
    "/theme",
    "/enrol",
    "/account",
    "/assets",
    "/admin",
];

/// Paths of every host that belong to Portcullis.
const OWN_PATHS: &[&str] = &["/.portcullis", "/.well-known/portcullis"];

/// Gives every route its upstream and upgrades; adds the findings.
pub(super) fn complete(config: &mut Config, root: &Node, problems: &mut Problems) {
    let written = |kind: &str| root.get(kind).map(Node::fields).unwrap_or_default();
    let upstreams = written("upstream");
    let mut made = Vec::new();
    for route in config.routes.values_mut() {
        upgrades(route, problems);
        let websocket = Spanned::new("websocket".to_owned(), At::nowhere());
        if route.websocket && !route.upgrades.contains(&websocket) {
            route.upgrades.push(websocket);
        }
        if let Some(upstream) = server_behind(route, root, upstreams, problems) {
            made.push(upstream);
        }
        references(route, written("rate_limit"), written("tenant"), problems);
        sessions(route, &config.session, problems);
        if route.public && !route.allow.is_empty() {
            problems
                .warning("PC1413")
                .message(format!(
                    "`allow` in [route.{}] has no effect: the route is public",
                    route.name
                ))
                .at(route.allow.first().map_or(&route.at, Spanned::at))
                .help("take one of the two out");
        }
    }
    for upstream in made {
        config.upstreams.insert(upstream.name.clone(), upstream);
    }
    matches(&config.routes, problems);
    own_pages(config, problems);
}

/// Refuses protocols that would carry further requests past every check.
fn upgrades(route: &mut Route, problems: &mut Problems) {
    for protocol in &mut route.upgrades {
        protocol.value.make_ascii_lowercase();
        let name = protocol.split('/').next().unwrap_or_default();
        let why = match name {
            "h2c" | "http" | "tls" => "which would carry requests that nobody judges",
            _ if http::HeaderName::try_from(name).is_err() => "which is no protocol",
            _ => continue,
        };
        problems
            .error("PC1113")
            .message(format!(
                "`upgrades` in [route.{}] has `{}`, {why}",
                route.name, protocol.value
            ))
            .at(protocol.at());
    }
}

/// Checks `upstream` and `to`; makes the upstream of a route that has `to`.
fn server_behind(
    route: &mut Route,
    root: &Node,
    upstreams: &[Field],
    problems: &mut Problems,
) -> Option<Upstream> {
    let name = route.name.as_str();
    let is_written = |key: &str| root.find(&["route", name, key]).is_some();
    match (is_written("to"), is_written("upstream")) {
        (false, false) => {
            problems
                .error("PC1403")
                .message(format!("[route.{name}] has no server behind it"))
                .at(&route.at)
                .help("for one server: to = \"https://HOST:PORT\"")
                .help(
                    "for several, or with options: upstream = \"NAME\" and a table [upstream.NAME]",
                );
            None
        }
        (true, true) => {
            problems
                .error("PC1403")
                .message(format!("[route.{name}] has both `to` and `upstream`"))
                .at(&route.at)
                .help("keep one of the two");
            None
        }
        (false, true) => {
            let wanted = &route.upstream;
            if wanted.at().is_written() && !upstreams.iter().any(|field| field.name == wanted.value)
            {
                unknown_reference(problems, "upstream", wanted, wanted.at(), upstreams);
            }
            None
        }
        (true, false) => {
            let target = route.to.clone()?;
            if let Some(other) = upstreams.iter().find(|field| field.name == name) {
                problems
                    .error("PC1405")
                    .message(format!(
                        "[route.{name}] makes an upstream that exists already"
                    ))
                    .at(target.at())
                    .note(format!("[upstream.{name}] is at {}", other.at))
                    .help(format!("write upstream = \"{name}\" instead of `to`"));
                return None;
            }
            route.upstream = Spanned::new(name.to_owned(), target.at().clone());
            let mut upstream: Upstream = default_from("{ targets = [] }")?;
            name.clone_into(&mut upstream.name);
            upstream.at = target.at().clone();
            upstream.targets.push(target);
            Some(upstream)
        }
    }
}

fn references(route: &Route, rates: &[Field], tenants: &[Field], problems: &mut Problems) {
    if let Some(wanted) = &route.rate_limit
        && !rates.iter().any(|field| field.name == wanted.value)
    {
        unknown_reference(problems, "rate_limit", wanted, wanted.at(), rates);
    }
    let wanted = &route.tenant;
    if wanted.value != DEFAULT_TENANT && !tenants.iter().any(|field| field.name == wanted.value) {
        unknown_reference(problems, "tenant", wanted, wanted.at(), tenants);
    }
}

fn sessions(route: &Route, general: &crate::config::Session, problems: &mut Problems) {
    let own = &route.session;
    let pairs: [(&str, &Option<Spanned<Duration>>, Duration); 3] = [
        ("lifetime", &own.lifetime, general.lifetime),
        ("idle", &own.idle, general.idle),
        ("step_up", &own.step_up, general.step_up),
    ];
    for (key, value, bound) in pairs {
        let Some(value) = value.as_ref().filter(|value| value.value > bound) else {
            continue;
        };
        problems
            .error("PC1406")
            .message(format!(
                "`{key}` in [route.{}.session] is longer than in [session], {}",
                route.name,
                crate::config::show_duration(bound)
            ))
            .at(value.at())
            .help("a route can only shorten it");
    }
}

fn matches(routes: &BTreeMap<crate::base::RouteName, Route>, problems: &mut Problems) {
    let mut seen: BTreeMap<_, &Route> = BTreeMap::new();
    // In the order of the files, so that the later one is the one complained of.
    let mut routes: Vec<_> = routes.values().collect();
    routes.sort_by_key(|route| {
        (
            route.at.source().path().to_path_buf(),
            route.at.span().start,
        )
    });
    for route in routes {
        match seen.entry((&route.host.value, &route.path)) {
            std::collections::btree_map::Entry::Vacant(free) => {
                free.insert(route);
            }
            std::collections::btree_map::Entry::Occupied(first) => {
                let first = first.get();
                problems
                    .error("PC1401")
                    .message(format!(
                        "[route.{}] and [route.{}] both match {} {}",
                        first.name, route.name, route.host.value, route.path
                    ))
                    .at(route.host.at())
                    .label("matches equally")
                    .note(format!("[route.{}] is at {}", first.name, first.at))
                    .help("give one of them another host or path");
            }
        }
    }
}

fn own_pages(config: &Config, problems: &mut Problems) {
    let portal = &config.server.portal.host;
    let further = config.listeners.values().flat_map(|one| &one.listen);
    let mut listen = config.server.listen.iter().chain(further);
    let for_trials = listen.all(|address| address.ip().to_canonical().is_loopback());
    for route in config.routes.values() {
        let HostPattern::Exact(host) = &route.host.value else {
            reserved(route, OWN_PATHS, problems);
            continue;
        };
        if host.as_ip().is_some() {
            problems
                .error("PC1411")
                .message(format!(
                    "`host` in [route.{}] is an address, which TLS cannot name",
                    route.name
                ))
                .at(route.host.at())
                .help("use a name; for trials on this machine: localhost");
        }
        if host == portal && route.path.as_str() == "/" {
            problems
                .error("PC1402")
                .message(format!("[route.{}] has the portal's host", route.name))
                .at(route.host.at())
                .label("sign-in and launcher are here")
                .help("give it a host of its own");
        } else if !reserved(route, OWN_PATHS, problems)
            && host == portal
            && !reserved(route, PORTAL_PATHS, problems)
            && !for_trials
        {
            problems
                .warning("PC1415")
                .message(format!("[route.{}] is on the portal's host", route.name))
                .at(route.host.at())
                .label("one site with sign-in, to a browser")
                .help("give it a host of its own");
        }
    }
}

/// Complains when the route's path lies in one of `paths`.
fn reserved(route: &Route, paths: &[&str], problems: &mut Problems) -> bool {
    let inside = |own: &&&str| {
        let below = route.path.as_str().strip_prefix(**own);
        below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let Some(own) = paths.iter().find(inside) else {
        return false;
    };
    problems
        .error("PC1402")
        .message(format!(
            "[route.{}] has the path {}, where Portcullis has pages of its own",
            route.name, route.path
        ))
        .at(route.host.at())
        .note(format!("everything below {own} is Portcullis' own"))
        .help("give it another path");
    true
}
