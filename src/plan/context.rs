//! Everything that is constant during one request.

use std::sync::Arc;

use super::Plan;
use crate::base::Facts;

/// One request's facts and the plan it is served under, from its first step to its last.
#[derive(Debug, Clone)]
pub(crate) struct RequestContext {
    pub(crate) facts: Facts,
    pub(crate) plan: Arc<Plan>,
}
