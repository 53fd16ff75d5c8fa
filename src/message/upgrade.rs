//! Protocol upgrades: what a client asks for in HTTP/1.1, what a route carries, whose page may ask (D28).
//!
//! Nothing here opens a tunnel; that happens only after the upstream has answered 101. What HTTP/2 has instead of the
//! `Upgrade` field is in [`super::extended`]; what follows is the same for both.

use std::fmt;

use http::header::{self, HeaderMap};
use http::{Method, Version};
use hyper::upgrade::OnUpgrade;

use super::extended::Keep;
use super::{AdmitError, hop};
use crate::base::{Authority, Origin};

pub(crate) const WEBSOCKET: &str = "websocket";

/// An upgrade that the client asked for.
pub(crate) struct UpgradeRequest {
    /// Lower case, in the client's order, never empty.
    pub(crate) protocols: Vec<String>,
    /// Becomes the raw connection after we have answered 101, or the raw stream after 200 over HTTP/2.
    pub(crate) on_upgrade: OnUpgrade,
    pub(crate) way: Way,
}

/// How the client asked.
pub(crate) enum Way {
    /// `Upgrade` in HTTP/1.1.
    Upgrade,
    /// Extended CONNECT in HTTP/2 (RFC 8441); the connection is in use as long as the stream.
    ExtendedConnect(Option<Keep>),
}

impl UpgradeRequest {
    pub(crate) const fn is_extended_connect(&self) -> bool {
        matches!(self.way, Way::ExtendedConnect(_))
    }

    #[cfg(test)]
    pub(crate) fn is_websocket(&self) -> bool {
        self.protocols.iter().any(|protocol| protocol == WEBSOCKET)
    }
}

impl fmt::Debug for UpgradeRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpgradeRequest")
            .field("protocols", &self.protocols)
            .finish_non_exhaustive()
    }
}

/// An upgrade that the route does not carry, or that a foreign page asked for. Answered 403.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UpgradeRefused {
    #[error("the route carries no WebSocket connections")]
    NotCarried,
    #[error("a WebSocket handshake must say which page opened it")]
    OriginMissing,
    #[error("the page that opened the WebSocket belongs to another site")]
    OriginForeign,
}

/// The protocols that a request asks to change to; none when it does not ask in earnest (RFC 9110 section 7.8).
///
/// `h2c` and `TLS/1.0` are other spellings of HTTP, which we already speak: they are ignored.
///
/// # Errors
/// [`AdmitError::UpgradeMalformed`] for a WebSocket handshake that RFC 6455 section 4.2.1 refuses.
pub(crate) fn detect(
    method: &Method,
    version: Version,
    headers: &HeaderMap,
) -> Result<Vec<String>, AdmitError> {
    let Some(value) = headers.get(header::UPGRADE) else {
        return Ok(Vec::new());
    };
    let in_earnest = version == Version::HTTP_11
        && hop::options(headers).any(|option| option.eq_ignore_ascii_case("upgrade"));
    if !in_earnest {
        return Ok(Vec::new());
    }
    let text = value
        .to_str()
        .map_err(|_not_ascii| AdmitError::UpgradeMalformed)?;
    let protocols: Vec<String> = text
        .split(',')
        .map(|protocol| protocol.trim().to_ascii_lowercase())
        .filter(|protocol| {
            !protocol.is_empty() && protocol != "h2c" && !protocol.starts_with("tls/")
        })
        .collect();
    if protocols.iter().any(|protocol| protocol == WEBSOCKET) {
        check_websocket(method, headers)?;
    }
    Ok(protocols)
}

fn check_websocket(method: &Method, headers: &HeaderMap) -> Result<(), AdmitError> {
    let key = headers.get(header::SEC_WEBSOCKET_KEY);
    let version = headers.get(header::SEC_WEBSOCKET_VERSION);
    let key_fits = key.is_some_and(|key| {
        data_encoding::BASE64
            .decode(key.as_bytes())
            .is_ok_and(|nonce| nonce.len() == 16)
    });
    if *method == Method::GET && key_fits && version.is_some_and(|version| version == "13") {
        Ok(())
    } else {
        Err(AdmitError::UpgradeMalformed)
    }
}

/// Which of the asked protocols the route carries; none means that the request goes on without an upgrade.
///
/// # Errors
/// [`UpgradeRefused`] for a WebSocket that the route does not carry or that a foreign page opened.
pub(crate) fn settle(
    asked: &[String],
    carried: &[String],
    site: &Site<'_>,
) -> Result<Vec<String>, UpgradeRefused> {
    let kept: Vec<String> = asked
        .iter()
        .filter(|protocol| carried.iter().any(|one| one.eq_ignore_ascii_case(protocol)))
        .cloned()
        .collect();
    if asked.iter().any(|protocol| protocol == WEBSOCKET) {
        if !kept.iter().any(|protocol| protocol == WEBSOCKET) {
            return Err(UpgradeRefused::NotCarried);
        }
        check_origin(site)?;
    }
    Ok(kept)
}

