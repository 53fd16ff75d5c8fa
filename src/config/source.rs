//! Where a value was written: a file, its text and a range of bytes in it.
//!
//! Never reads a file; never decides whether a value is good.

use std::fmt;
use std::ops::{Deref, Range};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

/// A file with its text, shared by every value that came from it. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Source(Arc<Text>);

struct Text {
    path: PathBuf,
    text: String,
    /// Byte offset at which each line begins.
    lines: Vec<usize>,
}

impl Source {
    /// `path` as people should read it; `text` may be empty for files that are not text.
    pub(crate) fn new(path: impl Into<PathBuf>, text: impl Into<String>) -> Self {
        let text = text.into();
        let after_breaks = text
            .bytes()
            .enumerate()
            .filter(|(_, byte)| *byte == b'\n')
            .map(|(offset, _)| offset.saturating_add(1));
        let lines = std::iter::once(0).chain(after_breaks).collect();
        Self(Arc::new(Text {
            path: path.into(),
            text,
            lines,
        }))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0.path
    }

    pub(crate) fn text(&self) -> &str {
        &self.0.text
    }

    /// The place of the bytes `span`; a span outside the text is moved to its end.
    pub(crate) fn at(&self, span: Range<usize>) -> At {
        let length = self.0.text.len();
        let start = self.0.text.floor_char_boundary(span.start.min(length));
        let end = self
            .0
            .text
            .ceil_char_boundary(span.end.min(length).max(start));
        At {
            source: self.clone(),
            span: start..end,
        }
    }

    /// The file as a whole, when no place in it is meant.
    pub(crate) fn whole(&self) -> At {
        self.at(0..0)
    }

    /// Index of the line that holds byte `offset`, from zero.
    fn line_index(&self, offset: usize) -> usize {
        self.0
            .lines
            .partition_point(|start| *start <= offset)
            .saturating_sub(1)
    }

    fn line_start(&self, index: usize) -> usize {
        self.0
            .lines
            .get(index)
            .copied()
            .unwrap_or(self.0.text.len())
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Source({})", self.0.path.display())
    }
}

/// A range of bytes in a [`Source`].
#[derive(Clone)]
pub(crate) struct At {
    source: Source,
    span: Range<usize>,
}

static NOWHERE: LazyLock<Source> = LazyLock::new(|| Source::new("", ""));

impl At {
    /// The place of a value that nobody wrote, such as a default.
    pub(crate) fn nowhere() -> Self {
        NOWHERE.whole()
    }

    /// `true` when somebody wrote the value.
    pub(crate) fn is_written(&self) -> bool {
        !self.source.0.path.as_os_str().is_empty()
    }

    pub(crate) const fn source(&self) -> &Source {
        &self.source
    }

    /// Bytes from the start of the file.
    pub(crate) fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// Counted from one.
    pub(crate) fn line(&self) -> usize {
        self.source.line_index(self.span.start).saturating_add(1)
    }

    /// In characters, counted from one.
    pub(crate) fn column(&self) -> usize {
        let start = self
            .source
            .line_start(self.source.line_index(self.span.start));
        self.source
            .text()
            .get(start..self.span.start)
            .map_or(0, |before| before.chars().count())
            .saturating_add(1)
    }

    /// The whole lines that the span touches, the number of the first, and the span within them.
    pub(crate) fn excerpt(&self) -> (&str, usize, Range<usize>) {
        let first = self.source.line_index(self.span.start);
        let last = self
            .source
            .line_index(self.span.end.max(self.span.start.saturating_add(1)) - 1);
        let start = self.source.line_start(first);
        let end = self.source.line_start(last.saturating_add(1));
        let text = self.source.text().get(start..end).unwrap_or_default();
        (
            text,
            first.saturating_add(1),
            self.span.start.saturating_sub(start)..self.span.end.saturating_sub(start),
        )
    }
}

/// `file:line:column`.
impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.source.path().display();
        write!(f, "{path}:{}:{}", self.line(), self.column())
    }
}

impl fmt::Debug for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A value and the place where it was written. Compares and prints as the value alone.
#[derive(Clone)]
pub(crate) struct Spanned<T> {
    pub(crate) value: T,
    at: At,
}

impl<T> Spanned<T> {
    pub(crate) const fn new(value: T, at: At) -> Self {
        Self { value, at }
    }

    pub(crate) const fn at(&self) -> &At {
        &self.at
    }
}

impl<T: Default> Default for Spanned<T> {
    fn default() -> Self {
        Self::new(T::default(), At::nowhere())
    }
}

impl<T> Deref for Spanned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: PartialEq> PartialEq for Spanned<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Eq> Eq for Spanned<T> {}

impl<T: fmt::Display> fmt::Display for Spanned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

impl<T: fmt::Debug> fmt::Debug for Spanned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::Source;

    #[test]
    fn lines_and_columns_count_characters_from_one() {
        let source = Source::new("a.toml", "x = 1\nä = \"b\"\n");
        let at = source.at(11..14);
        assert_eq!((at.line(), at.column()), (2, 5));
        assert_eq!(at.to_string(), "a.toml:2:5");
        assert_eq!(at.excerpt(), ("ä = \"b\"\n", 2, 5..8));
    }

    #[test]
    fn a_span_outside_the_text_or_inside_a_character_is_moved() {
        let source = Source::new("a.toml", "ä");
        assert_eq!(source.at(1..1).span(), 0..2);
        assert_eq!(source.at(0..1).span(), 0..2);
        assert_eq!(source.at(90..99).span(), 2..2);
        assert_eq!(source.at(90..99).line(), 1);
    }
}
