//! What policies need to know of routes, and the policies that routes themselves write.
//!
//! `allow = [...]` and `public = true` become ordinary policies: listed, tested and overruled by any forbid.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use cedar_policy::{Policy, PolicySet};
use jiff::tz::TimeZone;

use crate::base::RouteName;
use crate::config::{At, Config, Problems, Route, Subject};

use super::rule::Rule;

/// A route as policies see it.
#[derive(Debug, Clone)]
pub(crate) struct RouteFacts {
    pub(crate) name: RouteName,
    /// As written, so `*.example.com` for a wildcard.
    pub(crate) host: String,
    /// `"http"`, `"tcp"` or `"ssh"`.
    pub(crate) kind: &'static str,
    pub(crate) tenant: String,
    pub(crate) labels: Vec<String>,
    pub(crate) allow: Vec<Subject>,
    pub(crate) public: bool,
    /// A refusal looks like a route that does not exist.
    pub(crate) hidden: bool,
    /// Admits paths that different readers read differently.
    pub(crate) ambiguous_paths: bool,
    /// The server behind takes `/Admin` and `/admin` for the same, so policies see the path in lower case.
    pub(crate) ignores_case: bool,
    /// The clock of `context.time`.
    pub(crate) zone: TimeZone,
    /// How old the second factor may be where a policy asks for a fresh one without saying how fresh.
    pub(crate) step_up: Duration,
    pub(crate) at: At,
}

impl RouteFacts {
    /// Every route of `config`, by name.
    pub(crate) fn all(config: &Config) -> Vec<Self> {
        config
            .routes
            .values()
            .map(|route| Self::new(route, config))
            .collect()
    }

    fn new(route: &Route, config: &Config) -> Self {
        let tenant = config.tenants.get(&route.tenant.value);
        let zone = tenant.and_then(|tenant| tenant.timezone.as_ref());
        Self {
            name: route.name.clone(),
            host: route.host.to_string(),
            kind: "http",
            tenant: route.tenant.value.clone(),
            labels: route
                .labels
                .iter()
                .map(|label| label.value.clone())
                .collect(),
            allow: route
                .allow
                .iter()
                .map(|subject| subject.value.clone())
                .collect(),
            public: route.public,
            hidden: route.hidden,
            ambiguous_paths: !route.path_allows.is_empty(),
            ignores_case: config.ignores_case(route),
            zone: zone.unwrap_or(&config.server.timezone).zone.clone(),
            step_up: route
                .session
                .step_up
                .as_ref()
                .map_or(config.session.step_up, |age| age.value),
            at: route.at.clone(),
        }
    }
}

/// The policies that follow from the tables of `routes` themselves.
pub(crate) fn generated(routes: &[RouteFacts], problems: &mut Problems) -> Vec<Rule> {
    let made: Vec<Made<'_>> = routes.iter().flat_map(Made::of).collect();
    let policies = together(&made);
    let mut rules = Vec::with_capacity(made.len());
    for (position, one) in made.iter().enumerate() {
        let parsed = policies.as_ref().and_then(|all| all.get(position).cloned());
        let parsed = match parsed {
            Some(policy) => Ok(policy),
            None => Policy::parse(None, &one.text),
        };
        match parsed {
            Ok(policy) => rules.push(Rule::generated(&one.id, &policy, &one.route.name)),
            Err(error) => {
                let problem = problems.error("PC2106");
                problem
                    .message(format!("no policy can be made from `{}`: {error}", one.id))
                    .at(&one.route.at);
            }
        }
    }
    rules
}

/// A policy that a route makes, as text.
struct Made<'a> {
    id: String,
    text: String,
    route: &'a RouteFacts,
}

impl<'a> Made<'a> {
    fn of(route: &'a RouteFacts) -> Vec<Self> {
        let mut made = Vec::new();
        if route.public {
            made.push(Self {
                id: format!("route.{}.public", route.name),
                text: format!("permit ({});", scope("principal", route)),
                route,
            });
        }
        if !route.allow.is_empty() {
            made.push(Self {
                id: format!("route.{}.allow", route.name),
                text: allow(route),
                route,
            });
        }
        made
    }
}

