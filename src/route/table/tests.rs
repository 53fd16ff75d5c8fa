//! Matching, compared with a naive reference.

use proptest::prelude::*;

use super::RouteTable;
use crate::base::{Host, MAIN_LISTENER};
use crate::config::{self, Config, HostPattern, PathPrefix, Problems};

/// A configuration with a route for every pair of host and path, named by its position.
pub(crate) fn config(routes: &[(String, String)], more: &str) -> Config {
    use std::fmt::Write as _;
    let mut text =
        String::from("[server]\nportal = \"login.example\"\n[tls]\ncertificates = \"internal\"\n");
    for (index, (host, path)) in routes.iter().enumerate() {
        writeln!(
            text,
            "[route.r{index:05}]\nhost = \"{host}\"\npath = \"{path}\"\nto = \"https://up.example\"\n{more}"
        )
        .unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("portcullis.toml");
    std::fs::write(&file, text).unwrap();
    config::load(&file).unwrap().config
}

fn table(routes: &[(&str, &str)]) -> RouteTable {
    let owned: Vec<_> = routes
        .iter()
        .map(|(host, path)| ((*host).to_owned(), (*path).to_owned()))
        .collect();
    let mut problems = Problems::new();
    let table = RouteTable::compile(&config(&owned, ""), &mut problems);
    assert!(problems.is_empty());
    table
}

fn found(table: &RouteTable, host: &str, path: &str) -> Option<usize> {
    let host = Host::parse(host).unwrap();
    table.find(&host, path).map(|route| route.index)
}

#[test]
fn where_case_does_not_count_another_spelling_is_no_way_around_a_prefix() {
    let text = |loose: bool| {
        format!(
            "[server]\nportal = \"login.example\"\n[tls]\ncertificates = \"internal\"\n\
             [upstream.iis]\ntargets = [\"https://up.example\"]\ncase_insensitive = {loose}\n\
             [route.a]\nhost = \"a.example\"\nupstream = \"iis\"\n\
             [route.b]\nhost = \"a.example\"\npath = \"/Admin/Area\"\nupstream = \"iis\"\n\
             [route.c]\nhost = \"a.example\"\npath = \"/Admin/Area/x\"\nto = \"https://other.example\"\n\
             [route.d]\nhost = \"d.example\"\npath = \"/Site\"\nupstream = \"iis\"\n"
        )
    };
    let table = |loose: bool| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("portcullis.toml");
        std::fs::write(&file, text(loose)).unwrap();
        let config = config::load(&file).unwrap().config;
        RouteTable::compile(&config, &mut Problems::new())
    };
    let (loose, strict) = (table(true), table(false));
    let prefix_alone = Host::parse("d.example").unwrap();
    for table in [&loose, &strict] {
        assert!(table.knows_on(&prefix_alone, MAIN_LISTENER));
    }
    for (path, with, without) in [
        ("/Admin/Area", Some(1), Some(1)),
        ("/ADMIN/AREA/y", Some(1), Some(0)),
        ("/admin/area", Some(1), Some(0)),
        ("/Admin/Area/x", Some(2), Some(2)),
        ("/admin/area/x", Some(1), Some(0)),
        ("/administrator", Some(0), Some(0)),
    ] {
        assert_eq!(found(&loose, "a.example", path), with, "{path}");
        assert_eq!(found(&strict, "a.example", path), without, "{path}");
    }
}

#[test]
fn the_longest_prefix_of_whole_segments_wins() {
    let table = table(&[
        ("a.example", "/"),
        ("a.example", "/api"),
        ("a.example", "/api/v1/users"),
        ("b.example", "/only/"),
    ]);
    let rows = [
        ("a.example", "/", Some(0)),
        ("a.example", "/x", Some(0)),
        ("a.example", "/api", Some(1)),
        ("a.example", "/api/", Some(1)),
        ("a.example", "/api/v1", Some(1)),
        ("a.example", "/api/v1/users", Some(2)),
        ("a.example", "/api/v1/users/7/x", Some(2)),
        ("a.example", "/api/v1/usersx", Some(1)),
        ("a.example", "/apix", Some(0)),
        ("a.example", "/API", Some(0)),
        ("a.example", "/x/api", Some(0)),
        ("a.example", "//api", Some(0)),
        ("a.example", "*", None),
        ("b.example", "/only", Some(3)),
        ("b.example", "/only/x", Some(3)),
        ("b.example", "/onlyx", None),
        ("b.example", "/", None),
        ("c.example", "/", None),
    ];
    for (host, path, expected) in rows {
        assert_eq!(found(&table, host, path), expected, "{host}{path}");
    }
}

#[test]
fn a_wildcard_stands_for_exactly_one_label() {
    let table = table(&[("*.example.com", "/"), ("*.b.example.com", "/")]);
    let rows = [
        ("a.example.com", Some(0)),
        ("b.example.com", Some(0)),
        ("x.b.example.com", Some(1)),
        ("example.com", None),
        ("x.a.example.com", None),
        ("y.x.b.example.com", None),
        ("aexample.com", None),
        ("com", None),
    ];
    for (host, expected) in rows {
        assert_eq!(found(&table, host, "/"), expected, "{host}");
    }
}

#[test]
fn a_host_with_routes_of_its_own_never_falls_back_to_a_wildcard() {
    let table = table(&[("*.example.com", "/"), ("a.example.com", "/app")]);
    assert_eq!(found(&table, "a.example.com", "/app/x"), Some(1));
    assert_eq!(found(&table, "a.example.com", "/"), None);
    assert_eq!(found(&table, "b.example.com", "/"), Some(0));
    assert!(table.knows(&Host::parse("a.example.com").unwrap()));
    assert!(!table.knows(&Host::parse("example.com").unwrap()));
}

