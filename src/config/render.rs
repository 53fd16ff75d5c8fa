//! Problems as people and programs read them.

use std::borrow::Cow;

use annotate_snippets::{
    AnnotationKind, Element, Group, Level, Origin, Renderer, Snippet, normalize_untrusted_str,
};

use super::problem::{Problem, Problems, Severity};

/// Problems that are shown in full: more than anybody reads in one go.
const MOST_SHOWN: usize = 250;

impl Problems {
    /// The problems with the lines they are about, in the compiler's manner, sorted by file and place. Of very many
    /// only so many are shown, errors before warnings, and how many more there are. Ends with a line break unless
    /// there is nothing to say.
    pub(crate) fn render(&self, color: bool) -> String {
        let mut settled = self.clone();
        settled.settle();
        let renderer = if color {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        let mut room_for_warnings = MOST_SHOWN.saturating_sub(settled.errors());
        let mut room_for_errors = MOST_SHOWN;
        let mut unshown = Self::new();
        let mut text = String::new();
        for problem in settled.0 {
            let room = match problem.severity {
                Severity::Error => &mut room_for_errors,
                Severity::Warning => &mut room_for_warnings,
            };
            if let Some(less) = room.checked_sub(1) {
                *room = less;
                text += &render(&problem, &renderer);
                text += "\n\n";
            } else {
                unshown.0.push(problem);
            }
        }
        if !unshown.is_empty() {
            text += &format!(
                "and {} more; --format json has all of them\n\n",
                unshown.summary()
            );
        }
        text
    }

    /// `2 errors, 1 warning`; empty when there is nothing to count.
    pub(crate) fn summary(&self) -> String {
        let counted = |count: usize, what: &str| match count {
            0 => None,
            1 => Some(format!("1 {what}")),
            _ => Some(format!("{count} {what}s")),
        };
        [
            counted(self.errors(), "error"),
            counted(self.warnings(), "warning"),
        ]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(", ")
    }

    /// A list of objects: code, severity, message, file, line, column, label, help, notes.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        let mut settled = self.clone();
        settled.settle();
        serde_json::to_value(&settled).unwrap_or_default()
    }
}

fn render(problem: &Problem, renderer: &Renderer) -> String {
    let level = match problem.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut group = level
        .primary_title(Cow::from(problem.message.as_str()))
        .id(problem.code)
        .elements(std::iter::empty::<Element<'_>>());
    let place = problem.at.as_ref().map(|at| (at, at.excerpt()));
    if let Some((at, (text, line, span))) = &place {
        let path = at.source().path().display().to_string();
        if problem.hides_line {
            let place = Origin::path(path).line(*line).char_column(at.column());
            group = group.element(place);
        } else if text.is_empty() || at.span() == (0..0) {
            group = group.element(Origin::path(path));
        } else {
            let mut mark = AnnotationKind::Primary.span(span.clone());
            if !problem.label.is_empty() {
                mark = mark.label(problem.label.as_str());
            }
            let snippet = Snippet::source(*text).path(path).line_start(*line);
            group = group.element(snippet.annotation(mark));
        }
    }
    renderer.render(&[with_advice(group, problem)])
}

fn with_advice<'p>(mut group: Group<'p>, problem: &'p Problem) -> Group<'p> {
    for text in &problem.help {
        group = group.element(Level::HELP.message(normalize_untrusted_str(text)));
    }
    for text in &problem.notes {
        group = group.element(Level::NOTE.message(normalize_untrusted_str(text)));
    }
    group
}
