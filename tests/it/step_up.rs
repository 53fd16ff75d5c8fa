//! A fresh second factor where a policy asks for one.

use http::Method;

use crate::harness::browser::Url;
use crate::harness::{Browser, Person, Site, Upstream};

const RULE: &str = r#"
@id("danger.fresh")
@reason("Dangerous things need a code given a moment ago.")
@step_up("4s")
forbid (principal is User, action, resource is Route)
when { context.request.path like "/danger*" }
unless { context has session && context.time.now.durationSince(context.session.verified_at) <= duration("4s") };
"#;
const LONGER: std::time::Duration = std::time::Duration::from_millis(4300);

async fn site(ada: &Person, upstream: &Upstream) -> Site {
    Site::plan()
        .route("notes", upstream, r#"allow = ["everyone"]"#)
        .policy("danger.cedar", RULE)
        .person(ada)
        .start()
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_page_is_opened_by_a_fresh_code_and_by_nothing_else() {
    let upstream = Upstream::start("notes").await;
    let ada = Person::new("ada", &[]);
    let site = site(&ada, &upstream).await;
    let mut browser = Browser::new(&site);
    browser.sign_in(&site.url("notes", "/"), &ada).await;
    tokio::time::sleep(LONGER).await;

    let refused = browser.visit(&site.url("notes", "/danger/zone")).await;
    assert_eq!(refused.status(), 403, "never a redirect");
    assert_eq!(upstream.hits(), 1);
    let text = refused.text();
    let start = text
        .find(&site.portal("/confirm?"))
        .expect("a link to the confirmation");
    let link = text[start..]
        .split('"')
        .next()
        .unwrap()
        .replace("&#38;", "&")
        .replace("&amp;", "&");

    let page = browser.open(&link).await;
    assert!(
        page.text().contains("Dangerous things need a code"),
        "{}",
        page.text()
    );
    let form = page.form_with("code");
    let wrong = browser.submit(&page, &form, &[("code", "000000")]).await;
    assert_eq!(wrong.status(), 422);
    assert_eq!(
        browser
            .visit(&site.url("notes", "/danger/zone"))
            .await
            .status(),
        403
    );

    let before = browser
        .cookie("login.test", "__Host-portcullis")
        .unwrap()
        .to_owned();
    let done = browser
        .submit(
            &wrong,
            &wrong.form_with("code"),
            &[("code", &ada.fresh_code())],
        )
        .await;
    assert_ne!(
        browser.cookie("login.test", "__Host-portcullis").unwrap(),
        before
    );
    let page = browser.follow(done).await;
    assert_eq!(
        (page.status(), page.text().as_str()),
        (200, "upstream notes /danger/zone")
    );
    assert_eq!(upstream.hits(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_post_is_never_repeated_for_the_person() {
    let upstream = Upstream::start("notes").await;
    let ada = Person::new("ada", &[]);
    let site = site(&ada, &upstream).await;
    let mut browser = Browser::new(&site);
    browser.sign_in(&site.url("notes", "/"), &ada).await;
    tokio::time::sleep(LONGER).await;
    let url = Url::parse(&site.url("notes", "/danger/delete"));
    let refused = browser
        .request(Method::POST, url.clone(), Some("all=yes"), &[])
        .await;
    assert_eq!(refused.status(), 403);
    let text = refused.text();
    let start = text
        .find(&site.portal("/confirm?"))
        .expect("a link to the confirmation");
    let link = text[start..]
        .split('"')
        .next()
        .unwrap()
        .replace("&#38;", "&")
        .replace("&amp;", "&");
    let page = browser.open(&link).await;
    assert!(page.text().contains("POST /danger/delete"));
    let page = browser
        .submit(
            &page,
            &page.form_with("code"),
            &[("code", &ada.fresh_code())],
        )
        .await;
    assert_eq!(page.status(), 200);
    assert!(page.text().contains("Now repeat it in"));
    assert_eq!(upstream.hits(), 1, "only the first page was fetched");
    let repeated = browser
        .request(Method::POST, url, Some("all=yes"), &[])
        .await;
    assert_eq!(repeated.status(), 200);
    assert_eq!(
        (upstream.hits(), upstream.last().body.as_ref()),
        (2, b"all=yes".as_slice())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn new_recovery_codes_need_a_fresh_code_too() {
    let ada = Person::new("ada", &[]);
    let site = Site::plan()
        .toml("[session]\nstep_up = \"3s\"")
        .person(&ada)
        .start()
        .await;
    let mut browser = Browser::new(&site);
    browser.sign_in(&site.portal("/"), &ada).await;
    tokio::time::sleep(LONGER).await;
    let page = browser.open(&site.portal("/account/recovery-codes")).await;
    let form = page.form_to("/account/recovery-codes");
    let asked = browser.submit(&page, &form, &[]).await;
    assert!(
        asked.answer.location().starts_with("/confirm?"),
        "{}",
        asked.answer.location()
    );
    let page = browser.follow(asked).await;
    let back = browser
        .submit(
            &page,
            &page.form_with("code"),
            &[("code", &ada.fresh_code())],
        )
        .await;
    let page = browser.follow(back).await;
    assert_eq!(page.url.target, "/account/recovery-codes");
    let made = browser
        .submit(&page, &page.form_to("/account/recovery-codes"), &[])
        .await;
    let codes = browser.follow(made).await;
    assert_eq!(codes.text().matches("<li><code>").count(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_confirmation_tells_nothing_of_a_hidden_app() {
    let upstream = Upstream::start("notes").await;
    let ada = Person::new("ada", &[]);
    let rule = r#"
@id("secret.closed")
@reason("The takeover of Acme is confidential.")
forbid (principal is User, action, resource == Route::"secret");
"#;
    let site = Site::plan()
        .route("notes", &upstream, r#"allow = ["everyone"]"#)
        .route(
            "secret",
            &upstream,
            "hidden = true\nallow = [\"group:board\"]",
        )
        .policy("secret.cedar", rule)
        .person(&ada)
        .start()
        .await;
    let mut browser = Browser::new(&site);
    browser.sign_in(&site.url("notes", "/"), &ada).await;
    let address = site
        .url("secret", "/")
        .replace(':', "%3A")
        .replace('/', "%2F");
    let page = browser
        .open(&site.portal(&format!("/confirm?return_to={address}")))
        .await;
    assert!(!page.text().contains("takeover"), "{}", page.text());
}