#[test]
fn routes_are_found_by_name_and_index() {
    let table = table(&[("a.example", "/"), ("b.example", "/")]);
    for (index, route) in table.routes().iter().enumerate() {
        assert_eq!(route.index, index);
        assert_eq!(table.named(route.name.as_str()).unwrap().index, index);
    }
    assert!(table.named("r9").is_none());
}

#[test]
fn a_route_is_found_on_its_listeners_and_on_no_other() {
    let more = "labels = [\"partner\"]\nlisteners = [\"inner\"]\n\
        [listener.inner]\nlisten = [\"[::]:1001\"]\n\
        [listener.labelled]\nlisten = [\"[::]:1002\"]\nlabels = [\"other\", \"partner\"]\n\
        [listener.strange]\nlisten = [\"[::]:1003\"]\nlabels = [\"other\"]\n";
    let config = config(&[("a.example".to_owned(), "/x".to_owned())], more);
    let table = RouteTable::compile(&config, &mut Problems::new());
    let host = Host::parse("a.example").unwrap();
    let rows = [
        ("default", false),
        ("inner", true),
        ("labelled", true),
        ("strange", false),
        ("", false),
    ];
    for (listener, expected) in rows {
        assert_eq!(
            table.find_on(&host, "/x/y", listener).is_some(),
            expected,
            "{listener}"
        );
        assert_eq!(table.knows_on(&host, listener), expected, "{listener}");
        assert!(table.find_on(&host, "/", listener).is_none());
    }
}

#[test]
fn two_routes_that_match_equally_are_an_error() {
    let routes = [
        ("a.example".to_owned(), "/x".to_owned()),
        ("b.example".to_owned(), "/x".to_owned()),
    ];
    let mut config = config(&routes, "");
    let first = config.routes.values().next().unwrap().host.clone();
    for route in config.routes.values_mut() {
        route.host = first.clone();
    }
    let mut problems = Problems::new();
    let table = RouteTable::compile(&config, &mut problems);
    assert_eq!(problems.errors(), 1);
    assert_eq!(table.routes().len(), 1);
}

#[test]
fn what_later_stages_need_is_compiled() {
    let more = "upgrades = [\"SPDY/3.1\"]\nmethods = [\"GET\"]\nbody_bytes = \"1KiB\"\n\
        path_allows = [\"semicolon\"]\nsession = { idle = \"5m\" }\n";
    let config = config(&[("a.example".to_owned(), "/".to_owned())], more);
    let table = RouteTable::compile(&config, &mut Problems::new());
    let route = &table.routes()[0];
    assert_eq!(route.title, "r00000");
    assert_eq!(route.identity.audience, "r00000");
    assert!(route.upgrades.contains(&"spdy/3.1".to_owned()));
    assert!(route.carries(&http::Method::GET) && !route.carries(&http::Method::POST));
    assert_eq!(route.body.bytes, 1024);
    assert_eq!(route.path_allows, crate::message::Oddities::SEMICOLON);
    assert_eq!(route.session.idle.as_secs(), 300);
    assert_eq!(route.session.lifetime, config.session.lifetime);
}

/// The rule, written without regard to cost.
fn reference(config: &Config, host: &str, path: &str) -> Option<String> {
    let exact = |route: &&config::Route| matches!(&route.host.value, HostPattern::Exact(one) if one.as_str() == host);
    let wild = |route: &&config::Route| match &route.host.value {
        HostPattern::Wildcard(suffix) => host
            .strip_suffix(suffix.as_str())
            .and_then(|rest| rest.strip_suffix('.'))
            .is_some_and(|label| !label.is_empty() && !label.contains('.')),
        HostPattern::Exact(_) => false,
    };
    let longest = |routes: Vec<&config::Route>| {
        routes
            .into_iter()
            .filter(|route| route.path.covers(path))
            .max_by_key(|route| PathPrefix::as_str(&route.path).len())
            .map(|route| route.name.as_str().to_owned())
    };
    let own: Vec<_> = config.routes.values().filter(exact).collect();
    if own.is_empty() {
        longest(config.routes.values().filter(wild).collect())
    } else {
        longest(own)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn find_equals_the_naive_reference(
        routes in prop::collection::btree_set(("(\\*\\.)?([ab]\\.){0,2}example", "(/[ab]{1,2}){0,3}"), 1..20),
        asked in prop::collection::vec(("([ab]\\.){0,3}example", "/([ab]{1,3}/?){0,5}"), 1..20),
    ) {
        let routes: Vec<_> = routes
            .into_iter()
            .map(|(host, path)| (host, if path.is_empty() { "/".to_owned() } else { path }))
            .collect();
        let config = config(&routes, "");
        let mut problems = Problems::new();
        let table = RouteTable::compile(&config, &mut problems);
        prop_assert!(problems.is_empty());
        for (host, path) in asked {
            let found = table
                .find(&Host::parse(&host).unwrap(), &path)
                .map(|route| route.name.as_str().to_owned());
            prop_assert_eq!(found, reference(&config, &host, &path), "{}{}", host, path);
        }
    }
}

#[test]
fn thousands_of_routes_are_found() {
    let routes: Vec<_> = (0..3_000)
        .map(|index| {
            (
                format!("h{}.example", index / 3),
                format!("/p{}", index % 3),
            )
        })
        .collect();
    let table = RouteTable::compile(&config(&routes, ""), &mut Problems::new());
    assert_eq!(table.routes().len(), 3_000);
    for index in [0, 1, 2, 1_500, 2_999] {
        let (host, path) = &routes[index];
        assert_eq!(found(&table, host, &format!("{path}/x")), Some(index));
    }
}
