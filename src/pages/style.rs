//! Whether an answer of ours is read by a person or by a program.
//!
//! Only the form of an answer depends on it, never what is answered. A wrong guess costs comfort, not safety.

/// The form of an answer that Portcullis gives itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// HTML, for a browser that shows a page.
    Page,
    /// `application/problem+json` (RFC 9457), for everything else.
    Problem,
}

/// The request headers that tell who reads the answer.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Asking<'a> {
    pub(crate) accept: Option<&'a str>,
    pub(crate) sec_fetch_mode: Option<&'a str>,
    /// `true` when the request asks for a protocol upgrade.
    pub(crate) upgrade: bool,
}

impl Style {
    /// A browser says itself whether it navigates (Fetch Metadata); older ones and programs say what they accept.
    ///
    /// `*/*` alone is what command-line clients send, so it means a program.
    pub(crate) fn wanted_by(asking: Asking<'_>) -> Self {
        let page = match (asking.upgrade, asking.sec_fetch_mode) {
            (true, _) => false,
            (false, Some(mode)) => mode == "navigate",
            (false, None) => asking.accept.is_some_and(prefers_html),
        };
        if page { Self::Page } else { Self::Problem }
    }
}

/// `true` when `text/html` is named and no JSON type is named with a higher weight (RFC 9110, 12.5.1).
fn prefers_html(accept: &str) -> bool {
    let weight_of = |wanted: fn(&str) -> bool| {
        accept
            .split(',')
            .filter_map(|range| {
                let mut parts = range.split(';').map(str::trim);
                let name = parts.next().unwrap_or_default().to_ascii_lowercase();
                wanted(&name).then(|| parts.find_map(weight).unwrap_or(1.0))
            })
            .fold(0.0_f32, f32::max)
    };
    let html = weight_of(|name| matches!(name, "text/html" | "application/xhtml+xml"));
    let json = weight_of(|name| name == "application/json" || name.ends_with("+json"));
    html > 0.0 && html >= json
}

fn weight(parameter: &str) -> Option<f32> {
    let (name, value) = parameter.split_once('=')?;
    let weight: f32 = value.trim().parse().ok()?;
    (name.trim().eq_ignore_ascii_case("q") && (0.0..=1.0).contains(&weight)).then_some(weight)
}

#[cfg(test)]
mod tests {
    use super::{Asking, Style};

    fn by_accept(accept: &str) -> Style {
        Style::wanted_by(Asking {
            accept: Some(accept),
            ..Asking::default()
        })
    }

    #[test]
    fn a_navigation_gets_a_page_whatever_it_accepts() {
        let asking = Asking {
            accept: Some("application/json"),
            sec_fetch_mode: Some("navigate"),
            upgrade: false,
        };
        assert_eq!(Style::wanted_by(asking), Style::Page);
    }

    #[test]
    fn a_script_in_a_page_gets_a_problem_even_if_it_accepts_html() {
        for mode in ["cors", "no-cors", "same-origin", "websocket"] {
            let asking = Asking {
                accept: Some("text/html,*/*;q=0.8"),
                sec_fetch_mode: Some(mode),
                upgrade: false,
            };
            assert_eq!(Style::wanted_by(asking), Style::Problem, "{mode}");
        }
    }

    #[test]
    fn a_protocol_upgrade_never_gets_a_page() {
        let asking = Asking {
            accept: Some("text/html"),
            sec_fetch_mode: None,
            upgrade: true,
        };
        assert_eq!(Style::wanted_by(asking), Style::Problem);
    }

    #[test]
    fn without_fetch_metadata_the_accept_header_decides() {
        for page in [
            "text/html",
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            "TEXT/HTML; q=0.5, application/json;q=0.4",
            "application/json, text/html",
        ] {
            assert_eq!(by_accept(page), Style::Page, "{page}");
        }
        for problem in [
            "",
            "*/*",
            "application/json",
            "application/problem+json, text/html;q=0.5",
            "text/html;q=0",
            "image/png",
        ] {
            assert_eq!(by_accept(problem), Style::Problem, "{problem}");
        }
        assert_eq!(Style::wanted_by(Asking::default()), Style::Problem);
    }
}
