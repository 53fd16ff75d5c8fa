//! What an explanation shows.

use super::*;
use crate::authz::fixture::{company, now, routes};
use crate::base::RouteName;
use std::time::Duration;

fn locate(host: &str, _path: &str) -> Option<RouteName> {
    routes()
        .into_iter()
        .find(|route| route.host == host)
        .map(|route| route.name)
}

fn asked(who: &str, groups: &[&str], request: &str, verified: u64) -> Explanation {
    let mut description = Description::new(who, "acme");
    description.groups = groups.iter().map(|group| (*group).to_owned()).collect();
    description.verified = Duration::from_secs(verified * 60);
    let question = Question {
        who: description,
        request: request.to_owned(),
        now: now(),
        client: "198.51.100.7".parse().unwrap(),
        circumstances: Circumstances::default(),
    };
    explain(&company(), &question, &locate).unwrap()
}

#[test]
fn a_step_up_is_explained_with_what_would_help() {
    let found = asked(
        "user:lead@example.com",
        &["finance", "finance-leads"],
        "POST https://billing.example.com/admin/rates",
        10,
    );
    let text = found.text(false);
    let expected = [
        "STEP-UP   lead@example.com  POST  billing /admin/rates",
        "step-up.dangerous-paths  forbid  YES      verified 10m ago, limit 5m",
        "policies/70-step-up.cedar:1",
        "billing.leads            permit  yes      principal in Group::\"finance-leads\"",
        "billing.admin-path       forbid  no       principal in Group::\"finance-leads\"",
        "more do not apply (-v lists them)",
        "With the second factor confirmed now: ALLOW",
        "The person sees: \"This action needs a second-factor check made in the last 5 minutes. Confirm with your passkey or code.\"",
    ];
    for line in expected {
        assert!(text.contains(line), "{line}\n in\n{text}");
    }
    assert!(!found.is_allowed());
    assert!(!found.text(true).contains("more do not apply"));
}

#[test]
fn a_closed_route_says_that_no_policy_permits_it() {
    let found = asked(
        "user:kim@example.com",
        &["staff"],
        "GET https://grafana.example.com/",
        1,
    );
    assert!(found.text(false).starts_with("DENY"));
    assert!(found.text(false).contains("No policy permits it."));
    assert!(
        found
            .text(true)
            .contains("not principal in Group::\"engineering\""),
        "{}",
        found.text(true)
    );
}

#[test]
fn a_visitor_is_told_that_nobody_was_asked() {
    let found = asked("anonymous", &[], "GET https://grafana.example.com/", 1);
    assert!(found.text(false).starts_with("SIGN-IN"));
    assert!(found.text(false).contains("before somebody has signed in"));
}

#[test]
fn json_carries_the_same_answer() {
    let found = asked(
        "user:ana@example.com",
        &["engineering"],
        "GET https://grafana.example.com/",
        1,
    );
    assert!(found.is_allowed());
    let json: serde_json::Value = serde_json::to_value(&found).unwrap();
    assert_eq!(json["decision"], "allow");
    assert_eq!(json["route"], "grafana");
    let deciding: Vec<&serde_json::Value> = json["policies"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|line| line["decides"] == true)
        .collect();
    assert_eq!(deciding[0]["policy"], "grafana.engineering");
}

#[test]
fn what_is_not_understood_is_an_error() {
    let question = Question {
        who: Description::new("user:x@example.com", "acme"),
        request: "GET https://nowhere.example.com/".to_owned(),
        now: now(),
        client: "198.51.100.7".parse().unwrap(),
        circumstances: Circumstances::default(),
    };
    let error = explain(&company(), &question, &locate).unwrap_err();
    assert!(error.to_string().contains("no route has the address"));
}
