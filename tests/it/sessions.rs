//! A person's sessions: listed, ended one by one or all at once, on the very next request and on every host.

use crate::harness::{Browser, Person, Site, Upstream};

async fn site(ada: &Person, notes: &Upstream) -> Site {
    Site::plan()
        .route("notes", notes, r#"allow = ["everyone"]"#)
        .person(ada)
        .start()
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_out_closes_every_app_at_once() {
    let notes = Upstream::start("notes").await;
    let ada = Person::new("ada", &[]);
    let site = site(&ada, &notes).await;
    let mut browser = Browser::new(&site);
    browser.sign_in(&site.url("notes", "/"), &ada).await;
    assert_eq!(browser.visit(&site.url("notes", "/")).await.status(), 200);
    let hits = notes.hits();

    // A link asks first, wherever it stands.
    let asked = browser
        .open(&site.url("notes", "/.portcullis/sign-out"))
        .await;
    assert!(asked.text().contains("Sign out?"));
    assert_eq!(browser.visit(&site.portal("/")).await.status(), 200);

    let form = asked.form_to("/sign-out");
    let page = browser.submit(&asked, &form, &[]).await;
    assert_eq!(page.answer.location(), "/signed-out");
    assert!(browser.cookie("login.test", "__Host-portcullis").is_none());
    assert!(
        browser
            .follow(page)
            .await
            .text()
            .contains("You are signed out")
    );
    // The app's host still has its cookie, which opens nothing now.
    assert!(browser.cookie("notes.test", "__Host-portcullis").is_some());
    assert_eq!(browser.visit(&site.url("notes", "/")).await.status(), 303);
    assert_eq!(notes.hits(), hits);
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_out_needs_the_pages_own_token() {
    let notes = Upstream::start("notes").await;
    let ada = Person::new("ada", &[]);
    let site = site(&ada, &notes).await;
    let mut browser = Browser::new(&site);
    let page = browser.sign_in(&site.portal("/"), &ada).await;
    let form = page.form_to("/sign-out");
    for token in ["", "AAAA"] {
        let refused = browser.submit(&page, &form, &[("csrf", token)]).await;
        assert_eq!(refused.status(), 403, "{token}");
    }
    assert_eq!(browser.visit(&site.portal("/")).await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_on_another_device_is_ended_from_the_list() {
    let notes = Upstream::start("notes").await;
    let (ada, kim) = (Person::new("ada", &[]), Person::new("kim", &[]));
    let site = Site::plan()
        .route("notes", &notes, r#"allow = ["everyone"]"#)
        .person(&ada)
        .person(&kim)
        .start()
        .await;
    let (mut laptop, mut phone, mut other) = (
        Browser::new(&site),
        Browser::new(&site),
        Browser::new(&site),
    );
    phone.sign_in(&site.url("notes", "/"), &ada).await;
    laptop.sign_in(&site.portal("/"), &ada).await;
    other.sign_in(&site.portal("/"), &kim).await;

    let page = laptop.open(&site.portal("/account/sessions")).await;
    assert_eq!(page.text().matches("name=\"session\"").count(), 2);
    assert_eq!(
        page.text().matches("this one").count(),
        3,
        "the badge, and the sentences below"
    );
    // The present one stands first, so the other is the last.
    let id = page
        .text()
        .rsplit("name=\"session\" value=\"")
        .next()
        .unwrap()
        .split('"')
        .next()
        .unwrap()
        .to_owned();

    // Kim cannot end what is Ada's, whatever id is sent.
    let kims = other.open(&site.portal("/account/sessions")).await;
    let form = kims.form_with("session");
    let page_of_kim = other.submit(&kims, &form, &[("session", &id)]).await;
    assert!(
        other
            .follow(page_of_kim)
            .await
            .text()
            .contains("had ended before")
    );
    assert_eq!(phone.visit(&site.url("notes", "/")).await.status(), 200);

    let form = page.form_with("session");
    let done = laptop.submit(&page, &form, &[("session", &id)]).await;
    assert!(
        laptop
            .follow(done)
            .await
            .text()
            .contains("That session is ended.")
    );
    let hits = notes.hits();
    assert_eq!(phone.visit(&site.url("notes", "/")).await.status(), 303);
    assert_eq!(notes.hits(), hits);
    assert_eq!(laptop.visit(&site.portal("/")).await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_other_sessions_end_at_once_and_this_one_stays() {
    let notes = Upstream::start("notes").await;
    let ada = Person::new("ada", &[]);
    let site = site(&ada, &notes).await;
    let (mut laptop, mut phone) = (Browser::new(&site), Browser::new(&site));
    laptop.sign_in(&site.portal("/"), &ada).await;
    let alone = laptop.open(&site.portal("/account/sessions")).await;
    assert!(!alone.text().contains("End all other sessions"));
    phone.sign_in(&site.url("notes", "/"), &ada).await;
    let hits = notes.hits();

    let page = laptop.open(&site.portal("/account/sessions")).await;
    let button = "<button name=\"keep\" value=\"this\">End all other sessions</button>";
    assert!(page.text().contains(button));
    let form = page.form_to("/account/sessions/end-all");
    let forged = [("keep", "this"), ("csrf", "AAAA")];
    assert_eq!(laptop.submit(&page, &form, &forged).await.status(), 403);
    assert_eq!(
        phone
            .visit(&site.portal("/account/sessions"))
            .await
            .status(),
        200
    );

    let done = laptop.submit(&page, &form, &[("keep", "this")]).await;
    let told = laptop.follow(done).await.text();
    assert!(told.contains("All other sessions are ended."));
    assert_eq!(told.matches("name=\"session\"").count(), 1);
    assert_eq!(phone.visit(&site.url("notes", "/")).await.status(), 303);
    assert_eq!(notes.hits(), hits);
    assert_eq!(laptop.visit(&site.portal("/")).await.status(), 200);
    let entry = site.entry("the ended session", |entry| {
        entry["event.name"] == "session.ended" && entry["user.email"] == "ada@example.com"
    });
    entry.await;
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_out_everywhere_ends_them_all() {
    let notes = Upstream::start("notes").await;
    let ada = Person::new("ada", &[]);
    let site = site(&ada, &notes).await;
    let (mut laptop, mut phone) = (Browser::new(&site), Browser::new(&site));
    phone.sign_in(&site.url("notes", "/"), &ada).await;
    laptop.sign_in(&site.portal("/"), &ada).await;
    let page = laptop.open(&site.portal("/account/sessions")).await;
    let form = page.form_to("/account/sessions/end-all");
    let page = laptop.submit(&page, &form, &[]).await;
    assert!(
        laptop
            .follow(page)
            .await
            .text()
            .contains("Every session of yours is ended")
    );
    assert_eq!(laptop.visit(&site.portal("/")).await.status(), 303);
    assert_eq!(phone.visit(&site.url("notes", "/")).await.status(), 303);
    assert_eq!(notes.hits(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_different_sessions_in_one_request_are_refused() {
    let notes = Upstream::start("notes").await;
    let ada = Person::new("ada", &[]);
    let site = site(&ada, &notes).await;
    let mut browser = Browser::new(&site);
    browser.sign_in(&site.portal("/"), &ada).await;
    let own = browser.cookie_header("login.test");
    let url = crate::harness::browser::Url::parse(&site.portal("/"));
    let mut bare = Browser::new(&site);
    let planted = format!("{own}; __Host-portcullis={}", "A".repeat(43));
    let page = bare
        .request(http::Method::GET, url, None, &[("cookie", &planted)])
        .await;
    assert_eq!(page.status(), 400);
}
