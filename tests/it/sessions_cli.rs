//! `portcullis session`: an operator sees who is signed in and ends it.

use crate::harness::{Browser, Person, Site, Upstream};

struct Scene {
    site: Site,
    /// Where the app runs, as long as the scene lasts.
    _upstream: Upstream,
    url: String,
    ada: Browser,
    bob: Browser,
}

/// Ada and Bob are signed in and look at an app.
async fn scene() -> Scene {
    let upstream = Upstream::start("notes").await;
    let (ada, bob) = (
        Person::new("ada", &["staff"]),
        Person::new("bob", &["staff"]),
    );
    let plan = Site::plan().route("notes", &upstream, r#"allow = ["group:staff"]"#);
    let site = plan.person(&ada).person(&bob).start().await;
    let url = site.url("notes", "/");
    let mut browsers = [Browser::new(&site), Browser::new(&site)];
    for (browser, person) in browsers.iter_mut().zip([&ada, &bob]) {
        assert_eq!(browser.sign_in(&url, person).await.status(), 200);
    }
    let [ada, bob] = browsers;
    Scene {
        site,
        _upstream: upstream,
        url,
        ada,
        bob,
    }
}

fn sessions(site: &Site, args: &[&str]) -> Vec<serde_json::Value> {
    let args = [&["session", "list", "--format", "jsonl"], args].concat();
    let said = site.command(&args).ok();
    said.out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ended_session_opens_nothing_any_more_and_the_others_stay() {
    let mut scene = scene().await;
    let site = &scene.site;
    assert_eq!(sessions(site, &[]).len(), 2);
    let adas = sessions(site, &["--user", "ada"]);
    assert_eq!(adas.len(), 1);
    let id = adas[0]["id"].as_str().unwrap();
    assert_eq!(adas[0]["methods"], serde_json::json!(["password", "totp"]));
    assert_eq!(adas[0]["address"], "127.0.0.1");
    let said = site.command(&["session", "show", id]).ok();
    assert!(
        said.out.contains("ada@example.com") && said.out.contains("notes.test"),
        "{}",
        said.out
    );

    let said = site.command(&["session", "revoke", id]).ok();
    assert!(said.out.starts_with("1 session ended"), "{}", said.out);
    assert_ne!(scene.ada.visit(&scene.url).await.status(), 200);
    assert_eq!(scene.bob.visit(&scene.url).await.status(), 200);
    assert_eq!(site.command(&["session", "show", id]).code, 2);
    let entry = site
        .entry("the end", |entry| entry["event.name"] == "session.revoked")
        .await;
    assert!(
        entry["portcullis.actor"]
            .as_str()
            .unwrap()
            .starts_with("os:")
    );
    assert_eq!(entry["session.id"], id);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_sessions_are_ended_only_after_a_question() {
    let mut scene = scene().await;
    let site = &scene.site;
    for args in [
        &["session", "revoke", "--all"][..],
        &["session", "revoke", "--user", "ada"],
    ] {
        let said = site.command(args);
        assert_eq!(said.code, 6, "{said:?}");
    }
    assert_eq!(scene.ada.visit(&scene.url).await.status(), 200);

    let said = site.command(&["session", "revoke", "--all", "--yes"]).ok();
    assert!(said.out.starts_with("2 sessions ended"), "{}", said.out);
    for browser in [&mut scene.ada, &mut scene.bob] {
        assert_ne!(browser.visit(&scene.url).await.status(), 200);
    }
    assert!(sessions(site, &[]).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ended_without_a_server_stays_ended() {
    let mut scene = scene().await;
    let Scene { site, .. } = &mut scene;
    assert_eq!(site.stop().await, 0);
    assert_eq!(sessions(site, &[]).len(), 2, "sessions survive a stop");
    site.command(&["session", "revoke", "--user", "bob", "--yes"])
        .ok();
    site.run().await;
    assert_eq!(scene.ada.visit(&scene.url).await.status(), 200);
    assert_ne!(scene.bob.visit(&scene.url).await.status(), 200);
}
