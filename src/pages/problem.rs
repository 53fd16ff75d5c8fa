//! The answer to a program: `application/problem+json` (RFC 9457).
//!
//! It says no more than the page that a person would get.

use serde::Serialize;

use crate::base::{Reason, RequestId};

pub(crate) const CONTENT_TYPE: &str = "application/problem+json";

/// One refusal or failure, told to a program.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    pub(crate) status: u16,
    pub(crate) reason: Reason,
    pub(crate) title: String,
    /// Why, in one or two sentences.
    pub(crate) detail: String,
    /// What to do next, when there is something.
    pub(crate) fix: Option<String>,
    pub(crate) request_id: RequestId,
}

#[derive(Serialize)]
struct Wire<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<&'a str>,
    request_id: RequestId,
}

impl Problem {
    /// One line of JSON. `type` is a name, not an address: nothing has to be fetched to understand it.
    pub(crate) fn json(&self) -> String {
        let wire = Wire {
            r#type: format!("urn:portcullis:reason:{}", self.reason),
            title: &self.title,
            status: self.status,
            detail: &self.detail,
            reason: self.reason.code(),
            fix: self.fix.as_deref(),
            request_id: self.request_id,
        };
        // Text and numbers always serialise; an empty object would still be valid problem+json.
        serde_json::to_string(&wire).unwrap_or_else(|_impossible| String::from("{}"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Problem;
    use crate::base::{Reason, RequestId, Timestamp};

    fn problem(fix: Option<&str>) -> serde_json::Value {
        let problem = Problem {
            status: 403,
            reason: Reason::Forbidden,
            title: String::from("You cannot open \"Billing\""),
            detail: String::from("Limited to\nfinance leads."),
            fix: fix.map(str::to_owned),
            request_id: RequestId::new(Timestamp::from_millis(1), 1),
        };
        serde_json::from_str(&problem.json()).unwrap()
    }

    #[test]
    fn members_are_those_of_rfc_9457_and_three_of_ours() {
        let told = problem(Some("Ask Kim."));
        let members: BTreeSet<_> = told
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        let standard = ["type", "title", "status", "detail"];
        let ours = ["reason", "fix", "request_id"];
        assert_eq!(members, standard.into_iter().chain(ours).collect());
        assert_eq!(told["type"], "urn:portcullis:reason:forbidden");
        assert_eq!(told["status"], 403);
        assert_eq!(told["reason"], "forbidden");
    }

    #[test]
    fn without_a_fix_the_member_is_absent() {
        assert!(problem(None).get("fix").is_none());
    }
}
