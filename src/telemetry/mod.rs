//! What operators watch: the operational log and the metrics.
//!
//! Neither is the audit log: lines may be dropped, counters start at zero, and no person is named in them.

mod exchanges;
pub(crate) mod logging;
pub(crate) mod metrics;

pub(crate) use exchanges::Outcome;
pub(crate) use metrics::Metrics;
