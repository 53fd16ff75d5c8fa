//! Forms as browsers send them: bounded, strict, each name at most once.
//!
//! The same grammar serves queries. What does not follow it is refused, never repaired; values are wiped when dropped,
//! since some of them are secrets.

use http::header::{CONTENT_TYPE, HeaderMap};
use zeroize::Zeroizing;

use super::answer::Stop;
use crate::base::Secret;
use crate::config::Limits;
use crate::message::Body;
use crate::message::body::{BodyError, read_at_most};
use crate::pages::Mishap;

/// More than any form of ours has.
const MOST_FIELDS: usize = 32;

/// Decoded names and values.
#[derive(Debug, Default)]
pub(crate) struct Fields(Vec<(String, Secret<String>)>);

impl Fields {
    /// Reads `a=b&c=d` (WHATWG URL, `application/x-www-form-urlencoded`).
    ///
    /// `None` for a broken percent-encoding, text that is not UTF-8, a repeated name, or too many fields.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let mut fields: Vec<(String, Secret<String>)> = Vec::new();
        for pair in text
            .split(|byte| *byte == b'&')
            .filter(|pair| !pair.is_empty())
        {
            let mut halves = pair.splitn(2, |byte| *byte == b'=');
            let name = decode(halves.next()?)?;
            let value = decode(halves.next().unwrap_or_default())?;
            let repeated = fields.iter().any(|(other, _value)| *other == *name);
            if repeated || fields.len() == MOST_FIELDS {
                return None;
            }
            fields.push((name.to_string(), Secret::new(value.to_string())));
        }
        Some(Self(fields))
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(other, _value)| other == name);
        found.map(|(_name, value)| value.expose().as_str())
    }

    /// The empty text when the field is missing.
    pub(super) fn text(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }

    pub(super) fn secret(&self, name: &str) -> Secret<String> {
        Secret::new(self.text(name).to_owned())
    }
}

fn decode(text: &[u8]) -> Option<Zeroizing<String>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => hex(*rest.next()?)? << 4 | hex(*rest.next()?)?,
            other => *other,
        });
    }
    std::str::from_utf8(&bytes)
        .ok()
        .map(|text| Zeroizing::new(text.to_owned()))
}

const fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// One value for a query, everything but RFC 3986's unreserved characters percent-encoded.
pub(crate) fn encode(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

/// Reads the form in a request's body.
///
/// # Errors
/// [`Stop`] when it is no form, too large, not written as forms are, or not here in twice the time that one piece of it
/// may take: a form that trickles in must not keep its place for hours.
pub(super) async fn read(headers: &HeaderMap, body: Body, limits: &Limits) -> Result<Fields, Stop> {
    if !is_form(headers) {
        return Err(Mishap::Malformed.into());
    }
    let most = usize::try_from(limits.form_bytes).unwrap_or(usize::MAX);
    let patience = limits.body_timeout.saturating_mul(2);
    let bytes = tokio::time::timeout(patience, read_at_most(body, most))
        .await
        .map_err(|_elapsed| Mishap::RequestTimeout)?
        .map_err(|error| match error {
            BodyError::TooLarge { limit } => Mishap::BodyTooLarge { limit },
            BodyError::Stalled { .. } => Mishap::RequestTimeout,
            BodyError::LengthDiffers | BodyError::Cancelled | BodyError::Connection(_) => {
                Mishap::Malformed
            }
        })?;
    Fields::parse(&bytes).ok_or_else(|| Mishap::Malformed.into())
}

fn is_form(headers: &HeaderMap) -> bool {
    let value = headers
        .get(CONTENT_TYPE)
        .map(http::HeaderValue::as_bytes)
        .unwrap_or_default();
    let essence = value.split(|byte| *byte == b';').next().unwrap_or_default();
    essence
        .trim_ascii()
        .eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll, ready};
    use std::time::Duration;

    use bytes::Bytes;
    use http::{HeaderMap, HeaderValue, header};
    use http_body::{Body as HttpBody, Frame};
    use tokio::time::{Instant, Sleep, sleep};

    use super::{Fields, encode, read};
    use crate::config::{self, Limits};
    use crate::message::Body;
    use crate::message::body::BodyError;

    fn get(text: &str, name: &str) -> Option<String> {
        Fields::parse(text.as_bytes())?.get(name).map(str::to_owned)
    }

    #[test]
    fn fields_are_decoded_once() {
        for (text, expected) in [
            ("name=ana", "ana"),
            ("name=ana%40example.com&x=1", "ana@example.com"),
            ("x=1&name=a+b%2Bc", "a b+c"),
            ("name=%25%34%31", "%41"),
            ("name=a=b", "a=b"),
            ("name", ""),
            ("&&name=%C3%A9&", "\u{e9}"),
        ] {
            assert_eq!(get(text, "name").as_deref(), Some(expected), "{text}");
        }
        assert_eq!(get("other=1", "name"), None);
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        for text in [
            "name=a&name=b",
            "name=a&n%61me=b",
            "name=%",
            "name=%4",
            "name=%zz",
            "name=%ff",
            "name=%C3",
        ] {
            assert!(Fields::parse(text.as_bytes()).is_none(), "{text}");
        }
        let many: Vec<String> = (0..33).map(|number| format!("f{number}=1")).collect();
        assert!(Fields::parse(many.join("&").as_bytes()).is_none());
    }

    #[test]
    fn what_was_encoded_is_read_back() {
        let hostile = "https://app.example.com/?a=b&c=d#\"<>\u{e9} +%";
        assert_eq!(
            get(&format!("x=1&to={}", encode(hostile)), "to").as_deref(),
            Some(hostile)
        );
    }

    fn limits(text: &str) -> Limits {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("portcullis.toml");
        let head = "[server]\nportal = \"login.example\"\n[tls]\ncertificates = \"internal\"\n";
        std::fs::write(&file, format!("{head}[server.limits]\n{text}")).unwrap();
        config::load(&file).unwrap().config.server.limits
    }

    fn headers(kind: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(kind))])
    }

    #[tokio::test]
    async fn a_body_must_be_a_small_form() {
        let limits = limits("form_bytes = \"9B\"");
        let form = headers("Application/x-www-form-urlencoded; charset=UTF-8");
        let fields = read(&form, Body::from("a=1"), &limits).await.unwrap();
        assert_eq!(fields.text("a"), "1");
        for (headers, body) in [
            (&form, "a=12345678"),
            (&headers("multipart/form-data"), "a=1"),
            (&HeaderMap::new(), "a=1"),
        ] {
            assert!(read(headers, Body::from(body), &limits).await.is_err());
        }
    }

    /// A byte every ten milliseconds, without end.
    struct Trickle(Pin<Box<Sleep>>);

    impl HttpBody for Trickle {
        type Data = Bytes;
        type Error = BodyError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
            ready!(self.0.as_mut().poll(cx));
            self.0 = Box::pin(sleep(Duration::from_millis(10)));
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"a")))))
        }
    }

    #[tokio::test]
    async fn a_form_that_trickles_in_is_given_up() {
        let limits = limits("body_timeout = \"100ms\"");
        let form = headers("application/x-www-form-urlencoded");
        let body = Body::wrap(Trickle(Box::pin(sleep(Duration::ZERO))));
        let begun = Instant::now();
        let read = tokio::time::timeout(Duration::from_secs(20), read(&form, body, &limits)).await;
        assert!(read.expect("still reading").is_err());
        assert!(begun.elapsed() >= Duration::from_millis(200));
    }
}
