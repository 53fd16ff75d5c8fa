//! Which request methods are known. Compared exactly: `get` is not `GET`.

use http::Method;

use super::AdmitError;

/// Registered methods beyond those of RFC 9110: IANA "HTTP Method Registry", without CONNECT, TRACE and PRI.
const EXTENSIONS: &[&str] = &[
    "ACL",
    "BASELINE-CONTROL",
    "BIND",
    "CHECKIN",
    "CHECKOUT",
    "COPY",
    "LABEL",
    "LINK",
    "LOCK",
    "MERGE",
    "MKACTIVITY",
    "MKCALENDAR",
    "MKCOL",
    "MKREDIRECTREF",
    "MKWORKSPACE",
    "MOVE",
    "ORDERPATCH",
    "PROPFIND",
    "PROPPATCH",
    "QUERY",
    "REBIND",
    "REPORT",
    "SEARCH",
    "UNBIND",
    "UNCHECKOUT",
    "UNLINK",
    "UNLOCK",
    "UPDATE",
    "UPDATEREDIRECTREF",
    "VERSION-CONTROL",
];

/// Refuses TRACE and CONNECT with 405 and what is not registered with 501 (RFC 9110 section 9.1).
pub(crate) fn check(method: &Method) -> Result<(), AdmitError> {
    match *method {
        Method::GET
        | Method::HEAD
        | Method::POST
        | Method::PUT
        | Method::DELETE
        | Method::OPTIONS
        | Method::PATCH => Ok(()),
        Method::TRACE | Method::CONNECT => Err(AdmitError::MethodRefused),
        ref other if EXTENSIONS.binary_search(&other.as_str()).is_ok() => Ok(()),
        _ => Err(AdmitError::MethodUnknown),
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::{EXTENSIONS, check};
    use crate::message::AdmitError;

    #[test]
    fn the_registry_is_sorted_so_that_it_can_be_searched() {
        assert!(EXTENSIONS.is_sorted());
    }

    #[test]
    fn registered_methods_are_known_and_others_are_not() {
        for name in ["GET", "HEAD", "POST", "PROPFIND", "QUERY", "REPORT"] {
            assert_eq!(check(&name.parse().unwrap()), Ok(()), "{name}");
        }
        for name in [
            "get", "Get", "GETX", "PRI", "propfind", "FOO", "TRACK", "DEBUG",
        ] {
            let method: Method = name.parse().unwrap();
            assert_eq!(check(&method), Err(AdmitError::MethodUnknown), "{name}");
        }
        for name in ["TRACE", "CONNECT"] {
            assert_eq!(
                check(&name.parse().unwrap()),
                Err(AdmitError::MethodRefused)
            );
        }
    }
}
