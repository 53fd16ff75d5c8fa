//! Signing in on the portal: what is told, what is counted, where one may be sent afterwards.

use crate::harness::browser::{Page, Url};
use crate::harness::people::PASSWORD;
use crate::harness::{Browser, Person, Site, Upstream};
use http::Method;

async fn site_with(person: &Person) -> Site {
    Site::plan().person(person).start().await
}

/// The page without what differs from page to page by nature.
fn essence(page: &Page, name: &str) -> String {
    let csrf = page.form_with("password").fields["csrf"].clone();
    page.text().replace(&csrf, "TOKEN").replace(name, "NAME")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_name_and_a_wrong_password_get_one_answer() {
    let ada = Person::new("ada", &[]);
    let site = site_with(&ada).await;
    let mut answers = Vec::new();
    for name in ["ada", "zoe"] {
        let mut browser = Browser::new(&site);
        let page = browser.open(&site.portal("/sign-in")).await;
        let page = browser.give_password(&page, name, "not the password").await;
        assert_eq!(page.status(), 422);
        assert!(page.text().contains("That name and password do not match."));
        assert!(
            browser
                .cookie("login.test", "__Host-portcullis-signin")
                .is_none()
        );
        let mut headers: Vec<String> = page
            .answer
            .headers
            .keys()
            .map(ToString::to_string)
            .collect();
        headers.sort();
        answers.push((essence(&page, name), headers));
    }
    assert_eq!(answers[0], answers[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_from_elsewhere_is_refused_before_anything_is_judged() {
    let ada = Person::new("ada", &[]);
    let site = site_with(&ada).await;
    let mut browser = Browser::new(&site);
    let page = browser.open(&site.portal("/sign-in")).await;
    let csrf = page.form_with("password").fields["csrf"].clone();
    let url = Url::parse(&site.portal("/sign-in"));
    let form = format!(
        "csrf={csrf}&name=ada&password={}",
        PASSWORD.replace(' ', "+")
    );
    for headers in [
        &[
            ("origin", "https://evil.example"),
            ("sec-fetch-site", "cross-site"),
        ][..],
        &[("origin", "https://evil.example")],
        &[("origin", "null"), ("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
    ] {
        let answer = browser
            .request(Method::POST, url.clone(), Some(&form), headers)
            .await;
        assert_eq!(answer.status(), 403, "{headers:?}");
        assert!(answer.text().contains("did not come from here"));
    }
    let same = browser.request(Method::POST, url, Some(&form), &[]).await;
    assert_eq!(same.status(), 303);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_form_is_shown_again_and_keeps_what_was_typed() {
    let ada = Person::new("ada", &[]);
    let site = site_with(&ada).await;
    let mut browser = Browser::new(&site);
    let page = browser.open(&site.portal("/sign-in")).await;
    let form = page.form_with("password");
    let filled = [("csrf", "AAAA"), ("name", "ada"), ("password", PASSWORD)];
    let again = browser.submit(&page, &form, &filled).await;
    assert_eq!(again.status(), 422);
    assert!(again.text().contains("open for too long"));
    assert_eq!(again.form_with("password").fields["name"], "ada");
    let second = browser.give_password(&again, "ada", PASSWORD).await;
    assert!(second.text().contains("one-time-code"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_keeps_no_cookies_is_told_so() {
    let ada = Person::new("ada", &[]);
    let site = site_with(&ada).await;
    let mut browser = Browser::new(&site);
    let page = browser.open(&site.portal("/sign-in")).await;
    browser.forget_cookies();
    let page = browser.give_password(&page, "ada", PASSWORD).await;
    assert_eq!(page.status(), 403);
    assert!(page.text().contains("Your browser did not keep our cookie"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_sent_anywhere_but_to_a_host_of_ours() {
    let upstream = Upstream::start("notes").await;
    let ada = Person::new("ada", &[]);
    let site = Site::plan()
        .route("notes", &upstream, r#"allow = ["everyone"]"#)
        .person(&ada)
        .start()
        .await;
    let mut browser = Browser::new(&site);
    browser.sign_in(&site.portal("/"), &ada).await;
    for hostile in [
        "https://evil.example/".to_owned(),
        "//evil.example/".to_owned(),
        "/\\evil.example".to_owned(),
        format!("https://notes.test.evil.example:{}/", site.port),
        format!("https://notes.test:{}@evil.example/", site.port),
        "https://notes.test:1/".to_owned(),
        format!("http://notes.test:{}/", site.port),
        "javascript:alert(1)".to_owned(),
        site.url("notes", "/.portcullis/callback"),
    ] {
        let query = crate::harness::browser::urlencode(&hostile);
        let page = browser
            .visit(&site.portal(&format!("/sign-in?return_to={query}")))
            .await;
        assert_eq!(
            (page.status(), page.answer.location()),
            (303, "/"),
            "{hostile}"
        );
    }
    let good = site.url("notes", "/a?b=c");
    let query = crate::harness::browser::urlencode(&good);
    let page = browser
        .visit(&site.portal(&format!("/sign-in?return_to={query}")))
        .await;
    assert_eq!(page.answer.location(), good);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_works_once() {
    let ada = Person::new("ada", &[]);
    let site = site_with(&ada).await;
    let code = ada.fresh_code();
    let mut pages = Vec::new();
    for _ in 0..2 {
        let mut browser = Browser::new(&site);
        let page = browser.open(&site.portal("/sign-in")).await;
        let page = browser.give_password(&page, "ada", PASSWORD).await;
        let form = page.form_with("code");
        pages.push(browser.submit(&page, &form, &[("code", &code)]).await);
    }
    assert_eq!(pages[0].status(), 303);
    assert_eq!(pages[1].status(), 422);
    assert!(pages[1].text().contains("That code was used already"));
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_from_one_address_are_counted() {
    let ada = Person::new("ada", &[]);
    let site = Site::plan()
        .auth("attempt_rate = \"3/1m\"")
        .person(&ada)
        .start()
        .await;
    let mut browser = Browser::new(&site);
    let page = browser.open(&site.portal("/sign-in")).await;
    for _ in 0..3 {
        assert_eq!(
            browser.give_password(&page, "zoe", "wrong").await.status(),
            422
        );
    }
    let refused = browser.give_password(&page, "ada", PASSWORD).await;
    assert_eq!(refused.status(), 429);
    let wait: u64 = refused
        .answer
        .header("retry-after")
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_step_of_a_sign_in_is_in_the_log() {
    let ada = Person::new("ada", &[]);
    let site = site_with(&ada).await;
    let mut browser = Browser::new(&site);
    let page = browser.open(&site.portal("/sign-in")).await;
    browser
        .give_password(&page, "ada", "not the password")
        .await;
    browser.sign_in(&site.portal("/"), &ada).await;
    for (name, factor) in [
        ("sign_in.failed", "password"),
        ("sign_in.succeeded", ""),
        ("session.created", ""),
    ] {
        let entry = site.entry(name, |entry| entry["event.name"] == name).await;
        assert_eq!(entry["user.email"], "ada@example.com", "{name}");
        assert_eq!(entry["client.address"], "127.0.0.1", "{name}");
        if !factor.is_empty() {
            assert_eq!(entry["portcullis.factor"], factor);
        }
    }
    let text = serde_json::to_string(&site.entries()).unwrap();
    assert!(!text.contains(PASSWORD) && !text.contains("not the password"));
}
