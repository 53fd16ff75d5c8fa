//! The record: everything that matters has its entry, no secret is in it, nobody can change it unseen, and without it
//! nothing is served.

use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::harness::command::portcullis;
use crate::harness::people::PASSWORD;
use crate::harness::site::wait_for_exit;
use crate::harness::{Browser, Person, Site, Upstream, eventually};

const WRONG: &str = "a guess that is not right";
const SESSION_COOKIE: &str = "__Host-portcullis";

/// Every byte below `folder`, file by file.
fn bytes_below(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(bytes_below(&path));
        } else if path.is_file() {
            found.push((path.display().to_string(), std::fs::read(&path).unwrap()));
        }
    }
    found
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_cannot_fill_the_log_with_long_paths() {
    let upstream = Upstream::start("app").await;
    let site = Site::plan()
        .route("app", &upstream, "path = \"/app\"\npublic = true")
        .start()
        .await;
    let long = "a".repeat(4000);
    let routed = format!("/app/{long}");
    let unrouted = format!("/b/{long}");
    for (path, kept) in [(&routed, routed.as_str()), (&unrouted, &unrouted[..256])] {
        let mut wire = site.client().wire("app.test").await;
        wire.send(format!(
            "GET {path} HTTP/1.1\r\nHost: app.test:{}\r\n\r\n",
            site.port
        ))
        .await;
        wire.answer().await;
        let entry = site
            .entry("the request's entry", |entry| {
                let told = entry["url.path"].as_str().unwrap_or_default();
                told.starts_with(&path[..100])
            })
            .await;
        assert_eq!(entry["url.path"], kept);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_ins_failures_requests_and_refusals_have_entries_and_no_secret_is_in_them() {
    let upstream = Upstream::start("notes").await;
    let ada = Person::new("ada", &["staff"]);
    let mut site = Site::plan()
        .route("notes", &upstream, r#"allow = ["group:staff"]"#)
        .route("payroll", &upstream, r#"allow = ["group:finance"]"#)
        .person(&ada)
        .person(&Person::new("fin", &["finance"]))
        .start()
        .await;

    let mut stranger = Browser::new(&site);
    let page = stranger.open(&site.url("notes", "/")).await;
    stranger.give_password(&page, "ada", WRONG).await;
    let mut browser = Browser::new(&site);
    let page = browser
        .sign_in(&site.url("notes", "/?ticket=query-secret"), &ada)
        .await;
    assert_eq!(page.status(), 200);
    assert_eq!(browser.open(&site.url("payroll", "/")).await.status(), 403);

    let failed = site
        .entry("the failure", |entry| {
            entry["event.name"] == "sign_in.failed"
        })
        .await;
    assert_eq!(failed["client.address"], "127.0.0.1");
    let signed_in = site
        .entry("the sign-in", |entry| {
            entry["event.name"] == "sign_in.succeeded"
        })
        .await;
    assert_eq!(signed_in["user.email"], "ada@example.com");
    let refused = site
        .entry("the refusal", |entry| {
            entry["http.route"] == "payroll" && entry["user.email"] == "ada@example.com"
        })
        .await;
    assert_eq!(
        (
            &refused["portcullis.decision"],
            &refused["http.response.status_code"]
        ),
        (&"deny".into(), &403.into())
    );
    let served = site
        .entry("the request", |entry| {
            entry["http.route"] == "notes" && entry["http.response.status_code"] == 200
        })
        .await;
    assert_eq!(served["user_agent.original"], "Mozilla/5.0 (test)");
    assert_eq!(
        served["portcullis.session.methods"],
        serde_json::json!(["password", "totp"])
    );
    assert_eq!(served["url.path"], "/");
    for name in ["server.started", "user.imported", "session.created"] {
        site.entry(name, |entry| entry["event.name"] == name).await;
    }

    let code = ada.last_code();
    let cookies: Vec<String> = ["notes.test", "login.test", "payroll.test"]
        .iter()
        .filter_map(|host| browser.cookie(host, SESSION_COOKIE).map(ToOwned::to_owned))
        .collect();
    assert!(cookies.len() >= 2, "{cookies:?}");
    assert_eq!(site.stop().await, 0);
    let audit = bytes_below(&site.path("data/audit"));
    assert!(
        audit
            .iter()
            .any(|(_, bytes)| holds(bytes, "sign_in.succeeded")),
        "the log is not where it was looked for"
    );
    let secrets = [PASSWORD, WRONG, "query-secret", &ada.secret_base32()];
    for (file, bytes) in audit.iter().chain(&bytes_below(&site.path("data"))) {
        for secret in secrets
            .iter()
            .copied()
            .chain(cookies.iter().map(String::as_str))
        {
            assert!(!holds(bytes, secret), "{secret} is in {file}");
        }
    }
    for (file, bytes) in &audit {
        for personal in [
            "ada@example.com",
            "Mozilla/5.0",
            "\"client.address\":\"127.0.0.1\"",
            &format!("\"{code}\""),
        ] {
            assert!(
                !holds(bytes, personal),
                "{personal} is in the clear in {file}"
            );
        }
    }
    let log = site.log_text();
    for secret in secrets
        .iter()
        .copied()
        .chain(cookies.iter().map(String::as_str))
    {
        assert!(!log.contains(secret), "{secret} is in the operational log");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_changed_byte_is_found_and_its_entry_named() {
    let upstream = Upstream::start("notes").await;
    let mut site = Site::plan()
        .route("notes", &upstream, "public = true")
        .start()
        .await;
    let mut browser = Browser::new(&site);
    for number in 0..20 {
        browser
            .visit(&site.url("notes", &format!("/{number}")))
            .await;
    }
    assert_eq!(site.stop().await, 0);
    let said = site.command(&["audit", "verify"]).ok();
    assert!(said.out.contains("VERIFIED"), "{}", said.out);

    let (file, mut bytes) = bytes_below(&site.path("data/audit"))
        .into_iter()
        .find(|(_, bytes)| {
            bytes
                .split(|byte| *byte == b'\n')
                .filter(|line| holds(line, "http.request"))
                .count()
                >= 20
        })
        .expect("no segment holds the requests");
    let line = bytes.split(|byte| *byte == b'\n').nth(10).unwrap();
    let entry: serde_json::Value = serde_json::from_slice(line).unwrap();
    let at = bytes
        .windows(line.len())
        .position(|window| window == line)
        .unwrap()
        + line.len() / 2;
    let good = bytes[at];
    bytes[at] = good ^ 1;
    std::fs::write(&file, &bytes).unwrap();
    let said = site.command(&["audit", "verify"]);
    assert_ne!(said.code, 0, "{}", said.out);
    let told = format!("{}{}", said.out, said.err);
    assert!(
        told.contains(&format!("entry {}", entry["seq"])),
        "entry {} is not named: {told}",
        entry["seq"]
    );

    bytes[at] = good;
    std::fs::write(&file, &bytes).unwrap();
    site.command(&["audit", "verify"]).ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audit_folder_that_cannot_be_written_keeps_the_program_from_starting_with_74() {
    let upstream = Upstream::start("notes").await;
    let site = Site::plan()
        .route("notes", &upstream, "public = true")
        .prepare();
    site.write("data/audit", "a file where the folder should be");
    let mut child = portcullis()
        .arg("run")
        .current_dir(site.folder())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    assert_eq!(wait_for_exit(&mut child), 74);
}

/// Lets no file of the running program grow beyond `bytes`, as on a full disk, or lets them all.
fn let_files_grow(site: &Site, bytes: Option<u64>) {
    let pid = Pid::from_raw(i32::try_from(site.pid()).unwrap());
    let limit = Rlimit {
        current: bytes,
        maximum: None,
    };
    prlimit(pid, Resource::Fsize, limit).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_takes_no_byte_refuses_requests_and_serving_resumes_by_itself() {
    let upstream = Upstream::start("notes").await;
    let mut site = Site::plan()
        .route("notes", &upstream, "public = true")
        .prepare();
    // A limit on files would otherwise end the program by a signal instead of failing its writes.
    let mut deaf = Command::new("sh");
    deaf.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""])
        .arg(env!("CARGO_BIN_EXE_portcullis"))
        .env_remove("PORTCULLIS_CONFIG");
    site.run_with(deaf).await;
    let mut browser = Browser::new(&site);
    let url = site.url("notes", "/");
    assert_eq!(browser.visit(&url).await.status(), 200);
    assert_eq!(site.operations_get("/readyz").await.0, 200);

    let_files_grow(&site, Some(0));
    let refused = eventually("a refusal", async || {
        let page = browser.visit(&url).await;
        (page.status() == 503).then_some(page)
    })
    .await;
    assert!(refused.text().contains("<h1>"), "{}", refused.text());
    eventually("unreadiness", async || {
        (site.operations_get("/readyz").await.0 == 503).then_some(())
    })
    .await;
    let before = upstream.hits();
    assert_eq!(browser.visit(&url).await.status(), 503);
    assert_eq!(upstream.hits(), before);
    assert_eq!(site.operations_get("/livez").await.0, 200);
    let told = async || {
        site.log_text()
            .contains("requests are refused")
            .then_some(())
    };
    eventually("the log line", told).await;

    let_files_grow(&site, None);
    eventually("serving to resume", async || {
        (browser.visit(&url).await.status() == 200).then_some(())
    })
    .await;
    eventually("readiness", async || {
        (site.operations_get("/readyz").await.0 == 200).then_some(())
    })
    .await;
    assert_eq!(site.stop().await, 0);
    let entries = site.entries();
    for seen in upstream.seen() {
        let id = seen.header("x-request-id").unwrap();
        let known = entries
            .iter()
            .any(|entry| entry["portcullis.request.id"] == id);
        assert!(known, "{id} was served and has no entry");
    }
    let said = site.command(&["audit", "verify"]).ok();
    assert!(said.out.contains("VERIFIED"), "{}", said.out);
}
