//! Keys whose value is one of a few words.

/// Declares an enum with the word of each variant, its reader and its documentation.
macro_rules! words {
    (@enum
        $(#[doc = $doc:literal])+
        $name:ident { $( $(#[doc = $vdoc:literal])+ $variant:ident = $word:literal, )+ }
    ) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(crate) enum $name { $( $(#[doc = $vdoc])+ $variant, )+ }

        /// The word in the file.
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(match self { $( Self::$variant => $word, )+ })
            }
        }

        impl $name {
            fn words() -> String {
                $crate::config::words::one_of(&[$(($word, &[$($vdoc),+])),+])
            }

            fn choose(
                node: &$crate::config::tree::Node,
                reader: &mut $crate::config::table::Reader<'_>,
            ) -> Option<Self> {
                const WORDS: &[&str] = &[$($word),+];
                match $crate::config::words::choose(WORDS, node, reader)? {
                    $( $word => Some(Self::$variant), )+
                    _ => None,
                }
            }
        }
    };
    ($(#[doc = $doc:literal])+ $name:ident { $($variants:tt)+ }) => {
        $crate::config::words::words! { @enum $(#[doc = $doc])+ $name { $($variants)+ } }

        impl $crate::config::table::Value for $name {
            fn kind() -> String {
                Self::words()
            }

            fn read(
                node: &$crate::config::tree::Node,
                reader: &mut $crate::config::table::Reader<'_>,
            ) -> Option<Self> {
                Self::choose(node, reader)
            }
        }
    };
}
pub(super) use words;

use super::table::Reader;
use super::tree::{Node, Raw};
use super::{later, nearest};

/// `"a"` (meaning), `"b"` (meaning)`.
pub(super) fn one_of(words: &[(&str, &[&str])]) -> String {
    let shown: Vec<_> = words
        .iter()
        .map(|(word, doc)| {
            let meaning: Vec<_> = doc.iter().map(|line| line.trim()).collect();
            format!("`\"{word}\"` ({})", meaning.join(" ").trim_end_matches('.'))
        })
        .collect();
    shown.join(", ")
}

/// The word at `node`, or a problem that names the words there are.
pub(super) fn choose<'w>(
    words: &[&'w str],
    node: &Node,
    reader: &mut Reader<'_>,
) -> Option<&'w str> {
    let all: Vec<_> = words.iter().map(|word| format!("\"{word}\"")).collect();
    let wanted = match all.as_slice() {
        [only] => only.clone(),
        [rest @ .., last] => format!("{} or {last}", rest.join(", ")),
        [] => return None,
    };
    let Raw::Text(text) = &node.raw else {
        reader.wrong_type(node, &wanted);
        return None;
    };
    let found = words.iter().copied().find(|word| word == text);
    if found.is_none() {
        let problem = reader.refuse("PC1109", node, &format!("must be {wanted}"));
        problem.label("this word has no meaning here");
        if let Some(subject) = later::word(text) {
            problem.note(format!("{subject} not in this version of Portcullis"));
        } else if let Some(similar) = nearest::find(text, words.iter().copied()) {
            problem.help(format!("a similar word exists: \"{similar}\""));
        }
    }
    found
}
