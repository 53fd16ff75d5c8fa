//! The launcher: what a tile says is what the gateway does.

use crate::harness::{Browser, Person, Site, Upstream};

const RULES: &str = r#"
@id("vault.fresh")
@reason("The vault wants a code given a moment ago.")
@step_up("1s")
forbid (principal is User, action, resource == Route::"vault")
unless { context has session && context.time.now.durationSince(context.session.verified_at) <= duration("1s") };
"#;

#[tokio::test(flavor = "multi_thread")]
async fn tiles_are_decided_by_the_policies() {
    let upstream = Upstream::start("any").await;
    let ada = Person::new("ada", &["staff"]);
    let site = Site::plan()
        .route(
            "notes",
            &upstream,
            "allow = [\"everyone\"]\ntitle = \"Notes\"",
        )
        .route(
            "vault",
            &upstream,
            "allow = [\"everyone\"]\ntitle = \"Vault\"",
        )
        .route(
            "payroll",
            &upstream,
            "allow = [\"group:finance\"]\ntitle = \"Payroll\"\nexplain_deny = \"full\"",
        )
        .route(
            "quiet",
            &upstream,
            "allow = [\"group:finance\"]\ntitle = \"Quiet\"\nexplain_deny = \"none\"",
        )
        .route(
            "secret",
            &upstream,
            "allow = [\"group:finance\"]\ntitle = \"Secret\"\nhidden = true",
        )
        .policy("vault.cedar", RULES)
        .person(&ada)
        .start()
        .await;
    let mut browser = Browser::new(&site);
    browser.sign_in(&site.portal("/"), &ada).await;
    tokio::time::sleep(std::time::Duration::from_millis(1200)).await;

    let text = browser.open(&site.portal("/")).await.text();
    let tile = |title: &str| {
        text.split("<li")
            .find(|part| part.contains(&format!(">{title}<")) || part.contains(title))
            .map(str::to_owned)
    };
    assert!(tile("Notes").unwrap().contains("badge ok"));
    assert!(tile("Vault").unwrap().contains("needs confirm"));
    let payroll = tile("Payroll").unwrap();
    assert!(
        payroll.contains("locked") && payroll.contains("not been given access"),
        "{payroll}"
    );
    assert!(!text.contains("Quiet") && !text.contains("Secret"));

    // What the tiles say is what happens.
    assert_eq!(browser.open(&site.url("notes", "/")).await.status(), 200);
    assert_eq!(browser.open(&site.url("vault", "/")).await.status(), 403);
    assert_eq!(browser.open(&site.url("payroll", "/")).await.status(), 403);
    assert_eq!(browser.open(&site.url("secret", "/")).await.status(), 404);
    assert_eq!(upstream.hits(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_works_without_script() {
    let upstream = Upstream::start("any").await;
    let ada = Person::new("ada", &["staff"]);
    let site = Site::plan()
        .route(
            "notes",
            &upstream,
            "allow = [\"everyone\"]\ntitle = \"Notes\"",
        )
        .route(
            "billing",
            &upstream,
            "allow = [\"everyone\"]\ntitle = \"Billing\"\ndescription = \"Reports & rates\"",
        )
        .person(&ada)
        .start()
        .await;
    let mut browser = Browser::new(&site);
    browser.sign_in(&site.portal("/"), &ada).await;
    let text = browser.open(&site.portal("/?q=REPORTS")).await.text();
    assert!(text.contains("1 of 2 apps match"));
    assert!(text.contains("Billing") && !text.contains(">Notes<"));
    let hostile = browser
        .open(&site.portal("/?q=%22%3E%3Cscript%3E"))
        .await
        .text();
    assert!(!hostile.contains("<script"), "{hostile}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_without_apps_is_told_their_groups() {
    let ada = Person::new("ada", &["staff"]);
    let site = Site::plan().person(&ada).start().await;
    let mut browser = Browser::new(&site);
    let page = browser.sign_in(&site.portal("/"), &ada).await;
    assert!(page.text().contains("You have no apps yet"));
    assert!(page.text().contains("Your groups: staff"));
}
