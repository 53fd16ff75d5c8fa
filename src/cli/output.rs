//! Results to stdout, everything else to stderr, colour where a person looks.
//!
//! A reader of stdout that went away (`| head`) ends the command quietly. Nothing here panics on a closed stream, as
//! the macros of the standard library would.

use std::fmt::Display;
use std::io::{self, BufRead as _, ErrorKind, IsTerminal as _, Write as _};

use serde::Serialize;

use super::args::{Color, Format};
use super::outcome::Failure;

/// Where a command's words go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    colors_results: bool,
    colors_errors: bool,
}

/// How sure a word is meant to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Good,
    Bad,
}

impl Output {
    pub(super) fn new(color: Color) -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let wanted = |terminal: bool| match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => terminal && !refused,
        };
        Self {
            colors_results: wanted(io::stdout().is_terminal()),
            colors_errors: wanted(io::stderr().is_terminal()),
        }
    }

    pub(crate) const fn colors_errors(&self) -> bool {
        self.colors_errors
    }

    /// Prints a result; the text brings its own line breaks.
    pub(crate) fn print(&self, text: impl Display) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        let written = write!(stdout, "{text}").and_then(|()| stdout.flush());
        written.map_err(|error| match error.kind() {
            ErrorKind::BrokenPipe => Failure::unread(),
            _ => Failure::caused("cannot write the result", &error),
        })
    }

    /// Prints a value: indented for `json`, on one line for `jsonl`.
    pub(crate) fn print_json(&self, format: Format, value: &impl Serialize) -> Result<(), Failure> {
        let text = match format {
            Format::Json => serde_json::to_string_pretty(value),
            Format::Text | Format::Jsonl => serde_json::to_string(value),
        };
        let text = text.map_err(|error| Failure::caused("cannot write the result", &error))?;
        self.print(format_args!("{text}\n"))
    }

    /// Prints rows: aligned under their heads to a terminal, separated by tabs and without heads to a pipe.
    pub(crate) fn table(&self, heads: &[&str], rows: &[Vec<String>]) -> Result<(), Failure> {
        let text = if io::stdout().is_terminal() {
            aligned(heads, rows)
        } else {
            rows.iter().map(|row| row.join("\t") + "\n").collect()
        };
        self.print(text)
    }

    /// Says something on stderr; the text brings its own line breaks. Nobody listening is no failure.
    pub(crate) fn say(&self, text: &str) {
        let mut stderr = io::stderr().lock();
        drop(
            stderr
                .write_all(text.as_bytes())
                .and_then(|()| stderr.flush()),
        );
    }

    /// One line on stderr.
    pub(crate) fn note(&self, line: impl Display) {
        self.say(&format!("{line}\n"));
    }

    /// `word` in a colour on stdout.
    pub(crate) fn paint(&self, tone: Tone, word: &str) -> String {
        if !self.colors_results {
            return word.to_owned();
        }
        let code = match tone {
            Tone::Good => "32",
            Tone::Bad => "31",
        };
        format!("\u{1b}[{code}m{word}\u{1b}[0m")
    }

    /// Asks at the terminal; without one the answer is no.
    pub(crate) fn ask(&self, question: &str) -> bool {
        if !io::stdin().is_terminal() {
            return false;
        }
        self.say(&format!("{question} [y/N] "));
        let mut answer = String::new();
        let read = io::stdin().lock().read_line(&mut answer);
        read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes")
    }
}

/// `1 app`, `2 apps`, `2 policies`, `2 people`.
pub(crate) fn counted(count: usize, what: &str) -> String {
    match (count, what, what.strip_suffix('y')) {
        (1, _, _) => format!("1 {what}"),
        (_, "person", _) => format!("{count} people"),
        (_, _, Some(stem)) => format!("{count} {stem}ies"),
        (_, _, None) => format!("{count} {what}s"),
    }
}

/// Columns two blanks apart, the last one as long as it is.
pub(crate) fn aligned(heads: &[&str], rows: &[Vec<String>]) -> String {
    let heads: Vec<String> = heads.iter().map(|head| (*head).to_owned()).collect();
    let lines = || std::iter::once(&heads).chain(rows);
    let widths: Vec<usize> = (0..heads.len())
        .map(|column| {
            let cells = lines().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for row in lines() {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"));
        let line = cells.collect::<Vec<_>>().join("  ");
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{aligned, counted};

    #[test]
    fn counts_carry_what_they_count() {
        assert_eq!(counted(1, "policy"), "1 policy");
        assert_eq!(counted(0, "policy"), "0 policies");
        assert_eq!(counted(2, "app"), "2 apps");
        assert_eq!(counted(3, "person"), "3 people");
    }

    #[test]
    fn columns_stand_under_their_heads() {
        let rows = [
            vec!["a".to_owned(), "long name".to_owned()],
            vec!["bcd".to_owned(), "x".to_owned()],
        ];
        assert_eq!(
            aligned(&["ID", "NAME"], &rows),
            "ID   NAME\na    long name\nbcd  x\n"
        );
    }
}
