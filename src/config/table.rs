//! Declares a table of the file once: its keys, their types, defaults, documentation and effect of a reload.
//!
//! From one `table!` come the struct, its reader and its chapter in `docs/configuration.md`; they cannot differ.

use super::problem::{Problem, Problems};
use super::source::At;
use super::tree::{Node, Raw, parse_value};
use super::{later, nearest, reference};

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
}

/// Walks the tree and collects what is wrong with it.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    pub(super) problems: &'a mut Problems,
    /// Folder of the first file; relative paths start here.
    pub(super) folder: &'a std::path::Path,
    /// Names from the top of the file to the value being read.
    path: Vec<String>,
    /// Where the innermost named table's name stands.
    name_at: At,
}

impl<'a> Reader<'a> {
    pub(super) fn new(folder: &'a std::path::Path, problems: &'a mut Problems) -> Self {
        Self {
            problems,
            folder,
            path: Vec::new(),
            name_at: At::nowhere(),
        }
    }

    /// The value being read as people write it: "`listen` in [server]".
    pub(super) fn subject(&self) -> String {
        match self.path.split_last() {
            None => "the file".to_owned(),
            Some((key, [])) => format!("`{key}`"),
            Some((key, table)) => format!("`{key}` in [{}]", table.join(".")),
        }
    }

    /// The last name on the way here, and its place.
    pub(super) fn here(&self) -> (&str, &At) {
        (self.path.last().map_or("", String::as_str), &self.name_at)
    }

    /// Starts the error "SUBJECT TEXT" at `node`.
    pub(super) fn refuse(&mut self, code: &'static str, node: &Node, text: &str) -> &mut Problem {
        let message = format!("{} {text}", self.subject());
        self.problems.error(code).message(message).at(&node.at)
    }

    /// The error for a value of another type.
    pub(super) fn wrong_type(&mut self, node: &Node, wanted: &str) -> &mut Problem {
        self.refuse("PC1106", node, &format!("must be {wanted}"))
            .label(format!("found {}", node.kind()))
    }

    /// Reads below `name`, which stands at `at`.
    pub(super) fn within<T>(
        &mut self,
        name: &str,
        at: &At,
        read: impl FnOnce(&mut Self) -> T,
    ) -> T {
        self.path.push(name.to_owned());
        let outer = std::mem::replace(&mut self.name_at, at.clone());
        let value = read(self);
        self.name_at = outer;
        self.path.pop();
        value
    }

    /// Reads element `index` of the list being read.
    pub(super) fn element<T>(&mut self, index: usize, read: impl FnOnce(&mut Self) -> T) -> T {
        let list = self.path.last().cloned().unwrap_or_default();
        if let Some(last) = self.path.last_mut() {
            *last = format!("{list}[{index}]");
        }
        let value = read(self);
        if let Some(last) = self.path.last_mut() {
            *last = list;
        }
        value
    }

    /// The keys of a table, after complaining of those that `doc` does not list.
    pub(super) fn open<'n>(&mut self, node: &'n Node, doc: &TableDoc) -> Option<Entries<'n>> {
        let Raw::Table(fields) = &node.raw else {
            self.wrong_type(node, "a table");
            return None;
        };
        for field in fields {
            if !doc.fields.iter().any(|known| known.name == field.name) {
                self.unknown(field, doc);
            }
        }
        Some(Entries { node, fields })
    }

    fn unknown(&mut self, field: &super::tree::Field, doc: &TableDoc) {
        let table = self.path.join(".");
        let is_table = matches!(field.node.raw, Raw::Table(_));
        let (what, whose) = match (table.as_str(), is_table) {
            ("", true) => (format!("unknown table [{}]", field.name), "the file"),
            ("", false) => (
                format!("unknown key `{}`", field.name),
                "the top of the file",
            ),
            _ => (format!("unknown key `{}` in [{table}]", field.name), ""),
        };
        let whose = if whose.is_empty() {
            format!("[{table}]")
        } else {
            whose.to_owned()
        };
        if let Some(what_it_is) = later::find(doc.path, &field.name) {
            self.problems
                .error("PC1108")
                .message(what)
                .at(&field.at)
                .label("not in this version")
                .note(format!("{what_it_is} not in this version of Portcullis"))
                .help("take the key out");
            return;
        }
        let names = doc.fields.iter().map(|known| known.name);
        if let Some(similar) = nearest::find(&field.name, names) {
            self.problems
                .error("PC1104")
                .message(what)
                .at(&field.at)
                .label(format!("no key of {whose} has this name"))
                .help(format!("a similar key exists: `{similar}`"));
            return;
        }
        let homes = reference::tables_with(&field.name);
        if homes.is_empty() {
            let all: Vec<_> = doc.fields.iter().map(|known| known.name).collect();
            self.problems
                .error("PC1104")
                .message(what)
                .at(&field.at)
                .label(format!("no key of {whose} has this name"))
                .help(format!("possible here: {}", all.join(", ")));
        } else {
            self.problems
                .error("PC1105")
                .message(what)
                .at(&field.at)
                .label("this key belongs to another table")
                .help(format!("`{}` is a key of {}", field.name, homes.join(", ")));
        }
    }

    fn missing(&mut self, entries: &Entries<'_>, field: &FieldDoc) {
        let table = self.path.join(".");
        let message = match table.as_str() {
            "" => format!("the table [{}] is missing", field.name),
            _ => format!("`{}` is missing in [{table}]", field.name),
        };
        let at = if self.name_at.is_written() {
            &self.name_at
        } else {
            &entries.node.at
        };
        let help = format!("it takes {}", (field.kind)());
        let purpose = field.doc.first().map_or("", |line| line.trim()).to_owned();
        self.problems
            .error("PC1107")
            .message(message)
            .at(at)
            .help(help)
            .note(format!("`{}`: {purpose}", field.name));
    }
}

/// The keys of one table as written.
#[derive(Debug)]
pub(super) struct Entries<'n> {
    node: &'n Node,
    fields: &'n [super::tree::Field],
}

impl Entries<'_> {
    /// The value of a key, or its default when absent or wrong (the problem is already noted then).
    pub(super) fn take<T: Value + Clone>(
        &self,
        field: &FieldDoc,
        default: &Option<T>,
        reader: &mut Reader<'_>,
    ) -> Option<T> {
        match self
            .fields
            .iter()
            .find(|written| written.name == field.name)
        {
            Some(written) => reader
                .within(field.name, &written.at, |reader| {
                    T::read(&written.node, reader)
                })
                .or_else(|| default.clone()),
            None => {
                if field.default == "required" {
                    reader.missing(self, field);
                }
                default.clone()
            }
        }
    }
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
        }

        impl $crate::config::table::Value for $name {
            fn kind() -> String {
                "a table".to_owned()
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
