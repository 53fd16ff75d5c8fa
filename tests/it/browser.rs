//! Chromium drives the pages as a person does, from the enrolment link to signing out.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::harness::{Person, Site, Upstream};

/// Asks for a second factor again as soon as the last one is ten seconds old.
const CONFIRM: &str = r#"
@id("notes.administration")
@reason("Administration needs a code entered just now.")
@fix("Confirm with your code.")
@step_up("10s")
forbid (principal is User, action, resource == Route::"notes")
when   { context.request.path like "/admin/*" }
unless { context has session
         && context.time.now.durationSince(context.session.verified_at) <= duration("10s") };
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_person_enrols_works_is_refused_confirms_and_signs_out_in_chromium() {
    let upstream = Upstream::start("notes").await;
    let somebody = Person::new("somebody", &["finance"]);
    let site = Site::plan()
        .route("notes", &upstream, "title = \"Notes\"\ndescription = \"Read and write pages\"\nallow = [\"everyone\"]")
        .route("payroll", &upstream, "title = \"Payroll\"\nallow = [\"group:finance\"]")
        .toml("[route.gone]\nhost = \"gone.test\"\nto = \"http://127.0.0.1:9\"\nallow = [\"everyone\"]\nhidden = true\n")
        .toml("[server.branding]\nname = \"Example Ltd\"\nsupport = \"IT help desk, ext. 4242, help@example.com\"\n")
        .policy("confirm.cedar", CONFIRM)
        .person(&somebody)
        .start()
        .await;
    let added = site
        .command(&[
            "user",
            "add",
            "ana",
            "--email",
            "ana@example.com",
            "--title",
            "Ana Lovelace",
            "--group",
            "staff",
        ])
        .ok();
    let link = added
        .out
        .split_whitespace()
        .find(|word| word.starts_with("https://"))
        .expect(&added.out);

    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let task = serde_json::json!({
        "link": link,
        "login": "ana",
        "portal": site.portal("/"),
        "notes": site.url("notes", "/"),
        "guarded": site.url("notes", "/admin/users"),
        "payroll": site.url("payroll", "/salaries"),
        "gone": site.url("gone", "/"),
        "screenshots": root.join("target/artefacts/screenshots"),
        "chromium": "/usr/bin/chromium",
        "chromedriver": "/usr/bin/chromedriver",
    });
    let mut journey = Command::new(root.join("target/test-tools/bin/python"));
    journey
        .arg(root.join("tests/browser/journey.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let output = tokio::task::spawn_blocking(move || {
        let mut child = journey.spawn().unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(task.to_string().as_bytes())
            .unwrap();
        child.wait_with_output().unwrap()
    })
    .await
    .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        said.contains("sign-in by keyboard")
            && said.contains("a WebSocket")
            && said.contains("everything without scripts"),
        "{said}"
    );
    // Chromium opens WebSockets over HTTP/2 where it was told that it may (RFC 8441).
    site.entry("the WebSocket", |entry| {
        entry["url.path"] == "/socket" && entry["network.protocol.version"] == "2"
    })
    .await;
    assert!(
        upstream
            .seen()
            .iter()
            .all(|seen| !seen.target.starts_with("/salaries")),
        "a refused request reached the app"
    );
}
