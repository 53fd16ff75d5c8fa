//! The commands that need no server: help, manual, explanations, policies, an empty audit log, `doctor`.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use tempfile::TempDir;

use crate::harness::command::{portcullis, run_in};

fn started(app: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    run_in(
        folder.path(),
        &["init", "--portal", "login.example.com", "--app", app],
    )
    .ok();
    folder
}

fn grafana() -> TempDir {
    started("grafana.example.com=https://grafana-1.internal:3000")
}

#[test]
fn help_comes_in_three_groups_and_without_a_command_too() {
    let here = Path::new("/");
    let help = run_in(here, &["--help"]).ok().out;
    for part in [
        "Run it\n",
        "Look after it\n",
        "Use it\n",
        "Exit codes: 0 done",
    ] {
        assert!(help.contains(part), "{part} is missing:\n{help}");
    }
    let bare = run_in(here, &[]);
    assert_eq!(bare.code, 2);
    assert!(bare.err.contains("Look after it"), "{}", bare.err);
    assert!(
        run_in(here, &["--version"])
            .ok()
            .out
            .starts_with("portcullis ")
    );
}

#[test]
fn an_unknown_flag_is_the_callers_mistake() {
    let said = run_in(Path::new("/"), &["check", "--dney", "warnings"]);
    assert_eq!(said.code, 2);
    assert!(said.err.contains("--deny"), "{}", said.err);
}

#[test]
fn every_shell_gets_its_completions_and_every_command_its_page() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let said = run_in(Path::new("/"), &["completions", shell]).ok();
        assert!(said.out.contains("doctor"), "{shell}");
    }
    let folder = tempfile::tempdir().unwrap();
    assert!(
        run_in(folder.path(), &["man"])
            .ok()
            .out
            .contains(".TH portcullis 1")
    );
    run_in(folder.path(), &["man", "--dir", "man1"]).ok();
    for page in [
        "portcullis.1",
        "portcullis-check.1",
        "portcullis-user-2fa-reset.1",
    ] {
        assert!(folder.path().join("man1").join(page).exists(), "{page}");
    }
}

#[test]
fn a_code_and_a_key_are_explained() {
    let here = Path::new("/");
    assert!(
        run_in(here, &["config", "explain", "pc1104"])
            .ok()
            .out
            .starts_with("PC1104: unknown key\n")
    );
    assert!(
        run_in(here, &["config", "explain", "error[PC1104]"])
            .ok()
            .out
            .starts_with("PC1104")
    );
    assert!(
        run_in(here, &["config", "explain", "session.idle"])
            .ok()
            .out
            .contains("default `\"30m\"`")
    );
    assert!(
        run_in(here, &["config", "reference"])
            .ok()
            .out
            .contains("[route.NAME]")
    );
    let unknown = run_in(here, &["config", "explain", "PC0000"]);
    assert_eq!(unknown.code, 2);
    assert!(
        unknown.err.contains("portcullis config reference"),
        "{}",
        unknown.err
    );
}

#[test]
fn policies_are_listed_and_shown_with_those_made_from_allow() {
    let folder = grafana();
    let list = run_in(folder.path(), &["policy", "list"]).ok().out;
    assert!(
        list.contains("route.grafana.allow  permit  [route.grafana]"),
        "{list}"
    );
    let shown = run_in(folder.path(), &["policy", "show", "step-up.deleting"])
        .ok()
        .out;
    assert!(
        shown.contains("@step_up(\"5m\")") && shown.contains("routes  grafana"),
        "{shown}"
    );
    let near = run_in(folder.path(), &["policy", "show", "step-up.deletign"]);
    assert_eq!(near.code, 2);
    assert!(
        near.err.contains("a similar id exists: step-up.deleting"),
        "{}",
        near.err
    );
    assert!(
        run_in(folder.path(), &["policy", "schema"])
            .ok()
            .out
            .contains("entity")
    );
    let json: serde_json::Value = serde_json::from_str(
        &run_in(folder.path(), &["policy", "list", "--format", "json"])
            .ok()
            .out,
    )
    .unwrap();
    assert_eq!(json.as_array().unwrap().len(), 2);
}