/// What an origin is compared with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Site<'a> {
    pub(crate) headers: &'a HeaderMap,
    /// The request's own host and port.
    pub(crate) own: &'a Authority,
    pub(crate) secure: bool,
    /// Further origins that the route lists.
    pub(crate) admitted: &'a [Origin],
}

/// The request must carry the origin of its own host, or a listed one (D28, RFC 6454).
pub(crate) fn check_origin(site: &Site<'_>) -> Result<(), UpgradeRefused> {
    let Some(value) = site.headers.get(header::ORIGIN) else {
        return Err(UpgradeRefused::OriginMissing);
    };
    let foreign = UpgradeRefused::OriginForeign;
    let text = value.to_str().map_err(|_not_ascii| foreign)?;
    let origin = Origin::parse(text).map_err(|_no_origin| foreign)?;
    let usual = if site.secure { 443 } else { 80 };
    let own = origin.secure == site.secure
        && origin.host == site.own.host
        && origin.port == site.own.port.unwrap_or(usual);
    if own || site.admitted.contains(&origin) {
        Ok(())
    } else {
        Err(foreign)
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};

    use super::{Site, UpgradeRefused, detect, settle};
    use crate::base::{Authority, Origin};
    use crate::message::AdmitError;

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

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

    fn handshake() -> HeaderMap {
        headers(&[
            ("upgrade", "WebSocket"),
            ("connection", "keep-alive, Upgrade"),
            ("sec-websocket-key", KEY),
            ("sec-websocket-version", "13"),
        ])
    }

    #[test]
    fn a_websocket_handshake_is_recognised() {
        let found = detect(&Method::GET, Version::HTTP_11, &handshake());
        assert_eq!(found, Ok(vec![String::from("websocket")]));
    }

    #[test]
    fn a_malformed_handshake_is_refused() {
        let rows: [(&str, &'static str); 4] = [
            ("sec-websocket-key", "short"),
            ("sec-websocket-key", "!!!"),
            ("sec-websocket-version", "8"),
            ("sec-websocket-version", ""),
        ];
        for (name, value) in rows {
            let mut headers = handshake();
            headers.insert(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_static(value),
            );
            let found = detect(&Method::GET, Version::HTTP_11, &headers);
            assert_eq!(found, Err(AdmitError::UpgradeMalformed), "{name}: {value}");
        }
        let posted = detect(&Method::POST, Version::HTTP_11, &handshake());
        assert_eq!(posted, Err(AdmitError::UpgradeMalformed));
    }

    #[test]
    fn an_upgrade_that_is_not_in_earnest_is_ignored() {
        let lonely = headers(&[("upgrade", "websocket")]);
        assert_eq!(detect(&Method::GET, Version::HTTP_11, &lonely), Ok(vec![]));
        assert_eq!(
            detect(&Method::GET, Version::HTTP_10, &handshake()),
            Ok(vec![])
        );
        let h2c = headers(&[("upgrade", "h2c, TLS/1.0"), ("connection", "upgrade")]);
        assert_eq!(detect(&Method::GET, Version::HTTP_11, &h2c), Ok(vec![]));
    }

    #[test]
    fn only_pages_of_the_own_host_or_listed_ones_open_a_websocket() {
        let carried = [String::from("websocket")];
        let asked = carried.clone();
        let own = Authority::parse("app.example").unwrap();
        let admitted = [Origin::parse("https://portal.example").unwrap()];
        let rows = [
            (Some("https://app.example"), Ok(())),
            (Some("https://app.example:443"), Ok(())),
            (Some("https://portal.example"), Ok(())),
            (
                Some("http://app.example"),
                Err(UpgradeRefused::OriginForeign),
            ),
            (
                Some("https://app.example:8443"),
                Err(UpgradeRefused::OriginForeign),
            ),
            (
                Some("https://evil.example"),
                Err(UpgradeRefused::OriginForeign),
            ),
            (
                Some("https://app.example.evil.example"),
                Err(UpgradeRefused::OriginForeign),
            ),
            (Some("null"), Err(UpgradeRefused::OriginForeign)),
            (None, Err(UpgradeRefused::OriginMissing)),
        ];
        for (origin, expected) in rows {
            let mut headers = handshake();
            if let Some(origin) = origin {
                headers.insert("origin", HeaderValue::from_static(origin));
            }
            let site = Site {
                headers: &headers,
                own: &own,
                secure: true,
                admitted: &admitted,
            };
            let settled = settle(&asked, &carried, &site).map(|_kept| ());
            assert_eq!(settled, expected, "{origin:?}");
        }
    }

    #[test]
    fn what_a_route_does_not_carry_is_refused_or_left_out() {
        let own = Authority::parse("app.example").unwrap();
        let headers = handshake();
        let site = Site {
            headers: &headers,
            own: &own,
            secure: true,
            admitted: &[],
        };
        let websocket = [String::from("websocket")];
        assert_eq!(
            settle(&websocket, &[], &site),
            Err(UpgradeRefused::NotCarried)
        );
        let other = [String::from("spdy/3.1")];
        assert_eq!(settle(&other, &websocket, &site), Ok(vec![]));
        assert_eq!(settle(&other, &other, &site), Ok(other.to_vec()));
    }
}
