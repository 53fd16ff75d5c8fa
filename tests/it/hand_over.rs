//! From the portal to an app's host: a code opens one host, once, in the browser that asked.

use crate::harness::browser::Page;
use crate::harness::people::PASSWORD;
use crate::harness::{Browser, Person, Site, Upstream};

async fn site(ada: &Person, notes: &Upstream, billing: &Upstream) -> Site {
    Site::plan()
        .route("notes", notes, r#"allow = ["everyone"]"#)
        .route("billing", billing, r#"allow = ["everyone"]"#)
        .person(ada)
        .start()
        .await
}

/// Signs in and stops before the app's host takes the code.
async fn up_to_the_code(browser: &mut Browser, site: &Site, ada: &Person, path: &str) -> Page {
    let page = browser.open(&site.url("notes", path)).await;
    let page = browser.give_password(&page, "ada", PASSWORD).await;
    let form = page.form_with("code");
    let page = browser
        .submit(&page, &form, &[("code", &ada.fresh_code())])
        .await;
    assert_eq!(page.status(), 303);
    page
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_works_once_and_leads_to_the_page_that_was_wanted() {
    let (notes, billing) = (
        Upstream::start("notes").await,
        Upstream::start("billing").await,
    );
    let ada = Person::new("ada", &[]);
    let site = site(&ada, &notes, &billing).await;
    let mut browser = Browser::new(&site);
    let page = up_to_the_code(&mut browser, &site, &ada, "/deep/page?x=1&y=%20").await;
    let callback = page.answer.location().to_owned();
    assert!(
        callback.starts_with(&site.url("notes", "/.portcullis/callback?code=")),
        "{callback}"
    );
    let flow = browser
        .cookie("notes.test", "__Host-portcullis-flow")
        .unwrap()
        .to_owned();

    let arrived = browser.visit(&callback).await;
    assert_eq!(
        arrived.answer.location(),
        site.url("notes", "/deep/page?x=1&y=%20")
    );
    let page = browser.follow(arrived).await;
    assert_eq!(
        (page.status(), page.text().as_str()),
        (200, "upstream notes /deep/page")
    );
    assert!(
        browser
            .cookie("notes.test", "__Host-portcullis-flow")
            .is_none()
    );

    let mut thief = Browser::new(&site);
    thief.set_cookie("notes.test", "__Host-portcullis-flow", &flow);
    let again = thief.visit(&callback).await;
    assert_eq!(again.status(), 403);
    assert!(thief.cookie("notes.test", "__Host-portcullis").is_none());
    assert_eq!(notes.hits(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_worth_nothing_in_another_browser() {
    let (notes, billing) = (
        Upstream::start("notes").await,
        Upstream::start("billing").await,
    );
    let ada = Person::new("ada", &[]);
    let site = site(&ada, &notes, &billing).await;
    let mut browser = Browser::new(&site);
    let callback = up_to_the_code(&mut browser, &site, &ada, "/")
        .await
        .answer
        .location()
        .to_owned();

    let mut thief = Browser::new(&site);
    thief.visit(&site.url("notes", "/")).await;
    let refused = thief.visit(&callback).await;
    assert_eq!(refused.status(), 403);
    assert!(thief.cookie("notes.test", "__Host-portcullis").is_none());
    // A code that was shown to somebody else is used up.
    assert_eq!(browser.visit(&callback).await.status(), 403);
    assert_eq!(notes.hits(), 0);
    // The portal's session is as it was, so the next try goes through without a question.
    let page = browser.open(&site.url("notes", "/")).await;
    assert_eq!((page.status(), notes.hits()), (200, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_worth_nothing_on_another_host() {
    let (notes, billing) = (
        Upstream::start("notes").await,
        Upstream::start("billing").await,
    );
    let ada = Person::new("ada", &[]);
    let site = site(&ada, &notes, &billing).await;
    let mut browser = Browser::new(&site);
    let callback = up_to_the_code(&mut browser, &site, &ada, "/")
        .await
        .answer
        .location()
        .to_owned();
    let flow = browser
        .cookie("notes.test", "__Host-portcullis-flow")
        .unwrap()
        .to_owned();
    browser.set_cookie("billing.test", "__Host-portcullis-flow", &flow);
    let elsewhere = callback.replace("notes.test", "billing.test");
    assert_eq!(browser.visit(&elsewhere).await.status(), 403);
    assert!(
        browser
            .cookie("billing.test", "__Host-portcullis")
            .is_none()
    );
    assert_eq!(billing.hits(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cookie_of_one_host_opens_no_other() {
    let (notes, billing) = (
        Upstream::start("notes").await,
        Upstream::start("billing").await,
    );
    let ada = Person::new("ada", &[]);
    let site = site(&ada, &notes, &billing).await;
    let mut browser = Browser::new(&site);
    browser.sign_in(&site.url("notes", "/"), &ada).await;
    let stolen = browser
        .cookie("notes.test", "__Host-portcullis")
        .unwrap()
        .to_owned();
    let mut thief = Browser::new(&site);
    for host in ["billing.test", "login.test"] {
        thief.set_cookie(host, "__Host-portcullis", &stolen);
    }
    assert_eq!(thief.visit(&site.url("billing", "/")).await.status(), 303);
    assert_eq!(thief.visit(&site.portal("/")).await.status(), 303);
    assert_eq!(billing.hits(), 0);
    // The owner needs no second sign-in for the other app.
    let page = browser.open(&site.url("billing", "/")).await;
    assert_eq!((page.status(), billing.hits()), (200, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_loses_the_flow_cookie_is_told_so() {
    let (notes, billing) = (
        Upstream::start("notes").await,
        Upstream::start("billing").await,
    );
    let ada = Person::new("ada", &[]);
    let site = site(&ada, &notes, &billing).await;
    let mut browser = Browser::new(&site);
    let callback = up_to_the_code(&mut browser, &site, &ada, "/")
        .await
        .answer
        .location()
        .to_owned();
    browser.forget_cookies();
    let page = browser.visit(&callback).await;
    assert_eq!(page.status(), 403);
    assert!(page.text().contains("Your browser did not keep our cookie"));
    assert!(page.text().contains("notes.test"));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_tabs_may_sign_in_at_once() {
    let (notes, billing) = (
        Upstream::start("notes").await,
        Upstream::start("billing").await,
    );
    let ada = Person::new("ada", &[]);
    let site = site(&ada, &notes, &billing).await;
    let mut browser = Browser::new(&site);
    let first = browser.open(&site.url("notes", "/one")).await;
    let second = browser.open(&site.url("notes", "/two")).await;
    let page = browser.give_password(&second, "ada", PASSWORD).await;
    let form = page.form_with("code");
    let page = browser
        .submit(&page, &form, &[("code", &ada.fresh_code())])
        .await;
    assert_eq!(browser.follow(page).await.text(), "upstream notes /two");
    let reloaded = browser
        .open(&format!(
            "https://{}{}",
            first.url.authority, first.url.target
        ))
        .await;
    assert_eq!(reloaded.status(), 200);
    assert_eq!(reloaded.url.host, "notes.test");
}
