//! What is valid Cedar and still surely not meant.
//!
//! Cedar cannot know which groups, labels and routes exist, nor that a rule without a reason helps nobody.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use cedar_policy::{ActionConstraint, EntityUid, PrincipalConstraint};

use crate::config::{At, Candidates, Problems, Subject};

use super::pattern::Pattern;
use super::reads::Reads;
use super::routes::RouteFacts;
use super::rule::Rule;
use super::schema::Kind;
use super::study::{Index, Reach};

/// Names that exist outside routes and policies.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names {
    /// Groups with the number of their members where it is known.
    pub(crate) groups: BTreeMap<String, Option<usize>>,
    pub(crate) services: BTreeSet<String>,
    pub(crate) tenants: BTreeSet<String>,
    /// `true` when every group that people are in is listed, so that another one is a mistake. Otherwise only a
    /// name that nearly is a known one is reported.
    pub(crate) complete: bool,
}

/// Adds a warning for everything that validates and is surely not meant.
pub(super) fn check(
    (rules, index): (&[Rule], &Index),
    routes: &[RouteFacts],
    names: &Names,
    problems: &mut Problems,
) {
    let known = Known::new(routes, names);
    let mut similar = Similar::new(&known);
    for rule in rules {
        known.check(rule, &mut similar, problems);
        shape(rule, problems);
    }
    for route in routes {
        closed(route, rules, index, problems);
        ambiguous(route, rules, index, problems);
        capitals(route, rules, index, problems);
    }
}

/// Names by kind, with what to say of them.
struct Known {
    names: BTreeMap<Kind, BTreeMap<String, Option<usize>>>,
    complete: bool,
}

impl Known {
    fn new(routes: &[RouteFacts], names: &Names) -> Self {
        let mut all: BTreeMap<Kind, BTreeMap<String, Option<usize>>> = BTreeMap::new();
        let mut add = |kind: Kind, name: &str, members: Option<usize>| {
            let slot = all.entry(kind).or_default().entry(name.to_owned());
            let slot = slot.or_default();
            *slot = members.or(*slot);
        };
        for route in routes {
            add(Kind::Route, route.name.as_str(), None);
            add(Kind::Tenant, &route.tenant, None);
            route
                .labels
                .iter()
                .for_each(|label| add(Kind::Label, label, None));
            for allowed in &route.allow {
                if let Subject::Group(group) = allowed {
                    add(Kind::Group, group, None);
                }
            }
        }
        names
            .groups
            .iter()
            .for_each(|(group, members)| add(Kind::Group, group, *members));
        names
            .tenants
            .iter()
            .for_each(|tenant| add(Kind::Tenant, tenant, None));
        names
            .services
            .iter()
            .for_each(|service| add(Kind::Service, service, None));
        Self {
            names: all,
            complete: names.complete,
        }
    }

    fn check(&self, rule: &Rule, similar: &mut Similar<'_>, problems: &mut Problems) {
        let literals: BTreeSet<(Kind, String)> = rule
            .policy
            .entity_literals()
            .iter()
            .filter_map(kind_and_name)
            .collect();
        for (kind, name) in literals {
            let names = self.names.get(&kind);
            if names.is_some_and(|names| names.contains_key(&name)) {
                continue;
            }
            let near = similar.find(kind, &name);
            self.unknown(rule, (kind, &name), near, problems);
        }
    }

    fn unknown(
        &self,
        rule: &Rule,
        (kind, name): (Kind, &str),
        near: Option<&str>,
        problems: &mut Problems,
    ) {
        if kind == Kind::Group && !self.complete && near.is_none() {
            return;
        }
        let written = format!("{}::\"{name}\"", kind.name());
        let problem = problems.warning("PC2310");
        problem.message(format!("{written} is not defined"));
        if let Some(at) = rule.at() {
            problem.at(&place(at, &written));
        }
        match near.map(|near| (near, self.members(kind, near))) {
            Some((near, Some(members))) => problem.help(format!("`{near}` has {members} members")),
            Some((near, None)) => problem.help(format!("a similar name exists: `{near}`")),
            None => problem.help(missing(kind)),
        };
        problem.note(format!(
            "policy `{}` does not apply to anything through this name",
            rule.id
        ));
    }

