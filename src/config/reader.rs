//! Walks the tree along the declared tables and says what does not fit.

use std::path::{Path, PathBuf};

use super::problem::{Problem, Problems};
use super::source::{At, Spanned};
use super::table::{FieldDoc, TableDoc, Value};
use super::tree::{Field, Node, Raw};
use super::{later, nearest, reference};

/// Walks the tree and collects what is wrong with it.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    pub(super) problems: &'a mut Problems,
    /// Folder of the first file; relative paths start here.
    pub(super) folder: &'a Path,
    /// The files and folders that were read.
    pub(super) named: Vec<Spanned<PathBuf>>,
    /// Names from the top of the file to the value being read.
    path: Vec<String>,
    /// Where the innermost named table's name stands.
    name_at: At,
}

impl<'a> Reader<'a> {
    pub(super) fn new(folder: &'a Path, problems: &'a mut Problems) -> Self {
        Self {
            problems,
            folder,
            named: Vec::new(),
            path: Vec::new(),
            name_at: At::nowhere(),
        }
    }

    /// The file or folder that `text` at `node` names.
    pub(super) fn file(&mut self, text: &str, node: &Node) -> PathBuf {
        let path = self.folder.join(text);
        self.named.push(Spanned::new(path.clone(), node.at.clone()));
        path
    }

    /// The value being read as people write it: "`listen` in \[server\]".
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

    fn unknown(&mut self, field: &Field, doc: &TableDoc) {
        let table = self.path.join(".");
        let place = if table.is_empty() {
            "the top of the file".to_owned()
        } else {
            format!("[{table}]")
        };
        let message = match (table.is_empty(), &field.node.raw) {
            (true, Raw::Table(_)) => format!("unknown table [{}]", field.name),
            (true, _) => format!("unknown key `{}` at the top of the file", field.name),
            (false, _) => format!("unknown key `{}` in {place}", field.name),
        };
        let names = || doc.fields.iter().map(|known| known.name);
        let homes = reference::tables_with(&field.name);
        let (code, label, advice) = if let Some(subject) = later::find(doc.path, &field.name) {
            let advice = format!("{subject} not in this version of Portcullis; take the key out");
            ("PC1108", "not in this version".to_owned(), advice)
        } else if let Some(similar) = nearest::find(&field.name, names()) {
            let label = format!("no key of {place} has this name");
            (
                "PC1104",
                label,
                format!("a similar key exists: `{similar}`"),
            )
        } else if homes.is_empty() {
            let label = format!("no key of {place} has this name");
            let all: Vec<_> = names().collect();
            (
                "PC1104",
                label,
                format!("possible here: {}", all.join(", ")),
            )
        } else {
            let advice = format!("`{}` is a key of {}", field.name, homes.join(", "));
            (
                "PC1105",
                "this key belongs to another table".to_owned(),
                advice,
            )
        };
        let problem = self.problems.error(code);
        problem
            .message(message)
            .at(&field.at)
            .label(label)
            .help(advice);
        if ["secret", "password", "token", "key"]
            .iter()
            .any(|word| field.name.contains(word))
        {
            problem.hide_line();
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
        let required = reference::required_in(field.name);
        let help = if required.is_empty() {
            format!("it takes {}", (field.kind)())
        } else {
            format!("add [{}] with {}", field.name, required.join(", "))
        };
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
    fields: &'n [Field],
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
