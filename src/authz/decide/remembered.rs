//! Tests that would notice an answer that outlived its question.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use proptest::prelude::*;

use crate::authn::Principal;
use crate::authz::fixture::{
    Ask, ago, allowing, compile, contractor, now, person, route, routes, service, shipped, verified,
};
use crate::authz::permit::Decision;
use crate::authz::policies::Policies;
use crate::authz::request::{Caller, Circumstances, Device, Grant, Service};
use crate::base::Timestamp;
use crate::config::Source;

fn remembered(decision: &Decision) -> bool {
    match decision {
        Decision::Allow(permit) => permit.is_remembered(),
        Decision::Deny(_) => false,
    }
}

fn allowed(policies: &Policies, ask: &Ask, caller: &Arc<Principal>) -> bool {
    policies.decide(&ask.of(Caller::Person(caller))).word() == "allow"
}

fn company() -> Policies {
    crate::authz::fixture::company()
}

#[test]
fn the_second_question_is_answered_from_memory() {
    let policies = company();
    let kim = person("kim", &["staff"]);
    let first = policies.decide(&Ask::get("wiki", "/a").of(Caller::Person(&kim)));
    assert!(!remembered(&first));
    // Another path, hours later: no policy that applies tells them apart.
    let mut later = Ask::get("wiki", "/b");
    later.now = now().plus(Duration::from_secs(36_000));
    let second = policies.decide(&later.of(Caller::Person(&kim)));
    assert!(remembered(&second));
    assert_eq!(first.policies(), second.policies());
}

#[test]
fn a_person_who_left_the_group_is_not_let_in_by_memory() {
    let policies = company();
    let ask = Ask::get("wiki", "/");
    let member = person("kim", &["staff"]);
    assert!(allowed(&policies, &ask, &member));
    assert!(allowed(&policies, &ask, &member));
    assert!(!allowed(&policies, &ask, &person("kim", &[])));
}

#[test]
fn a_snapshot_at_the_address_of_an_earlier_one_is_another_caller() {
    let policies = company();
    let ask = Ask::get("wiki", "/");
    for round in 0..200 {
        let groups: &[&str] = if round % 2 == 0 { &["staff"] } else { &[] };
        assert_eq!(
            allowed(&policies, &ask, &person("kim", groups)),
            round % 2 == 0
        );
    }
}

#[test]
fn the_end_of_working_hours_is_noticed_on_the_minute() {
    let policies = company();
    let eve = contractor("eve", &["staff"]);
    let mut ask = Ask::get("wiki", "/");
    ask.now = "2026-11-24T18:59:30+01:00".parse().unwrap();
    assert!(allowed(&policies, &ask, &eve));
    ask.now = "2026-11-24T18:59:59.999+01:00".parse().unwrap();
    let decision = policies.decide(&ask.of(Caller::Person(&eve)));
    assert!(remembered(&decision));
    ask.now = "2026-11-24T19:00:00+01:00".parse().unwrap();
    assert!(!allowed(&policies, &ask, &eve));
    // And a clock that is set back does not bring tomorrow's answer to today.
    ask.now = "2026-11-25T07:00:00+01:00".parse().unwrap();
    assert!(allowed(&policies, &ask, &eve));
    ask.now = "2026-11-25T06:59:59+01:00".parse().unwrap();
    assert!(!allowed(&policies, &ask, &eve));
}

#[test]
fn the_age_of_the_second_factor_is_looked_at_every_time() {
    let policies = company();
    let kim = verified("kim", &["staff"], ago(4));
    let mut ask = Ask::get("wiki", "/admin/");
    assert!(allowed(&policies, &ask, &kim));
    ask.now = now().plus(Duration::from_secs(61));
    assert_eq!(
        policies.decide(&ask.of(Caller::Person(&kim))).word(),
        "step-up"
    );
    let confirmed = verified("kim", &["staff"], ask.now);
    assert!(allowed(&policies, &ask, &confirmed));
}

#[test]
fn a_grant_that_ended_or_is_gone_opens_nothing() {
    let policies = company();
    let bob = person("bob", &[]);
    let mut ask = Ask::get("grafana", "/");
    ask.circumstances.grant = Some(Grant {
        id: "g".to_owned(),
        kind: "approved".to_owned(),
        approver: Some("ana".to_owned()),
        expires_at: now().plus(Duration::from_secs(5)),
        reason: String::new(),
    });
    assert!(allowed(&policies, &ask, &bob));
    ask.now = now().plus(Duration::from_secs(5));
    assert!(!allowed(&policies, &ask, &bob));
    ask.now = now();
    ask.circumstances = Circumstances::default();
    assert!(!allowed(&policies, &ask, &bob));
}

#[test]
fn a_route_does_not_inherit_the_answer_of_another() {
    let policies = compile(
        &[],
        &[
            allowing("a", route("one", &[])),
            allowing("b", route("two", &[])),
        ],
    )
    .unwrap();
    let ana = person("ana", &["a"]);
    assert!(allowed(&policies, &Ask::get("one", "/"), &ana));
    assert!(!allowed(&policies, &Ask::get("two", "/"), &ana));
}

/// Policies that read every input there is, one by one.
const CURIOUS: &str = r#"
@id("x.path") @reason("r") forbid(principal, action, resource == Route::"wiki")
  when { context.request.path == "/secret" || context.request.path like "/x/*/y" };
