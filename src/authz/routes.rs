//! What policies need to know of routes, and the policies that routes themselves write.
//!
//! `allow = [...]` and `public = true` become ordinary policies: listed, tested and overruled by any forbid.

use std::fmt::Write as _;

use cedar_policy::Policy;
use jiff::tz::TimeZone;

use crate::base::RouteName;
use crate::config::{At, Problems};

use super::rule::Rule;

/// Whom `allow` names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Allowed {
    Group(String),
    /// By e-mail address.
    User(String),
    /// Everybody who has signed in.
    Everyone,
}

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
    pub(crate) allow: Vec<Allowed>,
    pub(crate) public: bool,
    /// A refusal looks like a route that does not exist.
    pub(crate) hidden: bool,
    /// Admits paths that different readers read differently.
    pub(crate) ambiguous_paths: bool,
    /// The clock of `context.time`.
    pub(crate) zone: TimeZone,
    pub(crate) at: Option<At>,
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
    if route.allow.contains(&Allowed::Everyone) {
        return format!("permit ({});", scope("principal is User", route));
    }
    if let [Allowed::Group(group)] = route.allow.as_slice() {
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
        Allowed::Group(name) => Some(name.clone()),
        Allowed::User(_) | Allowed::Everyone => None,
    });
    let users = route.allow.iter().filter_map(|allowed| match allowed {
        Allowed::User(email) => Some(email.to_lowercase()),
        Allowed::Group(_) | Allowed::Everyone => None,
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
            problem.message(format!("no policy can be made from `{id}`: {error}"));
            if let Some(at) = &route.at {
                problem.at(at);
            }
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

    pub(super) fn route(allow: &[Allowed], public: bool) -> RouteFacts {
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
            zone: TimeZone::UTC,
            at: None,
        }
    }

    fn rules(allow: &[Allowed], public: bool) -> Vec<Rule> {
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
        let group = Allowed::Group("engineering".to_owned());
        let user = Allowed::User("ana@example.com".to_owned());
        assert!(
            rules(std::slice::from_ref(&group), false)[0]
                .text()
                .contains("in Group::\"engineering\"")
        );
        assert!(
            rules(&[group.clone(), user.clone()], false)[0]
                .text()
                .contains("contains")
        );
        assert!(
            rules(&[user, Allowed::Everyone], false)[0]
                .text()
                .contains("principal is User")
        );
        assert_eq!(rules(&[], true)[0].id.as_str(), "route.app.public");
        assert!(rules(&[], false).is_empty());
    }

    #[test]
    fn a_name_cannot_leave_its_literal() {
        let group = Allowed::Group("x\"); permit(principal, action, resource); //\\".to_owned());
        assert_eq!(rules(&[group.clone(), group], false).len(), 1);
        assert_eq!(quoted("a\"ä"), "\"a\\u{22}\\u{e4}\"");
    }
}