    fn members(&self, kind: Kind, name: &str) -> Option<usize> {
        self.names.get(&kind)?.get(name).copied().flatten()
    }
}

/// The names of each kind, to be searched for similar ones; each name is searched for once.
struct Similar<'k> {
    candidates: BTreeMap<Kind, Candidates<'k>>,
    asked: HashMap<(Kind, String), Option<&'k str>>,
}

impl<'k> Similar<'k> {
    fn new(known: &'k Known) -> Self {
        let ready =
            |names: &'k BTreeMap<String, _>| Candidates::new(names.keys().map(String::as_str));
        let candidates = known
            .names
            .iter()
            .map(|(kind, names)| (*kind, ready(names)));
        Self {
            candidates: candidates.collect(),
            asked: HashMap::new(),
        }
    }

    fn find(&mut self, kind: Kind, name: &str) -> Option<&'k str> {
        let candidates = self.candidates.get(&kind)?;
        let asked = self.asked.entry((kind, name.to_owned()));
        *asked.or_insert_with(|| candidates.find(name))
    }
}

fn kind_and_name(uid: &EntityUid) -> Option<(Kind, String)> {
    let kinds = [
        Kind::Group,
        Kind::Label,
        Kind::Route,
        Kind::Tenant,
        Kind::Service,
    ];
    let kind = kinds.into_iter().find(|kind| kind.is_type_of(uid))?;
    Some((kind, uid.id().unescaped().to_owned()))
}

const fn missing(kind: Kind) -> &'static str {
    match kind {
        Kind::Group => "add people with portcullis user group add, or a table [group.NAME]",
        Kind::Label => "write it in `labels` of the routes it is meant for",
        Kind::Route => "the name is that of a table [route.NAME]",
        Kind::Tenant => {
            "write it in `tenant` of the routes it is meant for, or a table [tenant.NAME]"
        }
        Kind::Service => "services are defined by tables [service.NAME]",
        Kind::User | Kind::Console | Kind::Action => "see portcullis policy schema",
    }
}

/// The literal inside the policy, or the whole policy when it is spelt in another way.
fn place(policy: &At, written: &str) -> At {
    let span = policy.span();
    let text = policy.source().text().get(span.clone()).unwrap_or_default();
    text.find(written).map_or_else(
        || policy.clone(),
        |offset| {
            let start = span.start + offset;
            policy.source().at(start..start + written.len())
        },
    )
}

fn shape(rule: &Rule, problems: &mut Problems) {
    let Some(at) = rule.at() else { return };
    if rule.is_forbid() && rule.reason.is_none() {
        problems
            .warning("PC2311")
            .message(format!("policy `{}` forbids without saying why", rule.id))
            .at(at)
            .help("write @reason(\"...\"): the person who is refused reads it");
    }
    let unscoped = matches!(rule.policy.principal_constraint(), PrincipalConstraint::Any)
        && matches!(rule.policy.action_constraint(), ActionConstraint::Any)
        && matches!(
            rule.policy.resource_constraint(),
            cedar_policy::ResourceConstraint::Any
        );
    if !rule.is_forbid() && unscoped {
        problems
            .warning("PC2312")
            .message(format!(
                "policy `{}` permits without naming who, what or where",
                rule.id
            ))
            .at(at)
            .help("name a group, an action, or a route or label: principal in Group::\"...\"")
            .note("it also opens routes that do not exist yet");
    }
}

