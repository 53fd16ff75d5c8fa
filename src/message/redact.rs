//! Headers as a log may show them: the names, and the values that are no secrets.

use std::fmt;

use http::header::HeaderMap;

/// Parts of names whose values are masked.
const SECRET: &[&str] = &[
    "auth",
    "cookie",
    "token",
    "secret",
    "key",
    "password",
    "assertion",
    "session",
    "signature",
    "jwt",
    "csrf",
];

/// `Debug` shows every name, and `(14 bytes)` for a value that could open something.
pub(crate) struct Redacted<'a>(pub(crate) &'a HeaderMap);

impl fmt::Debug for Redacted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        for (name, value) in self.0 {
            let masked = SECRET.iter().any(|part| name.as_str().contains(part));
            if masked || value.is_sensitive() {
                map.entry(&name.as_str(), &format_args!("({} bytes)", value.len()));
            } else {
                map.entry(&name.as_str(), value);
            }
        }
        map.finish()
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue};

    use super::Redacted;

    #[test]
    fn secrets_are_masked_and_the_rest_is_shown() {
        let mut headers = HeaderMap::new();
        for name in [
            "authorization",
            "cookie",
            "set-cookie",
            "x-api-key",
            "x-portcullis-assertion",
            "proxy-authorization",
            "x-csrf-token",
        ] {
            headers.insert(
                HeaderName::from_static(name),
                HeaderValue::from_static("hunter2"),
            );
        }
        headers.insert("accept", HeaderValue::from_static("text/html"));
        let shown = format!("{:?}", Redacted(&headers));
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains("text/html") && shown.contains("authorization"));
    }

    #[test]
    fn line_breaks_cannot_be_forged_into_a_log() {
        let mut headers = HeaderMap::new();
        headers.insert("x", HeaderValue::from_bytes(b"a\xffb\tc").unwrap());
        assert!(!format!("{:?}", Redacted(&headers)).contains('\n'));
    }
}
