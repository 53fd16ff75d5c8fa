//! Headers by which servers learn who is asking or how the request reached them.
//!
//! Whatever a client says in one of them is dropped, in every spelling that a framework folds into the same name
//! (`_`, `.` or another sign for `-`, any case). Ours are set after that, never before. So are names that a framework could
//! fold into one that frames a message.

use http::{HeaderMap, HeaderName};

/// Names that are dropped, folded: lower case, `-` for whatever is no letter and no digit. Sorted.
const NAMES: &[&str] = &[
    "cf-connecting-ip",
    "cf-ipcountry",
    "client-cert",
    "client-cert-chain",
    "client-ip",
    "fastly-client-ip",
    "forwarded",
    "forwarded-for",
    "proxy",
    "proxy-authorization",
    "proxy-user",
    "remote-addr",
    "remote-email",
    "remote-groups",
    "remote-name",
    "remote-user",
    "ssl-client-cert",
    "true-client-ip",
    "x-accel-internal",
    "x-appengine-user-ip",
    "x-client-cert",
    "x-client-dn",
    "x-client-ip",
    "x-client-verify",
    "x-cluster-client-ip",
    "x-email",
    "x-envoy-external-address",
    "x-forwarded",
    "x-groups",
    "x-host",
    "x-http-host-override",
    "x-http-method",
    "x-http-method-override",
    "x-id-token",
    "x-method-override",
    "x-ms-client-principal",
    "x-original-host",
    "x-original-method",
    "x-original-remote-addr",
    "x-original-uri",
    "x-original-url",
    "x-override-url",
    "x-proxy-user",
    "x-proxyuser-ip",
    "x-real-ip",
    "x-rewrite-uri",
    "x-rewrite-url",
    "x-scheme",
    "x-sendfile-type",
    "x-ssl-cert",
    "x-token-subject",
    "x-user",
    "x-user-email",
    "x-user-id",
    "x-user-name",
    "x-username",
    "x-verified-email",
    "x-webauth-email",
    "x-webauth-groups",
    "x-webauth-name",
    "x-webauth-role",
    "x-webauth-user",
];

/// Families that are dropped whole, folded.
const PREFIXES: &[&str] = &[
    "cf-access-",
    "remote-",
    "ssl-client-",
    "tailscale-",
    "x-amzn-oidc-",
    "x-auth-request-",
    "x-authelia-",
    "x-authentik-",
    "x-authenticated-",
    "x-client-cert-",
    "x-envoy-original-",
    "x-forwarded-",
    "x-goog-authenticated-user-",
    "x-goog-iap-",
    "x-ms-client-principal-",
    "x-ms-token-",
    "x-pomerium-",
    "x-portcullis-",
    "x-remote-",
    "x-ssl-client-",
    "x-vouch-",
    "x-webauth-",
];

/// Names that frame a message, and are dropped when they are spelt otherwise.
const FRAMING: &[&str] = &["content-length", "transfer-encoding"];

/// Longest name that a table lists or a prefix decides.
const LONGEST: usize = 64;

/// The names that only the edge may set: the customary ones, and those that the operator chose for ours.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Reserved {
    /// Folded, and sorted.
    chosen: Vec<String>,
}

impl Reserved {
    /// The customary names alone.
    pub(crate) const EMPTY: Self = Self { chosen: Vec::new() };

    pub(crate) fn new(chosen: &[&HeaderName]) -> Self {
        let mut chosen: Vec<String> = chosen
            .iter()
            .map(|name| {
                name.as_str()
                    .bytes()
                    .map(|byte| char::from(fold(byte)))
                    .collect()
            })
            .collect();
        chosen.sort();
        Self { chosen }
    }

    /// `true` when only the edge may set a header that servers read under this name.
    ///
    /// ```text
    /// X_Forwarded_User, x-forwarded-user, X-FORWARDED_USER: all true
    /// ```
    pub(crate) fn contains(&self, name: &str) -> bool {
        is_customary(name)
            || self
                .chosen
                .iter()
                .any(|chosen| chosen.bytes().eq(name.bytes().map(fold)))
    }

    /// Removes every reserved header.
    pub(crate) fn strip(&self, headers: &mut HeaderMap) {
        let reserved: Vec<HeaderName> = headers
            .keys()
            .filter(|name| self.contains(name.as_str()))
            .cloned()
            .collect();
        for name in reserved {
            headers.remove(name);
        }
    }
}

/// As CGI and its heirs read a name (RFC 3875 section 4.1.18): most know `_` alone, some every sign.
const fn fold(byte: u8) -> u8 {
    if byte.is_ascii_alphanumeric() {
        byte.to_ascii_lowercase()
    } else {
        b'-'
    }
}

