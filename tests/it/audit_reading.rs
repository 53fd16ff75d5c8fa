//! `portcullis audit` and `policy explain` beside a running server: what they find, prove and keep sealed.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;

use http_body_util::Full;

use crate::harness::client::request;
use crate::harness::command::{portcullis, run_in};
use crate::harness::{Person, Site, Upstream};

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Changes one letter of one entry, and gives the entry's number.
fn tamper(log: &Path) -> usize {
    let segments = fs::read_dir(log.join("segments")).unwrap();
    let segment = segments
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|end| end == "jsonl"));
    let segment = segment.unwrap();
    let text = fs::read_to_string(&segment).unwrap();
    let entry = text
        .lines()
        .position(|line| line.contains("server.started"))
        .unwrap();
    fs::write(
        segment,
        text.replacen("server.started", "server.starteD", 1),
    )
    .unwrap();
    entry
}

async fn visit(site: &Site, path: &str) -> u16 {
    let asked = request(site, "GET", "notes", path)
        .body(Full::default())
        .unwrap();
    site.client().send("notes.test", asked).await.status
}

async fn visited() -> Site {
    let upstream = Upstream::start("notes").await;
    let ada = Person::new("ada", &["staff"]);
    let site = Site::plan()
        .route("notes", &upstream, "allow = [\"group:staff\"]")
        .person(&ada)
        .start()
        .await;
    assert_eq!(visit(&site, "/page").await, 401);
    site.entry("the refusal", |entry| entry["url.path"] == "/page")
        .await;
    site
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_are_found_shown_and_proven_while_the_server_runs() {
    let site = visited().await;
    let found = site
        .command(&[
            "audit",
            "search",
            "route:notes",
            "decision:deny",
            "since:1h",
            "--format",
            "json",
        ])
        .ok();
    let found: Vec<serde_json::Value> = serde_json::from_str(&found.out).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0]["client.address"], "127.0.0.1");
    let id = found[0]["portcullis.request.id"].as_str().unwrap();
    let shown = site.command(&["audit", "show", id]).ok();
    assert!(shown.out.contains("GET  notes /page"), "{}", shown.out);
    let table = site.command(&["audit", "search", "/page"]).ok();
    assert!(
        table.out.contains(id) && table.out.contains("1 shown"),
        "{}",
        table.out
    );
    let said = site.command(&["audit", "verify"]).ok();
    assert!(said.out.ends_with("result     VERIFIED\n"), "{}", said.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_entry_breaks_the_proof_and_folder_and_key_are_enough_to_see_it() {
    let mut site = visited().await;
    assert_eq!(site.stop().await, 0);
    let (kept, key) = (site.path("kept"), site.path("data/audit/log.vkey"));
    copy(&site.path("data/audit"), &kept);
    let (kept, key) = (kept.to_str().unwrap(), key.to_str().unwrap());
    let elsewhere = tempfile::tempdir().unwrap();
    let verify = || {
        run_in(
            elsewhere.path(),
            &["audit", "verify", "--folder", kept, "--key", key],
        )
    };
    verify().ok();
    let entry = tamper(Path::new(kept));
    let said = verify();
    assert_eq!(said.code, 1, "{}", said.out);
    assert!(
        said.out.contains("result     BROKEN")
            && said.out.contains(&format!("first bad  entry #{entry}\n")),
        "{}",
        said.out
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_master_key_the_log_is_readable_and_personal_fields_stay_sealed() {
    let mut site = visited().await;
    assert_eq!(site.stop().await, 0);
    fs::rename(
        site.path("data/master.key"),
        site.path("data/elsewhere.key"),
    )
    .unwrap();
    let said = site
        .command(&["audit", "search", "route:notes", "--format", "jsonl"])
        .ok();
    assert!(
        said.err.contains("personal fields stay sealed: "),
        "{}",
        said.err
    );
    assert!(
        said.out.contains("\"sealed\":") && !said.out.contains("client.address"),
        "{}",
        said.out
    );
    assert!(!site.path("data/master.key").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn tail_follows_what_is_written() {
    let site = visited().await;
    let mut command = portcullis();
    command
        .args(["audit", "tail", "-n", "1", "--format", "jsonl"])
        .current_dir(site.folder());
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().contains("/page"));
    visit(&site, "/later").await;
    assert!(lines.next().unwrap().unwrap().contains("/later"));
    child.kill().unwrap();
    child.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_knows_the_groups_on_record_and_doctor_the_server_that_runs() {
    let site = visited().await;
    let page = site.url("notes", "/page");
    let ada = site
        .command(&["policy", "explain", "user:ada", &format!("GET {page}")])
        .ok();
    assert!(
        ada.out.starts_with("ALLOW     ada@example.com"),
        "{}",
        ada.out
    );
    let other = site.command(&[
        "policy",
        "explain",
        "user:ada",
        &format!("GET {page}"),
        "--group",
        "guests",
    ]);
    assert_eq!(other.code, 1, "{}", other.out);
    let mode = fs::metadata(site.path("data/portcullis.db"))
        .unwrap()
        .permissions()
        .mode()
        & 0o777;
    assert_eq!(mode, 0o600);
    let doctor = site.command(&["doctor"]);
    assert!(
        doctor.out.contains(&format!(
            "127.0.0.1:{} is held by the Portcullis that runs",
            site.port
        )),
        "{}",
        doctor.out
    );
}
