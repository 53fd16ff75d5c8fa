//! `portcullis init`: what it writes passes `portcullis check`, and it replaces nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use crate::harness::command::{portcullis, run_in};
use crate::harness::eventually;
use crate::harness::site::free_port;

#[test]
fn a_fresh_folder_passes_its_own_check_and_tests() {
    let folder = tempfile::tempdir().unwrap();
    let app = [
        "--app",
        "grafana.example.com=https://grafana-1.internal:3000",
        "--app",
        "*.apps.example.net=http://127.0.0.1:3000",
    ];
    let said = run_in(
        folder.path(),
        &[&["init", "--portal", "login.example.com"], app.as_slice()].concat(),
    )
    .ok();
    assert!(said.out.ends_with("Next\n  portcullis check\n  portcullis user add you@example.com --admin\n  portcullis run\n"), "{}", said.out);
    let checked = run_in(folder.path(), &["check", "--deny", "warnings"]).ok();
    assert!(
        checked
            .out
            .starts_with("ok: 2 apps, 3 policies, 7 tests passed"),
        "{}\n{}",
        checked.out,
        checked.err
    );
    let tested = run_in(folder.path(), &["policy", "test", "--coverage"]).ok();
    assert!(
        tested.out.contains("7 tests passed")
            && tested.out.contains("every policy (3) decides a test"),
        "{}",
        tested.out
    );
}

/// What `init` writes needs no folder but its own, so whoever may write there can start it.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_starts_on_the_portals_port_and_answers_commands_from_its_own_folder() {
    let folder = tempfile::tempdir().unwrap();
    let portal = format!("login.test:{}", free_port());
    run_in(folder.path(), &["init", "--portal", &portal]).ok();
    let file = folder.path().join("portcullis.toml");
    let text = fs::read_to_string(&file).unwrap();
    let operations = format!(
        "\n[telemetry]\noperations = \"127.0.0.1:{}\"\n",
        free_port()
    );
    fs::write(&file, text + &operations).unwrap();
    let mut running = portcullis()
        .arg("run")
        .current_dir(folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    eventually("the server to answer", async || {
        assert!(running.try_wait().unwrap().is_none(), "the server ended");
        let reloaded = run_in(folder.path(), &["reload"]);
        (reloaded.code == 0).then_some(())
    })
    .await;
    assert!(folder.path().join("data/admin.sock").exists());
    running.kill().unwrap();
    running.wait().unwrap();
}

#[test]
fn a_folder_without_apps_passes_too() {
    let folder = tempfile::tempdir().unwrap();
    run_in(
        folder.path(),
        &["init", "gate", "--portal", "login.example.com"],
    )
    .ok();
    let checked = run_in(
        folder.path(),
        &["-c", "gate/portcullis.toml", "check", "--deny", "warnings"],
    )
    .ok();
    assert!(checked.out.contains("1 test passed"), "{}", checked.out);
}

#[test]
fn everything_written_is_closed_to_others() {
    let folder = tempfile::tempdir().unwrap();
    run_in(
        folder.path(),
        &["init", "gate", "--portal", "login.example.com"],
    )
    .ok();
    let mode = |path: &str| {
        fs::metadata(folder.path().join(path))
            .unwrap()
            .permissions()
            .mode()
            & 0o777
    };
    for directory in ["gate", "gate/policies", "gate/policies/tests"] {
        assert_eq!(mode(directory), 0o700, "{directory}");
    }
    for file in [
        "gate/portcullis.toml",
        "gate/policies/20-step-up.cedar",
        "gate/policies/tests/first.toml",
    ] {
        assert_eq!(mode(file), 0o600, "{file}");
    }
}

#[test]
fn nothing_is_ever_replaced() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("portcullis.toml"), "mine").unwrap();
    let said = run_in(folder.path(), &["init", "--portal", "login.example.com"]);
    assert_eq!(said.code, 2);
    assert!(
        said.err
            .contains("nothing was written, because these exist already:\n  ./portcullis.toml"),
        "{}",
        said.err
    );
    assert_eq!(
        fs::read_to_string(folder.path().join("portcullis.toml")).unwrap(),
        "mine"
    );
    assert!(!folder.path().join("policies").exists());
}

#[test]
fn words_that_make_no_app_are_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, expected) in [
        (["--portal", "no host"], "--portal no host: "),
        (["--app", "grafana.example.com"], "the `=` is missing"),
        (
            ["--app", "grafana.example.com=https://a/path"],
            "a target is scheme, host and port alone",
        ),
        (["--app", "login.example.com=https://a"], "is the portal"),
    ] {
        let mut all = vec!["init", "--portal", "login.example.com"];
        if arguments[0] == "--portal" {
            all.truncate(1);
        }
        all.extend(arguments);
        let said = run_in(folder.path(), &all);
        assert_eq!(said.code, 2, "{arguments:?}");
        assert!(said.err.contains(expected), "{}", said.err);
    }
    assert!(fs::read_dir(folder.path()).unwrap().next().is_none());
}
