//! The registry of metrics: every name, label and unit stands here once.
//!
//! No label ever holds a user, an address, a path or a request id; unknown hosts share one series.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use super::exchanges::{Exchanges, Outcome};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct SignIn {
    pub(crate) method: &'static str,
    pub(crate) outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct OfRule {
    pub(crate) rule: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct OfCertificate {
    pub(crate) name: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct OfKind {
    pub(crate) kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct OfOrder {
    pub(crate) outcome: &'static str,
}

/// Every metric of the process; cheap to share, updated without locks beyond a read lock per family.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    exchanges: Arc<Exchanges>,
    pub(crate) active_requests: Gauge,
    pub(crate) connections: Gauge,
    pub(crate) connections_refused: Counter,
    pub(crate) handshake_failures: Counter,
    cut: Family<OfKind, Counter>,
    pub(crate) proxy_headers_refused: Counter,
    pub(crate) panics: Counter,
    pub(crate) sessions_active: Gauge,
    pub(crate) streams_active: Gauge,
    sign_ins: Family<SignIn, Counter>,
    rate_limited: Family<OfRule, Counter>,
    pub(crate) audit_entries: Counter,
    pub(crate) audit_write_failures: Counter,
    pub(crate) audit_queue_length: Gauge,
    pub(crate) audit_disk_remaining: Gauge,
    certificates: Family<OfCertificate, Gauge>,
    certificate_orders: Family<OfOrder, Counter>,
    pub(crate) certificates_revoked: Gauge,
    pub(crate) reload_succeeded: Gauge,
    pub(crate) reload_last_success: Gauge<i64, AtomicI64>,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            exchanges: Arc::default(),
            active_requests: Gauge::default(),
            connections: Gauge::default(),
            connections_refused: Counter::default(),
            handshake_failures: Counter::default(),
            cut: Family::default(),
            proxy_headers_refused: Counter::default(),
            panics: Counter::default(),
            sessions_active: Gauge::default(),
            streams_active: Gauge::default(),
            sign_ins: Family::default(),
            rate_limited: Family::default(),
            audit_entries: Counter::default(),
            audit_write_failures: Counter::default(),
            audit_queue_length: Gauge::default(),
            audit_disk_remaining: Gauge::default(),
            certificates: Family::default(),
            certificate_orders: Family::default(),
            certificates_revoked: Gauge::default(),
            reload_succeeded: Gauge::default(),
            reload_last_success: Gauge::default(),
        };
        metrics.register_requests();
        metrics.register_people();
        metrics.register_operations();
        metrics
    }

    fn register_requests(&mut self) {
        let registry = &mut self.registry;
        registry.register_collector(Box::new(Arc::clone(&self.exchanges)));
        registry.register(
            "http_server_active_requests",
            "Requests in progress",
            self.active_requests.clone(),
        );
        registry.register(
            "portcullis_connections",
            "Open client connections",
            self.connections.clone(),
        );
        registry.register(
            "portcullis_connections_refused",
            "Connections closed because a connection limit was reached",
            self.connections_refused.clone(),
        );
        registry.register(
            "portcullis_handshake_failures",
            "TLS handshakes that failed",
            self.handshake_failures.clone(),
        );
        registry.register(
            "portcullis_connections_cut",
            "Connections, and requests within them, ended for what their client did or did not do, by kind",
            self.cut.clone(),
        );
        registry.register(
            "portcullis_proxy_headers_refused",
            "Connections of load balancers closed because their PROXY header was missing, wrong or late",
            self.proxy_headers_refused.clone(),
        );
        registry.register(
            "portcullis_panics",
            "Connections lost to a defect of Portcullis",
            self.panics.clone(),
        );
        registry.register(
            "portcullis_rate_limit_rejections",
            "Requests refused by a rate limit",
            self.rate_limited.clone(),
        );
    }

    fn register_people(&mut self) {
        let registry = &mut self.registry;
        registry.register(
            "portcullis_sign_in_attempts",
            "Steps of sign-in by outcome",
            self.sign_ins.clone(),
        );
        registry.register(
            "portcullis_session_active",
            "Sessions in force",
            self.sessions_active.clone(),
        );
        registry.register(
            "portcullis_stream_active",
            "Upgraded connections in progress",
            self.streams_active.clone(),
        );
    }

    fn register_operations(&mut self) {
        let registry = &mut self.registry;
        registry.register(
            "portcullis_audit_entries",
            "Entries written to the audit log",
            self.audit_entries.clone(),
        );
        registry.register(
            "portcullis_audit_write_failures",
            "Failed attempts to write the audit log",
            self.audit_write_failures.clone(),
        );
        registry.register(
            "portcullis_audit_queue_length",
            "Entries not yet on disk",
            self.audit_queue_length.clone(),
        );
        registry.register_with_unit(
            "portcullis_audit_disk_remaining",
            "Room left where the audit log is kept",
            Unit::Bytes,
            self.audit_disk_remaining.clone(),
        );
        registry.register(
            "portcullis_certificate_not_after",
            "End of a certificate's life, Unix seconds",
            self.certificates.clone(),
        );
        registry.register(
            "portcullis_certificate_orders",
            "Attempts to obtain a certificate by outcome",
            self.certificate_orders.clone(),
        );
        registry.register(
            "portcullis_certificates_revoked",
            "Certificates in force that their authority says are revoked",
            self.certificates_revoked.clone(),
        );
        registry.register(
            "portcullis_config_reload_last_success",
            "1 when the configuration on disk is the one in force",
            self.reload_succeeded.clone(),
        );
        registry.register(
            "portcullis_config_reload_last_success_time",
            "When the configuration in force was loaded, Unix seconds",
            self.reload_last_success.clone(),
        );
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("portcullis_build", "The running version", build);
    }

    /// Counts one finished exchange. `route` is the route's name; `_own` for our own pages, `_other` when no route
    /// matched.
    pub(crate) fn answered(&self, route: &str, outcome: Outcome, took: Duration) {
        self.exchanges.count(route, outcome, took);
    }

    pub(crate) fn sign_in(&self, method: &'static str, outcome: &'static str) {
        self.sign_ins
            .get_or_create(&SignIn { method, outcome })
            .inc();
    }

    pub(crate) fn rate_limited(&self, rule: &str) {
        self.rate_limited
            .get_or_create(&OfRule {
                rule: rule.to_owned(),
            })
            .inc();
    }

    /// Counts one connection that was closed for what its client did, or one request that was given up.
    pub(crate) fn cut(&self, kind: &'static str) {
        self.cut.get_or_create(&OfKind { kind }).inc();
    }

    pub(crate) fn certificate(&self, name: &str, not_after: i64) {
        self.certificates
            .get_or_create(&OfCertificate {
                name: name.to_owned(),
            })
            .set(not_after);
    }

    /// `outcome` is `issued`, `renewed` or `failed`.
    pub(crate) fn certificate_order(&self, outcome: &'static str) {
        self.certificate_orders
            .get_or_create(&OfOrder { outcome })
            .inc();
    }

    /// The exposition in OpenMetrics text, content type `application/openmetrics-text; version=1.0.0`.
    pub(crate) fn expose(&self) -> String {
        let mut exposition = String::new();
        if text::encode(&mut exposition, &self.registry).is_err() {
            exposition.clear();
        }
        exposition
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Metrics, Outcome};

    #[test]
    fn an_answer_is_counted_once_and_timed() {
        let metrics = Metrics::new();
        let outcome = Outcome {
            status: 403,
            decision: "deny",
            reason: "no-permit",
            answered_by: "portcullis",
        };
        metrics.answered("notes", outcome, Duration::from_millis(7));
        let text = metrics.expose();
        assert!(text.contains(r#"portcullis_requests_total{http_route="notes",http_response_status_code="403",decision="deny",reason="no-permit",answered_by="portcullis"} 1"#), "{text}");
        assert!(
            text.contains(
                r#"http_server_request_duration_seconds_bucket{le="0.01",http_route="notes"} 1"#
            ),
            "{text}"
        );
        assert!(text.ends_with("# EOF\n"));
    }
}
