//! From configuration and policy files to [`Policies`], and the policy tests that they have to pass.

use std::collections::BTreeSet;
use std::path::Path;

use crate::authz::cases::{self, Case, Report};
use crate::authz::lint::Names;
use crate::authz::{Groups, Inputs, Policies, RouteFacts, load};
use crate::config::{self, Config, Loaded, Problems};
use crate::route::RouteTable;

/// Whose tenant people in tests have when none is written.
const USUAL_TENANT: &str = "default";

/// Compiles the policy folder together with what the routes themselves say; `None` when there was an error.
pub(super) fn compile(config: &Config, problems: &mut Problems) -> Option<Policies> {
    let files = load::read_folder(&config.policy.dir.value, problems);
    let routes = RouteFacts::all(config);
    let names = Names {
        groups: config
            .groups
            .keys()
            .map(|name| (name.clone(), None))
            .collect(),
        services: BTreeSet::new(),
        tenants: config.tenants.keys().cloned().collect(),
        // People's groups live in the database, so a name unknown here may well be known there.
        complete: false,
    };
    let inputs = Inputs {
        files: &files,
        routes: &routes,
        groups: &Groups::new(&config.groups),
        names: &names,
        step_up: config.session.step_up,
        zone: &config.server.timezone.zone,
    };
    Policies::compile(&inputs, problems)
}

/// The test cases of the configured folder.
pub(super) fn cases(config: &Config, routes: &RouteTable, problems: &mut Problems) -> Vec<Case> {
    let files = load::read_files(&config.policy_tests(), "toml", problems);
    let locate = |host: &str, path: &str| {
        let host = crate::base::Host::parse(host).ok()?;
        routes.find(&host, path).map(|route| route.name.clone())
    };
    cases::read(&files, USUAL_TENANT, &locate, problems)
}

/// Runs every case; one that fails is an error.
pub(super) fn test(policies: &Policies, cases: &[Case], problems: &mut Problems) -> Report {
    let report = cases::run(policies, cases, "");
    report.add_to(problems);
    report
}

/// Policies with their tests, not run yet: a plan exists only when all of them have passed.
#[derive(Debug)]
pub(crate) struct Untested {
    pub(crate) policies: Policies,
    pub(crate) cases: Vec<Case>,
}

impl Untested {
    /// Reads the configuration at `path`, its policies and their tests.
    ///
    /// # Errors
    /// Every problem found.
    pub(crate) fn load(path: &Path) -> Result<Self, Problems> {
        let Loaded {
            config,
            warnings: mut problems,
        } = config::load(path)?;
        let routes = RouteTable::compile(&config, &mut problems);
        let policies = compile(&config, &mut problems);
        let cases = cases(&config, &routes, &mut problems);
        problems.settle();
        match policies {
            Some(policies) if !problems.has_errors() => Ok(Self { policies, cases }),
            _ => Err(problems),
        }
    }
}