fn is_customary(name: &str) -> bool {
    // Every customary name begins with one of these letters; most other names are done here.
    let may_be = matches!(
        name.as_bytes().first().map(u8::to_ascii_lowercase),
        Some(b'c' | b'f' | b'p' | b'r' | b's' | b't' | b'x')
    );
    if !may_be {
        return false;
    }
    let mut folded = [0_u8; LONGEST];
    for (slot, byte) in folded.iter_mut().zip(name.bytes()) {
        *slot = fold(byte);
    }
    let folded = folded.get(..name.len().min(LONGEST)).unwrap_or_default();
    PREFIXES
        .iter()
        .any(|prefix| folded.starts_with(prefix.as_bytes()))
        || (name.len() <= LONGEST
            && NAMES
                .binary_search_by(|known| known.as_bytes().cmp(folded))
                .is_ok())
        || FRAMING
            .iter()
            .any(|known| folded == known.as_bytes() && !known.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue};

    use super::{LONGEST, NAMES, PREFIXES, Reserved, is_customary as is_reserved};

    #[test]
    fn names_that_some_servers_fold_into_identity_or_framing_are_reserved() {
        for name in [
            "X.Portcullis.User",
            "x-portcullis~user",
            "Remote.User",
            "X!Forwarded!For",
            "Transfer_Encoding",
            "transfer.encoding",
            "CONTENT_LENGTH",
        ] {
            assert!(is_reserved(name), "{name}");
        }
        for name in [
            "content-length",
            "Transfer-Encoding",
            "content-type",
            "x-a.b",
        ] {
            assert!(!is_reserved(name), "{name}");
        }
    }

    #[test]
    fn tables_are_folded_and_can_be_searched() {
        assert!(NAMES.is_sorted());
        for name in NAMES.iter().chain(PREFIXES) {
            assert!(
                is_reserved(name) || is_reserved(&format!("{name}x")),
                "{name}"
            );
            assert!(!name.contains('_') && name.len() < LONGEST);
            assert_eq!(*name, name.to_ascii_lowercase());
        }
    }

    #[test]
    fn identity_and_forwarding_names_are_reserved_in_every_spelling() {
        for name in [
            "X-Forwarded-User",
            "X_Forwarded_User",
            "x-forwarded_for",
            "X-Remote-User",
            "Remote-User",
            "REMOTE_USER",
            "X-Auth-Request-Email",
            "X-Authentik-Username",
            "X-WEBAUTH-USER",
            "x_webauth_user",
            "X-Pomerium-Jwt-Assertion",
            "Cf-Access-Jwt-Assertion",
            "X-Goog-IAP-JWT-Assertion",
            "X-Goog-Authenticated-User-Email",
            "X-Portcullis-Assertion",
            "X_PORTCULLIS_USER",
            "Tailscale-User-Login",
            "X-Original-URL",
            "X-Rewrite-URL",
            "X-HTTP-Method-Override",
            "X_HTTP_Method_Override",
            "X-Forwarded-Prefix",
            "X-Forwarded-Uri",
            "X-Forwarded-Method",
            "X-Real-IP",
            "Forwarded",
            "Client-Cert",
            "Client_Cert_Chain",
            "Proxy",
        ] {
            assert!(is_reserved(name), "{name}");
        }
    }

    #[test]
    fn ordinary_names_are_left_alone() {
        for name in [
            "accept",
            "authorization",
            "content-type",
            "cookie",
            "referer",
            "range",
            "sec-fetch-mode",
            "traceparent",
            "te",
            "via",
            "x-csrf-token",
            "x-requested-with",
            "x-request-id",
            "x-api-key",
            "x-forwardedness",
            "x-portcullisx",
            "",
        ] {
            assert!(!is_reserved(name), "{name}");
        }
    }

    #[test]
    fn every_value_of_a_reserved_header_is_removed() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("x-forwarded-for", "1.2.3.4"),
            ("x-forwarded-for", "5.6.7.8"),
            ("x_portcullis_user", "root"),
            ("accept", "*/*"),
        ] {
            headers.append(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        Reserved::default().strip(&mut headers);
        assert_eq!(headers.len(), 1);
        assert!(headers.contains_key("accept"));
    }

    #[test]
    fn names_that_the_operator_chose_are_reserved_in_every_spelling() {
        let reserved = Reserved::new(&[&HeaderName::from_static("acme_user-id")]);
        for name in ["acme-user-id", "Acme_User_Id", "ACME-USER_ID"] {
            assert!(reserved.contains(name), "{name}");
        }
        for name in ["acme-user", "acme-user-id-x", "bacme-user-id"] {
            assert!(!reserved.contains(name), "{name}");
        }
    }
}
