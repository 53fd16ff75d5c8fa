//! The main job, end to end: sign in with two factors, be judged, be carried, be recorded.

use crate::harness::{Browser, Person, Site, Upstream};

#[tokio::test(flavor = "multi_thread")]
async fn a_person_signs_in_opens_an_app_and_the_log_proves_it() {
    let upstream = Upstream::start("notes").await;
    let ada = Person::new("ada", &["staff"]);
    let mut site = Site::plan()
        .route("notes", &upstream, r#"allow = ["group:staff"]"#)
        .person(&ada)
        .start()
        .await;

    let mut browser = Browser::new(&site);
    let page = browser.sign_in(&site.url("notes", "/first"), &ada).await;
    assert_eq!(
        (page.status(), page.text().as_str()),
        (200, "upstream notes /first")
    );
    assert_eq!(page.url.host, "notes.test");
    assert_eq!(upstream.last().method, "GET");

    let request_id = page.answer.header("x-request-id").unwrap().to_owned();
    let entry = site
        .entry("the request", |entry| {
            entry["portcullis.request.id"] == request_id.as_str()
        })
        .await;
    assert_eq!(entry["event.name"], "http.request");
    assert_eq!(entry["portcullis.decision"], "allow");
    assert_eq!(entry["http.route"], "notes");
    assert_eq!(entry["user.email"], "ada@example.com");
    assert_eq!(entry["security_rule.name"][0], "route.notes.allow");
    assert_eq!(entry["http.response.status_code"], 200);

    assert_eq!(site.stop().await, 0);
    let said = site.command(&["audit", "verify"]).ok();
    assert!(said.out.contains("VERIFIED"), "{}", said.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_without_a_permit_is_refused_and_nothing_reaches_the_app() {
    let upstream = Upstream::start("payroll").await;
    let bob = Person::new("bob", &["staff"]);
    let site = Site::plan()
        .route("payroll", &upstream, r#"allow = ["group:finance"]"#)
        .person(&bob)
        .start()
        .await;

    let mut browser = Browser::new(&site);
    let page = browser
        .sign_in(&site.url("payroll", "/salaries"), &bob)
        .await;
    assert_eq!(page.status(), 403);
    let request_id = page.answer.header("x-request-id").unwrap().to_owned();
    assert!(
        page.text().contains(&request_id),
        "the page names the request"
    );
    assert_eq!(upstream.hits(), 0);

    let entry = site
        .entry("the refusal", |entry| {
            entry["portcullis.request.id"] == request_id.as_str()
        })
        .await;
    assert_eq!(entry["portcullis.decision"], "deny");
    assert_eq!(entry["portcullis.reason"], "no-permit");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_is_sent_to_sign_in_and_a_program_is_told_401() {
    let upstream = Upstream::start("notes").await;
    let site = Site::plan()
        .route("notes", &upstream, r#"allow = ["everyone"]"#)
        .start()
        .await;

    let mut browser = Browser::new(&site);
    let page = browser.visit(&site.url("notes", "/")).await;
    assert_eq!(page.status(), 303);
    assert!(
        browser
            .open(&site.url("notes", "/"))
            .await
            .text()
            .contains("autocomplete=\"current-password\"")
    );

    let request = http::Request::get("/api")
        .header("host", format!("notes.test:{}", site.port))
        .header("accept", "application/json");
    let answer = site
        .client()
        .send(
            "notes.test",
            request.body(http_body_util::Full::default()).unwrap(),
        )
        .await;
    assert_eq!(answer.status, 401);
    assert_eq!(
        answer.header("content-type"),
        Some("application/problem+json")
    );
    assert_eq!(answer.json()["reason"], "sign-in-required");
    assert_eq!(upstream.hits(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_factor_opens_nothing() {
    let upstream = Upstream::start("notes").await;
    let eve = Person::new("eve", &["staff"]);
    let site = Site::plan()
        .route("notes", &upstream, r#"allow = ["everyone"]"#)
        .person(&eve)
        .start()
        .await;

    let mut browser = Browser::new(&site);
    let page = browser.open(&site.url("notes", "/")).await;
    let second = browser
        .give_password(&page, "eve", crate::harness::people::PASSWORD)
        .await;
    assert!(
        second.text().contains("autocomplete=\"one-time-code\""),
        "{}",
        second.text()
    );

    assert_eq!(browser.visit(&site.url("notes", "/")).await.status(), 303);
    assert_eq!(browser.visit(&site.portal("/")).await.status(), 303);
    assert_eq!(upstream.hits(), 0);
}