/// Parses all of them at once, because beginning to parse costs more than the policy itself. `None` unless every text
/// has become exactly one policy.
fn together(made: &[Made<'_>]) -> Option<Vec<Policy>> {
    let mut text = String::new();
    let mut begins = Vec::with_capacity(made.len());
    for one in made {
        begins.push(text.len());
        text += &one.text;
        text.push('\n');
    }
    let set: PolicySet = text.parse().ok()?;
    let mut found = BTreeMap::new();
    for policy in set.policies() {
        found.insert(policy.as_ref().loc()?.start(), policy.clone());
    }
    (found.keys().eq(begins.iter()) && set.policies().count() == begins.len())
        .then(|| found.into_values().collect())
}

fn allow(route: &RouteFacts) -> String {
    if route.allow.contains(&Subject::Everyone) {
        return format!("permit ({});", scope("principal is User", route));
    }
    if let [Subject::Group(group)] = route.allow.as_slice() {
        let principal = format!("principal in Group::{}", quoted(group));
        return format!("permit ({});", scope(&principal, route));
    }
    let pick = |kind: &str, names: Vec<String>| {
        let all: Vec<String> = names
            .into_iter()
            .map(|name| format!("{kind}::{}", quoted(&name)))
            .collect();
        (!all.is_empty()).then(|| format!("[{}]", all.join(", ")))
    };
    let groups = route.allow.iter().filter_map(|allowed| match allowed {
        Subject::Group(name) => Some(name.clone()),
        Subject::User(_) | Subject::Everyone => None,
    });
    let users = route.allow.iter().filter_map(|allowed| match allowed {
        Subject::User(email) => Some(email.to_lowercase()),
        Subject::Group(_) | Subject::Everyone => None,
    });
    let groups = pick("Group", groups.collect()).map(|list| format!("principal in {list}"));
    let users = pick("User", users.collect())
        .map(|list| format!("(principal is User && {list}.contains(principal))"));
    let conditions: Vec<String> = groups.into_iter().chain(users).collect();
    format!(
        "permit ({}) when {{ {} }};",
        scope("principal", route),
        conditions.join(" || ")
    )
}

fn scope(principal: &str, route: &RouteFacts) -> String {
    format!(
        "{principal}, action, resource == Route::{}",
        quoted(route.name.as_str())
    )
}

/// A Cedar string literal. Everything but plain ASCII is written as an escape, so no name can end the literal.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for letter in text.chars() {
        if letter.is_ascii_graphic() && !matches!(letter, '"' | '\\') || letter == ' ' {
            out.push(letter);
        } else {
            // Writing to a String cannot fail.
            write!(out, "\\u{{{:x}}}", u32::from(letter)).unwrap_or_default();
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn route(allow: &[Subject], public: bool) -> RouteFacts {
        RouteFacts {
            name: RouteName::new("app"),
            host: "app.example.com".to_owned(),
            kind: "http",
            tenant: "default".to_owned(),
            labels: Vec::new(),
            allow: allow.to_vec(),
            public,
            hidden: false,
            ambiguous_paths: false,
            ignores_case: false,
            zone: TimeZone::UTC,
            step_up: Duration::from_secs(300),
            at: At::nowhere(),
        }
    }

    fn rules(allow: &[Subject], public: bool) -> Vec<Rule> {
        let mut problems = Problems::new();
        let rules = generated(&[route(allow, public)], &mut problems);
        assert!(problems.is_empty());
        assert!(
            super::super::load::validate(&rules, &mut problems),
            "{problems:?}"
        );
        assert!(problems.is_empty(), "{problems:?}");
        rules
    }

    #[test]
    fn every_form_of_allow_is_a_valid_policy() {
        let group = Subject::Group("engineering".to_owned());
        let user = Subject::User("ana@example.com".to_owned());
        assert!(
            rules(std::slice::from_ref(&group), false)[0]
                .text()
                .contains("in Group::\"engineering\"")
        );
        assert!(
            rules(&[group, user.clone()], false)[0]
                .text()
                .contains("contains")
        );
        assert!(
            rules(&[user, Subject::Everyone], false)[0]
                .text()
                .contains("principal is User")
        );
        assert_eq!(rules(&[], true)[0].id.as_str(), "route.app.public");
        assert!(rules(&[], false).is_empty());
    }

    #[test]
    fn the_policies_of_many_routes_are_those_of_each() {
        let named = |number: usize, public: bool| RouteFacts {
            name: RouteName::new(format!("app{number}")),
            public,
            ..route(&[Subject::Group(format!("team\"{number}"))], public)
        };
        let routes: Vec<RouteFacts> = (0..9)
            .map(|number| named(number, number % 3 == 0))
            .collect();
        let mut problems = Problems::new();
        let texts = |rules: Vec<Rule>| -> Vec<String> { rules.iter().map(Rule::text).collect() };
        let together = texts(generated(&routes, &mut problems));
        let each: Vec<String> = routes
            .iter()
            .flat_map(|one| texts(generated(std::slice::from_ref(one), &mut problems)))
            .collect();
        assert_eq!((together.len(), &together), (12, &each));
        assert!(problems.is_empty());
    }

    #[test]
    fn a_text_that_is_two_policies_or_half_a_one_is_not_taken_for_one() {
        let facts = route(&[], true);
        let made = |texts: [&str; 2]| -> Vec<Made<'_>> {
            let one = |text: &str| Made {
                id: String::new(),
                text: text.to_owned(),
                route: &facts,
            };
            texts.map(one).into_iter().collect()
        };
        let (whole, twice) = (
            "permit(principal, action, resource);",
            "permit(principal, action, resource); permit(principal, action, resource);",
        );
        assert_eq!(
            together(&made([whole, whole])).map(|all| all.len()),
            Some(2)
        );
        assert!(together(&made([twice, whole])).is_none());
        assert!(together(&made([twice, " "])).is_none());
        assert!(together(&made(["permit(principal, ", "action, resource);"])).is_none());
    }

    #[test]
    fn a_name_cannot_leave_its_literal() {
        let group = Subject::Group("x\"); permit(principal, action, resource); //\\".to_owned());
        assert_eq!(rules(&[group.clone(), group], false).len(), 1);
        assert_eq!(quoted("a\"ä"), "\"a\\u{22}\\u{e4}\"");
    }
}
