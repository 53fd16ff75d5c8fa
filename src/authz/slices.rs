//! For every route the few policies that can apply to it, found once when the plan is compiled.
//!
//! A policy is left out of a slice only when its scope cannot match the target; what is left out would not have
//! been satisfied and could not have failed, so an answer from the slice is the answer of all policies.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use cedar_policy::pst::{self, StaticPolicy, Template};
use cedar_policy::{Entity, Policy, PolicySet};
use foldhash::{HashMap, HashMapExt as _};
use jiff::tz::TimeZone;

use crate::base::{PolicyId, RouteName};

use super::entities;
use super::reads::{self, Reads};
use super::request::Target;
use super::routes::RouteFacts;
use super::rule::Rule;
use super::study::Index;

/// The policies that can apply to one target.
#[derive(Debug)]
pub(crate) struct Slice {
    /// Its position among all slices; part of the memory's key.
    pub(crate) number: u32,
    pub(crate) target: Entity,
    pub(crate) public: bool,
    pub(crate) hidden: bool,
    /// The path is judged in lower case.
    pub(crate) ignores_case: bool,
    pub(crate) tenant: String,
    pub(crate) zone: TimeZone,
    /// The age a step-up asks for when the policy does not say.
    pub(crate) step_up: Duration,
    pub(crate) policies: PolicySet,
    /// What all of them together read.
    pub(crate) reads: Reads,
    /// One policy for each that reads the time: its conditions up to the first that does. While such a guard does
    /// not hold, Cedar does not get as far as the time, and the answer does not depend on it.
    pub(crate) guards: PolicySet,
    /// Those whose guard, when it holds, is followed by a look at the exact time.
    pub(crate) instant: BTreeSet<PolicyId>,
}

/// All slices.
#[derive(Debug)]
pub(crate) struct Slices {
    routes: HashMap<RouteName, Arc<Slice>>,
    console: Arc<Slice>,
    /// Some slice judges the path in lower case.
    ignore_case: bool,
}

impl Slices {
    /// `None` when an entity or a policy cannot be expressed, which validation has excluded.
    pub(crate) fn compile(
        routes: &[RouteFacts],
        rules: (&[Rule], &Index),
        (zone, step_up): (&TimeZone, Duration),
    ) -> Option<Self> {
        let ready = Ready::new(rules.0, rules.1)?;
        let mut found = HashMap::with_capacity(routes.len());
        for (number, route) in (1..).zip(routes) {
            let slice = ready.slice(Place {
                number,
                rules: ready.index.for_route(route).collect(),
                target: entities::route(route)?,
                public: route.public,
                hidden: route.hidden,
                ignores_case: route.ignores_case,
                tenant: route.tenant.clone(),
                zone: route.zone.clone(),
                step_up: route.step_up,
            })?;
            found.insert(route.name.clone(), Arc::new(slice));
        }
        let console = ready.slice(Place {
            number: 0,
            rules: ready.index.for_console().iter().copied().collect(),
            target: entities::console(),
            public: false,
            hidden: false,
            ignores_case: false,
            tenant: String::new(),
            zone: zone.clone(),
            step_up,
        })?;
        Some(Self {
            routes: found,
            console: Arc::new(console),
            ignore_case: routes.iter().any(|route| route.ignores_case),
        })
    }

    /// `true` when the path of a request on `target` is judged in lower case.
    pub(crate) fn ignores_case(&self, target: Target<'_>) -> bool {
        self.ignore_case && self.find(target).is_some_and(|slice| slice.ignores_case)
    }

    pub(crate) fn find(&self, target: Target<'_>) -> Option<&Arc<Slice>> {
        match target {
            Target::Route(name) => self.routes.get(name),
            Target::Console => Some(&self.console),
        }
    }
}

/// What a slice is made from.
struct Place {
    number: u32,
    /// Their positions; the order of the files.
    rules: BTreeSet<usize>,
    target: Entity,
    public: bool,
    hidden: bool,
    ignores_case: bool,
    tenant: String,
    zone: TimeZone,
    step_up: Duration,
}

/// The policies with what is asked of the time before each is.
struct Ready<'a> {
    rules: &'a [Rule],
    index: &'a Index,
    guards: Vec<Option<Policy>>,
}

impl<'a> Ready<'a> {
    fn new(rules: &'a [Rule], index: &'a Index) -> Option<Self> {
        let mut guards = Vec::with_capacity(rules.len());
        for studied in &index.studied {
            guards.push(match studied.reads.is_timed() {
                true => Some(guard(studied.body())?),
                false => None,
            });
        }
        Some(Self {
            rules,
            index,
            guards,
        })
    }

