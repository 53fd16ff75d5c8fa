//! Who gets what: every kind of person on every kind of route with a reading, a writing and a deleting method.
//!
//! The answers stand in `tests/golden/access-matrix.txt`; `PORTCULLIS_BLESS=1` writes them anew. A cell that is not
//! allowed must not reach the upstream, whatever its status.

use std::collections::HashMap;
use std::fmt::Write as _;

use http::Method;

use crate::harness::{Browser, Person, Site, Upstream, eventually};

const ROUTES: [&str; 8] = [
    "open", "wiki", "payroll", "everyone", "vault", "guarded", "secret", "console",
];
const METHODS: [Method; 3] = [Method::GET, Method::POST, Method::DELETE];
const SESSION_COOKIE: &str = "__Host-portcullis";

const RULES: &str = r#"
@id("vault.leads")
@reason("Restricted apps are for finance leads.")
forbid (principal, action, resource in Label::"restricted")
unless { principal in Group::"finance-leads" };

@id("auditors.read-only")
@reason("Auditor accounts cannot change anything.")
forbid (principal in Group::"auditors", action in [Action::"write"], resource is Route);

@id("contractors.delete")
@reason("Contractors do not delete.")
forbid (principal is User, action == Action::"DELETE", resource is Route)
when { principal.contractor };

@id("tenant.isolation")
@reason("This app belongs to another company.")
forbid (principal, action, resource is Route)
unless { principal.tenant == resource.tenant };

@id("guarded.fresh")
@reason("This needs a code entered just now.")
@step_up("1s")
forbid (principal is User, action, resource == Route::"guarded")
when   { context.request.path like "/delete*" }
unless { context has session
         && context.time.now.durationSince(context.session.verified_at) < duration("1ms") };
"#;

