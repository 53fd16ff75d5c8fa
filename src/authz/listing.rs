//! `policy list`, `policy show` and the numbers of the start-up lines, as text and as JSON.

use std::fmt::Write as _;

use serde::Serialize;

use crate::config::show_duration;

use super::policies::Policies;
use super::rule::{Origin, Rule};

/// One policy as JSON shows it.
#[derive(Debug, Serialize)]
struct Listed<'a> {
    id: &'a str,
    kind: &'static str,
    from: String,
    reason: Option<&'a str>,
    fix: Option<&'a str>,
    step_up: Option<String>,
    alert: Option<&'a str>,
    owner: Option<&'a str>,
    review: Option<String>,
    text: String,
}

impl<'a> Listed<'a> {
    fn new(rule: &'a Rule) -> Self {
        Self {
            id: rule.id.as_str(),
            kind: rule.effect(),
            from: rule.from(),
            reason: rule.reason.as_deref(),
            fix: rule.fix.as_deref(),
            step_up: rule.step_up.map(show_duration),
            alert: rule.alert.as_deref(),
            owner: rule.owner.as_deref(),
            review: rule.review.map(|date| date.to_string()),
            text: rule.text(),
        }
    }
}

/// How many policies there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) written: usize,
    /// Made from `allow` or `public` of routes.
    pub(crate) generated: usize,
}

impl Policies {
    pub(crate) fn count(&self) -> Count {
        let all = self.rules().count();
        let written = self
            .rules()
            .filter(|rule| matches!(rule.origin, Origin::Written(_)))
            .count();
        Count {
            written,
            generated: all - written,
        }
    }

    /// The table of `policy list`, by id.
    pub(crate) fn list(&self) -> String {
        let width = self
            .rules()
            .map(|rule| rule.id.as_str().len())
            .max()
            .unwrap_or(0)
            .max("POLICY".len());
        let mut out = format!("{:<width$}  KIND    FROM\n", "POLICY");
        for rule in self.rules() {
            // Writing to a String cannot fail.
            writeln!(
                out,
                "{:<width$}  {}  {}",
                rule.id,
                rule.effect(),
                rule.from()
            )
            .unwrap_or_default();
        }
        out
    }

    /// The array of `policy list --format json`.
    pub(crate) fn list_json(&self) -> String {
        let all: Vec<Listed<'_>> = self.rules().map(Listed::new).collect();
        serde_json::to_string(&all).unwrap_or_default()
    }

    /// The text of `policy show ID`; an unknown id gives the nearest known one, if any.
    pub(crate) fn show(&self, id: &str) -> Result<String, Option<&str>> {
        let rule = self.find_rule(id)?;
        let mut out = format!("{}\n\nfrom    {}\n", rule.text(), rule.from());
        let routes: Vec<&str> = self
            .routes()
            .iter()
            .filter(|route| self.applies_to(rule, route.name.as_str()))
            .map(|route| route.name.as_str())
            .collect();
        let routes = if routes.is_empty() {
            "none".to_owned()
        } else {
            routes.join(", ")
        };
        writeln!(out, "routes  {routes}").unwrap_or_default();
        Ok(out)
    }

    /// The object of `policy show ID --format json`.
    pub(crate) fn show_json(&self, id: &str) -> Result<String, Option<&str>> {
        let rule = self.find_rule(id)?;
        Ok(serde_json::to_string(&Listed::new(rule)).unwrap_or_default())
    }

    fn find_rule(&self, id: &str) -> Result<&Rule, Option<&str>> {
        self.rule(id)
            .ok_or_else(|| crate::config::nearest(id, self.rules().map(|rule| rule.id.as_str())))
    }

    fn applies_to(&self, rule: &Rule, route: &str) -> bool {
        let name = crate::base::RouteName::new(route);
        self.slices
            .find(super::Target::Route(&name))
            .is_some_and(|slice| {
                let id = cedar_policy::PolicyId::new(rule.id.as_str());
                slice.policies.policy(&id).is_some()
            })
    }
}

#[cfg(test)]
mod tests {
    use super::Count;
    use crate::authz::fixture::company;

    #[test]
    fn the_list_names_every_policy_with_its_origin() {
        let policies = company();
        assert_eq!(
            policies.count(),
            Count {
                written: 15,
                generated: 5
            }
        );
        let list = policies.list();
        assert!(list.starts_with("POLICY "));
        assert!(
            list.contains("workloads.invoicing-to-ledger  permit  "),
            "{list}"
        );
        assert!(list.contains("permit  [route.wiki]"));
        let json: serde_json::Value = serde_json::from_str(&policies.list_json()).unwrap();
        assert_eq!(json.as_array().unwrap().len(), 20);
    }

    #[test]
    fn a_policy_is_shown_with_the_routes_it_can_apply_to() {
        let policies = company();
        let text = policies.show("device.managed-only").unwrap();
        assert!(text.starts_with("@id(\"device.managed-only\")"));
        assert!(text.contains("routes  payroll\n"), "{text}");
        assert!(
            policies
                .show("route.wiki.allow")
                .unwrap()
                .contains("Group::\"staff\"")
        );
        assert_eq!(
            policies.show("device.managed-onyl"),
            Err(Some("device.managed-only"))
        );
        let json = policies.show_json("step-up.dangerous-paths").unwrap();
        assert!(json.contains("\"step_up\":\"5m\""));
    }
}
