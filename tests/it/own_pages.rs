//! What is true of all our own pages: headers, methods, caching, and that they are ours alone.

use http::Method;

use crate::harness::browser::Url;
use crate::harness::{Browser, Person, Site, Upstream};

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_closed_to_scripts_frames_and_caches() {
    let site = Site::plan().start().await;
    let mut browser = Browser::new(&site);
    for path in ["/sign-in", "/no-such-page", "/signed-out"] {
        let page = browser.visit(&site.portal(path)).await;
        let header = |name| page.answer.header(name).unwrap_or_default().to_owned();
        assert!(
            header("content-security-policy").starts_with("default-src 'none'"),
            "{path}"
        );
        assert!(
            !header("content-security-policy").contains("unsafe"),
            "{path}"
        );
        assert_eq!(header("cache-control"), "no-store", "{path}");
        assert_eq!(header("x-frame-options"), "DENY", "{path}");
        assert_eq!(header("referrer-policy"), "no-referrer", "{path}");
        assert!(
            header("strict-transport-security").contains("max-age=63072000"),
            "{path}"
        );
        assert_eq!(header("server"), "", "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn methods_and_unknown_paths_get_their_own_status() {
    let site = Site::plan().start().await;
    let mut browser = Browser::new(&site);
    let url = |path: &str| Url::parse(&site.portal(path));
    let head = browser
        .request(Method::HEAD, url("/sign-in"), None, &[])
        .await;
    assert_eq!((head.status(), head.answer.body.len()), (200, 0));
    let delete = browser
        .request(Method::DELETE, url("/sign-in"), None, &[])
        .await;
    assert_eq!(
        (delete.status(), delete.answer.header("allow")),
        (405, Some("GET, HEAD, POST"))
    );
    let missing = browser
        .request(Method::GET, url("/no-such-page"), None, &[])
        .await;
    assert_eq!(missing.status(), 404);
    let program = [("accept", "application/json"), ("sec-fetch-mode", "cors")];
    let closed = browser
        .request(Method::GET, url("/account/sessions"), None, &program)
        .await;
    assert_eq!(
        (closed.status(), closed.answer.header("content-type")),
        (401, Some("application/problem+json"))
    );
    let person = browser
        .request(Method::GET, url("/account/sessions"), None, &[])
        .await;
    assert_eq!(person.status(), 303);
    assert!(person.answer.location().starts_with("/sign-in?return_to="));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keys_that_verify_assertions_are_public_on_every_host() {
    let upstream = Upstream::start("notes").await;
    let site = Site::plan()
        .route("notes", &upstream, r#"allow = ["everyone"]"#)
        .start()
        .await;
    let mut browser = Browser::new(&site);
    for base in [site.portal(""), site.url("notes", "")] {
        let page = browser
            .visit(&format!("{base}/.well-known/portcullis/jwks.json"))
            .await;
        assert_eq!(
            page.answer.header("cache-control"),
            Some("public, max-age=300")
        );
        let keys = page.answer.json();
        assert_eq!(keys["keys"][0]["crv"], "P-256");
        assert!(keys["keys"][0]["d"].is_null(), "a private key");
        let page = browser
            .visit(&format!("{base}/.well-known/portcullis/configuration"))
            .await;
        assert_eq!(page.answer.json()["issuer"], site.portal(""));
        let lost = browser
            .visit(&format!("{base}/.well-known/portcullis/other"))
            .await;
        assert_eq!(lost.status(), 404);
    }
    assert_eq!(upstream.hits(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn style_sheets_are_kept_for_ever_and_served_on_every_host() {
    let upstream = Upstream::start("notes").await;
    let site = Site::plan()
        .route("notes", &upstream, r#"allow = ["everyone"]"#)
        .start()
        .await;
    let mut browser = Browser::new(&site);
    let text = browser.open(&site.portal("/sign-in")).await.text();
    let start = text.find("/.portcullis/assets/").unwrap();
    let path = text[start..].split('"').next().unwrap();
    for base in [site.portal(""), site.url("notes", "")] {
        let sheet = browser.visit(&format!("{base}{path}")).await;
        assert_eq!(
            (sheet.status(), sheet.answer.header("content-type")),
            (200, Some("text/css; charset=utf-8"))
        );
        assert!(
            sheet
                .answer
                .header("cache-control")
                .unwrap()
                .contains("immutable")
        );
    }
    assert_eq!(upstream.hits(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn colours_are_chosen_without_script() {
    let site = Site::plan().person(&Person::new("ada", &[])).start().await;
    let mut browser = Browser::new(&site);
    let page = browser.open(&site.portal("/sign-in?return_to=x")).await;
    let form = page.form_with("theme");
    let back = browser.submit(&page, &form, &[("theme", "dark")]).await;
    assert_eq!(
        (back.status(), back.answer.location()),
        (303, "/sign-in?return_to=x")
    );
    assert!(
        browser
            .open(&site.portal("/sign-in"))
            .await
            .text()
            .contains("data-theme=\"dark\"")
    );
    let away = browser
        .submit(
            &page,
            &form,
            &[("theme", "light"), ("return_to", "//evil.example")],
        )
        .await;
    assert_eq!(away.answer.location(), "/");
}
