//! The content security policy of the pages whose form may end on an app's host.

use crate::base::Origin;
use crate::message::security::OWN_PAGE_POLICY;

/// Our policy, with `form-action` widened by exactly the host that a sign-in is handed over to.
///
/// Browsers apply `form-action` to the redirects that follow a form as well (CSP Level 3, section 6.4.2), so without
/// this the last step of a sign-in would be stopped by the browser.
pub(crate) fn with_hand_over(to: &Origin) -> String {
    OWN_PAGE_POLICY.replace("form-action 'self'", &format!("form-action 'self' {to}"))
}

#[cfg(test)]
mod tests {
    use super::with_hand_over;
    use crate::base::Origin;
    use crate::message::security::OWN_PAGE_POLICY;

    #[test]
    fn a_hand_over_adds_exactly_one_origin_to_one_directive() {
        let origin = Origin::parse("https://grafana.example.com:8443").unwrap();
        let policy = with_hand_over(&origin);
        let added = " https://grafana.example.com:8443";
        assert!(policy.contains("form-action 'self' https://grafana.example.com:8443;"));
        assert_eq!(policy.replace(added, ""), OWN_PAGE_POLICY);
    }

    #[test]
    fn nothing_inline_may_run() {
        assert!(OWN_PAGE_POLICY.starts_with("default-src 'none';"));
        assert!(!OWN_PAGE_POLICY.contains("unsafe"));
    }
}