#[test]
fn explain_ends_with_0_only_for_allow() {
    let folder = grafana();
    let explain = |more: &[&str]| run_in(folder.path(), &[&["policy", "explain"], more].concat());
    let delete = "POST https://grafana.example.com/delete";
    let allowed = explain(&["user:kim@example.com", delete]);
    assert_eq!(allowed.code, 0, "{}", allowed.err);
    assert!(
        allowed
            .out
            .starts_with("ALLOW     kim@example.com  POST  grafana /delete"),
        "{}",
        allowed.out
    );
    let old = explain(&["user:kim@example.com", delete, "--verified", "10m"]);
    assert_eq!(old.code, 1);
    assert!(
        old.out.starts_with("STEP-UP")
            && old
                .out
                .contains("With the second factor confirmed now: ALLOW"),
        "{}",
        old.out
    );
    let nobody = explain(&["anonymous", delete]);
    assert_eq!(nobody.code, 1);
    assert!(nobody.out.starts_with("SIGN-IN"), "{}", nobody.out);
    let elsewhere = explain(&["user:kim@example.com", "GET https://other.example.com/"]);
    assert_eq!(elsewhere.code, 2);
    assert!(
        elsewhere.err.contains("no route has the address"),
        "{}",
        elsewhere.err
    );
}

#[test]
fn groups_can_be_assumed() {
    let folder = grafana();
    let path = folder.path().join("portcullis.toml");
    let text = fs::read_to_string(&path)
        .unwrap()
        .replace("allow = [\"everyone\"]", "allow = [\"group:engineering\"]");
    fs::write(&path, text).unwrap();
    fs::remove_file(folder.path().join("policies/tests/first.toml")).unwrap();
    let ask = |more: &[&str]| {
        run_in(
            folder.path(),
            &[
                &[
                    "policy",
                    "explain",
                    "user:kim@example.com",
                    "GET https://grafana.example.com/",
                ],
                more,
            ]
            .concat(),
        )
    };
    let without = ask(&[]);
    assert_eq!(without.code, 1);
    assert!(
        without.out.starts_with("DENY") && without.err.contains("--group NAME"),
        "{}\n{}",
        without.out,
        without.err
    );
    assert_eq!(ask(&["--group", "engineering"]).code, 0);
}

#[test]
fn an_audit_log_that_was_never_begun_is_empty_and_not_broken() {
    let folder = grafana();
    let search = run_in(folder.path(), &["audit", "search", "--format", "jsonl"]).ok();
    assert_eq!(search.out, "");
    assert!(search.err.contains("nothing found"), "{}", search.err);
    assert_eq!(
        run_in(folder.path(), &["audit", "search", "--exit-code"]).code,
        1
    );
    assert_eq!(
        run_in(folder.path(), &["audit", "search", "colour:red"]).code,
        2
    );
    assert_eq!(run_in(folder.path(), &["audit", "verify"]).code, 2);
    assert_eq!(run_in(folder.path(), &["audit", "show", "kim"]).code, 2);
    assert!(!folder.path().join("data").exists());
}

#[test]
fn a_reader_that_goes_away_ends_the_command_quietly() {
    let mut child = portcullis()
        .args(["config", "reference"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(
        output.stderr.is_empty(),
        "{:?}",
        String::from_utf8(output.stderr)
    );
}

#[test]
fn doctor_gives_every_cross_a_command_and_changes_nothing() {
    let folder = started("grafana.example.com=http://127.0.0.1:1");
    let said = run_in(folder.path(), &["doctor", "--format", "json"]);
    assert_eq!(said.code, 1);
    let found: Vec<serde_json::Value> = serde_json::from_str(&said.out).unwrap();
    let upstream = found.iter().find(|one| one["what"] == "upstream").unwrap();
    assert_eq!(upstream["ok"], false);
    assert_eq!(upstream["command"], "curl -v http://127.0.0.1:1");
    for one in &found {
        assert!(one["ok"] == true || one["command"].is_string(), "{one}");
    }
    assert!(!folder.path().join("data").exists());
    let text = run_in(folder.path(), &["doctor"]).out;
    assert!(
        text.contains('\u{2713}')
            && text.contains('\u{2717}')
            && text.contains("\u{2192} curl -v http://127.0.0.1:1"),
        "{text}"
    );
}
