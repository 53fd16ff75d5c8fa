//! What is wrong with the operator's files, all of it at once.
//!
//! Every step that reads or compiles configuration adds to one [`Problems`]; none stops at its first finding.

use serde::Serialize;
use serde::ser::{SerializeStruct as _, Serializer};

use super::source::At;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    Error,
    Warning,
}

/// One finding: what is wrong, where, and what to do.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    /// `PCxxxx`, listed in [`super::codes`].
    pub(crate) code: &'static str,
    pub(crate) severity: Severity,
    /// One sentence without a full stop.
    pub(crate) message: String,
    /// `None` for a finding about no file.
    pub(crate) at: Option<At>,
    /// A few words beside the caret.
    pub(crate) label: String,
    /// `true` when the line must not be shown, because a secret may stand in it.
    pub(crate) hides_line: bool,
    /// What to do, one way out per entry.
    pub(crate) help: Vec<String>,
    /// Why it matters, or facts that explain it.
    pub(crate) notes: Vec<String>,
}

impl Problem {
    pub(crate) fn message(&mut self, text: impl Into<String>) -> &mut Self {
        self.message = text.into();
        self
    }

    /// Sets the place; a place that nobody wrote is left out.
    pub(crate) fn at(&mut self, at: &At) -> &mut Self {
        self.at = at.is_written().then(|| at.clone());
        self
    }

    pub(crate) fn label(&mut self, text: impl Into<String>) -> &mut Self {
        self.label = text.into();
        self
    }

    /// Shows the place without its line, in which a secret may stand.
    pub(crate) const fn hide_line(&mut self) -> &mut Self {
        self.hides_line = true;
        self
    }

    pub(crate) fn help(&mut self, text: impl Into<String>) -> &mut Self {
        self.help.push(text.into());
        self
    }

    pub(crate) fn note(&mut self, text: impl Into<String>) -> &mut Self {
        self.notes.push(text.into());
        self
    }

    fn place(&self) -> (&std::path::Path, usize, usize) {
        self.at.as_ref().map_or_else(
            || (std::path::Path::new(""), 0, 0),
            |at| (at.source().path(), at.span().start, at.span().end),
        )
    }
}

impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Problem", 9)?;
        object.serialize_field("code", self.code)?;
        object.serialize_field("severity", &self.severity)?;
        object.serialize_field("message", &self.message)?;
        if let Some(at) = &self.at {
            object.serialize_field("file", &at.source().path())?;
            object.serialize_field("line", &at.line())?;
            object.serialize_field("column", &at.column())?;
        }
        object.serialize_field("label", &self.label)?;
        object.serialize_field("help", &self.help)?;
        object.serialize_field("notes", &self.notes)?;
        object.end()
    }
}

/// Findings in the order they were made; rendering sorts them.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(transparent)]
pub(crate) struct Problems(pub(super) Vec<Problem>);

impl Problems {
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.errors() > 0
    }

    pub(crate) fn errors(&self) -> usize {
        self.count(Severity::Error)
    }

    pub(crate) fn warnings(&self) -> usize {
        self.count(Severity::Warning)
    }

    fn count(&self, severity: Severity) -> usize {
        self.iter()
            .filter(|problem| problem.severity == severity)
            .count()
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.0.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> std::slice::IterMut<'_, Problem> {
        self.0.iter_mut()
    }

    /// Starts an error; say the rest on what is returned.
    pub(crate) fn error(&mut self, code: &'static str) -> &mut Problem {
        self.add(code, Severity::Error)
    }

    /// Starts a warning: worth stopping for in CI, not at start.
    pub(crate) fn warning(&mut self, code: &'static str) -> &mut Problem {
        self.add(code, Severity::Warning)
    }

    /// Adds what was found elsewhere.
    pub(crate) fn append(&mut self, mut others: Self) {
        self.0.append(&mut others.0);
    }

    fn add(&mut self, code: &'static str, severity: Severity) -> &mut Problem {
        self.0.push_mut(Problem {
            code,
            severity,
            message: String::new(),
            at: None,
            label: String::new(),
            hides_line: false,
            help: Vec::new(),
            notes: Vec::new(),
        })
    }

    /// Sorts by file and place, and drops repetitions and the warnings about what is an error already.
    pub(crate) fn settle(&mut self) {
        self.0.sort_by(|a, b| {
            let a = (a.place(), a.severity, a.code, &a.message);
            a.cmp(&(b.place(), b.severity, b.code, &b.message))
        });
        self.0.dedup_by(|later, first| {
            let repeated = later.code == first.code && later.message == first.message;
            let follows = later.at.is_some()
                && later.severity == Severity::Warning
                && first.severity == Severity::Error;
            later.place() == first.place() && (repeated || follows)
        });
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
