//! How cases are read and what a failing one says.

use std::path::Path;

use super::*;
use crate::authz::fixture::{company, routes, shipped};
use crate::authz::load;
use crate::base::RouteName;

fn locate(host: &str, _path: &str) -> Option<RouteName> {
    routes()
        .into_iter()
        .find(|route| route.host == host)
        .map(|route| route.name)
}

fn run_text(text: &str) -> (Report, Problems) {
    let mut problems = Problems::new();
    let files = [Source::new("policies/tests/t.toml", text)];
    let cases = read(&files, "acme", &locate, &mut problems);
    (run(&company(), &cases, ""), problems)
}

const CASE: &str = r#"
[given]
time = "2026-11-24T10:00:00+01:00"

[[case]]
name    = "finance may not open the administration area"
who     = "user:fin@example.com"
groups  = ["finance"]
request = "GET https://billing.example.com/admin/rates"
"#;

#[test]
fn the_shipped_tests_pass_and_reach_every_shipped_policy() {
    let mut problems = Problems::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies/tests");
    let files = load::read_files(&folder, "toml", &mut problems);
    let cases = read(&files, "acme", &locate, &mut problems);
    assert!(problems.is_empty(), "{problems:?}");
    let policies = company();
    let report = run(&policies, &cases, "");
    assert!(report.has_passed(), "{}", report.text());
    assert!(report.passed >= 28);
    let untested: Vec<&str> = report
        .untested(&policies)
        .iter()
        .map(|id| id.as_str())
        .collect();
    // Nobody can have signed in with a passkey yet.
    assert_eq!(untested, ["break-glass.sre"]);
    assert_eq!(shipped().len(), 12);
}

#[test]
fn a_failure_says_what_was_expected_and_what_came() {
    let (report, problems) = run_text(&format!(
        "{CASE}expect = \"allow\"\nbecause = [\"billing.reports\"]\n"
    ));
    assert!(problems.is_empty(), "{problems:?}");
    assert_eq!(
        report.text(),
        "policies/tests/t.toml:5: \"finance may not open the administration area\": expected allow by billing.reports, got deny by billing.admin-path\n0 passed, 1 failed\n"
    );
    let mut problems = Problems::new();
    report.add_to(&mut problems);
    assert_eq!(problems.errors(), 1);
}

#[test]
fn the_right_answer_for_the_wrong_reason_fails() {
    let (report, _) = run_text(&format!(
        "{CASE}expect = \"deny\"\nbecause = [\"tenant.isolation\"]\n"
    ));
    assert_eq!(report.failures.len(), 1);
    let (report, _) = run_text(&format!("{CASE}expect = \"deny\"\n"));
    assert!(report.has_passed());
    assert_eq!(report.text(), "1 test passed\n");
}

#[test]
fn what_cannot_be_understood_is_an_error_at_its_place() {
    for (line, word) in [
        ("expect = \"maybe\"", "maybe"),
        ("expect = \"allow\"\nwhoo = 1", "whoo"),
        (
            "expect = \"allow\"\nsession = { verified = \"soon\" }",
            "soon",
        ),
        ("expect = \"allow\"\ntime = \"noon\"", "noon"),
        (
            "expect = \"allow\"\nsession = { methods = [\"magic\"] }",
            "magic",
        ),
        ("", "expect"),
    ] {
        let (report, problems) = run_text(&format!("{CASE}{line}\n"));
        assert_eq!(report.passed, 0);
        let problem = problems.iter().next().unwrap();
        assert_eq!(problem.code, "PC2502");
        assert!(problem.message.contains(word), "{}", problem.message);
        assert!(problem.at.is_some());
    }
}

#[test]
fn a_filter_runs_the_cases_that_match_it() {
    let mut problems = Problems::new();
    let files = [Source::new("t.toml", format!("{CASE}expect = \"deny\"\n"))];
    let cases = read(&files, "acme", &locate, &mut problems);
    assert_eq!(run(&company(), &cases, "administration").passed, 1);
    assert_eq!(run(&company(), &cases, "payroll").passed, 0);
}

#[test]
fn coverage_names_what_no_test_reaches() {
    let (report, _) = run_text(&format!("{CASE}expect = \"deny\"\n"));
    let text = report.coverage(&company());
    assert!(text.contains("hours.contractors") && !text.contains("billing.admin-path"));
}
