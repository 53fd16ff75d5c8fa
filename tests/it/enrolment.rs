//! From a one-use link to an account with both factors.

use crate::harness::browser::Page;
use crate::harness::people::PASSWORD;
use crate::harness::{Browser, Person, Site, Upstream};

async fn site(upstream: &Upstream) -> Site {
    Site::plan()
        .route("notes", upstream, r#"allow = ["everyone"]"#)
        .start()
        .await
}

fn link(site: &Site, args: &[&str]) -> String {
    let said = site.command(args).ok();
    said.out
        .split_whitespace()
        .find(|word| word.starts_with("https://"))
        .expect("a link")
        .to_owned()
}

fn secret_on(page: &Page) -> String {
    let text = page.text();
    let start =
        text.find("<code class=\"secret\">").expect("a secret") + "<code class=\"secret\">".len();
    text[start..].split('<').next().unwrap().to_owned()
}

/// Through the first two steps, to the page with the secret.
async fn to_the_secret(browser: &mut Browser, link: &str) -> Page {
    let page = browser.open(link).await;
    let page = browser.submit(&page, &page.form_to("/enrol/"), &[]).await;
    let page = browser.follow(page).await;
    let filled = [("password", PASSWORD), ("repeat", PASSWORD)];
    let page = browser
        .submit(&page, &page.form_with("password"), &filled)
        .await;
    browser.follow(page).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_makes_an_account_and_works_once() {
    let upstream = Upstream::start("notes").await;
    let site = site(&upstream).await;
    let link = link(
        &site,
        &["user", "add", "ana@example.com", "--title", "Ana Lima"],
    );
    let mut browser = Browser::new(&site);
    let welcome = browser.open(&link).await;
    assert!(welcome.text().contains("Welcome, Ana Lima"));
    // The account that ran the command, whatever it is called here.
    assert!(welcome.text().contains("<dt>Invited by</dt><dd>"));
    assert!(!welcome.text().contains("<dd>an administrator</dd>"));

    // Whoever reads the log must not be able to take the account over.
    let entry = site
        .entry("the visit", |entry| {
            let path = entry["url.path"].as_str();
            path.is_some_and(|path| path.starts_with("/enrol/"))
        })
        .await;
    assert_eq!(entry["url.path"], "/enrol/");

    let page = to_the_secret(&mut browser, &link).await;
    let ana = Person::with_secret("ana@example.com", &secret_on(&page));
    let page = browser
        .submit(
            &page,
            &page.form_with("code"),
            &[("code", &ana.fresh_code())],
        )
        .await;
    let codes = browser.follow(page).await;
    assert_eq!(codes.text().matches("<li><code>").count(), 10);
    let file = browser
        .open(&site.portal("/account/recovery-codes/new.txt"))
        .await;
    assert_eq!(
        file.answer.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    let code = codes
        .text()
        .split("<li><code>")
        .nth(1)
        .unwrap()
        .split('<')
        .next()
        .unwrap()
        .to_owned();
    assert!(file.text().contains(&code));

    let form = codes.form_to("/account/recovery-codes/new");
    let mut unticked = form.clone();
    unticked.fields.remove("stored");
    assert_eq!(browser.submit(&codes, &unticked, &[]).await.status(), 422);
    let done = browser.submit(&codes, &form, &[("stored", "yes")]).await;
    assert_eq!(done.answer.location(), "/");
    assert!(browser.follow(done).await.text().contains("Ana"));
    let gone = browser
        .visit(&site.portal("/account/recovery-codes/new.txt"))
        .await;
    assert_eq!(gone.status(), 404, "shown only once");
    let overview = browser.open(&site.portal("/account/recovery-codes")).await;
    assert!(overview.text().contains("These were made <time datetime="));

    let used = browser.open(&link).await;
    assert_eq!(used.status(), 410);
    // Signed in from here on like anybody else, once with a recovery code.
    assert_eq!(browser.open(&site.url("notes", "/")).await.status(), 200);
    for (attempt, expected) in [(0, 303), (1, 422)] {
        let mut other = Browser::new(&site);
        let page = other.open(&site.portal("/sign-in")).await;
        let page = other
            .give_password(&page, "ana@example.com", PASSWORD)
            .await;
        let filled = [
            ("method", "recovery-code"),
            ("recovery_code", code.as_str()),
        ];
        let page = other.submit(&page, &page.form_with("code"), &filled).await;
        assert_eq!(page.status(), expected, "attempt {attempt}");
        if expected == 303 {
            assert!(
                other
                    .follow(page)
                    .await
                    .text()
                    .contains("You have 9 recovery codes left.")
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_browser_cannot_take_an_enrolment_over() {
    let upstream = Upstream::start("notes").await;
    let site = site(&upstream).await;
    let link = link(&site, &["user", "add", "ana@example.com"]);
    let (mut browser, mut thief) = (Browser::new(&site), Browser::new(&site));
    let page = to_the_secret(&mut browser, &link).await;
    // Looking is free, as for mail scanners; beginning is not.
    let seen = thief.open(&link).await;
    assert_eq!(seen.status(), 200);
    let refused = thief.submit(&seen, &seen.form_to("/enrol/"), &[]).await;
    assert_eq!(refused.status(), 410);
    assert!(refused.text().contains("open in another browser"));
    assert_eq!(
        thief
            .visit(&site.portal("/enrol/second-factor"))
            .await
            .status(),
        410
    );
    let ana = Person::with_secret("ana@example.com", &secret_on(&page));
    let done = browser
        .submit(
            &page,
            &page.form_with("code"),
            &[("code", &ana.fresh_code())],
        )
        .await;
    assert_eq!(done.status(), 303);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_in_force_before_a_code_fits() {
    let upstream = Upstream::start("notes").await;
    let site = site(&upstream).await;
    let link = link(&site, &["user", "add", "ana@example.com"]);
    let mut browser = Browser::new(&site);
    let page = to_the_secret(&mut browser, &link).await;
    let wrong = browser
        .submit(&page, &page.form_with("code"), &[("code", "000000")])
        .await;
    assert_eq!(wrong.status(), 422);
    assert_eq!(secret_on(&wrong), secret_on(&page));
    assert!(browser.cookie("login.test", "__Host-portcullis").is_none());
    let mut other = Browser::new(&site);
    let page = other.open(&site.portal("/sign-in")).await;
    let page = other
        .give_password(&page, "ana@example.com", PASSWORD)
        .await;
    assert!(page.text().contains("That name and password do not match."));
    assert_eq!(upstream.hits(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn poor_passwords_are_refused_with_a_reason() {
    let upstream = Upstream::start("notes").await;
    let site = site(&upstream).await;
    let link = link(&site, &["user", "add", "ana@example.com"]);
    let mut browser = Browser::new(&site);
    let page = browser.open(&link).await;
    let page = browser.submit(&page, &page.form_to("/enrol/"), &[]).await;
    let page = browser.follow(page).await;
    for (password, repeat, said) in [
        ("short", "short", "at least 12 characters"),
        (PASSWORD, "something else", "The two passwords differ."),
        ("", "", "Enter your password."),
    ] {
        let filled = [("password", password), ("repeat", repeat)];
        let page = browser
            .submit(&page, &page.form_with("password"), &filled)
            .await;
        assert_eq!(page.status(), 422, "{said}");
        assert!(page.text().contains(said), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn links_that_never_were_look_like_used_ones() {
    let upstream = Upstream::start("notes").await;
    let site = site(&upstream).await;
    let mut browser = Browser::new(&site);
    for token in ["x".to_owned(), "A".repeat(43), "..%41".to_owned()] {
        let page = browser
            .visit(&site.portal(&format!("/enrol/{token}")))
            .await;
        assert!(
            matches!(page.status(), 410 | 400),
            "{token}: {}",
            page.status()
        );
    }
    assert_eq!(
        browser
            .visit(&site.portal("/enrol/password"))
            .await
            .status(),
        410
    );
}
