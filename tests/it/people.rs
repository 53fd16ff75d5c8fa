//! `portcullis user`: the same people and the same words whether a server runs or not.

use crate::harness::command::portcullis;
use crate::harness::{Browser, Site};

/// What `user list` prints to a pipe.
fn listed(site: &Site) -> String {
    site.command(&["user", "list"]).ok().out
}

/// The first word of what an invitation prints.
fn link(out: &str) -> &str {
    out.split_whitespace().next().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_administered_alike_with_and_without_a_server() {
    let mut site = Site::plan().prepare();
    let add = |site: &Site, name: &str| {
        site.command(&["user", "add", name, "--group", "staff"])
            .ok()
            .out
    };
    let offline = add(&site, "kim@example.com");
    let before = listed(&site);
    assert_eq!(
        before,
        "kim@example.com\tkim@example.com\tstaff\tactive\tno\t0\tnever\n"
    );

    site.run().await;
    assert_eq!(
        listed(&site),
        before,
        "the server knows who was added before it ran"
    );
    let online = add(&site, "lena@example.com");
    site.command(&["user", "group", "add", "finance", "lena@example.com"])
        .ok();
    site.command(&["user", "disable", "kim@example.com"]).ok();
    let during = listed(&site);
    assert!(
        during.contains("lena@example.com\tlena@example.com\tfinance,staff\tactive"),
        "{during}"
    );
    assert!(during.contains("staff\tdisabled"), "{during}");
    for out in [&offline, &online] {
        let expected = site.portal("/enrol/");
        assert!(
            out.starts_with(&expected) && out.contains("works once, until"),
            "{out}"
        );
        assert_eq!(out.lines().count(), 1);
    }

    assert_eq!(site.stop().await, 0);
    assert_eq!(listed(&site), during);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invitation_leads_to_the_enrolment_page() {
    let site = Site::plan().start().await;
    let said = site.command(&["user", "add", "kim@example.com"]).ok();
    let mut browser = Browser::new(&site);
    let page = browser.open(link(&said.out)).await;
    assert_eq!(page.status(), 200, "{}", page.text());

    let fresh = site.command(&["user", "enrol", "KIM@example.com"]).ok();
    assert_ne!(link(&fresh.out), link(&said.out));
    let page = Browser::new(&site).open(link(&said.out)).await;
    assert_ne!(page.status(), 200, "a fresh link ends the one before");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_names_the_account_at_the_keyboard() {
    let mut site = Site::plan().prepare();
    site.command(&["user", "add", "kim@example.com", "--no-invite"])
        .ok();
    site.run().await;
    site.command(&[
        "user",
        "2fa",
        "reset",
        "kim@example.com",
        "--reason",
        "phone lost",
    ])
    .ok();
    for event in [
        "user.created",
        "second_factor.reset",
        "user.enrolment_issued",
    ] {
        let entry = site
            .entry(event, |entry| entry["event.name"] == event)
            .await;
        let actor = entry["portcullis.actor"].as_str().unwrap();
        assert!(actor.starts_with("os:") && actor.len() > 3, "{actor}");
        assert_eq!(entry["user.email"], "kim@example.com");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_administrator_cannot_be_lost() {
    let mut site = Site::plan().prepare();
    site.command(&["user", "add", "lena@example.com", "--admin", "--no-invite"])
        .ok();
    let ways: [&[&str]; 3] = [
        &["user", "remove", "lena@example.com", "--yes"],
        &["user", "disable", "lena@example.com"],
        &["user", "group", "remove", "admins", "lena@example.com"],
    ];
    let refused = |site: &Site| {
        for way in ways {
            let said = site.command(way);
            assert_eq!(said.code, 6, "{said:?}");
            assert!(
                said.err
                    .contains("lena@example.com is the last person who can administer Portcullis"),
                "{}",
                said.err
            );
        }
    };
    refused(&site);
    site.run().await;
    refused(&site);
}

#[test]
fn removing_somebody_is_asked_about_first() {
    let site = Site::plan().prepare();
    site.command(&["user", "add", "kim@example.com", "--no-invite"])
        .ok();
    assert_eq!(site.command(&["user", "remove", "kim@example.com"]).code, 6);
    assert!(listed(&site).contains("kim@example.com"));
    site.command(&["user", "remove", "kim@example.com", "--yes"])
        .ok();
    let said = site.command(&["user", "list"]).ok();
    assert_eq!(said.out, "");
    assert!(said.err.contains("portcullis user add"), "{}", said.err);
}

#[test]
fn an_import_takes_everybody_or_nobody() {
    let site = Site::plan().prepare();
    let good = r#"{"name":"kim","email":"kim@example.com","groups":["staff"]}"#;
    site.write(
        "bad.jsonl",
        &format!("{good}\n{{\"name\":\"a b\"}}\n{good}\nnonsense\n"),
    );
    let said = site.command(&["user", "import", "bad.jsonl"]);
    assert_eq!(said.code, 2, "{said:?}");
    for line in ["line 2: ", "line 3: ", "line 4: ", "nothing was imported"] {
        assert!(said.err.contains(line), "{}", said.err);
    }
    assert_eq!(listed(&site), "");

    site.write("good.jsonl", good);
    let output = portcullis()
        .current_dir(site.folder())
        .args(["user", "import", "-"])
        .stdin(std::fs::File::open(site.path("good.jsonl")).unwrap())
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "1 person imported\n"
    );
    assert!(listed(&site).starts_with("kim\t"));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_second_process_opens_the_data_folder() {
    let site = Site::plan().start().await;
    std::fs::remove_file(site.path("data/admin.sock")).unwrap();
    let said = site.command(&["user", "list"]);
    assert_eq!(said.code, 3, "{said:?}");
    assert!(
        said.err.contains(&format!("process {}", site.pid())),
        "{}",
        said.err
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_file_keeps_nobody_from_the_running_server() {
    let mut site = Site::plan().start().await;
    site.edit_config(|text| format!("{text}\nnonsense = 1\n"));
    site.command(&["user", "add", "kim@example.com"]).ok();
    assert!(listed(&site).contains("kim@example.com"));
    assert_eq!(site.stop().await, 0);
    let said = site.command(&["user", "list"]);
    assert_eq!(
        said.code, 2,
        "without a server the file is needed: {said:?}"
    );
    assert!(said.err.contains("PC1104"), "{}", said.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_waits_for_the_verdict_and_a_refused_one_changes_nothing() {
    let mut site = Site::plan().start().await;
    let said = site.command(&["reload"]).ok();
    assert_eq!(said.out, "the configuration on disk is in force\n");

    let good = std::fs::read_to_string(site.path("portcullis.toml")).unwrap();
    site.edit_config(|text| {
        format!("{text}\n[route.notes]\nhost = \"notes.test\"\nto = \"nowhere\"\n")
    });
    let said = site.command(&["reload"]);
    assert_eq!((said.code, said.out.as_str()), (1, ""));
    assert!(
        said.err.contains("[route.notes]") || said.err.contains("nowhere"),
        "{}",
        said.err
    );
    site.edit_config(|_broken| good);
    let entry = site
        .entry("the refusal", |entry| {
            entry["event.name"] == "config.refused"
        })
        .await;
    assert!(
        entry["portcullis.actor"]
            .as_str()
            .unwrap()
            .starts_with("os:")
    );

    assert_eq!(site.stop().await, 0);
    assert_eq!(site.command(&["reload"]).code, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_told_by_the_exit_code() {
    let mut site = Site::plan().prepare();
    assert_eq!(site.command(&["health"]).code, 3);
    site.run().await;
    for args in [&["health"][..], &["health", "--live"]] {
        site.command(args).ok();
    }
    let said = site.command(&["health", "--format", "json"]).ok();
    let body: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(body["components"]["audit"], "ok");
}
