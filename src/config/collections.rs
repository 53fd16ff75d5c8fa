//! How lists, maps and optional values are read: every element, also after one that is wrong.

use std::collections::{BTreeMap, BTreeSet};

use http::HeaderName;

use super::source::Spanned;
use super::table::{Reader, Value};
use super::tree::{Node, Raw};
use super::values::is_name;
use crate::base::RouteName;

impl<T: Value> Value for Spanned<T> {
    fn kind() -> String {
        T::kind()
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        T::read(node, reader).map(|value| Self::new(value, node.at.clone()))
    }
}

impl<T: Value> Value for Option<T> {
    fn kind() -> String {
        T::kind()
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        T::read(node, reader).map(Some)
    }
}

impl<T: Value> Value for Vec<T> {
    fn kind() -> String {
        format!("a list; each is {}", T::kind())
    }

    /// Reads every element, also after one that is wrong.
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let Raw::List(items) = &node.raw else {
            reader
                .wrong_type(node, "a list")
                .help("write it in brackets: [...]");
            return None;
        };
        let read: Self = items
            .iter()
            .enumerate()
            .filter_map(|(index, item)| reader.element(index, |reader| T::read(item, reader)))
            .collect();
        Some(read)
    }
}

impl<T: Value + Ord> Value for BTreeSet<T> {
    fn kind() -> String {
        Vec::<T>::kind()
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        Some(Vec::read(node, reader)?.into_iter().collect())
    }
}

/// A type that names the entries of a table of tables.
pub(super) trait Key: Ord + Sized {
    /// `None` when `name` cannot be one.
    fn parse(name: &str) -> Option<Self>;
}

impl Key for String {
    fn parse(name: &str) -> Option<Self> {
        is_name(name).then(|| name.to_owned())
    }
}

impl Key for RouteName {
    fn parse(name: &str) -> Option<Self> {
        is_name(name).then(|| Self::new(name))
    }
}

impl Key for super::answers::HeaderKey {
    fn parse(name: &str) -> Option<Self> {
        HeaderName::try_from(name).ok().map(Self)
    }
}

impl<K: Key, T: Value> Value for BTreeMap<K, T> {
    fn kind() -> String {
        match T::kind().strip_prefix("the table ") {
            Some(table) => format!("tables {table}"),
            None => format!("names, each with {}", T::kind()),
        }
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let Raw::Table(fields) = &node.raw else {
            reader.wrong_type(node, "a table with a name for each entry");
            return None;
        };
        let mut map = Self::new();
        for field in fields {
            let Some(key) = K::parse(&field.name) else {
                reader
                    .problems
                    .error("PC1116")
                    .message(format!(
                        "`{}` cannot be a name here",
                        field.name.escape_debug()
                    ))
                    .at(&field.at)
                    .help("a name has letters, digits, `-`, `_` and `.`, at most 64");
                continue;
            };
            let value = reader.within(&field.name, &field.at, |reader| {
                T::read(&field.node, reader)
            });
            if let Some(value) = value {
                map.insert(key, value);
            }
        }
        Some(map)
    }
}
