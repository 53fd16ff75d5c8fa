//! A small company for the tests of this module: the shipped policies, and routes that they speak of.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;

use crate::authn::{Method, Principal, SessionFacts};
use crate::base::{PrincipalId, RequestId, RouteName, SessionId, Timestamp};
use crate::config::{At, Problems, Source, Subject};

use super::Groups;
use super::lint::Names;
use super::load;
use super::policies::{Inputs, Policies};
use super::request::{AccessRequest, Action, Caller, Circumstances, Service, Target};
use super::routes::RouteFacts;

pub(super) const NOW: &str = "2026-11-24T10:00:00+01:00";

pub(super) fn now() -> Timestamp {
    NOW.parse().unwrap()
}

pub(super) fn ago(minutes: u64) -> Timestamp {
    now().minus(Duration::from_secs(minutes * 60))
}

pub(super) fn route(name: &str, labels: &[&str]) -> RouteFacts {
    RouteFacts {
        name: RouteName::new(name),
        host: format!("{name}.example.com"),
        kind: "http",
        tenant: "acme".to_owned(),
        labels: labels.iter().map(|label| (*label).to_owned()).collect(),
        allow: Vec::new(),
        public: false,
        hidden: false,
        ambiguous_paths: false,
        ignores_case: false,
        zone: TimeZone::get("Europe/Berlin").unwrap(),
        step_up: Duration::from_secs(300),
        at: At::nowhere(),
    }
}

pub(super) fn allowing(group: &str, route: RouteFacts) -> RouteFacts {
    RouteFacts {
        allow: vec![Subject::Group(group.to_owned())],
        ..route
    }
}

/// The routes that the shipped policies name.
pub(super) fn routes() -> Vec<RouteFacts> {
    let mut other = allowing("staff", route("other", &[]));
    other.tenant = "globex".to_owned();
    let mut site = route("site", &[]);
    site.public = true;
    vec![
        route("grafana", &["internal"]),
        route("billing", &["internal"]),
        route("db-prod", &["production"]),
        allowing("staff", route("payroll", &["restricted"])),
        allowing("staff", route("wiki", &["internal"])),
        route("deploy-api", &[]),
        allowing("staff", route("hr", &[])),
        route("ledger-api", &[]),
        other,
        site,
    ]
}

pub(super) fn shipped() -> Vec<Source> {
    let mut problems = Problems::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    let files = load::read_folder(&folder, &mut problems);
    assert!(problems.is_empty(), "{problems:?}");
    files
}

pub(super) fn compile(files: &[Source], routes: &[RouteFacts]) -> Result<Policies, Problems> {
    let mut problems = Problems::new();
    let inputs = Inputs {
        files,
        routes,
        groups: &Groups::default(),
        names: &Names::default(),
        step_up: Duration::from_secs(300),
        zone: &TimeZone::UTC,
    };
    Policies::compile(&inputs, &mut problems).ok_or(problems)
}

pub(super) fn company() -> Policies {
    compile(&shipped(), &routes()).unwrap()
}

/// One policy file over the company's routes.
pub(super) fn with(policies: &str) -> Policies {
    compile(&[Source::new("test.cedar", policies)], &routes()).unwrap()
}

pub(super) fn person(login: &str, groups: &[&str]) -> Arc<Principal> {
    verified(login, groups, ago(1))
}

pub(super) fn verified(login: &str, groups: &[&str], at: Timestamp) -> Arc<Principal> {
    Arc::new(Principal {
        id: PrincipalId::new(format!("u-{login}")),
        login: login.into(),
        email: format!("{login}@example.com").into(),
        name: login.into(),
        groups: Arc::new(groups.iter().map(|group| (*group).to_owned()).collect()),
        tenant: "acme".into(),
        contractor: false,
        session: Arc::new(SessionFacts {
            id: SessionId::new("s-1"),
            signed_in_at: ago(120),
            verified_at: at,
            methods: vec![Method::Password, Method::Totp],
            idp: "local".into(),
            cancelled: Default::default(),
        }),
    })
}

pub(super) fn contractor(login: &str, groups: &[&str]) -> Arc<Principal> {
    let mut person = Principal::clone(&person(login, groups));
    person.contractor = true;
    Arc::new(person)
}

pub(super) fn service(name: &str) -> Arc<Service> {
    Arc::new(Service {
        name: name.into(),
        tenant: "acme".into(),
        owner: "ana".into(),
        groups: BTreeSet::new(),
    })
}

/// A question with everything ordinary; tests change what they are about.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    pub(super) route: RouteName,
    pub(super) method: &'static str,
    pub(super) path: String,
    pub(super) client: std::net::IpAddr,
    pub(super) now: Timestamp,
    pub(super) circumstances: Circumstances,
}

impl Ask {
    pub(super) fn get(route: &str, path: &str) -> Self {
        Self {
            route: RouteName::new(route),
            method: "GET",
            path: path.to_owned(),
            client: "198.51.100.7".parse().unwrap(),
            now: now(),
            circumstances: Circumstances::default(),
        }
    }

    pub(super) fn post(route: &str, path: &str) -> Self {
        Self {
            method: "POST",
            ..Self::get(route, path)
        }
    }

    pub(super) fn of<'a>(&'a self, caller: Caller<'a>) -> AccessRequest<'a> {
        AccessRequest {
            caller,
            action: Action::Http(self.method),
            target: Target::Route(&self.route),
            host: "app.example.com",
            path: &self.path,
            client: self.client,
            now: self.now,
            id: RequestId::new(self.now, 1),
            circumstances: &self.circumstances,
        }
    }
}
