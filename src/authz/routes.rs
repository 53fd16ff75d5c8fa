//! What policies need to know of routes, and the policies that routes themselves write.
//!
//! `allow = [...]` and `public = true` become ordinary policies: listed, tested and overruled by any forbid.

use std::fmt::Write as _;
use std::time::Duration;

use cedar_policy::Policy;
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

/// The policies that follow from the table of `route` itself.
pub(crate) fn generated(route: &RouteFacts, problems: &mut Problems) -> Vec<Rule> {
    let mut rules = Vec::new();
    if route.public {
        let id = format!("route.{}.public", route.name);
        let scope = scope("principal", route);
        rules.extend(make(&id, &format!("permit ({scope});"), route, problems));
    }
    if !route.allow.is_empty() {
        let id = format!("route.{}.allow", route.name);
        rules.extend(make(&id, &allow(route), route, problems));
    }
    rules
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

fn make(id: &str, text: &str, route: &RouteFacts, problems: &mut Problems) -> Option<Rule> {
    match Policy::parse(None, text) {
        Ok(policy) => Some(Rule::generated(id, &policy, &route.name)),
        Err(error) => {
            let problem = problems.error("PC2106");
            problem
                .message(format!("no policy can be made from `{id}`: {error}"))
                .at(&route.at);
            None
        }
    }
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
        let rules = generated(&route(allow, public), &mut problems);
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
    fn a_name_cannot_leave_its_literal() {
        let group = Subject::Group("x\"); permit(principal, action, resource); //\\".to_owned());
        assert_eq!(rules(&[group.clone(), group], false).len(), 1);
        assert_eq!(quoted("a\"ä"), "\"a\\u{22}\\u{e4}\"");
    }
}