fn closed(route: &RouteFacts, rules: &[Rule], index: &Index, problems: &mut Problems) {
    let opens = |position: usize| {
        let permits = rules.get(position).is_some_and(|rule| !rule.is_forbid());
        permits
            && index.studied.get(position).is_some_and(|studied| {
                match studied.reach(route) {
                    Reach::Named => true,
                    // A general rule about grants or tokens opens nothing by itself.
                    Reach::General => !studied.reads.credentials,
                    Reach::Elsewhere => false,
                }
            })
    };
    if route.public || !route.allow.is_empty() || index.for_route(route).any(opens) {
        return;
    }
    let problem = problems.warning("PC2401");
    let labels = if route.labels.is_empty() {
        String::new()
    } else {
        format!(" or its labels ({})", route.labels.join(", "))
    };
    problem
        .message(format!(
            "nobody can open `{}`: it has no `allow` and no permit names it{labels}",
            route.name
        ))
        .help("allow = [\"group:NAME\"] in its table, or a permit in the policies");
    problem.at(&route.at);
}

/// The rules that may decide on `route` and read what `wanted` says, in their order.
fn reaching<'r>(
    route: &RouteFacts,
    rules: &'r [Rule],
    index: &Index,
    wanted: fn(&Reads) -> bool,
) -> impl Iterator<Item = &'r Rule> + use<'r> {
    let reads = |position: &usize| {
        let studied = index.studied.get(*position);
        studied.is_some_and(|one| wanted(&one.reads) && one.reach(route) != Reach::Elsewhere)
    };
    let positions: BTreeSet<usize> = index.for_route(route).filter(reads).collect();
    positions
        .into_iter()
        .filter_map(|position| rules.get(position))
}

fn ambiguous(route: &RouteFacts, rules: &[Rule], index: &Index, problems: &mut Problems) {
    if !route.ambiguous_paths {
        return;
    }
    let asking: Vec<&str> = reaching(route, rules, index, Reads::asks_path)
        .map(|rule| rule.id.as_str())
        .collect();
    if asking.is_empty() {
        return;
    }
    let problem = problems.warning("PC2313");
    problem
        .message(format!(
            "`{}` admits paths that its server may read differently from the policies: {}",
            route.name,
            asking.join(", ")
        ))
        .help(
            "take `path_allows` from the route, or decide by route and action instead of by path",
        );
    problem.at(&route.at);
}

