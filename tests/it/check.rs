//! `portcullis check`: what it accepts, what it refuses, in which words, and how fast.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::harness::command::{Said, run_in};

const HEAD: &str = "[server]\nportal = \"login.example.com\"\n\n[tls]\ncertificates = \"internal\"\n\n\
    [storage]\ndatabase = \"sqlite:data/portcullis.db\"\nmaster_key = { file = \"data/master.key\" }\n\n";
const GRAFANA: &str = "[route.grafana]\nhost = \"grafana.example.com\"\nto = \"https://grafana-1.internal:3000\"\n\
    allow = [\"group:engineering\"]\n";

fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn folder(text: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "portcullis.toml", text);
    folder
}

fn check(text: &str) -> Said {
    run_in(folder(text).path(), &["check"])
}

#[test]
fn a_good_file_is_accepted_with_what_was_checked() {
    let said = check(&format!("{HEAD}{GRAFANA}")).ok();
    assert!(
        said.out
            .starts_with("ok: 1 app, 1 policy, 0 tests passed ("),
        "{}",
        said.out
    );
    assert_eq!(said.err, "");
}

#[test]
fn checking_creates_nothing() {
    let folder = folder(&format!("{HEAD}{GRAFANA}"));
    run_in(folder.path(), &["check"]).ok();
    let left: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["portcullis.toml"]);
}

#[test]
fn a_mistyped_key_is_shown_with_its_place_and_the_key_that_was_meant() {
    let said = check(&format!("{HEAD}{}", GRAFANA.replace("allow", "alow ")));
    assert_eq!(said.code, 1);
    for part in [
        "error[PC1104]: unknown key `alow` in [route.grafana]",
        "portcullis.toml:14:1",
        "a similar key exists: `allow`",
    ] {
        assert!(said.err.contains(part), "{part} is missing:\n{}", said.err);
    }
    assert!(
        said.out.starts_with("1 error in portcullis.toml ("),
        "{}",
        said.out
    );
    assert!(
        said.out
            .contains("`portcullis config explain PC1104` says more."),
        "{}",
        said.out
    );
}

#[test]
fn every_finding_is_reported_at_once_in_the_order_of_the_file() {
    let said = check(
        "[server]\nportal = \"login.example.com\"\nlisten = 443\n\n[session]\nidle = \"30\"\n\n[sesion]\nidle = 3\n",
    );
    assert_eq!(said.code, 1);
    let places: Vec<_> = [
        "portcullis.toml:3:",
        "portcullis.toml:6:",
        "portcullis.toml:8:",
    ]
    .iter()
    .map(|place| {
        said.err
            .find(place)
            .unwrap_or_else(|| panic!("{place} is missing:\n{}", said.err))
    })
    .collect();
    assert!(places.is_sorted(), "{}", said.err);
}

#[test]
fn no_file_says_where_it_looked_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let said = run_in(folder.path(), &["check"]);
    assert_eq!(said.code, 2);
    for part in [
        "error[PC1001]: no configuration found. Looked in ./portcullis.toml and /etc/portcullis/portcullis.toml",
        "portcullis init --portal login.example.com",
        "portcullis demo",
    ] {
        assert!(said.err.contains(part), "{part} is missing:\n{}", said.err);
    }
    let named = run_in(folder.path(), &["-c", "gone.toml", "check"]);
    assert_eq!(named.code, 2);
    assert!(
        named.err.contains("gone.toml does not exist"),
        "{}",
        named.err
    );
}

#[test]
fn a_secret_in_the_file_is_refused_and_never_repeated() {
    let text =
        format!("{HEAD}{GRAFANA}").replace("{ file = \"data/master.key\" }", "\"hunter2hunter2\"");
    let said = check(&text);
    assert_eq!(said.code, 1);
    assert!(
        said.err.contains("error[PC1301]") && said.err.contains("is written in the file"),
        "{}",
        said.err
    );
    assert!(
        !said.err.contains("hunter2") && !said.out.contains("hunter2"),
        "{}",
        said.err
    );
}

#[test]
fn a_key_that_everyone_can_read_is_refused_with_the_command_that_closes_it() {
    let folder = folder(&format!("{HEAD}{GRAFANA}"));
    write(
        folder.path(),
        "data/master.key",
        "portcullis-master-key-1 x\n",
    );
    fs::set_permissions(
        folder.path().join("data/master.key"),
        fs::Permissions::from_mode(0o644),
    )
    .unwrap();
    let said = run_in(folder.path(), &["check"]);
    assert_eq!(said.code, 1);
    assert!(
        said.err.contains("error[PC1302]")
            && said.err.contains("can be read by everyone (mode 0644)"),
        "{}",
        said.err
    );
    assert!(said.err.contains("run: chmod 600"), "{}", said.err);
}

#[test]
fn a_database_without_its_master_key_is_refused() {
    let folder = folder(&format!("{HEAD}{GRAFANA}"));
    write(folder.path(), "data/portcullis.db", "");
    let said = run_in(folder.path(), &["check"]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("error[PC6101]"), "{}", said.err);
}

