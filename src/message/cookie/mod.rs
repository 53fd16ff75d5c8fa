//! Cookies: finding ours in a request, keeping ours from upstreams in both directions, writing our own.
//!
//! Cookies that are not ours pass byte for byte. Ours are compared without regard to case when they are removed,
//! because some servers fold names, and exactly when they are read, because a browser does not.

use http::header::{COOKIE, HeaderMap, HeaderValue};

/// The names that belong to Portcullis: the session cookie and every name that continues it with a hyphen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OwnCookies {
    session: String,
    /// What follows the browsers' prefix in `session`, if it has one.
    stem: Vec<u8>,
    prefixed: bool,
}

impl Default for OwnCookies {
    fn default() -> Self {
        Self::new("__Host-portcullis")
    }
}

/// What a request says about one of our cookies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found<'a> {
    None,
    One(&'a str),
    /// Two different values, or one that no cookie of ours can have: both are refused (D27).
    Conflict,
}

impl OwnCookies {
    pub(crate) fn new(session: impl Into<String>) -> Self {
        let session = session.into();
        let (stem, prefixed) = without_prefix(session.as_bytes());
        Self {
            stem: stem.to_vec(),
            prefixed,
            session,
        }
    }

    /// The name of the session cookie.
    pub(crate) fn session_name(&self) -> &str {
        &self.session
    }

    /// The name of another cookie of ours, for example `__Host-portcullis-theme`.
    pub(crate) fn name_of(&self, purpose: &str) -> String {
        format!("{}-{purpose}", self.session)
    }

    /// `true` for our names in any case, and for what they would be under another of the browsers' prefixes
    /// (RFC 6265bis section 4.1.3): one reader's `__Secure-x` must not be another's `__Host-x`.
    pub(crate) fn is_own(&self, name: &[u8]) -> bool {
        let (name, prefixed) = without_prefix(name);
        let length = self.stem.len();
        prefixed == self.prefixed
            && matches!(name.get(length), None | Some(b'-' | b'_'))
            && name
                .get(..length)
                .is_some_and(|head| head.eq_ignore_ascii_case(&self.stem))
    }

    pub(crate) fn session<'a>(&self, headers: &'a HeaderMap) -> Found<'a> {
        find(headers, &self.session)
    }

    /// Removes our cookies from `Cookie`; what remains keeps its bytes and its order.
    pub(crate) fn strip_request(&self, headers: &mut HeaderMap) {
        let any = headers
            .get_all(COOKIE)
            .iter()
            .flat_map(|value| pairs(value.as_bytes()))
            .any(|(name, _)| self.is_own(name));
        if !any {
            return;
        }
        let mut kept: Vec<u8> = Vec::new();
        for value in headers.get_all(COOKIE) {
            for piece in value.as_bytes().split(|byte| *byte == b';') {
                let piece = piece.trim_ascii_start();
                if piece.is_empty() || self.is_own(split_pair(piece).0) {
                    continue;
                }
                if !kept.is_empty() {
                    kept.extend_from_slice(b"; ");
                }
                kept.extend_from_slice(piece);
            }
        }
        headers.remove(COOKIE);
        if let (false, Ok(value)) = (kept.is_empty(), HeaderValue::from_bytes(&kept)) {
            headers.insert(COOKIE, value);
        }
    }

    /// `true` for a `Set-Cookie` that could set or clear one of ours.
    ///
    /// A browser stores `=NAME=VALUE` and `NAME` without a name and sends the text back as it is.
    pub(crate) fn touches_own(&self, set_cookie: &[u8]) -> bool {
        let pair = set_cookie
            .split(|byte| *byte == b';')
            .next()
            .unwrap_or_default();
        let (name, value) = split_pair(pair.trim_ascii_start());
        if name.is_empty() {
            let (inner, _) = split_pair(value.trim_ascii());
            return self.is_own(inner);
        }
        self.is_own(name)
    }
}

/// What browsers tie a cookie's attributes to. The longest ones come first.
const PREFIXES: [&[u8]; 4] = [b"__Host-Http-", b"__Secure-", b"__Host-", b"__Http-"];

