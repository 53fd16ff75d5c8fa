//! Finds the route of a host and a path: two hash look-ups at most for the host, one per segment for the path
//! (two where an upstream of the host ignores case).

use std::collections::hash_map::Entry;
use std::sync::Arc;

use foldhash::HashMap;

use super::Route;
use super::rule::{General, Session};
use crate::base::{Host, RouteName};
use crate::config::{Config, HostPattern, Problems};
use crate::message::body::Bound;
use crate::message::target::folded;

/// All routes. Looking one up allocates nothing, but on hosts with an upstream that ignores case.
#[derive(Debug, Default)]
pub(crate) struct RouteTable {
    /// In the order of their names.
    routes: Vec<Arc<Route>>,
    exact: HashMap<Host, Paths>,
    /// By the part after `*.`; the star stands for exactly one label, as in certificates (RFC 6125 section 6.4.3).
    wildcard: HashMap<Host, Paths>,
}

/// The routes of one host.
#[derive(Debug, Default)]
struct Paths {
    root: Option<Arc<Route>>,
    /// Without the root.
    prefixes: HashMap<String, Arc<Route>>,
    /// The same of routes whose upstream ignores case, in lower case.
    folded: HashMap<String, Arc<Route>>,
    /// Most segments of any prefix: deeper ones need not be looked up.
    deepest: usize,
}

impl RouteTable {
    /// Compiles the routes of a configuration. Two that match equally are an error.
    pub(crate) fn compile(config: &Config, problems: &mut Problems) -> Self {
        let general = General {
            body: Bound {
                bytes: config.server.limits.body_bytes,
                idle: config.server.limits.body_timeout,
            },
            session: Session {
                lifetime: config.session.lifetime,
                idle: config.session.idle,
                step_up: config.session.step_up,
            },
            ignores_case: false,
        };
        let mut table = Self::default();
        for written in config.routes.values() {
            let general = General {
                ignores_case: config.ignores_case(written),
                ..general
            };
            let route = Route::compile(table.routes.len(), written, general);
            let route = Arc::new(route.on(config.listeners_of(written)));
            if let Some(first) = table.insert(&route) {
                problems
                    .error("PC1401")
                    .message(format!(
                        "[route.{first}] and [route.{}] both match {} {}",
                        route.name, route.host, route.prefix
                    ))
                    .at(written.host.at())
                    .help("give one of them another host or path");
            }
        }
        table
    }

    /// Gives the name of the route that stands there already.
    fn insert(&mut self, route: &Arc<Route>) -> Option<RouteName> {
        let paths = match &route.host {
            HostPattern::Exact(host) => self.exact.entry(host.clone()).or_default(),
            HostPattern::Wildcard(suffix) => self.wildcard.entry(suffix.clone()).or_default(),
        };
        let first = paths.insert(route);
        if first.is_none() {
            self.routes.push(Arc::clone(route));
        }
        first
    }

    /// The route of a canonical path on a host, if there is one.
    pub(crate) fn find(&self, host: &Host, path: &str) -> Option<&Arc<Route>> {
        self.paths(host)?.find(path)
    }

    /// The same among what a listener serves. A route of another listener is not passed over for a shorter one: what
    /// lies below it would be opened by a route that does not mean it.
    pub(crate) fn find_on(&self, host: &Host, path: &str, listener: &str) -> Option<&Arc<Route>> {
        self.find(host, path).filter(|route| route.is_on(listener))
    }

    /// `true` when some route of the listener answers for the host, whatever the path.
    pub(crate) fn knows_on(&self, host: &Host, listener: &str) -> bool {
        self.paths(host)
            .is_some_and(|paths| paths.all().any(|route| route.is_on(listener)))
    }

    /// `true` when some route answers for the host, whatever the path.
    pub(crate) fn knows(&self, host: &Host) -> bool {
        self.paths(host).is_some()
    }

    fn paths(&self, host: &Host) -> Option<&Paths> {
        if let Some(paths) = self.exact.get(host) {
            return Some(paths);
        }
        let (_label, suffix) = host.as_str().split_once('.')?;
        self.wildcard.get(suffix)
    }

    /// In the order of their names; the index of a route is its position here.
    pub(crate) fn routes(&self) -> &[Arc<Route>] {
        &self.routes
    }

    #[cfg(test)]
    pub(crate) fn named(&self, name: &str) -> Option<&Arc<Route>> {
        self.routes
            .binary_search_by(|route| route.name.as_str().cmp(name))
            .ok()
            .and_then(|index| self.routes.get(index))
    }
}

impl Paths {
    fn insert(&mut self, route: &Arc<Route>) -> Option<RouteName> {
        if route.prefix == "/" {
            if let Some(first) = &self.root {
                return Some(first.name.clone());
            }
            self.root = Some(Arc::clone(route));
            return None;
        }
        let (prefixes, others) = if route.ignores_case {
            (&mut self.folded, &self.prefixes)
        } else {
            (&mut self.prefixes, &self.folded)
        };
        if let Some(first) = others.get(&route.prefix) {
            return Some(first.name.clone());
        }
        match prefixes.entry(route.prefix.clone()) {
            Entry::Occupied(first) => Some(first.get().name.clone()),
            Entry::Vacant(free) => {
                free.insert(Arc::clone(route));
                let segments = route.prefix.matches('/').count();
                self.deepest = self.deepest.max(segments);
                None
            }
        }
    }

    fn all(&self) -> impl Iterator<Item = &Arc<Route>> {
        let below = self.prefixes.values().chain(self.folded.values());
        self.root.iter().chain(below)
    }

    /// The longest prefix of whole segments. `OPTIONS *` has no path and so no route.
    fn find(&self, path: &str) -> Option<&Arc<Route>> {
        if !path.starts_with('/') {
            return None;
        }
        let exact = longest(&self.prefixes, path, self.deepest);
        let loose = if self.folded.is_empty() {
            None
        } else {
            longest(&self.folded, &folded(path), self.deepest)
        };
        let deeper = |one: &&Arc<Route>, other: &&Arc<Route>| {
            let segments = |route: &Route| route.prefix.matches('/').count();
            segments(one).cmp(&segments(other))
        };
        // Of two equally deep ones the last is taken: the one that tells cases apart means this very spelling.
        loose
            .into_iter()
            .chain(exact)
            .max_by(deeper)
            .or(self.root.as_ref())
    }
}

/// The longest prefix of at most `deepest` segments.
fn longest<'a>(
    prefixes: &'a HashMap<String, Arc<Route>>,
    path: &str,
    deepest: usize,
) -> Option<&'a Arc<Route>> {
    let ends = path
        .match_indices('/')
        .map(|(at, _)| at)
        .skip(1)
        .chain(std::iter::once(path.len()));
    ends.take(deepest)
        .filter_map(|end| prefixes.get(path.get(..end)?))
        .last()
}

#[cfg(test)]
mod tests;
