//! The schema of policies, built into the program, and the names of the entities in it.
//!
//! Nothing here is configurable: a policy that validates on one machine validates on every other of this version.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use cedar_policy::{Entity, EntityId, EntityTypeName, EntityUid, Schema};

/// The schema as written, for `policy schema` and for editors.
pub(crate) const TEXT: &str = include_str!("../../policies/portcullis.cedarschema");

/// The id of the `User` that stands for a visitor of a public route who has not signed in.
pub(crate) const ANONYMOUS: &str = "anonymous";

/// The id of the only `Console`.
pub(crate) const CONSOLE: &str = "console";

#[expect(
    clippy::expect_used,
    reason = "the schema is compiled in; `schema_is_accepted_without_warnings` covers it"
)]
static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
    Schema::from_cedarschema_str(TEXT)
        .map(|(schema, _warnings)| schema)
        .expect("the built-in schema is valid")
});

/// Every action with the groups it lies in, by its id.
static ACTIONS: LazyLock<BTreeMap<String, Entity>> = LazyLock::new(|| {
    SCHEMA
        .action_entities()
        .map(|all| {
            all.iter()
                .map(|action| (action.uid().id().unescaped().to_owned(), action.clone()))
                .collect()
        })
        .unwrap_or_default()
});

pub(crate) fn schema() -> &'static Schema {
    &SCHEMA
}

/// The action called `id` and its ancestors; `None` when the schema has no such action.
pub(crate) fn action(id: &str) -> Option<&'static Entity> {
    ACTIONS.get(id)
}

/// The types of entity that policies name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    User,
    Service,
    Group,
    Label,
    Route,
    Tenant,
    Console,
    Action,
}

impl Kind {
    pub(crate) const ALL: [Self; 8] = [
        Self::User,
        Self::Service,
        Self::Group,
        Self::Label,
        Self::Route,
        Self::Tenant,
        Self::Console,
        Self::Action,
    ];

    /// The name of the type in the schema.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::User => "User",
            Self::Service => "Service",
            Self::Group => "Group",
            Self::Label => "Label",
            Self::Route => "Route",
            Self::Tenant => "Tenant",
            Self::Console => "Console",
            Self::Action => "Action",
        }
    }

    /// The entity of this type called `id`.
    pub(crate) fn uid(self, id: &str) -> EntityUid {
        EntityUid::from_type_name_and_id(self.type_name().clone(), EntityId::new(id))
    }

    pub(crate) fn is_type_of(self, uid: &EntityUid) -> bool {
        uid.type_name() == self.type_name()
    }

    fn type_name(self) -> &'static EntityTypeName {
        static NAMES: LazyLock<Vec<EntityTypeName>> = LazyLock::new(|| {
            Kind::ALL
                .iter()
                .filter_map(|kind| kind.name().parse().ok())
                .collect()
        });
        #[expect(
            clippy::indexing_slicing,
            reason = "one parsed name per variant, in order; `every_kind_has_its_name` covers it"
        )]
        &NAMES[self as usize]
    }
}

#[cfg(test)]
mod tests {
    use cedar_policy::Schema;

    use super::{ACTIONS, Kind, TEXT, action};

    #[test]
    fn schema_is_accepted_without_warnings() {
        let (_, warnings) = Schema::from_cedarschema_str(TEXT).unwrap();
        assert_eq!(warnings.count(), 0);
    }

    #[test]
    fn every_kind_has_its_name() {
        for kind in Kind::ALL {
            assert_eq!(kind.uid("x").type_name().to_string(), kind.name());
        }
    }

    #[test]
    fn reading_methods_lie_in_read_and_unknown_ones_in_write() {
        assert_eq!(ACTIONS.len(), 25);
        assert!(action("GET").is_some());
        assert!(action("OTHER").is_some());
        assert!(action("TRACE").is_none());
    }
}
