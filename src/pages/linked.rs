//! Links inside the operator's sentences: to our own portal and to mail addresses, and to nothing else.
//!
//! Policies bring text, not markup; a link to a foreign site in a refusal would be a gift to phishers.

/// A run of text, or a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    pub(super) text: &'a str,
    pub(super) href: Option<&'a str>,
}

/// Splits `text` at its links. `portal` is the portal's origin; empty on the portal itself, where no address is a link.
pub(super) fn pieces<'a>(text: &'a str, portal: &str) -> Vec<Piece<'a>> {
    let mut pieces = Vec::new();
    for word in text.split_inclusive(char::is_whitespace) {
        let link =
            word.trim_end_matches(|end: char| end.is_whitespace() || ".,;:!?)".contains(end));
        let shown = match link.strip_prefix("mailto:") {
            Some(address) if address.contains('@') => Some(address),
            Some(_) => None,
            None => is_below(link, portal).then_some(link),
        };
        match shown {
            Some(shown) => {
                pieces.push(Piece {
                    text: shown,
                    href: Some(link),
                });
                pieces.push(Piece {
                    text: word.strip_prefix(link).unwrap_or_default(),
                    href: None,
                });
            }
            None => pieces.push(Piece {
                text: word,
                href: None,
            }),
        }
    }
    pieces
}

fn is_below(address: &str, portal: &str) -> bool {
    !portal.is_empty()
        && address
            .strip_prefix(portal)
            .is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::pieces;

    fn links(text: &str) -> Vec<(String, String)> {
        pieces(text, "https://login.example.com")
            .into_iter()
            .filter_map(|piece| Some((piece.text.to_owned(), piece.href?.to_owned())))
            .collect()
    }

    #[test]
    fn mail_addresses_and_our_own_pages_become_links() {
        let found =
            links("Ask mailto:kim@example.com, or see https://login.example.com/account/sessions.");
        let mail = (
            "kim@example.com".to_owned(),
            "mailto:kim@example.com".to_owned(),
        );
        let own = "https://login.example.com/account/sessions".to_owned();
        assert_eq!(found, [mail, (own.clone(), own)]);
    }

    #[test]
    fn foreign_addresses_stay_text() {
        for text in [
            "https://login.example.com.evil.example/x",
            "https://login.example.com",
            "https://evil.example/",
            "javascript:alert(1)",
            "mailto:",
        ] {
            assert_eq!(links(text), [], "{text}");
        }
        assert!(
            pieces("/x https:///", "")
                .iter()
                .all(|piece| piece.href.is_none())
        );
    }

    #[test]
    fn no_letter_is_lost() {
        let text = "One  two\nmailto:a@b.c, end.";
        let joined: String = pieces(text, "").iter().map(|piece| piece.text).collect();
        assert_eq!(joined, text.replace("mailto:", ""));
    }
}
