//! Whether a person is looking at the answer, or a program.

use http::Method;
use http::header::{ACCEPT, HeaderMap, HeaderName, UPGRADE};

const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// `true` when a refusal should be a page rather than problem+json.
///
/// Browsers say so in `Sec-Fetch-Mode` (W3C Fetch Metadata); for others `Accept` must name HTML.
pub(crate) fn wants_page(headers: &HeaderMap) -> bool {
    // One look at each field costs less than to ask for three names.
    let (mut mode, mut html) = (None, false);
    for (name, value) in headers {
        if *name == UPGRADE {
            return false;
        } else if *name == ACCEPT {
            html = html || names_html(value.as_bytes());
        } else if mode.is_none() && *name == SEC_FETCH_MODE {
            mode = Some(value);
        }
    }
    mode.map_or(html, |mode| mode == "navigate")
}

/// `true` for a method by which a person comes to a page: a redirect to the sign-in page loses nothing of it.
pub(crate) fn navigates(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

fn names_html(accept: &[u8]) -> bool {
    accept.split(|byte| *byte == b',').any(|range| {
        let media = range.split(|byte| *byte == b';').next().unwrap_or_default();
        let media = media.trim_ascii();
        media.eq_ignore_ascii_case(b"text/html")
            || media.eq_ignore_ascii_case(b"application/xhtml+xml")
    })
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue, Method};

    use super::{navigates, wants_page};

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect()
    }

    #[test]
    fn people_get_pages_and_programs_do_not() {
        let rows: [(&[(&str, &str)], bool); 8] = [
            (&[("sec-fetch-mode", "navigate")], true),
            (
                &[("sec-fetch-mode", "cors"), ("accept", "text/html")],
                false,
            ),
            (&[("accept", "text/html,application/xml;q=0.9")], true),
            (&[("accept", "application/json, Text/HTML;q=0.1")], true),
            (&[("accept", "*/*")], false),
            (&[("accept", "application/json")], false),
            (&[], false),
            (
                &[("sec-fetch-mode", "navigate"), ("upgrade", "websocket")],
                false,
            ),
        ];
        for (pairs, expected) in rows {
            assert_eq!(wants_page(&headers(pairs)), expected, "{pairs:?}");
        }
    }

    #[test]
    fn only_safe_methods_are_navigations() {
        assert!(navigates(&Method::GET) && navigates(&Method::HEAD));
        assert!(!navigates(&Method::POST) && !navigates(&Method::PUT));
    }
}
