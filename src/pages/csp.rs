//! The content security policy of our own pages.

use crate::base::Origin;

/// Nothing but our own style sheets and images; no script at all, no framing, no base address.
///
/// Browsers apply `form-action` to the redirects after a form as well (CSP3, 6.4.2), so the two pages whose form may
/// end on an app's host name that host in `hand_over`; everywhere else it is `None`.
pub(crate) fn policy(hand_over: Option<&Origin>) -> String {
    let mut policy = String::from(
        "default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'; \
         frame-ancestors 'none'; form-action 'self'",
    );
    if let Some(origin) = hand_over {
        policy.push(' ');
        policy.push_str(&origin.to_string());
    }
    policy
}

#[cfg(test)]
mod tests {
    use super::policy;
    use crate::base::Origin;

    #[test]
    fn nothing_may_run_and_forms_stay_here() {
        let policy = policy(None);
        assert!(policy.starts_with("default-src 'none';"));
        assert!(!policy.contains("script") && !policy.contains("unsafe"));
        assert!(policy.ends_with("form-action 'self'"));
    }

    #[test]
    fn a_hand_over_adds_exactly_one_origin() {
        let origin = Origin::parse("https://grafana.example.com:8443").unwrap();
        assert!(
            policy(Some(&origin)).ends_with("form-action 'self' https://grafana.example.com:8443")
        );
    }
}
