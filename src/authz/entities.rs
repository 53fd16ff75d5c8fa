//! Callers and targets as Cedar entities.
//!
//! What is built here follows from the caller's snapshot and the plan alone; nothing of a single request is in it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use cedar_policy::{Entity, EntityUid, RestrictedExpression};

use super::request::{Caller, Service};
use super::routes::RouteFacts;
use super::schema::{ANONYMOUS, CONSOLE, Kind};
use crate::authn::Principal;

/// A caller with the entities that policies may reach from it.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    /// Two callers never share a number, so it stands for everything about the caller in the decision memory.
    pub(crate) version: u64,
    pub(crate) uid: EntityUid,
    pub(crate) entity: Entity,
    /// `context.session`, for a person.
    pub(crate) session: Option<RestrictedExpression>,
    /// Keeps the snapshot, so that its address names it as long as this exists.
    pub(crate) held: Held,
}

/// The snapshot a [`Known`] was made from.
#[derive(Debug, Clone)]
pub(crate) enum Held {
    Person(Arc<Principal>),
    Service(Arc<Service>),
    Nobody,
}

impl Held {
    pub(crate) fn is(&self, caller: Caller<'_>) -> bool {
        match (self, caller) {
            (Self::Person(held), Caller::Person(asking)) => Arc::ptr_eq(held, asking),
            (Self::Service(held), Caller::Service(asking)) => Arc::ptr_eq(held, asking),
            (Self::Nobody, Caller::Anonymous) => true,
            (Self::Person(_) | Self::Service(_) | Self::Nobody, _) => false,
        }
    }
}

/// A `User`. Its id is the e-mail address in lower case, which the store keeps unique among addresses and logins.
pub(crate) fn user(
    email: &str,
    tenant: &str,
    contractor: bool,
    groups: &BTreeSet<String>,
) -> Option<Entity> {
    let attributes = HashMap::from([
        ("email".to_owned(), text(email)),
        ("tenant".to_owned(), entity(Kind::Tenant, tenant)),
        (
            "contractor".to_owned(),
            RestrictedExpression::new_bool(contractor),
        ),
    ]);
    Entity::new(Kind::User.uid(email), attributes, in_groups(groups)).ok()
}

/// The `User` that stands for whoever has not signed in, seen from a route of `tenant`.
pub(crate) fn anonymous(tenant: &str) -> Option<Entity> {
    user(ANONYMOUS, tenant, false, &BTreeSet::new())
}

/// A `Service`.
pub(crate) fn service(service: &Service, groups: &BTreeSet<String>) -> Option<Entity> {
    let attributes = HashMap::from([
        ("tenant".to_owned(), entity(Kind::Tenant, &service.tenant)),
        ("owner".to_owned(), entity(Kind::User, &service.owner)),
    ]);
    let uid = Kind::Service.uid(&service.name);
    Entity::new(uid, attributes, in_groups(groups)).ok()
}

/// A `Route`.
pub(crate) fn route(route: &RouteFacts) -> Option<Entity> {
    let attributes = HashMap::from([
        ("tenant".to_owned(), entity(Kind::Tenant, &route.tenant)),
        ("host".to_owned(), text(&route.host)),
        ("kind".to_owned(), text(route.kind)),
    ]);
    let uid = Kind::Route.uid(route.name.as_str());
    let labels = route.labels.iter().map(|name| Kind::Label.uid(name));
    Entity::new(uid, attributes, labels.collect()).ok()
}

pub(crate) fn console() -> Entity {
    Entity::new_no_attrs(Kind::Console.uid(CONSOLE), HashSet::new())
}

fn in_groups(groups: &BTreeSet<String>) -> HashSet<EntityUid> {
    groups.iter().map(|name| Kind::Group.uid(name)).collect()
}

fn text(value: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(value.to_owned())
}

fn entity(kind: Kind, id: &str) -> RestrictedExpression {
    RestrictedExpression::new_entity_uid(kind.uid(id))
}