/// Policies see the paths of such a route in lower case.
fn capitals(route: &RouteFacts, rules: &[Rule], index: &Index, problems: &mut Problems) {
    if !route.ignores_case {
        return;
    }
    let capital = |reads: &Reads| reads.patterns.iter().any(Pattern::has_capitals);
    for rule in reaching(route, rules, index, capital) {
        problems
            .warning("PC2314")
            .message(format!(
                "`{}` names a path with capitals, which `{}` never has: its server ignores case",
                rule.id.as_str(),
                route.name
            ))
            .help("write the path in lower case, escapes such as `%c3%a4` included")
            .at(&route.at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authz::fixture::{allowing, route, routes, shipped};
    use crate::authz::load;
    use crate::config::Source;

    fn findings(text: &str, routes: &[RouteFacts], names: &Names) -> Vec<String> {
        let mut problems = Problems::new();
        let rules = load::parse(&[Source::new("p.cedar", text)], &mut problems);
        assert!(load::validate(&rules, &mut problems), "{problems:?}");
        let index = Index::new(&rules).unwrap();
        check((&rules, &index), routes, names, &mut problems);
        problems
            .iter()
            .map(|problem| {
                let place = problem
                    .at
                    .as_ref()
                    .map(|at| format!("{}:{}", at.line(), at.column()));
                format!(
                    "{} {} {} {}",
                    problem.code,
                    place.unwrap_or_default(),
                    problem.message,
                    problem.help.join("; ")
                )
            })
            .collect()
    }

    #[test]
    fn a_misspelt_group_is_shown_with_the_one_that_was_meant() {
        let names = Names {
            groups: BTreeMap::from([("engineering".to_owned(), Some(41))]),
            ..Names::default()
        };
        let text = "@id(\"a\")\npermit (principal in Group::\"enginering\", action, resource == Route::\"app\");";
        assert_eq!(
            findings(text, &[route("app", &[])], &names),
            ["PC2310 2:22 Group::\"enginering\" is not defined `engineering` has 41 members"]
        );
        let other = text.replace("enginering", "sales");
        assert!(findings(&other, &[route("app", &[])], &names).is_empty());
        let complete = Names {
            complete: true,
            ..names
        };
        assert_eq!(findings(&other, &[route("app", &[])], &complete).len(), 1);
    }

    #[test]
    fn unknown_routes_and_labels_are_reported() {
        let text =
            "@id(\"a\") permit (principal in Group::\"x\", action, resource == Route::\"ap\");
            @id(\"b\") permit (principal in Group::\"x\", action, resource in Label::\"y\");";
        let found = findings(text, &[allowing("x", route("app", &[]))], &Names::default());
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found.iter().any(|line| line.contains("Label::\"y\"")));
    }

    #[test]
    fn a_forbid_without_a_reason_and_a_permit_without_scope_are_reported() {
        let text = "@id(\"a\") permit (principal, action, resource); @id(\"b\") forbid (principal, action, resource);";
        let found = findings(text, &[], &Names::default());
        assert!(
            found[0].starts_with("PC2312") && found[1].starts_with("PC2311"),
            "{found:?}"
        );
    }

    #[test]
    fn a_route_nobody_can_open_is_reported() {
        let found = findings("", &[route("billing", &["internal"])], &Names::default());
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("nobody can open `billing`") && found[0].contains("(internal)"));
        let grant = "@id(\"g\") permit (principal is User, action, resource is Route) when { context has grant };";
        assert_eq!(
            findings(grant, &[route("billing", &[])], &Names::default()).len(),
            1
        );
        let label = "@id(\"g\") permit (principal is User, action, resource in Label::\"l\");";
        assert!(findings(label, &[route("billing", &["l"])], &Names::default()).is_empty());
    }

    #[test]
    fn a_path_rule_on_a_route_with_ambiguous_paths_is_reported() {
        let mut gitlab = allowing("x", route("gitlab", &[]));
        gitlab.ambiguous_paths = true;
        let text = "@id(\"p\") @reason(\"r\") forbid (principal, action, resource is Route) when { context.request.path like \"/a*\" };";
        let found = findings(text, &[gitlab], &Names::default());
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("PC2313"));
    }

    #[test]
    fn a_path_with_capitals_is_reported_where_the_server_ignores_case_and_nowhere_else() {
        let rule = |path: &str| {
            format!(
                "@id(\"p\") @reason(\"r\") forbid (principal, action, resource is Route) when {{ context.request.path like \"{path}\" }};"
            )
        };
        let mut intranet = allowing("x", route("intranet", &[]));
        let names = Names::default();
        let told = |path: &str, route: &RouteFacts| {
            findings(&rule(path), std::slice::from_ref(route), &names)
        };
        assert!(told("/Admin*", &intranet).is_empty());
        intranet.ignores_case = true;
        assert!(told("/admin*", &intranet).is_empty());
        let found = told("/Admin*", &intranet);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("PC2314"));
    }

    #[test]
    fn the_shipped_policies_raise_nothing_over_the_routes_they_name() {
        let mut problems = Problems::new();
        let rules = load::parse(&shipped(), &mut problems);
        assert_eq!(rules.len(), 15);
        let names = Names {
            services: ["ci-deploy", "invoicing"].map(str::to_owned).into(),
            ..Names::default()
        };
        let mut open = routes();
        for route in &mut open {
            route.allow.push(Subject::Everyone);
        }
        let index = Index::new(&rules).unwrap();
        check((&rules, &index), &open, &names, &mut problems);
        assert!(problems.is_empty(), "{problems:?}");
    }
}