@id("x.path-whole") @reason("r") forbid(principal, action, resource == Route::"hr")
  when { ["/a", "/b"].contains(context.request.path) };
@id("x.host") @reason("r") forbid(principal, action, resource == Route::"hr") when { context.request.host == "no.example.com" };
@id("x.method") permit(principal is User, action, resource == Route::"grafana") when { context.request.method == "PATCH" };
@id("x.id") @reason("r") forbid(principal, action, resource == Route::"ledger-api") when { context.request.id like "*0" };
@id("x.country") @reason("r") forbid(principal, action, resource == Route::"wiki") when { context.client has country && context.client.country == "US" };
@id("x.idp") @reason("r") forbid(principal is User, action, resource == Route::"billing") when { context has session && context.session.idp == "else" };
@id("x.date") @reason("r") forbid(principal, action, resource == Route::"site") when { context.time.date == "2026-11-25" && context.time.minute < 600 };
@id("x.now") @reason("r") forbid(principal, action, resource == Route::"site") when { context.request.path like "/n*" && context.time.now > datetime("2026-11-24T12:00:00Z") };
@id("x.verified") @reason("r") forbid(principal is User, action, resource == Route::"grafana")
  when { context has session && context.session.verified_at < datetime("2026-11-24T08:30:00Z") };
@id("x.or") permit(principal is User, action, resource == Route::"db-prod")
  when { principal.contractor || context.time.weekday == "sat" || context.client.ip.isLoopback() };
"#;

/// One for all cases, so that each also meets what the ones before it left in the memory.
static CURIOUS_COMPANY: LazyLock<Policies> = LazyLock::new(|| {
    let mut files = shipped();
    files.push(Source::new("curious.cedar", CURIOUS));
    compile(&files, &routes()).unwrap()
});

#[derive(Debug, Clone)]
enum Who {
    Nobody,
    Person(usize),
    Service(usize),
}

fn people() -> Vec<Arc<Principal>> {
    vec![
        person("kim", &["staff"]),
        contractor("eve", &["staff", "engineering"]),
        verified("ana", &["engineering", "finance-leads"], ago(20)),
        verified("fin", &["finance", "auditors"], ago(40)),
        person("sre", &["sre", "finance"]),
    ]
}

static PEOPLE: LazyLock<Vec<Arc<Principal>>> = LazyLock::new(people);

fn services() -> Vec<Arc<Service>> {
    vec![service("ci-deploy"), service("invoicing")]
}

prop_compose! {
    fn moments()(
        // Around the moments at which the policies change their minds.
        base in prop::sample::select(vec![
            "2026-11-24T07:00:00+01:00", "2026-11-24T19:00:00+01:00", "2026-11-24T10:00:00+01:00",
            "2026-11-25T00:00:00+01:00", "2026-11-24T12:00:00Z", "2026-11-28T00:00:00+01:00",
            "2026-11-25T10:00:00+01:00",
        ]),
        offset in -90_000_i64..90_000,
    ) -> Timestamp {
        let base: Timestamp = base.parse().unwrap();
        Timestamp::from_micros(base.micros() + offset * 1_000)
    }
}

prop_compose! {
    fn questions()(
        who in prop_oneof![
            Just(Who::Nobody), (0..5_usize).prop_map(Who::Person), (0..2_usize).prop_map(Who::Service)
        ],
        route in prop::sample::select(vec![
            "grafana", "billing", "db-prod", "payroll", "wiki", "deploy-api", "hr", "ledger-api", "other", "site",
        ]),
        method in prop::sample::select(vec!["GET", "POST", "PATCH", "DELETE", "PROPFIND"]),
        path in prop::sample::select(vec![
            "/", "/a", "/b", "/secret", "/x/1/y", "/reports/q", "/admin/", "/p/delete", "/n", "/v1/releases",
        ]),
        client in prop::sample::select(vec!["203.0.113.9", "198.51.100.7", "127.0.0.1", "2001:db8:40::1"]),
        now in moments(),
        country in prop::option::of(prop::sample::select(vec!["DE", "US"])),
        device in any::<bool>(),
    ) -> (Who, Ask) {
        let mut ask = Ask::get(route, path);
        ask.method = method;
        ask.client = client.parse().unwrap();
        ask.now = now;
        ask.circumstances.country = country.map(str::to_owned);
        ask.circumstances.device = device.then(|| Device {
            id: "d".to_owned(), issuer: "CN=Example Device CA".to_owned(), managed: true,
        });
        (who, ask)
    }
}

fn told(decision: Decision) -> String {
    let reason = decision.reason();
    match decision {
        Decision::Allow(permit) => {
            format!("{:?} {reason} {:?}", permit.policies(), permit.principal())
        }
        Decision::Deny(denial) => format!("{denial:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_remembered_answer_is_the_fresh_answer(questions in prop::collection::vec(questions(), 1..60)) {
        let policies = &*CURIOUS_COMPANY;
        let (people, services) = (&*PEOPLE, services());
        for (who, ask) in &questions {
            let caller = match who {
                Who::Nobody => Caller::Anonymous,
                Who::Person(index) => Caller::Person(&people[*index]),
                Who::Service(index) => Caller::Service(&services[*index]),
            };
            let request = ask.of(caller);
            let fresh = told(policies.decide_afresh(&request));
            prop_assert_eq!(told(policies.decide(&request)), fresh.clone());
            prop_assert_eq!(told(policies.decide(&request)), fresh);
        }
    }
}
