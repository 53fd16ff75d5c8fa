//! Proof that a form was sent from our own page: a token bound to the sender's cookie, and the browser's own word.
//!
//! Both are asked for on every request that changes something, sign-in and sign-out included. Neither is a credential.

use data_encoding::BASE64URL_NOPAD;

use crate::base::Origin;
use crate::keys::{self, KeyError, MacKey, MasterKey};

/// Makes and checks the tokens of forms.
#[derive(Debug)]
pub(crate) struct Csrf {
    key: MacKey,
}

impl Csrf {
    pub(crate) fn new(master: &MasterKey) -> Result<Self, KeyError> {
        Ok(Self {
            key: master.mac_key("form tokens")?,
        })
    }

    /// The token for a page that goes to the holder of `cookie`, the value of the session's, sign-in's or
    /// enrolment's cookie. It dies with the cookie, so it needs no time of its own.
    pub(crate) fn token(&self, cookie: &str) -> String {
        BASE64URL_NOPAD.encode(&self.key.tag(&[&keys::sha256(cookie.as_bytes())]))
    }

    /// Is `token` the one for `cookie`? Compares in constant time.
    pub(crate) fn verify(&self, cookie: &str, token: &str) -> bool {
        BASE64URL_NOPAD
            .decode(token.as_bytes())
            .is_ok_and(|tag| self.key.verify(&[&keys::sha256(cookie.as_bytes())], &tag))
    }
}

/// Where a request comes from, as the browser tells it: `true` when nothing says that it is another site.
///
/// `Sec-Fetch-Site` decides when present (W3C Fetch Metadata). `Origin: null` is what browsers send from pages with
/// `Referrer-Policy: no-referrer`, so it counts only beside `Sec-Fetch-Site: same-origin`. With neither header the
/// token alone decides.
pub(crate) fn is_same_origin(
    own: &Origin,
    origin: Option<&str>,
    sec_fetch_site: Option<&str>,
) -> bool {
    let told_same = match sec_fetch_site {
        Some("same-origin") => true,
        Some(_other) => return false,
        None => false,
    };
    match origin {
        None => true,
        Some("null") => told_same,
        Some(text) => Origin::parse(text).is_ok_and(|parsed| parsed == *own),
    }
}

#[cfg(test)]
mod tests {
    use super::{Csrf, is_same_origin};
    use crate::authn::fixture;
    use crate::base::Origin;

    #[test]
    fn a_token_belongs_to_one_cookie() {
        let csrf = Csrf::new(&fixture::master()).unwrap();
        let token = csrf.token("cookie-a");
        assert!(csrf.verify("cookie-a", &token));
        assert!(!csrf.verify("cookie-b", &token));
        for wrong in ["", "AAAA", token.get(1..).unwrap(), &format!("{token}A")] {
            assert!(!csrf.verify("cookie-a", wrong), "{wrong}");
        }
    }

    #[test]
    fn another_installation_makes_other_tokens() {
        let token = Csrf::new(&fixture::master()).unwrap().token("cookie");
        assert!(
            !Csrf::new(&fixture::master())
                .unwrap()
                .verify("cookie", &token)
        );
    }

    #[test]
    fn requests_from_other_sites_are_told_apart() {
        let own = Origin::parse("https://login.example.com").unwrap();
        for (origin, site, expected) in [
            (Some("https://login.example.com"), Some("same-origin"), true),
            (Some("https://login.example.com"), None, true),
            (None, Some("same-origin"), true),
            (Some("null"), Some("same-origin"), true),
            (None, None, true),
            (Some("null"), None, false),
            (Some("https://evil.example"), None, false),
            (Some("https://evil.example"), Some("same-origin"), false),
            (Some("https://login.example.com:8443"), None, false),
            (Some("http://login.example.com"), None, false),
            (Some("https://login.example.com"), Some("same-site"), false),
            (None, Some("cross-site"), false),
            (None, Some("none"), false),
            (Some(""), None, false),
        ] {
            assert_eq!(
                is_same_origin(&own, origin, site),
                expected,
                "{origin:?} {site:?}"
            );
        }
    }
}