fn plan(upstream: &Upstream, people: &[Person]) -> crate::harness::site::Plan {
    let mut plan = Site::plan()
        .route("open", upstream, "public = true")
        .route("wiki", upstream, r#"allow = ["group:staff"]"#)
        .route("payroll", upstream, r#"allow = ["user:lead@example.com"]"#)
        .route("everyone", upstream, r#"allow = ["everyone"]"#)
        .route(
            "vault",
            upstream,
            "allow = [\"everyone\"]\nlabels = [\"restricted\"]",
        )
        .route("guarded", upstream, r#"allow = ["everyone"]"#)
        .route(
            "secret",
            upstream,
            "allow = [\"group:finance-leads\"]\nhidden = true",
        )
        .route(
            "console",
            upstream,
            r#"allow = ["group:auditors", "group:staff"]"#,
        )
        .toml("[tenant.beta]\ntitle = \"Beta Ltd\"\n")
        .policy("rules.cedar", RULES);
    for person in people {
        plan = plan.person(person);
    }
    plan
}

/// A principal of the matrix: its name and the cookies it has for each app.
struct Asking {
    name: &'static str,
    cookies: HashMap<&'static str, String>,
}

async fn signed_in(site: &Site, name: &'static str, person: &Person) -> Asking {
    let mut browser = Browser::new(site);
    browser.sign_in(&site.url("everyone", "/"), person).await;
    let mut cookies = HashMap::new();
    for route in ROUTES {
        browser.open(&site.url(route, "/")).await;
        cookies.insert(route, browser.cookie_header(&format!("{route}.test")));
    }
    Asking { name, cookies }
}

/// Somebody who gave the password only and takes what cookie they got to every app, under every name they know.
async fn half_way(site: &Site, person: &Person) -> Asking {
    let mut browser = Browser::new(site);
    let page = browser.open(&site.url("everyone", "/")).await;
    browser
        .give_password(&page, person.name, crate::harness::people::PASSWORD)
        .await;
    let own = browser.cookie_header("login.test");
    let value = own
        .split("; ")
        .filter_map(|pair| pair.split_once('='))
        .map(|(_, value)| value)
        .max_by_key(|value| value.len());
    let forged = format!(
        "{SESSION_COOKIE}={}",
        value.expect("no cookie after the password")
    );
    Asking {
        name: "one-factor-only",
        cookies: ROUTES
            .iter()
            .map(|route| (*route, forged.clone()))
            .collect(),
    }
}

/// Status and request id of one cell.
async fn ask(site: &Site, asking: &Asking, route: &str, method: &Method) -> (u16, String) {
    let host = format!("{route}.test");
    let target = if route == "guarded" {
        "/delete/1"
    } else {
        "/page"
    };
    let mut request = http::Request::builder()
        .method(method)
        .uri(target)
        .header("host", format!("{host}:{}", site.port))
        .header("accept", "application/json");
    if let Some(cookies) = asking
        .cookies
        .get(route)
        .filter(|cookies| !cookies.is_empty())
    {
        request = request.header("cookie", cookies);
    }
    let answer = site
        .client()
        .send(
            &host,
            request.body(http_body_util::Full::default()).unwrap(),
        )
        .await;
    (
        answer.status,
        answer.header("x-request-id").unwrap().to_owned(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn every_principal_gets_on_every_route_exactly_what_is_written_down() {
    let upstream = Upstream::start("app").await;
    let people = [
        Person::new("staff", &["staff"]),
        Person::new("lead", &["staff", "finance-leads"]),
        Person::new("contractor", &["staff"]).contractor(),
        Person::new("auditor", &["auditors"]),
        Person::new("disabled", &["staff", "finance-leads"]),
        Person::new("half", &["staff", "finance-leads"]),
        Person::new("stranger", &["staff", "finance-leads"]).of("beta"),
    ];
    let site = plan(&upstream, &people).start().await;
    let [staff, lead, contractor, auditor, disabled, half, stranger] = &people;
    let mut asking = vec![Asking {
        name: "anonymous",
        cookies: HashMap::new(),
    }];
    for (name, person) in [
        ("staff", staff),
        ("finance-lead", lead),
        ("contractor", contractor),
        ("auditor", auditor),
        ("disabled", disabled),
        ("other-tenant", stranger),
    ] {
        asking.push(signed_in(&site, name, person).await);
    }
    asking.push(half_way(&site, half).await);
    site.command(&["user", "disable", "disabled"]).ok();

    let mut cells = Vec::new();
    for one in &asking {
        for route in ROUTES {
            for method in METHODS {
                let before = upstream.hits();
                let (status, id) = ask(&site, one, route, &method).await;
                let reached = upstream.hits() - before;
                assert_eq!(
                    reached,
                    usize::from(status == 200),
                    "{} {route} {method}: {status}",
                    one.name
                );
                cells.push((one.name, route, method, status, id));
            }
        }
    }
    let last = &cells.last().unwrap().4;
    let entries = eventually("the last entry", async || {
        let entries = site.entries();
        entries
            .iter()
            .any(|entry| entry["portcullis.request.id"] == last.as_str())
            .then_some(entries)
    })
    .await;
    let by_id: HashMap<&str, &serde_json::Value> = entries
        .iter()
        .filter_map(|entry| Some((entry["portcullis.request.id"].as_str()?, entry)))
        .collect();
    let mut table = String::from(
        "principal        route     method  status  decision  reason                policies\n",
    );
    for (name, route, method, status, id) in &cells {
        let entry = by_id[id.as_str()];
        assert_eq!(entry["http.response.status_code"], *status, "{entry}");
        let word = |key: &str| entry[key].as_str().unwrap_or("-").to_owned();
        let rules: Vec<&str> = entry["security_rule.name"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|rule| rule.as_str())
            .collect();
        let line = format!(
            "{name:<16} {route:<9} {:<7} {status}     {:<9} {:<21} {}",
            method.as_str(),
            word("portcullis.decision"),
            word("portcullis.reason"),
            rules.join(" ")
        );
        writeln!(table, "{}", line.trim_end()).unwrap();
    }
    compare(&table);
}

fn compare(table: &str) {
    let golden = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/golden/access-matrix.txt"
    );
    if std::env::var_os("PORTCULLIS_BLESS").is_some() {
        std::fs::write(golden, table).unwrap();
    }
    let known = std::fs::read_to_string(golden).unwrap_or_default();
    let changed: Vec<_> = table
        .lines()
        .filter(|line| !known.lines().any(|old| old == *line))
        .collect();
    assert_eq!(known, table, "changed: {changed:#?}");
}
