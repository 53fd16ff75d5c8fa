//! Finished exchanges, counted by route and outcome.
//!
//! Every thread counts in a part of its own, where a count costs one look-up and no shared memory; whoever reads the
//! metrics adds the parts up. The series are those that OpenMetrics expects of a counter and a histogram.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use foldhash::HashMap;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabelSet, EncodeMetric, MetricEncoder, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::registry::Unit;

use crate::base::lane::{self, Lanes};

/// Microseconds; the boundaries that OpenTelemetry recommends for HTTP durations.
const BOUNDS: [u64; 14] = [
    5_000, 10_000, 25_000, 50_000, 75_000, 100_000, 250_000, 500_000, 750_000, 1_000_000,
    2_500_000, 5_000_000, 7_500_000, 10_000_000,
];

/// What an answer is counted under, besides its route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Outcome {
    pub(crate) status: u16,
    pub(crate) decision: &'static str,
    pub(crate) reason: &'static str,
    pub(crate) answered_by: &'static str,
}

/// The counts of all threads.
#[derive(Debug, Default)]
pub(super) struct Exchanges {
    lanes: Lanes<HashMap<Box<str>, OfRoute>>,
}

/// The counts of one route.
#[derive(Debug, Clone, Default)]
struct OfRoute {
    /// Exchanges that took at most as long as the boundary of the same place and longer than the one before; the last
    /// one counts the rest.
    buckets: [u64; BOUNDS.len() + 1],
    micros: u64,
    /// Few, so a look through them is the quickest way.
    outcomes: Vec<(Outcome, u64)>,
}

impl Exchanges {
    /// Counts one exchange of the route of that name.
    pub(super) fn count(&self, route: &str, outcome: Outcome, took: Duration) {
        let mut routes = self.lanes.at(lane::own()).lock();
        if let Some(counts) = routes.get_mut(route) {
            counts.count(outcome, took);
        } else {
            let counts = routes.entry(route.into()).or_default();
            counts.count(outcome, took);
        }
    }

    fn sum(&self) -> BTreeMap<Box<str>, OfRoute> {
        let mut all: BTreeMap<Box<str>, OfRoute> = BTreeMap::new();
        for lane in self.lanes.iter() {
            for (route, counts) in lane.lock().iter() {
                all.entry(route.clone()).or_default().add(counts);
            }
        }
        all
    }
}

impl OfRoute {
    fn count(&mut self, outcome: Outcome, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let place = BOUNDS.partition_point(|bound| *bound < micros);
        if let Some(bucket) = self.buckets.get_mut(place) {
            *bucket += 1;
        }
        self.micros = self.micros.saturating_add(micros);
        self.count_outcome(outcome, 1);
    }

    fn count_outcome(&mut self, outcome: Outcome, times: u64) {
        match self
            .outcomes
            .iter_mut()
            .find(|(known, _)| *known == outcome)
        {
            Some((_, count)) => *count += times,
            None => self.outcomes.push((outcome, times)),
        }
    }

    fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            *mine += theirs;
        }
        self.micros = self.micros.saturating_add(other.micros);
        for (outcome, times) in &other.outcomes {
            self.count_outcome(*outcome, *times);
        }
    }

    fn encode_durations(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let bounds = BOUNDS.iter().map(|micros| Duration::from_micros(*micros));
        let bounds = bounds.map(|bound| bound.as_secs_f64());
        let buckets: Vec<(f64, u64)> = bounds
            .chain(std::iter::once(f64::INFINITY))
            .zip(self.buckets)
            .collect();
        let seconds = Duration::from_micros(self.micros).as_secs_f64();
        let times = self.buckets.iter().sum();
        encoder.encode_histogram::<NoLabelSet>(seconds, times, &buckets, None)
    }
}

/// A duration is told per route only; more labels would multiply its buckets.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabel {
    http_route: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    http_route: String,
    http_response_status_code: u16,
    decision: &'static str,
    reason: &'static str,
    answered_by: &'static str,
}

impl Collector for Exchanges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let routes = self.sum();
        let mut durations = encoder.encode_descriptor(
            "http_server_request_duration",
            "Time from the request's head to the end of its answer",
            Some(&Unit::Seconds),
            MetricType::Histogram,
        )?;
        for (route, counts) in &routes {
            let label = RouteLabel {
                http_route: String::from(&**route),
            };
            counts.encode_durations(durations.encode_family(&label)?)?;
        }
        let mut requests = encoder.encode_descriptor(
            "portcullis_requests",
            "Requests by outcome",
            None,
            MetricType::Counter,
        )?;
        for (route, counts) in &routes {
            for (outcome, times) in &counts.outcomes {
                let labels = OutcomeLabels {
                    http_route: String::from(&**route),
                    http_response_status_code: outcome.status,
                    decision: outcome.decision,
                    reason: outcome.reason,
                    answered_by: outcome.answered_by,
                };
                ConstCounter::new(*times).encode(requests.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use prometheus_client::encoding::text;
    use prometheus_client::registry::Registry;

    use super::{Exchanges, Outcome};

    const FINE: Outcome = Outcome {
        status: 200,
        decision: "allow",
        reason: "permitted",
        answered_by: "upstream",
    };

    #[test]
    fn what_every_thread_counted_is_told_together() {
        let exchanges = Arc::new(Exchanges::default());
        let refused = Outcome {
            status: 403,
            decision: "deny",
            reason: "no-permit",
            answered_by: "portcullis",
        };
        let threads: Vec<_> = (0..20)
            .map(|_| {
                let exchanges = Arc::clone(&exchanges);
                std::thread::spawn(move || {
                    exchanges.count("notes", FINE, Duration::from_millis(5));
                    exchanges.count("notes", FINE, Duration::from_secs(60));
                    exchanges.count("notes", refused, Duration::from_micros(5_001));
                })
            })
            .collect();
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
        let mut registry = Registry::default();
        registry.register_collector(Box::new(exchanges));
        let mut told = String::new();
        text::encode(&mut told, &registry).unwrap();
        for line in [
            r#"http_server_request_duration_seconds_bucket{le="0.005",http_route="notes"} 20"#,
            r#"http_server_request_duration_seconds_bucket{le="0.01",http_route="notes"} 40"#,
            r#"http_server_request_duration_seconds_bucket{le="10.0",http_route="notes"} 40"#,
            r#"http_server_request_duration_seconds_bucket{le="+Inf",http_route="notes"} 60"#,
            r#"http_server_request_duration_seconds_count{http_route="notes"} 60"#,
            r#"portcullis_requests_total{http_route="notes",http_response_status_code="200",decision="allow",reason="permitted",answered_by="upstream"} 40"#,
            r#"portcullis_requests_total{http_route="notes",http_response_status_code="403",decision="deny",reason="no-permit",answered_by="portcullis"} 20"#,
        ] {
            assert!(told.contains(line), "{line}\n{told}");
        }
    }
}
