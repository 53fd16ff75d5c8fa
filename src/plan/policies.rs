//! From configuration and policy files to [`Policies`].

use std::collections::{BTreeMap, BTreeSet};

use crate::authz::lint::Names;
use crate::authz::{Allowed, Groups, Inputs, Member, Policies, RouteFacts, load};
use crate::base::RouteName;
use crate::config::{self, Config, Problems, Subject};

/// Compiles the policy folder together with what the routes themselves say; `None` when there was an error.
pub(super) fn compile(config: &Config, generation: u64, problems: &mut Problems) -> Option<Policies> {
    let files = load::read_folder(&config.policy.dir.value, problems);
    let routes: Vec<RouteFacts> = config.routes.iter().map(|(name, route)| facts(name, route, config)).collect();
    let groups = groups(config);
    let names = Names {
        groups: config.groups.keys().map(|name| (name.clone(), None)).collect(),
        services: BTreeSet::new(),
        tenants: config.tenants.keys().cloned().collect(),
        // People's groups live in the database, so a name unknown here may well be known there.
        complete: false,
    };
    let inputs = Inputs {
        generation,
        files: &files,
        routes: &routes,
        groups: &groups,
        names: &names,
        step_up: config.session.step_up,
        zone: &config.server.timezone.zone,
    };
    Policies::compile(&inputs, problems)
}

fn facts(name: &RouteName, route: &config::Route, config: &Config) -> RouteFacts {
    let tenant = config.tenants.get(&route.tenant.value);
    let zone = tenant.and_then(|tenant| tenant.timezone.as_ref()).unwrap_or(&config.server.timezone);
    RouteFacts {
        name: name.clone(),
        host: route.host.value.to_string(),
        kind: "http",
        tenant: route.tenant.value.clone(),
        labels: route.labels.iter().map(|label| label.value.clone()).collect(),
        allow: route.allow.iter().map(|subject| allowed(&subject.value)).collect(),
        public: route.public,
        hidden: route.hidden,
        ambiguous_paths: !route.path_allows.is_empty(),
        zone: zone.zone.clone(),
        at: Some(route.at.clone()),
    }
}

fn allowed(subject: &Subject) -> Allowed {
    match subject {
        Subject::Group(name) => Allowed::Group(name.clone()),
        Subject::User(email) => Allowed::User(email.clone()),
        Subject::Everyone => Allowed::Everyone,
    }
}

fn groups(config: &Config) -> Groups {
    let members: BTreeMap<&str, Vec<Member>> = config
        .groups
        .iter()
        .map(|(name, group)| {
            let members = group.members.iter().filter_map(|subject| match &subject.value {
                Subject::Group(name) => Some(Member::Group(name.clone())),
                Subject::User(email) => Some(Member::User(email.clone())),
                Subject::Everyone => None,
            });
            (name.as_str(), members.collect())
        })
        .collect();
    Groups::new(members.iter().map(|(name, members)| (*name, members.as_slice())))
}