    fn slice(&self, place: Place) -> Option<Slice> {
        let mut policies = PolicySet::new();
        let mut guards = PolicySet::new();
        let mut reads = Reads::default();
        let mut instant = BTreeSet::new();
        for position in place.rules {
            let (rule, studied) = (self.rules.get(position)?, self.index.studied.get(position)?);
            policies.add(rule.policy.clone()).ok()?;
            reads.add(&studied.reads);
            if let Some(guard) = self.guards.get(position)? {
                guards.add(guard.clone()).ok()?;
            }
            if studied.reads.instant {
                instant.insert(rule.id.clone());
            }
        }
        Some(Slice {
            number: place.number,
            target: place.target,
            public: place.public,
            hidden: place.hidden,
            ignores_case: place.ignores_case,
            tenant: place.tenant,
            zone: place.zone,
            step_up: place.step_up,
            policies,
            reads,
            guards,
            instant,
        })
    }
}

/// A permit with the scope of `policy` and its conditions up to the first that reads the time.
fn guard(policy: &Template) -> Option<Policy> {
    let untimed = reads::conditions(policy)
        .into_iter()
        .take_while(|condition| !Reads::of(condition).is_timed())
        .map(pst::Clause::When);
    let template = Template::new(
        policy.id.clone(),
        pst::Effect::Permit,
        policy.principal.clone(),
        policy.action.clone(),
        policy.resource.clone(),
    )
    .try_with_clauses(untimed)
    .ok()?;
    let guard = StaticPolicy::try_from(template).ok()?;
    Policy::from_pst(pst::Policy::Static(guard)).ok()
}

#[cfg(test)]
mod tests {
    use cedar_policy::Policy;

    use super::*;

    #[test]
    fn a_guard_ends_before_the_first_look_at_the_time() {
        let text = r#"forbid(principal is User, action, resource)
            when { principal.contractor && context.request.path like "/a*" && context.time.minute > 4 }
            unless { principal.email == "x" };"#;
        let policy = Policy::parse(None, text).unwrap().to_pst().unwrap();
        let guard = guard(policy.body()).unwrap().to_pst().unwrap();
        assert_eq!(guard.body().clauses().len(), 2);
        assert!(!Reads::of_policy(guard.body()).is_timed());
    }

    #[test]
    fn a_slice_is_as_small_among_a_thousand_policies_as_among_ten() {
        use crate::authz::fixture::{compile, route};
        use crate::config::Source;

        let site = |count: usize| {
            let names: Vec<String> = (0..count).map(|number| format!("r{number}")).collect();
            let mut text = String::from(
                "@id(\"all\") permit(principal is User, action, resource is Route);\n",
            );
            for name in &names {
                for group in 0..4 {
                    text += &format!(
                        "@id(\"{name}.{group}\") permit(principal in Group::\"g{group}\", action, resource == Route::\"{name}\");\n"
                    );
                }
            }
            let routes: Vec<RouteFacts> = names.iter().map(|name| route(name, &["l"])).collect();
            let policies = compile(&[Source::new("many.cedar", text)], &routes).unwrap();
            let name = RouteName::new("r1");
            policies
                .slices
                .find(Target::Route(&name))
                .unwrap()
                .policies
                .num_of_policies()
        };
        assert_eq!(site(2), 5);
        assert_eq!(site(250), 5);
    }

    #[test]
    fn labels_routes_and_everything_meet_in_one_slice() {
        use crate::authz::fixture::{compile, route};
        use crate::config::Source;

        let text = "@id(\"a\") permit(principal, action, resource in Label::\"x\");
            @id(\"b\") permit(principal, action, resource is Route in Label::\"x\");
            @id(\"c\") permit(principal, action, resource == Route::\"app\");
            @id(\"d\") permit(principal, action, resource in Route::\"app\");
            @id(\"e\") permit(principal, action, resource is Route);
            @id(\"f\") permit(principal, action, resource);
            @id(\"g\") permit(principal, action, resource in Label::\"y\");
            @id(\"h\") permit(principal, action, resource == Route::\"other\");
            @id(\"i\") permit(principal, action, resource is Console);";
        let routes = [route("app", &["x"]), route("other", &["y"])];
        let policies = compile(&[Source::new("p.cedar", text)], &routes).unwrap();
        let count = |slice: Option<&Arc<Slice>>| slice.unwrap().policies.num_of_policies();
        let of = |name: &str| count(policies.slices.find(Target::Route(&RouteName::new(name))));
        assert_eq!((of("app"), of("other")), (6, 4));
        assert_eq!(count(policies.slices.find(Target::Console)), 2);
    }
}
