//! Declares a table of the file once: its keys, their types, defaults, documentation and effect of a reload.
//!
//! From one `table!` come the struct, its reader and its chapter in `docs/configuration.md`; they cannot differ.

use super::problem::Problems;
pub(super) use super::reader::Reader;
use super::source::At;
use super::tree::{Node, parse_value};

/// A type that a key can have.
pub(super) trait Value: Sized {
    /// What the key takes, for the reference and for "must be ...": `a duration such as "30s"`.
    fn kind() -> String;

    /// Reads `node`, or adds a problem and gives `None`.
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self>;
}

/// Values that a table takes from where it stands, not from a key.
pub(super) trait Derived {
    /// `name` is the last part of the table's path; `at` the place of that name.
    fn derive(name: &str, at: &At) -> Self;
}

impl Derived for At {
    fn derive(_name: &str, at: &At) -> Self {
        at.clone()
    }
}

impl Derived for String {
    fn derive(name: &str, _at: &At) -> Self {
        name.to_owned()
    }
}

impl Derived for crate::base::RouteName {
    fn derive(name: &str, _at: &At) -> Self {
        Self::new(name)
    }
}

/// A table as the reference shows it.
#[derive(Debug)]
pub(super) struct TableDoc {
    /// `server.limits`, `route.NAME`; empty for the top of the file.
    pub(super) path: &'static str,
    pub(super) doc: &'static [&'static str],
    pub(super) fields: &'static [FieldDoc],
}

/// A key as the reference shows it.
#[derive(Debug)]
pub(super) struct FieldDoc {
    pub(super) name: &'static str,
    pub(super) doc: &'static [&'static str],
    /// TOML text; `required` or `none`.
    pub(super) default: &'static str,
    /// `reload` when SIGHUP is enough, `restart` when not.
    pub(super) effect: &'static str,
    pub(super) kind: fn() -> String,
}

/// A struct made by `table!`.
pub(super) trait Table: Value {
    const DOC: TableDoc;

    /// Adds the keys that differ from `newer` and take effect only after a restart, as "`key` in [table]".
    fn awaiting_restart(&self, newer: &Self, found: &mut Vec<String>);
}

/// `true` when two values differ in more than the place where they stand.
pub(super) fn differ<T: std::fmt::Debug>(a: &T, b: &T) -> bool {
    format!("{a:?}") != format!("{b:?}")
}

/// Reads the TOML text of a default. A test reads every default, so `None` never leaves this crate's tests.
pub(super) fn default_from<T: Value>(text: &str) -> Option<T> {
    let node = parse_value(text)?;
    let mut problems = Problems::new();
    T::read(
        &node,
        &mut Reader::new(std::path::Path::new(""), &mut problems),
    )
}

/// Declares one table. Default: `required`, `none` (the type's empty value) or TOML text.
/// Effect: `reload` or `restart`.
macro_rules! table {
    (
        $(#[doc = $doc:literal])+
        $name:ident [$path:literal] {
            $( $(#[doc = $fdoc:literal])+ $field:ident : $ty:ty = $default:tt, $effect:ident; )*
        }
        $(derived { $( $(#[$dmeta:meta])* $dfield:ident : $dty:ty; )* })?
    ) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone)]
        pub(crate) struct $name {
            $( $(#[doc = $fdoc])+ pub(crate) $field: $ty, )*
            $($( $(#[$dmeta])* pub(crate) $dfield: $dty, )*)?
        }

        impl $crate::config::table::Table for $name {
            const DOC: $crate::config::table::TableDoc = $crate::config::table::TableDoc {
                path: $path,
                doc: &[$($doc),+],
                fields: &[$( $crate::config::table::FieldDoc {
                    name: stringify!($field),
                    doc: &[$($fdoc),+],
                    default: stringify!($default),
                    effect: stringify!($effect),
                    kind: <$ty as $crate::config::table::Value>::kind,
                }, )*],
            };

            fn awaiting_restart(&self, newer: &Self, found: &mut Vec<String>) {
                let differing: &[(&str, bool)] = &[$(
                    (stringify!($field), $crate::config::table::differ(&self.$field, &newer.$field)),
                )*];
                for (field, (name, differs)) in Self::DOC.fields.iter().zip(differing) {
                    if *differs && field.effect == "restart" {
                        found.push(format!("`{name}` in [{}]", $path));
                    }
                }
            }
        }

        impl $crate::config::table::Value for $name {
            fn kind() -> String {
                concat!("the table [", $path, "]").to_owned()
            }

            fn read(
                node: &$crate::config::tree::Node,
                reader: &mut $crate::config::table::Reader<'_>,
            ) -> Option<Self> {
                use $crate::config::table::Table as _;
                const DOC: &$crate::config::table::TableDoc = &$name::DOC;
                let entries = reader.open(node, DOC)?;
                let mut docs = DOC.fields.iter();
                $( let $field: Option<$ty> = {
                    static DEFAULT: std::sync::LazyLock<Option<$ty>> =
                        std::sync::LazyLock::new(|| $crate::config::table::table!(@default $default));
                    entries.take(docs.next()?, &DEFAULT, reader)
                }; )*
                $( let (_name, _at) = reader.here();
                   $( let $dfield = <$dty as $crate::config::table::Derived>::derive(_name, _at); )* )?
                Some(Self { $( $field: $field?, )* $($( $dfield, )*)? })
            }
        }
    };
    (@default required) => { None };
    (@default none) => { Some(Default::default()) };
    (@default $default:tt) => { $crate::config::table::default_from(stringify!($default)) };
}
pub(super) use table;
