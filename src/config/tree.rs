//! The files as one tree of values, each with its place.
//!
//! Parses TOML and merges included files. Knows no key and no rule beyond "a key is set once".

use std::io::Read as _;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::problem::Problems;
use super::source::{At, Source};

/// A value as written.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) at: At,
    pub(super) raw: Raw,
}

#[derive(Debug, Clone)]
pub(super) enum Raw {
    Text(String),
    /// Digits without sign handling beyond `-`; the radix is folded in.
    Integer(Option<i64>),
    Float,
    Boolean(bool),
    Time,
    List(Vec<Node>),
    Table(Vec<Field>),
}

#[derive(Debug, Clone)]
pub(super) struct Field {
    pub(super) name: String,
    /// Where the name stands.
    pub(super) at: At,
    pub(super) node: Node,
}

impl Node {
    /// The value of a key, when this is a table that has it.
    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        self.fields()
            .iter()
            .find(|field| field.name == name)
            .map(|field| &field.node)
    }

    /// The value below several keys.
    pub(super) fn find(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |node, name| node.get(name))
    }

    /// The keys of a table; none of anything else.
    pub(super) fn fields(&self) -> &[Field] {
        if let Raw::Table(fields) = &self.raw {
            fields
        } else {
            &[]
        }
    }

    /// Puts the values of `other` in place of those here.
    pub(super) fn overlay(&mut self, other: &Self) {
        let (Raw::Table(fields), Raw::Table(more)) = (&mut self.raw, &other.raw) else {
            self.raw = other.raw.clone();
            return;
        };
        for field in more {
            match fields.iter_mut().find(|known| known.name == field.name) {
                Some(known) => known.node.overlay(&field.node),
                None => fields.push(field.clone()),
            }
        }
    }

    /// This table less its `include`.
    pub(super) fn without_include(mut self) -> Self {
        if let Raw::Table(fields) = &mut self.raw {
            fields.retain(|field| field.name != "include");
        }
        self
    }

    /// What the value is, for "found ...".
    pub(super) const fn kind(&self) -> &'static str {
        match self.raw {
            Raw::Text(_) => "text",
            Raw::Integer(_) => "a number",
            Raw::Float => "a fraction",
            Raw::Boolean(_) => "true or false",
            Raw::Time => "a date or time",
            Raw::List(_) => "a list",
            Raw::Table(_) => "a table",
        }
    }
}

/// Parses one file. Every line that breaks the grammar becomes a problem, and then there is no tree.
pub(super) fn parse(source: &Source, problems: &mut Problems) -> Option<Node> {
    let (table, errors) = DeTable::parse_recoverable(source.text());
    let mut last_line = 0;
    for error in &errors {
        let at = source.at(error.span().unwrap_or_default());
        // A second error on the line mostly follows from the first.
        if at.line() != last_line {
            last_line = at.line();
            problems
                .error("PC1002")
                .message(error.message().replace('\n', ", "))
                .at(&at);
        }
    }
    errors.is_empty().then(|| Node {
        at: source.whole(),
        raw: fields(table.get_ref(), source),
    })
}

/// Parses a single value, such as a default.
pub(super) fn parse_value(text: &str) -> Option<Node> {
    let value = DeValue::parse(text).ok()?;
    Some(node(value.get_ref(), At::nowhere(), At::nowhere().source()))
}

fn fields(table: &DeTable<'_>, source: &Source) -> Raw {
    let mut fields: Vec<Field> = table
        .iter()
        .map(|(key, value)| Field {
            name: key.get_ref().to_string(),
            at: source.at(key.span()),
            node: node(value.get_ref(), source.at(value.span()), source),
        })
        .collect();
    fields.sort_by_key(|field| field.at.span().start);
    Raw::Table(fields)
}

fn node(value: &DeValue<'_>, at: At, source: &Source) -> Node {
    let raw = match value {
        DeValue::String(text) => Raw::Text(text.to_string()),
        DeValue::Integer(number) => {
            Raw::Integer(i64::from_str_radix(number.as_str(), number.radix()).ok())
        }
        DeValue::Float(_) => Raw::Float,
        DeValue::Boolean(value) => Raw::Boolean(*value),
        DeValue::Datetime(_) => Raw::Time,
        DeValue::Array(items) => Raw::List(
            items
                .iter()
                .map(|item| node(item.get_ref(), source.at(item.span()), source))
                .collect(),
        ),
        DeValue::Table(table) => fields(table, source),
    };
    Node { at, raw }
}

/// Adds the keys of `other` to `base`; a key that both set is an error at the later place.
pub(super) fn merge(base: &mut Node, other: Node, path: &str, problems: &mut Problems) {
    let (Raw::Table(existing), Raw::Table(more)) = (&mut base.raw, other.raw) else {
        return;
    };
    for field in more {
        let Some(first) = existing.iter_mut().find(|known| known.name == field.name) else {
            existing.push(field);
            continue;
        };
        let path = if path.is_empty() {
            field.name.clone()
        } else {
            format!("{path}.{}", field.name)
        };
        let both_tables =
            matches!(first.node.raw, Raw::Table(_)) && matches!(field.node.raw, Raw::Table(_));
        if both_tables {
            merge(&mut first.node, field.node, &path, problems);
        } else {
            problems
                .error("PC1003")
                .message(format!("`{path}` is set in two files"))
                .at(&field.at)
                .label("set again here")
                .note(format!("set first at {}", first.at))
                .help("keep one of the two");
        }
    }
}

/// Largest file that is read; more is a mistyped path.
const MOST: u64 = 64 << 20;

/// Reads a file as UTF-8 text.
pub(super) fn read_source(path: &Path, problems: &mut Problems) -> Option<Source> {
    let shown = path.display();
    let why = match read(path).map(String::from_utf8) {
        Ok(Ok(text)) => return Some(Source::new(path, text)),
        Ok(Err(error)) => {
            let offset = error.utf8_error().valid_up_to();
            format!("{shown} is not UTF-8 text: byte {offset} begins no character")
        }
        Err(error) => format!("Portcullis cannot read {shown}: {error}"),
    };
    problems.error("PC1004").message(why);
    None
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?
        .take(MOST)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}
