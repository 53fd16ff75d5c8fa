//! Every endpoint of the portal is tried by somebody without credentials and by somebody with too few.
//!
//! The rows are read from the dispatch table's source, so an endpoint that is added is tried without being asked for.

use std::collections::HashMap;
use std::path::Path;

use http::Method;

use crate::harness::browser::Url;
use crate::harness::{Browser, Page, Person, Site, Upstream};

struct Row {
    method: Method,
    place: String,
    path: String,
    who: String,
}

fn source(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The constants of `pages::paths`.
fn paths() -> HashMap<String, String> {
    source("src/pages/paths.rs")
        .lines()
        .filter_map(|line| {
            let (name, value) = line
                .strip_prefix("pub(crate) const ")?
                .split_once(": &str = \"")?;
            Some((name.to_owned(), value.strip_suffix("\";")?.to_owned()))
        })
        .collect()
}

fn rows() -> Vec<Row> {
    let (paths, text) = (paths(), source("src/portal/routes.rs"));
    let table = text
        .split("pub(super) const ROUTES")
        .nth(1)
        .unwrap()
        .split("];")
        .next()
        .unwrap();
    let rows: Vec<Row> = table
        .split("row(")
        .skip(1)
        .map(|row| {
            let words: Vec<&str> = row
                .split(')')
                .next()
                .unwrap()
                .split(',')
                .map(str::trim)
                .collect();
            Row {
                method: if words[0] == "Get" {
                    Method::GET
                } else {
                    Method::POST
                },
                place: words[1].to_owned(),
                path: paths[words[2].strip_prefix("paths::").unwrap()].clone(),
                who: words[3].to_owned(),
            }
        })
        .collect();
    assert!(rows.len() > 25, "the table was not understood");
    rows
}

/// The row's address on a host where it exists; rows that cover what lies below them get something below them.
fn address(site: &Site, row: &Row) -> String {
    let below = if row.path.ends_with('/') && row.path != "/" {
        "nothing-known"
    } else {
        ""
    };
    let path = format!("{}{below}", row.path);
    if row.place == "Apps" {
        site.url("notes", &path)
    } else {
        site.portal(&path)
    }
}

async fn ask(browser: &mut Browser, site: &Site, row: &Row, headers: &[(&str, &str)]) -> Page {
    let form = (row.method == Method::POST).then_some("csrf=forged");
    browser
        .request(
            row.method.clone(),
            Url::parse(&address(site, row)),
            form,
            headers,
        )
        .await
}

const PROGRAM: [(&str, &str); 3] = [
    ("accept", "application/json"),
    ("sec-fetch-mode", "cors"),
    ("sec-fetch-dest", "empty"),
];

async fn site(upstream: &Upstream, ada: &Person) -> Site {
    Site::plan()
        .route("notes", upstream, r#"allow = ["everyone"]"#)
        .person(ada)
        .start()
        .await
}

/// Asserts that `page` shows nothing that wants a session: sign-in is asked for, or the request is refused.
fn refused(page: &Page, row: &Row, who: &str) {
    let told = format!(
        "{who} {} {}: {} {}",
        row.method,
        row.path,
        page.status(),
        page.text()
    );
    match page.status() {
        303 => assert!(
            page.answer.location().contains("/sign-in"),
            "{told} to {}",
            page.answer.location()
        ),
        status => assert!(matches!(status, 400 | 401 | 403 | 404 | 405), "{told}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_credentials_nothing_that_wants_a_session_answers() {
    let (upstream, ada) = (
        Upstream::start("notes").await,
        Person::new("ada", &["staff"]),
    );
    let site = site(&upstream, &ada).await;
    for row in rows() {
        let page = ask(&mut Browser::new(&site), &site, &row, &[]).await;
        assert!(
            page.status() < 500,
            "{} {}: {}",
            row.method,
            row.path,
            page.status()
        );
        if row.who != "Anyone" {
            refused(&page, &row, "a stranger");
            let program = ask(&mut Browser::new(&site), &site, &row, &PROGRAM).await;
            // Nobody but a browser is ever half way; it is sent to the first step.
            let to_sign_in = row.who == "HalfWay" && program.status() == 303;
            assert!(
                to_sign_in || matches!(program.status(), 401 | 403),
                "{} {}: {}",
                row.method,
                row.path,
                program.status()
            );
        }
    }
    assert_eq!(upstream.hits(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_one_factor_nothing_that_wants_a_session_answers() {
    let (upstream, ada) = (
        Upstream::start("notes").await,
        Person::new("ada", &["staff"]),
    );
    let site = site(&upstream, &ada).await;
    for row in rows()
        .iter()
        .filter(|row| matches!(row.who.as_str(), "SignedIn" | "Fresh"))
    {
        let mut browser = Browser::new(&site);
        let page = browser.open(&site.url("notes", "/")).await;
        let half = browser
            .give_password(&page, "ada", crate::harness::people::PASSWORD)
            .await;
        assert!(half.text().contains("one-time-code"));
        refused(&ask(&mut browser, &site, row, &[]).await, row, "one factor");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_without_its_token_or_from_another_site_changes_nothing() {
    let (upstream, ada) = (
        Upstream::start("notes").await,
        Person::new("ada", &["staff"]),
    );
    let site = site(&upstream, &ada).await;
    let mut browser = Browser::new(&site);
    browser.sign_in(&site.url("notes", "/"), &ada).await;
    for row in rows().iter().filter(|row| row.method == Method::POST) {
        let forged = ask(&mut browser, &site, row, &[]).await;
        // 422 is the same page once more, with a token that fits.
        assert!(
            matches!(forged.status(), 303 | 400 | 403 | 404 | 422),
            "{}: {}",
            row.path,
            forged.status()
        );
        let elsewhere = [
            ("origin", "https://evil.example"),
            ("sec-fetch-site", "cross-site"),
        ];
        let cross = ask(&mut browser, &site, row, &elsewhere).await;
        assert!(
            matches!(cross.status(), 303 | 400 | 403 | 404),
            "{}: {}",
            row.path,
            cross.status()
        );
    }
    let still = browser.visit(&site.portal("/")).await;
    assert_eq!(still.status(), 200, "a forged form ended the session");
    assert!(
        site.entries()
            .iter()
            .all(|entry| entry["event.name"] != "sign_out"
                && entry["event.name"] != "session.revoked")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_the_portal_do_not_exist_on_app_hosts() {
    let (upstream, ada) = (
        Upstream::start("notes").await,
        Person::new("ada", &["staff"]),
    );
    let site = site(&upstream, &ada).await;
    let mut browser = Browser::new(&site);
    browser.sign_in(&site.url("notes", "/"), &ada).await;
    for row in rows()
        .iter()
        .filter(|row| row.place == "Portal" && row.method == Method::GET && row.path != "/")
    {
        let below = if row.path.ends_with('/') { "x" } else { "" };
        let page = browser
            .visit(&site.url("notes", &format!("{}{below}", row.path)))
            .await;
        let from_app = page.status() == 200 && page.text().starts_with("upstream notes ");
        assert!(
            from_app || page.status() == 404,
            "{}: {}",
            row.path,
            page.status()
        );
    }
}