/// The name behind a prefix in any case, and whether there is one.
fn without_prefix(name: &[u8]) -> (&[u8], bool) {
    if !name.starts_with(b"__") {
        return (name, false);
    }
    let prefix = PREFIXES.iter().find(|prefix| {
        name.get(..prefix.len())
            .is_some_and(|head| head.eq_ignore_ascii_case(prefix))
    });
    match prefix.and_then(|prefix| name.get(prefix.len()..)) {
        Some(rest) => (rest, true),
        None => (name, false),
    }
}

/// Looks for the cookie `name` in every `Cookie` field.
pub(crate) fn find<'a>(headers: &'a HeaderMap, name: &str) -> Found<'a> {
    let mut found = Found::None;
    let values = headers
        .get_all(COOKIE)
        .iter()
        .flat_map(|value| pairs(value.as_bytes()))
        .filter(|(key, _)| *key == name.as_bytes());
    for (_, value) in values {
        let Some(text) = printable(value) else {
            return Found::Conflict;
        };
        match found {
            Found::None => found = Found::One(text),
            Found::One(earlier) if earlier == text => {}
            Found::One(_) | Found::Conflict => return Found::Conflict,
        }
    }
    found
}

/// RFC 6265 `cookie-octet` without quotes: what our own values are made of.
fn printable(value: &[u8]) -> Option<&str> {
    let plain =
        |byte: &u8| matches!(byte, 0x21..=0x7e) && !matches!(byte, b'"' | b',' | b';' | b'\\');
    if value.is_empty() || !value.iter().all(plain) {
        return None;
    }
    std::str::from_utf8(value).ok()
}

/// Splits at the first `=`. Text without one is a name to the servers that accept it at all.
pub(crate) fn split_pair(piece: &[u8]) -> (&[u8], &[u8]) {
    let equals = memchr::memchr(b'=', piece).unwrap_or(piece.len());
    let (name, value) = piece.split_at_checked(equals).unwrap_or((piece, &[]));
    (name.trim_ascii_end(), value.get(1..).unwrap_or_default())
}

/// The pairs of one `Cookie` value (RFC 6265 section 4.2.1), read as loosely as servers do.
fn pairs(value: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = Some(value);
    std::iter::from_fn(move || {
        let bytes = rest?;
        let end = memchr::memchr(b';', bytes).unwrap_or(bytes.len());
        let (piece, after) = bytes.split_at_checked(end)?;
        rest = after.get(1..);
        Some(split_pair(piece.trim_ascii()))
    })
}

/// Joins several `Cookie` fields, as HTTP/2 sends them, into one (RFC 9113 section 8.2.3).
pub(crate) fn join(headers: &mut HeaderMap) {
    let crumbs: Vec<&[u8]> = headers
        .get_all(COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if let Ok(value) = HeaderValue::from_bytes(&crumbs.join(b"; ".as_slice())) {
        headers.insert(COOKIE, value);
    }
}

/// When a browser sends a cookie of ours along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SameSite {
    Lax,
}

/// How long a browser keeps a cookie of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    /// Until the browser is closed.
    WhileOpen,
    Seconds(u32),
    /// Removes it.
    Never,
}

/// A `Set-Cookie` value of ours: host-only, `Secure`, `HttpOnly`, for the whole host (D10).
///
/// `None` when name or value hold a character that a cookie cannot carry, or together exceed 4,096 bytes.
pub(crate) fn build(
    name: &str,
    value: &str,
    same_site: SameSite,
    keep: Keep,
) -> Option<HeaderValue> {
    let fits = name.len() + value.len() <= 4096
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        && (value.is_empty() || printable(value.as_bytes()).is_some());
    if !fits {
        return None;
    }
    let same_site = match same_site {
        SameSite::Lax => "Lax",
    };
    let age = match keep {
        Keep::WhileOpen => String::new(),
        Keep::Seconds(seconds) => format!("; Max-Age={seconds}"),
        Keep::Never => String::from("; Max-Age=0"),
    };
    HeaderValue::try_from(format!(
        "{name}={value}; Path=/; Secure; HttpOnly; SameSite={same_site}{age}"
    ))
    .ok()
}

#[cfg(test)]
mod tests;
