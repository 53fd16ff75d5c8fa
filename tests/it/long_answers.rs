//! An answer that takes long is sent as long as its permission holds, and not to its end when that is gone.

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use rustix::process::Signal;

use crate::harness::client::{content, request, request_h2};
use crate::harness::{Browser, Person, Site, Upstream};

const STAFF: &str = r#"allow = ["group:staff"]"#;

/// An answer of which `first` has arrived and `last` waits for its release; `http2` chooses the version.
async fn begin(
    site: &Site,
    host: &str,
    path: &str,
    browser: Option<&Browser>,
    http2: bool,
) -> Incoming {
    let name = format!("{host}.test");
    let asked = if http2 { request_h2 } else { request }(site, "GET", host, path);
    let asked = match browser {
        Some(browser) => asked.header("cookie", browser.cookie_header(&name)),
        None => asked,
    };
    let asked = asked.body(content("")).unwrap();
    let response = if http2 {
        site.client().h2(&name).await.send_request(asked).await
    } else {
        site.client().h1(&name).await.send_request(asked).await
    };
    let response = response.unwrap();
    assert_eq!(response.status(), 200);
    let mut body = response.into_body();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert!(!first.is_empty());
    body
}

/// Reads on; `true` when the answer came to its regular end.
async fn ends_well(mut body: Incoming) -> bool {
    while let Some(frame) = body.frame().await {
        if frame.is_err() {
            return false;
        }
    }
    true
}

/// Why the answer to a request on a route ended, from its entry.
async fn why(site: &Site, route: &str, path: &str) -> String {
    let entry = site
        .entry("the answer's entry", |entry| {
            entry["event.name"] == "http.request"
                && entry["http.route"] == route
                && entry["url.path"] == path
        })
        .await;
    entry["portcullis.reason"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_answer_is_cut_off_when_its_person_leaves_the_group() {
    let upstream = Upstream::start("app").await;
    let (ada, kim) = (
        Person::new("ada", &["staff"]),
        Person::new("kim", &["staff"]),
    );
    let site = Site::plan()
        .route("app", &upstream, STAFF)
        .person(&ada)
        .person(&kim)
        .start()
        .await;
    let (mut first, mut second) = (Browser::new(&site), Browser::new(&site));
    first.sign_in(&site.url("app", "/"), &ada).await;
    second.sign_in(&site.url("app", "/"), &kim).await;
    let old = begin(&site, "app", "/1/gated", Some(&first), false).await;
    let new = begin(&site, "app", "/2/gated", Some(&first), true).await;
    let his = begin(&site, "app", "/3/gated", Some(&second), true).await;
    site.command(&["user", "group", "remove", "staff", "ada@example.com"])
        .ok();
    assert!(!ends_well(old).await);
    assert!(!ends_well(new).await);
    for path in ["/1/gated", "/2/gated"] {
        assert_eq!(why(&site, "app", path).await, "no-permit", "{path}");
    }
    upstream.release();
    assert!(ends_well(his).await);
    assert_eq!(why(&site, "app", "/3/gated").await, "permitted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flowing_answer_is_cut_off_by_a_reload_that_takes_its_permission_or_its_route() {
    let upstream = Upstream::start("app").await;
    let ada = Person::new("ada", &["staff"]);
    let mut site = Site::plan()
        .route("app", &upstream, STAFF)
        .route("open", &upstream, "public = true")
        .route("gone", &upstream, "public = true")
        .route("free", &upstream, "public = true")
        .person(&ada)
        .start()
        .await;
    let mut browser = Browser::new(&site);
    browser.sign_in(&site.url("app", "/"), &ada).await;
    let app = begin(&site, "app", "/flood", Some(&browser), false).await;
    let closing = begin(&site, "open", "/flood", None, true).await;
    let gone = begin(&site, "gone", "/gated", None, false).await;
    let free = begin(&site, "free", "/gated", None, false).await;
    // The endless ones are read on, as fast as they come.
    let app = tokio::spawn(ends_well(app));
    let closing = tokio::spawn(ends_well(closing));
    site.edit_config(|text| {
        let (before, after) = text.split_once("[route.app]").unwrap();
        let after = after
            .replacen(STAFF, r#"allow = ["group:finance"]"#, 1)
            .replacen("public = true", r#"allow = ["everyone"]"#, 1)
            .replace("gone.test", "elsewhere.test");
        format!("{before}[route.app]{after}")
    });
    site.signal(Signal::HUP);
    assert!(!app.await.unwrap());
    assert!(!closing.await.unwrap());
    assert!(!ends_well(gone).await);
    for (route, path, reason) in [
        ("app", "/flood", "no-permit"),
        ("open", "/flood", "sign-in-required"),
        ("gone", "/gated", "no-route"),
    ] {
        assert_eq!(why(&site, route, path).await, reason, "{route}");
    }
    upstream.release();
    upstream.release();
    assert!(ends_well(free).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_ends_with_its_session_and_the_entry_says_so() {
    let upstream = Upstream::start("app").await;
    let ada = Person::new("ada", &["staff"]);
    let brief = format!("{STAFF}\nsession = {{ lifetime = \"4s\" }}");
    let site = Site::plan()
        .route("app", &upstream, &brief)
        .route("twin", &upstream, STAFF)
        .person(&ada)
        .start()
        .await;
    let mut browser = Browser::new(&site);
    browser.sign_in(&site.url("app", "/"), &ada).await;
    browser.open(&site.url("twin", "/")).await;
    let app = begin(&site, "app", "/gated", Some(&browser), false).await;
    let twin = begin(&site, "twin", "/gated", Some(&browser), false).await;
    assert!(!ends_well(app).await);
    assert_eq!(why(&site, "app", "/gated").await, "session-ended");
    site.command(&["session", "revoke", "--user", "ada@example.com", "--yes"])
        .ok();
    assert!(!ends_well(twin).await);
    assert_eq!(why(&site, "twin", "/gated").await, "session-ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_ends_with_its_permission_before_there_is_an_answer() {
    let upstream = Upstream::start("app").await;
    let mut site = Site::plan()
        .route("open", &upstream, "public = true")
        .route("free", &upstream, "public = true")
        .start()
        .await;
    let begin = |route: &str| {
        format!(
            "POST /echo HTTP/1.1\r\nHost: {route}.test:{}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
            site.port
        )
    };
    let mut open = site.client().wire("open.test").await;
    let mut free = site.client().wire("free.test").await;
    open.send(begin("open")).await;
    free.send(begin("free")).await;
    site.edit_config(|text| text.replacen("public = true", r#"allow = ["everyone"]"#, 1));
    site.signal(Signal::HUP);
    assert_eq!(open.head().await.status, 404);
    assert_eq!(why(&site, "open", "/echo").await, "sign-in-required");
    free.send("0\r\n\r\n").await;
    assert_eq!(free.answer().await.status, 200);
}
