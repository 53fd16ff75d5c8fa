//! Erasing a person: what the log says of them cannot be read any more, and the log still verifies.

use crate::harness::{Browser, Person, Site, Upstream};

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_person_is_unreadable_and_the_log_verifies() {
    let upstream = Upstream::start("notes").await;
    let (ada, bob) = (
        Person::new("ada", &["staff"]),
        Person::new("bob", &["staff"]),
    );
    let plan = Site::plan().route("notes", &upstream, r#"allow = ["everyone"]"#);
    let site = plan.person(&ada).person(&bob).start().await;
    for person in [&ada, &bob] {
        let mut browser = Browser::new(&site);
        assert_eq!(
            browser
                .sign_in(&site.url("notes", "/"), person)
                .await
                .status(),
            200
        );
    }
    site.entry("ada's request", |entry| {
        entry["user.email"] == "ada@example.com" && entry["event.name"] == "http.request"
    })
    .await;

    site.command(&["user", "remove", "ada", "--erase", "--yes"])
        .ok();

    site.entry("the erasure", |entry| entry["event.name"] == "user.erased")
        .await;
    let entries = site.entries();
    let text: Vec<String> = entries.iter().map(ToString::to_string).collect();
    assert!(
        !text.iter().any(|entry| entry.contains("ada@example.com")),
        "{text:#?}"
    );
    assert!(text.iter().any(|entry| entry.contains("bob@example.com")));
    let verified = site.command(&["audit", "verify"]).ok();
    assert!(verified.out.contains("VERIFIED"), "{}", verified.out);
}
