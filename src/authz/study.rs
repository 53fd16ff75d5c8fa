//! What the text of each policy says of itself, found once per plan: its scope, what it reads, and by which routes and
//! labels it is found.
//!
//! Made from the form that Cedar evaluates; taking the other one would parse every policy again. Decides nothing.

use std::collections::HashMap;

use cedar_policy::Policy;
use cedar_policy::pst::{self, EntityOrSlot, ResourceConstraint, StaticPolicy, Template};

use super::reads::Reads;
use super::routes::RouteFacts;
use super::rule::Rule;
use super::schema::Kind;

/// One policy, taken apart.
#[derive(Debug)]
pub(super) struct Studied {
    policy: StaticPolicy,
    pub(super) reads: Reads,
}

impl Studied {
    /// `None` for what cannot be taken apart, which parsing has excluded.
    fn new(policy: &Policy) -> Option<Self> {
        let pst::Policy::Static(policy) = pst::Policy::try_from(policy.as_ref().clone()).ok()?
        else {
            return None;
        };
        let reads = Reads::of_policy(policy.body());
        Some(Self { policy, reads })
    }

    pub(super) fn body(&self) -> &Template {
        self.policy.body()
    }

    /// How the scope speaks of `route`.
    pub(super) fn reach(&self, route: &RouteFacts) -> Reach {
        match &self.body().resource {
            ResourceConstraint::Any => Reach::General,
            ResourceConstraint::Is(kind) if kind.to_string() == Kind::Route.name() => {
                Reach::General
            }
            ResourceConstraint::Eq(EntityOrSlot::Entity(uid))
            | ResourceConstraint::In(EntityOrSlot::Entity(uid))
            | ResourceConstraint::IsIn(_, EntityOrSlot::Entity(uid)) => {
                let name = uid.eid.as_str();
                let named = match uid.ty.to_string().as_str() {
                    "Route" => name == route.name.as_str(),
                    "Label" => route.labels.iter().any(|label| label == name),
                    _ => false,
                };
                if named {
                    Reach::Named
                } else {
                    Reach::Elsewhere
                }
            }
            ResourceConstraint::Is(_)
            | ResourceConstraint::Eq(EntityOrSlot::Slot(_))
            | ResourceConstraint::In(EntityOrSlot::Slot(_))
            | ResourceConstraint::IsIn(_, EntityOrSlot::Slot(_)) => Reach::Elsewhere,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    Named,
    General,
    Elsewhere,
}

/// Every policy with the positions by what their scopes say of the resource.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// In the order of the rules.
    pub(super) studied: Vec<Studied>,
    every_route: Vec<usize>,
    by_route: HashMap<String, Vec<usize>>,
    by_label: HashMap<String, Vec<usize>>,
    console: Vec<usize>,
}

impl Index {
    /// `None` when a policy cannot be taken apart, which validation has excluded.
    pub(super) fn new(rules: &[Rule]) -> Option<Self> {
        let mut index = Self::default();
        for (position, rule) in rules.iter().enumerate() {
            let studied = Studied::new(&rule.policy)?;
            index.place(position, &studied.body().resource);
            index.studied.push(studied);
        }
        Some(index)
    }

    fn place(&mut self, position: usize, resource: &ResourceConstraint) {
        match resource {
            ResourceConstraint::Any => self.place_everywhere(position),
            ResourceConstraint::Is(kind) if kind.to_string() == Kind::Console.name() => {
                self.console.push(position);
            }
            ResourceConstraint::Is(_) => self.every_route.push(position),
            ResourceConstraint::Eq(EntityOrSlot::Entity(uid))
            | ResourceConstraint::In(EntityOrSlot::Entity(uid))
            | ResourceConstraint::IsIn(_, EntityOrSlot::Entity(uid)) => {
                let name = uid.eid.to_string();
                match uid.ty.to_string().as_str() {
                    "Route" => self.by_route.entry(name).or_default().push(position),
                    "Label" => self.by_label.entry(name).or_default().push(position),
                    "Console" => self.console.push(position),
                    // Cedar says what such a policy means; it is given every chance to.
                    _ => self.place_everywhere(position),
                }
            }
            ResourceConstraint::Eq(EntityOrSlot::Slot(_))
            | ResourceConstraint::In(EntityOrSlot::Slot(_))
            | ResourceConstraint::IsIn(_, EntityOrSlot::Slot(_)) => {
                self.place_everywhere(position);
            }
        }
    }

    fn place_everywhere(&mut self, position: usize) {
        self.every_route.push(position);
        self.console.push(position);
    }

    /// Positions of the policies whose scope can match `route`, in no order, some perhaps twice.
    pub(super) fn for_route<'i>(
        &'i self,
        route: &'i RouteFacts,
    ) -> impl Iterator<Item = usize> + 'i {
        let labelled = route
            .labels
            .iter()
            .filter_map(|label| self.by_label.get(label));
        let named = self.by_route.get(route.name.as_str());
        named
            .into_iter()
            .chain(labelled)
            .flatten()
            .chain(&self.every_route)
            .copied()
    }

    /// Positions of the policies whose scope can match the console, in order.
    pub(super) fn for_console(&self) -> &[usize] {
        &self.console
    }
}
