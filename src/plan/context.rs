//! Everything that is constant during one request.

use std::sync::Arc;

use http::HeaderValue;

use super::Plan;
use crate::base::Facts;

/// One request's facts and the plan it is served under, from its first step to its last.
#[derive(Debug, Clone)]
pub(crate) struct RequestContext {
    pub(crate) facts: Facts,
    pub(crate) plan: Arc<Plan>,
    /// The request's id as upstream and client are told it.
    pub(crate) id: HeaderValue,
}

impl RequestContext {
    pub(crate) fn new(facts: Facts, plan: Arc<Plan>) -> Self {
        let id = HeaderValue::try_from(facts.id.to_string());
        Self {
            facts,
            plan,
            id: id.unwrap_or(HeaderValue::from_static("r-")),
        }
    }
}