#[test]
fn a_start_makes_no_new_master_key_beside_a_database() {
    let folder = folder(&format!("{HEAD}{GRAFANA}"));
    let add = |name: &str| run_in(folder.path(), &["user", "add", name, "--no-invite"]);
    add("kim@example.com").ok();
    let key = folder.path().join("data/master.key");
    let kept = fs::read(&key).unwrap();
    fs::remove_file(&key).unwrap();
    for said in [run_in(folder.path(), &["run"]), add("ana@example.com")] {
        assert_eq!(said.code, 2, "{}", said.err);
        assert!(
            said.err.contains("error[PC6101]") && said.err.contains("is gone"),
            "{}",
            said.err
        );
        assert!(!key.exists());
    }
    fs::write(&key, kept).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    add("ana@example.com").ok();
}

#[test]
fn a_policy_that_reads_what_may_be_absent_is_refused_with_the_test_to_write() {
    let folder = folder(&format!("{HEAD}{GRAFANA}"));
    let policy = "@id(\"step-up.always\")\n@reason(\"Confirm.\")\nforbid (principal is User, action, resource is Route)\n\
        when { context.session.verified_at < context.time.now };\n";
    write(folder.path(), "policies/70-step-up.cedar", policy);
    let said = run_in(folder.path(), &["check"]);
    assert_eq!(said.code, 1);
    for part in [
        "error[PC2203]",
        "reads `context.session` without testing that it exists",
        "write `context has session && ...`",
    ] {
        assert!(said.err.contains(part), "{part} is missing:\n{}", said.err);
    }
}

#[test]
fn a_failing_policy_test_is_an_error_with_its_line() {
    let folder = folder(&format!("{HEAD}{GRAFANA}"));
    let test = "[given]\ntime = \"2026-11-24T10:00:00+01:00\"\n\n[[case]]\nname = \"engineers may not\"\nwho = \"user:kim@example.com\"\n\
        groups = [\"engineering\"]\nrequest = \"GET https://grafana.example.com/\"\nexpect = \"deny\"\n";
    write(folder.path(), "policies/tests/first.toml", test);
    let said = run_in(folder.path(), &["check"]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("error[PC2501]"), "{}", said.err);
    assert!(
        said.err
            .contains("\"engineers may not\": expected deny, got allow by route.grafana.allow"),
        "{}",
        said.err
    );
    let tested = run_in(folder.path(), &["policy", "test"]);
    assert_eq!(tested.code, 1);
    assert!(
        tested.out.contains("first.toml:4: \"engineers may not\"")
            && tested.out.contains("0 passed, 1 failed"),
        "{}",
        tested.out
    );
}

#[test]
fn an_app_that_nobody_can_open_is_a_warning_and_deny_makes_it_count() {
    let folder = folder(&format!(
        "{HEAD}{}",
        GRAFANA.replace("allow = [\"group:engineering\"]\n", "")
    ));
    let said = run_in(folder.path(), &["check"]).ok();
    assert!(
        said.err.contains("warning[PC2401]: nobody can open"),
        "{}",
        said.err
    );
    assert!(said.out.contains("1 warning"), "{}", said.out);
    assert_eq!(
        run_in(folder.path(), &["check", "--deny", "warnings"]).code,
        1
    );
}

#[test]
fn json_carries_every_finding_with_its_place() {
    let said = run_in(
        folder(&format!("{HEAD}{}", GRAFANA.replace("allow", "alow "))).path(),
        &["check", "--format", "json"],
    );
    assert_eq!(said.code, 1);
    let report: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(report["ok"], false);
    let problem = &report["problems"][0];
    assert_eq!(
        (&problem["code"], &problem["line"]),
        (&"PC1104".into(), &14.into())
    );
    assert_eq!(said.err, "");
}

#[test]
fn several_files_and_folders_are_checked_in_one_go() {
    let good = folder(&format!("{HEAD}{GRAFANA}"));
    let bad = folder("[server]\n");
    let (good, bad) = (
        good.path().to_str().unwrap(),
        bad.path().join("portcullis.toml"),
    );
    let said = run_in(Path::new("/"), &["check", good, bad.to_str().unwrap()]);
    assert_eq!(said.code, 1);
    assert!(
        said.out.starts_with("ok: ") && said.err.contains("error[PC1107]"),
        "{}\n{}",
        said.out,
        said.err
    );
}

/// A release build has to check 2,000 routes with 10,000 policies within 3 s; this one is unoptimised and shares its
/// processors, so that the size is a fiftieth and the bound generous.
#[test]
fn many_routes_and_policies_are_checked_in_bearable_time() {
    use std::fmt::Write as _;
    let mut text = HEAD.to_owned();
    let mut policies = String::new();
    for route in 0..40 {
        writeln!(text, "[route.app-{route}]\nhost = \"app-{route}.example.com\"\nto = \"https://app-{route}.internal\"\nallow = [\"group:g-{route}\"]").unwrap();
        for rule in 0..5 {
            writeln!(
                policies,
                "@id(\"app-{route}.{rule}\")\npermit (principal in Group::\"g-{rule}\", action, resource == Route::\"app-{route}\");"
            )
            .unwrap();
        }
    }
    let folder = folder(&text);
    write(folder.path(), "policies/all.cedar", &policies);
    let begun = Instant::now();
    let said = run_in(folder.path(), &["check"]).ok();
    assert!(
        said.out.starts_with("ok: 40 apps, 240 policies"),
        "{}",
        said.out
    );
    assert!(
        begun.elapsed() < Duration::from_secs(30),
        "{:?}",
        begun.elapsed()
    );
}
